"""Guides of a network while it plays: the governor, the key plan, the rhythm, the compass, and the watches.

A good likelihood of single steps does not ensure thirty good bars. The guides act on sampling alone. Each guide is a
class of its own, and this module combines them. The improviser uses it live, and `rollout` offline. This module knows
no time but ticks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np

from livebach.music.idiom import BACH, Idiom
from livebach.music.key import Key
from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, Frame
from livebach.music.texture import Texture
from livebach.musician.frame_draws import Draw, FrameDraws
from livebach.musician.governor import MEMORY_BARS, Controller, Governor
from livebach.musician.habit_balance import HabitBalance
from livebach.musician.key_plan import FREE_OUTSIDE, HEARD_BARS, OUTSIDE, KeyPlan
from livebach.musician.loops import Loop
from livebach.musician.rhythm import RhythmVotes
from livebach.musician.targets import Targets
from livebach.musician.vetoes import QuoteWatch, RepeatWatch, Watch
from livebach.musician.voice_vetoes import ClashWatch, OveruseWatch, ParallelWatch
from livebach.network.quotes import Quotes
from livebach.network.sampling import SamplingParams

CANDIDATES, FREE_CANDIDATES, FURTHER_DRAWS = 6, 8, 2
"""Number of frames of which the one to play is chosen, in counterpoint and in other idioms, and most draws of each but
the first."""
STRUCK_AT_ONCE = 0.5
"""On a tick on which a key is to be struck, onsets are made so much likelier that the first draw has one so often."""
MOST_URGE = 5.0
"""Most nats of that, where the network is sure of a rest. With all that it takes, half the keyboard would be struck."""
DRIVE = 3.5
"""Factor of the correction of the share of struck ticks in the decision whether a tick is struck."""
MOST_RESTRAINT = 3.0
"""Most nats by which a stroke becomes less likely after too many. With more of them a full passage ends in a rest."""
RECALL, AGAIN = 6.0, 20.0
"""`SamplingParams.recall` and `again` at play in counterpoint, chosen by statistics of roll-outs, not likelihood."""
FREE_RECALL, FREE_AGAIN = 3.5, 0.0
"""The same in an idiom without counterpoint. There more of it makes lines jump and chords grow. Without it an
accompaniment is kept less."""
CHORD_TICKS = 24.0
"""Time constant of the mean size of chords, in struck ticks."""
CHORDS_AT_FIRST = -1.0
"""The bias of ONSET that chords begin with, in nats. Without one most networks strike too many keys at once."""
FREE_CHORDS_AT_FIRST = -0.5
"""The same in an idiom without counterpoint, whose chords are larger."""
OUT_OF_LOOP = 2.0
"""Nats by which all other keys become likelier to be struck where a loop is to end."""
TWO_VOICES = 2
"""Level of polyphony from which a tick should have two voices."""
MOST_VOICES = (2, 2, 2, 2, 3, 3, 4, 5)
"""Most keys down by the level of polyphony."""
ONE_MORE = 0.2
"""Share of ticks with room for one more."""
Chance = Callable[[SamplingParams], float | None]
"""Returns the probability that the network strikes any key; None where unknown."""


class Guides:
    """All guides of one network that plays."""

    def __init__(
        self, beat_ticks: int, bar_ticks: int, random: Random, decisions: Random, longest_quote: int | None
    ) -> None:
        """Take two generators: `random` for drawing frames, `decisions` for plans and decisions."""
        self.governor = Governor(bar_ticks)
        self.plan: KeyPlan | None = None
        self._beat_ticks, self._bar_ticks, self._random = beat_ticks, bar_ticks, random
        self._decisions, self._longest_quote = decisions, longest_quote
        self._idiom = BACH
        self._chords = Controller(CHORD_TICKS)
        self._ticks = Controller(MEMORY_BARS * bar_ticks)
        self._loop = Loop(bar_ticks)
        self.watches: tuple[Watch, ...] = ()
        self._counterpoint: tuple[Watch, ...] = ()
        self.forget()

    def forget(self) -> None:
        """Forget all the music so far. A turn goes on without a home key."""
        self.plan = None
        self._votes = RhythmVotes(self._beat_ticks, self._bar_ticks)
        self._habits = HabitBalance(self._idiom)
        self._reach = KEYS, -1  # the player's lowest and highest key
        self._heard: deque[Frame] = deque(maxlen=HEARD_BARS * self._bar_ticks)
        self._targets = self._new_targets()

    @property
    def home(self) -> Key | None:
        """The home key, if any."""
        return None if self.plan is None else self.plan.home

    def go_home(self) -> None:
        """Return to the home key for an ending."""
        if self.plan is not None:
            self.plan.go_home()

    def restart(self, quotes: Quotes, home: Key | None = None, idiom: Idiom = BACH) -> None:
        """Begin a turn. The network's earlier turns do not count.

        Args:
            quotes: Runs of the training music that must not be repeated at length.
            home: The key to keep to; None keeps to none.
            idiom: The figures of the training music.

        """
        self._idiom = idiom
        self._targets = self._new_targets()
        self._chords.restart(CHORDS_AT_FIRST if idiom.contrapuntal else FREE_CHORDS_AT_FIRST)
        self._ticks.restart()
        self._habits.restart(idiom)
        self.governor.restart(idiom, self._targets.middle)
        self._loop = Loop(self._bar_ticks)
        self.watches = QuoteWatch(quotes, self._longest_quote), RepeatWatch(self._bar_ticks)
        self._counterpoint = self._counterpoint_watches()
        if home is None:
            self.plan = None
        else:
            self.plan = self._new_plan(home)

    @property
    def _outside(self) -> float:
        return OUTSIDE if self._idiom.contrapuntal else FREE_OUTSIDE

    def _new_plan(self, home: Key) -> KeyPlan:
        plan = KeyPlan(home, self._bar_ticks, self._decisions, self._outside)
        for frame in self._heard:
            plan.observe(frame)
        return plan

    def set_metre(self, beat_ticks: int, bar_ticks: int) -> None:
        """Count in another metre from now on. What counts in bars begins anew, with the last bars known to it."""
        heard = self._heard
        self._beat_ticks, self._bar_ticks = beat_ticks, bar_ticks
        self._heard = deque(heard, HEARD_BARS * bar_ticks)
        self.governor, self._ticks = Governor(bar_ticks), Controller(MEMORY_BARS * bar_ticks)
        self.governor.restart(self._idiom, self._new_targets().middle)
        self._votes = RhythmVotes(beat_ticks, bar_ticks)
        self._loop = Loop(bar_ticks)
        self.watches = tuple(RepeatWatch(bar_ticks) if isinstance(each, RepeatWatch) else each for each in self.watches)
        self._counterpoint = tuple(
            OveruseWatch(bar_ticks) if isinstance(each, OveruseWatch) else each for each in self._counterpoint
        )
        for frame in heard:
            self._votes.observe(frame)
        if self.plan is not None:
            self.plan = self._new_plan(self.plan.home)

    def _new_targets(self) -> Targets:
        return Targets.of(np.array(self._heard, np.uint8).reshape(-1, KEYS), self._idiom)

    def _counterpoint_watches(self) -> tuple[Watch, ...]:
        watches: tuple[Watch, ...] = (
            OveruseWatch(self._bar_ticks),
            ClashWatch(self._decisions, self._idiom.clashes),
        )
        return (ParallelWatch(self._decisions), *watches) if self._idiom.contrapuntal else watches

    def know(self, quotes: Quotes, idiom: Idiom = BACH) -> None:
        """Continue with another network's training music and its idiom."""
        self._idiom = idiom
        self._targets = self._new_targets()
        self._habits.know(idiom)
        self.governor.know(idiom, self._targets.middle)
        if self.plan is not None:
            self.plan.outside = self._outside
        self._counterpoint = self._counterpoint_watches()
        for watch in self.watches:
            if isinstance(watch, QuoteWatch):
                watch.know(quotes)

    def listen(self, frame: Frame, player: Frame) -> None:
        """Take in the frame [88] of both players on a tick, and the player's part of it [88]."""
        self._votes.observe(frame)
        self._habits.listen(frame, player)
        self._heard.append(frame)
        keys = np.flatnonzero(player)
        if len(keys):
            self._reach = min(self._reach[0], int(keys[0])), max(self._reach[1], int(keys[-1]))
        if self.plan is not None:
            self.plan.observe(frame)

    def played(self, heard: Frame, part: Frame) -> None:
        """Take in a tick of the network's turn: the frame [88] that the texture is asked of, and the network's part."""
        self.governor.observe(heard, part)
        self._habits.played(part)
        struck = int((part == ONSET).sum())
        self._ticks.observe(struck > 0)
        if struck:
            self._chords.observe(struck)
        self._loop.observe(part)
        for watch in (*self.watches, *self._counterpoint):
            watch.observe(part)
        if self.plan is not None:
            self.plan.advance()

    def draw(
        self,
        once: Draw,
        params: SamplingParams,
        texture: Texture,
        register: int | None = None,
        chance: Chance | None = None,
        lean: float = 0.0,
    ) -> Frame:
        """Draw a frame under all guides.

        Args:
            once: Draws a frame.
            params: The parameters to start from.
            texture: The texture asked for.
            register: The MIDI key to play around, if any.
            chance: The network's probability of an onset. With it the network plays alone, and whether any key is
                struck is decided before the keys.
            lean: Nats by which a stroke is likelier for the player's rhythm. At minus infinity no key is struck.

        Returns:
            The states [88].

        """
        draws = FrameDraws(once, self.watches, self._counterpoint, self._random)
        steered = self._steered(params, texture, register)
        if lean == -math.inf:
            return draws.sustained(params, self._sounding)
        # Alone, the network becomes busier by striking on more ticks, not more keys at once.
        free = replace(steered, onset_bias=params.onset_bias)
        likely = None if chance is None else chance(free)
        if likely is None:
            return draws.drawn(steered, counterpoint=False)
        busier = lean + self.governor.urge
        if texture.density is not None:
            busier += max(-MOST_RESTRAINT, DRIVE * self._ticks.correction(self._targets.share_struck(texture.density)))
        busier += self._habits.lean
        steady = self._idiom.contrapuntal
        if not self._sounding or self._decisions.random() < self._votes.chance(likely, busier, steady):
            voices = 2 if (texture.polyphony or 0) >= TWO_VOICES else 1
            most = KEYS
            if texture.polyphony is not None and self._idiom.contrapuntal:  # elsewhere voices become chords
                most = MOST_VOICES[texture.polyphony]
            return self._chosen(draws, lambda: self._moved_on(draws.struck(self._urged(free, likely), voices), most))
        return draws.sustained(free, self._sounding)

    def _moved_on(self, frame: Frame, most: int) -> Frame:
        """Return a frame in which voices that move on let go of their last key, so that at most `most` keys are down.

        The network alone often holds it, and one voice becomes a chord. The watches have judged the frame with the held
        keys. If they judged it without, hardly any parallel would be left, and Bach has some between inner voices.
        """
        if self._decisions.random() < ONE_MORE:
            most += 1
        struck, held = np.flatnonzero(frame == ONSET), np.flatnonzero(frame == HOLD)
        over = min(len(held), len(struck) + len(held) - most)
        if over <= 0 or not len(struck):
            return frame
        frame = frame.copy()
        near = np.abs(held[:, None] - struck).min(axis=1)
        frame[held[np.argsort(near, kind="stable")[:over]]] = OFF
        return frame

    @property
    def _sounding(self) -> int:
        """Number of keys down on the last tick."""
        return int(np.count_nonzero(self._heard[-1])) if self._heard else 0

    def _steered(self, params: SamplingParams, texture: Texture, register: int | None) -> SamplingParams:
        recall, again = (RECALL, AGAIN) if self._idiom.contrapuntal else (FREE_RECALL, FREE_AGAIN)
        params = self.governor.steer(params, texture, register)
        params = replace(params, recall=recall, again=again, release_bias=self._habits.release)
        if self.plan is not None:
            bias, tonal = self.plan.bias(), self.plan.tonal() if self._idiom.contrapuntal else None
            bias = bias if params.key_bias is None else params.key_bias + bias
            params = replace(params, key_bias=bias, tonal=tonal)
        if register is None:
            lowest = min(self._idiom.lowest - LOW_KEY, self._reach[0])
            highest = max(self._idiom.highest - LOW_KEY, self._reach[1])
            outside = np.ones(KEYS, np.bool_)
            outside[lowest : highest + 1] = False
            params = params.forbidding(outside)
        worn = None if self._idiom.contrapuntal else self._loop.worn
        if worn is not None:
            params = replace(params.forbidding(worn), onset_bias=params.onset_bias + OUT_OF_LOOP)
        return params

    def _urged(self, params: SamplingParams, likely: float) -> SamplingParams:
        """Return the parameters for a tick on which a key is to be struck.

        Onsets are rare where the network hardly expects any. So with all of them likelier by the same factor, the first
        draw has one often enough, and chords grow little. The controller of their size takes that back. It advances
        with every frame that is drawn.
        """
        urge = _log_odds(STRUCK_AT_ONCE) - _log_odds(min(1 - 1e-6, max(1e-6, likely)))
        urge = min(MOST_URGE, max(0.0, urge))
        size = self._chords.correction(self._targets.chord)
        return replace(params, onset_bias=params.onset_bias + urge + size)

    def _chosen(self, draws: FrameDraws, draw: Callable[[], Frame]) -> Frame:
        """Draw several frames, and return one of them, more likely one with the idiom's habits."""
        first = draw()
        if not (first == ONSET).any():
            return first
        found = [first]
        for _ in range((CANDIDATES if self._idiom.contrapuntal else FREE_CANDIDATES) - 1):
            draws.left = FURTHER_DRAWS
            frame = draw()
            if (frame == ONSET).any():
                found.append(frame)
        scores = [self._habits.score(frame) for frame in found]
        best = max(scores)
        return self._decisions.choices(found, [math.exp(score - best) for score in scores])[0]


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))
