"""Guides of a network while it plays: the governor, the key plan, the rhythm, the compass, and the watches.

A good likelihood of single steps does not ensure thirty good bars. The guides act on sampling alone. Each guide is a
class of its own, and this module combines them. The improviser uses it live, and `rollout` offline. This module knows
no time but ticks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from livebach.music.key import Key
from livebach.music.roll import KEYS, LOW_KEY, OFF, ONSET, Frame
from livebach.music.texture import Texture
from livebach.musician.governor import Governor
from livebach.musician.key_plan import HEARD_BARS, KeyPlan
from livebach.musician.rhythm import RhythmVotes
from livebach.musician.vetoes import QuoteWatch, RepeatWatch, Watch, playable
from livebach.musician.voice_vetoes import ClashWatch, OveruseWatch, ParallelWatch
from livebach.network.quotes import Quotes
from livebach.network.sampling import SamplingParams

LOWEST, HIGHEST = 36 - LOW_KEY, 84 - LOW_KEY
"""C2 and C6 as keys 0..87. Beyond these nothing is struck, unless the player was there or asks for a register."""
MOST_TRIES = 6
"""Most tries on a tick on which a key is to be struck. Objections of watches leave fewer."""
MOST_DRAWS = 10
"""Number of draws of a tick after which no further try is made."""
FAITHFUL_TRIES = 2
"""Number of tries before onsets are made likelier."""
DRIVE = 3.5
"""Factor of the governor's correction of density in the decision whether a tick is struck."""
RECALL = 10.0
"""`SamplingParams.recall` at play, chosen by statistics of roll-outs instead of likelihood."""
THINNER = 1.5
"""Nats taken off the logit of ONSET on struck ticks, which leaves fewer keys on each."""
EAGERNESS = 0.7
"""Nats added to the logit of ONSET at each further draw."""
VOICES_KEPT = 1.5
"""Nats taken off the logit of OFF after a draw with too few voices."""
TWO_VOICES = 2
"""Level of polyphony from which a tick should have two voices."""
SUSTAIN = (3.0, 8.0)
"""Nats taken off the logit of OFF on a tick without an onset, in turn, where fewer than two voices would be left."""

Draw = Callable[[SamplingParams, NDArray[np.float64]], Frame]
"""Draws a frame [88] from parameters and random numbers [88] in [0, 1)."""
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
        self._votes = RhythmVotes(beat_ticks, bar_ticks)
        self._compass = LOWEST, HIGHEST
        self.watches: tuple[Watch, ...] = ()
        self._counterpoint: tuple[Watch, ...] = ()
        self._heard: deque[Frame] = deque(maxlen=HEARD_BARS * bar_ticks)

    @property
    def home(self) -> Key | None:
        """The home key, if any."""
        return None if self.plan is None else self.plan.home

    def go_home(self) -> None:
        """Return to the home key for an ending."""
        if self.plan is not None:
            self.plan.go_home()

    def restart(self, quotes: Quotes, home: Key | None = None) -> None:
        """Begin a turn. The network's earlier turns do not count. `home` is the key to keep to; None keeps to none."""
        self.governor.restart()
        self.watches = QuoteWatch(quotes, self._longest_quote), RepeatWatch(self._bar_ticks)
        self._counterpoint = ParallelWatch(), OveruseWatch(self._bar_ticks), ClashWatch(self._decisions)
        if home is None:
            self.plan = None
        elif self.plan is None or self.plan.home != home:
            self.plan = self._new_plan(home)

    def _new_plan(self, home: Key) -> KeyPlan:
        plan = KeyPlan(home, self._bar_ticks, self._decisions)
        for frame in self._heard:
            plan.observe(frame)
        return plan

    def set_metre(self, beat_ticks: int, bar_ticks: int) -> None:
        """Count in another metre from now on. What counts in bars begins anew, with the last bars known to it."""
        heard = self._heard
        self._bar_ticks = bar_ticks
        self.governor = Governor(bar_ticks)
        self._votes = RhythmVotes(beat_ticks, bar_ticks)
        self._heard = deque(heard, HEARD_BARS * bar_ticks)
        self.watches = tuple(RepeatWatch(bar_ticks) if isinstance(each, RepeatWatch) else each for each in self.watches)
        self._counterpoint = tuple(
            OveruseWatch(bar_ticks) if isinstance(each, OveruseWatch) else each for each in self._counterpoint
        )
        for frame in heard:
            self._votes.observe(frame)
        if self.plan is not None:
            self.plan = self._new_plan(self.plan.home)

    def know(self, quotes: Quotes) -> None:
        """Continue with another network's training music."""
        for watch in self.watches:
            if isinstance(watch, QuoteWatch):
                watch.know(quotes)

    def listen(self, frame: Frame) -> None:
        """Take in the frame [88] of both players on a tick."""
        self._votes.observe(frame)
        self._heard.append(frame)
        keys = np.flatnonzero(frame)
        if len(keys):
            self._compass = min(self._compass[0], int(keys[0])), max(self._compass[1], int(keys[-1]))
        if self.plan is not None:
            self.plan.observe(frame)

    def played(self, heard: Frame, part: Frame) -> None:
        """Take in a tick of the network's turn: the frame [88] that the texture is asked of, and the network's part."""
        self.governor.observe(heard, part)
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
    ) -> Frame:
        """Draw a frame under all guides.

        Args:
            once: Draws a frame.
            params: The parameters to start from.
            texture: The texture asked for.
            register: The MIDI key to play around, if any.
            chance: The network's probability of an onset. With it the network plays alone, and whether any key is
                struck is decided before the keys.

        Returns:
            The states [88].

        """
        steered = self._steered(params, texture, register)
        # Alone, the network becomes busier by striking on more ticks, not more keys at once.
        busier, free = DRIVE * (steered.onset_bias - params.onset_bias), replace(steered, onset_bias=params.onset_bias)
        likely = None if chance is None else chance(free)
        if likely is None:
            return self._drawn(once, steered, self.watches)
        if not self._sounding or self._decisions.random() < self._votes.chance(likely, busier):
            return self._struck(once, free, 2 if (texture.polyphony or 0) >= TWO_VOICES else 1)
        return self._sustained(once, free)

    @property
    def _sounding(self) -> int:
        """Number of keys down on the last tick."""
        return int(np.count_nonzero(self._heard[-1])) if self._heard else 0

    def _steered(self, params: SamplingParams, texture: Texture, register: int | None) -> SamplingParams:
        params = replace(self.governor.steer(params, texture, register), recall=RECALL)
        if self.plan is not None:
            bias = self.plan.bias()
            params = replace(params, key_bias=bias if params.key_bias is None else params.key_bias + bias)
        if register is None:
            outside = np.ones(KEYS, np.bool_)
            outside[self._compass[0] : self._compass[1] + 1] = False
            params = replace(params, forbidden=outside if params.forbidden is None else params.forbidden | outside)
        return params

    def _drawn(self, once: Draw, params: SamplingParams, watches: Sequence[Watch] | None = None) -> Frame:
        """Return a frame that no watch objects to. By default the watches of counterpoint are included."""
        watches = (*self.watches, *self._counterpoint) if watches is None else watches
        uniforms = np.array([self._random.random() for _ in range(KEYS)])
        return playable(lambda steered: once(steered, uniforms), params, watches)

    def _struck(self, once: Draw, params: SamplingParams, voices: int) -> Frame:
        """Return a frame with an onset and at least `voices` keys down, if one is found within MOST_TRIES."""
        params = replace(params, onset_bias=params.onset_bias - THINNER)
        drawn = 0

        def counted(tried: SamplingParams, uniforms: NDArray[np.float64]) -> Frame:
            nonlocal drawn
            drawn += 1
            return once(tried, uniforms)

        frame, best = self._drawn(counted, params), None
        for i in range(1, MOST_TRIES):
            struck = bool((frame == ONSET).any())
            if struck and (np.count_nonzero(frame) >= voices or i > FAITHFUL_TRIES):
                return frame
            best = frame if struck else best
            if drawn >= MOST_DRAWS:
                break
            eager = EAGERNESS * max(0, i + 1 - FAITHFUL_TRIES)
            longer = VOICES_KEPT if struck else 0.0
            changed = replace(params, onset_bias=params.onset_bias + eager, off_bias=params.off_bias - longer)
            frame = self._drawn(counted, changed)
        return frame if best is None or (frame == ONSET).any() else best

    def _sustained(self, once: Draw, params: SamplingParams) -> Frame:
        """Return a frame without onsets in which up to two voices go on, if possible."""
        params = replace(params, forbidden=np.ones(KEYS, np.bool_))
        frame = self._drawn(once, params)
        wanted = min(2, self._sounding)
        for longer in SUSTAIN:
            if np.count_nonzero(frame != OFF) >= wanted:
                break
            frame = self._drawn(once, replace(params, off_bias=params.off_bias - longer))
            wanted = min(1, wanted)
        return frame
