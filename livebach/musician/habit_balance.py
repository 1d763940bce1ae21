"""Keeps the network's intervals, chords and melodic steps as frequent as in its idiom.

A network that plays on alone loses the balance of its training music. Fourths above the bass replace thirds, for
example, because chance alone gives many fourths. Biases of single keys hardly help, as an interval is a matter of two
keys. So several frames are drawn, and the one to play is chosen by its score here: rare events of the last bars score
high, and too frequent ones low. This is importance resampling (Rubin 1987) with a target that adapts. The score also
keeps the number of voices steady, which otherwise swings from bar to bar. This module knows no time but ticks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livebach.music.habits import (
    LONGEST_GAP,
    LONGEST_NOTE,
    SIZES,
    Events,
    LastStroke,
    events_of,
    lengths_of,
    next_last_stroke,
)
from livebach.music.idiom import Idiom
from livebach.music.roll import KEYS, Frame

GAINS = {"harmony": 12.0, "chords": 4.0, "upper": 10.0, "lower": 4.0}
"""Factor of an event's log ratio in the score. Gaps between strokes have no score, as all frames that are compared have
one stroke: see `lean`. Lengths have none, as most notes end on ticks without a stroke: see `release`."""
FREE_GAINS = GAINS | {"lower": 8.0}
"""The same outside counterpoint, where the leaps of an accompaniment tell more."""
STEADY = 1.5
"""Nats that a frame loses for each key more or fewer than usual. Counterpoint alone keeps its number of voices."""
STEADY_TICKS = 32.0
"""Time constant of the usual number of keys down, in ticks."""
VOICES_AT_FIRST = 2.0
RHYTHM = 2.0
"""Factor of the rhythm's log odds. Counterpoint keeps its rhythm without it."""
RELEASE = 1.0
"""Factor of the log odds of a note's length. Counterpoint keeps its lengths without it."""
LONG_TICKS, LET_GO = 32, 0.1
"""Length of a note in ticks from which its end becomes likelier by so many nats with each tick. The network alone holds
some keys for a minute. Counterpoint has its organ points."""
MOST_LOG_RATIO = 1.5
FLOOR = 0.01
"""Added to shares before their ratio is taken, as one rare event means little."""
IDIOM_EVENTS, FREE_IDIOM_EVENTS = 10.0, 150.0
"""Number of events of the music heard that count as much as the idiom: in counterpoint, and in other idioms. Pieces of
counterpoint differ, and all too average ones are told from real ones. In others a few bars heard may be an
introduction."""
HEARD_KEPT = 0.995
"""Part of a habit's counts in the player's music that is left after one more tick with such an event."""
PLAYED_KEPT = 0.995
"""The same of the network's music."""
AT_FIRST = 60.0
"""Number of events, as frequent as wanted, that a turn begins with."""

_Shares = NDArray[np.float64]


class HabitBalance:
    """Counts the habits of the player and of the network, and scores frames."""

    def __init__(self, idiom: Idiom) -> None:
        self._last: LastStroke | None = None
        self._last_before: LastStroke | None = None
        self._heard = {name: np.zeros(size) for name, size in SIZES.items()}
        self._voices = VOICES_AT_FIRST
        self._down = np.zeros(KEYS, np.int64)  # for how many ticks each of the player's keys is down
        self.restart(idiom)

    def restart(self, idiom: Idiom) -> None:
        """Begin a turn. The network's earlier turns do not count, and a single line is joined by a second voice."""
        self._own_down = np.zeros(KEYS, np.int64)  # the same of the network's keys
        self._voices = max(VOICES_AT_FIRST, self._voices)
        self.know(idiom)

    def know(self, idiom: Idiom) -> None:
        """Count anew, in another idiom. What is wanted lies between the idiom and the player's music."""
        self._played: dict[str, _Shares] = {}
        self._wanted: dict[str, _Shares] = {}
        self._contrapuntal = idiom.contrapuntal
        of_the_idiom = IDIOM_EVENTS if idiom.contrapuntal else FREE_IDIOM_EVENTS
        for name, heard in self._heard.items():
            wanted = of_the_idiom * np.array(getattr(idiom.habits, name)) + heard
            self._wanted[name] = wanted / wanted.sum()
            self._played[name] = AT_FIRST * self._wanted[name]
        self._weigh()

    def _weigh(self) -> None:
        self._scores: dict[str, list[float]] = {}
        for name, gain in (GAINS if self._contrapuntal else FREE_GAINS).items():
            wanted = self._wanted[name]
            played = self._played[name] / self._played[name].sum()
            ratio = np.log((wanted + FLOOR) / (played + FLOOR))
            self._scores[name] = (gain * np.clip(ratio, -MOST_LOG_RATIO, MOST_LOG_RATIO)).tolist()
        if self._contrapuntal:
            return
        self._rhythm, self._release = (
            factor * _corrections(self._wanted[name], self._played[name])
            for name, factor in (("gaps", RHYTHM), ("lengths", RELEASE))
        )

    def listen(self, frame: Frame, player: Frame) -> None:
        """Take in the frame [88] of both players on a tick, and the player's part of it [88]."""
        if voices := np.count_nonzero(frame):
            self._voices += (voices - self._voices) / STEADY_TICKS
        events = events_of(player, self._last)
        ended, self._down = lengths_of(player, self._down)
        self._last_before, self._last = self._last, next_last_stroke(frame, self._last)
        _count(self._heard, events | ended, HEARD_KEPT)

    def played(self, part: Frame) -> None:
        """Take in the network's part [88] of the tick that `listen` was called for last."""
        events = events_of(part, self._last_before)
        ended, self._own_down = lengths_of(part, self._own_down)
        _count(self._played, events | ended, PLAYED_KEPT)
        if events or ended:
            self._weigh()

    def score(self, part: Frame) -> float:
        """Return how much a part [88] of the coming tick agrees with the idiom, in nats."""
        events = events_of(part, self._last)
        unsteady = STEADY * abs(np.count_nonzero(part) - self._voices) if self._contrapuntal else 0.0
        return sum(
            [scores[index] for name, scores in self._scores.items() for index in events.get(name, ())], -unsteady
        )

    @property
    def lean(self) -> float:
        """Return by how many nats a stroke on the coming tick should be likelier, for gaps as wanted."""
        if self._contrapuntal or self._last is None or self._last.ago >= LONGEST_GAP:
            return 0.0
        return float(self._rhythm[self._last.ago - 1])

    @property
    def release(self) -> NDArray[np.float64] | None:
        """Return by how many nats [88] each key's release on the coming tick should be likelier, for lengths as wanted.

        None in counterpoint.
        """
        if self._contrapuntal:
            return None
        down = self._own_down
        ends = (down > 0) & (down < LONGEST_NOTE)
        release = np.where(ends, self._release[np.minimum(down, LONGEST_NOTE - 1) - 1], 0.0)
        return np.asarray(release + LET_GO * np.maximum(0, down - LONG_TICKS))


def _corrections(wanted: _Shares, played: _Shares) -> _Shares:
    """Return by how many nats each of n waiting times but the last should be likelier to end, [n - 1].

    The chance that it ends is that of this time among those that are at least as long.
    """
    wanted, played = (shares / shares.sum() + FLOOR for shares in (wanted, played))
    longer, played_longer = (np.cumsum(shares[:0:-1])[::-1] for shares in (wanted, played))
    return np.clip(np.log(wanted[:-1] * played_longer / (longer * played[:-1])), -MOST_LOG_RATIO, MOST_LOG_RATIO)


def _count(counts: dict[str, _Shares], events: Events, kept: float) -> None:
    for name, indices in events.items():
        if indices:
            counts[name] *= kept
        for index in indices:
            counts[name][index] += 1
