"""Keeps the network's intervals, chords and melodic steps as frequent as in its idiom.

A network that plays on alone loses the balance of its training music. Fourths above the bass replace thirds, for
example, because chance alone gives many fourths. Biases of single keys hardly help, as an interval is a matter of two
keys. So several frames are drawn, and the one to play is chosen by its score here: rare events of the last bars score
high, and too frequent ones low. This is importance resampling (Rubin 1987) with a target that adapts. The score also
keeps the number of voices steady, which otherwise swings from bar to bar. This module knows no time but ticks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from livebach.music.habits import LENGTHS, LONGEST_GAP, Events, LastStroke, events_of
from livebach.music.idiom import Idiom
from livebach.music.roll import Frame

GAINS = {"harmony": 12.0, "chords": 4.0, "upper": 10.0, "lower": 4.0}
"""Factor of an event's log ratio in the score. Gaps between strokes have no score, as all frames that are compared have
one stroke: see `lean`."""
STEADY = 1.5
"""Nats that a frame loses for each key more or fewer than usual. Counterpoint alone keeps its number of voices."""
STEADY_TICKS = 32.0
"""Time constant of the usual number of keys down, in ticks."""
VOICES_AT_FIRST = 2.0
RHYTHM = 2.0
"""Factor of the rhythm's log odds. Counterpoint keeps its rhythm without it."""
MOST_LOG_RATIO = 1.5
FLOOR = 0.01
"""Added to shares before their ratio is taken, as one rare event means little."""
OF_THE_IDIOM, FREE_OF_THE_IDIOM = 10.0, 100.0
"""Number of events of the music heard that count as much as the idiom: in counterpoint, and in other idioms. Pieces of
counterpoint differ, and all too average ones are told from real ones. In others a few bars heard may be an
introduction."""
HEARD_KEPT = 0.995
"""Part of the counts of the music heard that is left after one more tick with a struck key."""
PLAYED_KEPT = 0.995
"""The same of the counts of the music played."""
AT_FIRST = 60.0
"""Number of events, as frequent as wanted, that a turn begins with."""

_Shares = NDArray[np.float64]


class HabitBalance:
    """Counts the habits of the music heard and played, and scores frames."""

    def __init__(self, idiom: Idiom) -> None:
        self._last: LastStroke | None = None
        self._last_before: LastStroke | None = None
        self._heard = {name: np.zeros(length) for name, length in LENGTHS.items()}
        self._voices = VOICES_AT_FIRST
        self.restart(idiom)

    def restart(self, idiom: Idiom) -> None:
        """Begin a turn. What is wanted lies between the idiom and the music heard."""
        self._played: dict[str, _Shares] = {}
        self._wanted: dict[str, _Shares] = {}
        self._contrapuntal = idiom.contrapuntal
        of_the_idiom = OF_THE_IDIOM if idiom.contrapuntal else FREE_OF_THE_IDIOM
        for name, heard in self._heard.items():
            wanted = of_the_idiom * np.array(getattr(idiom.habits, name)) + heard
            self._wanted[name] = wanted / wanted.sum()
            self._played[name] = AT_FIRST * self._wanted[name]
        self._weigh()

    def _weigh(self) -> None:
        self._scores: dict[str, list[float]] = {}
        for name, gain in GAINS.items():
            wanted = self._wanted[name]
            played = self._played[name] / self._played[name].sum()
            ratio = np.log((wanted + FLOOR) / (played + FLOOR))
            self._scores[name] = (gain * np.clip(ratio, -MOST_LOG_RATIO, MOST_LOG_RATIO)).tolist()

    def listen(self, frame: Frame) -> None:
        """Take in the frame [88] of both players on a tick."""
        self._last_before = self._last
        if voices := np.count_nonzero(frame):
            self._voices += (voices - self._voices) / STEADY_TICKS
        events, self._last = events_of(frame, self._last)
        _count(self._heard, events, HEARD_KEPT)

    def played(self, part: Frame) -> None:
        """Take in the network's part [88] of the tick that `listen` was called for last."""
        events, _ = events_of(part, self._last_before)
        _count(self._played, events, PLAYED_KEPT)
        if events:
            self._weigh()

    def score(self, part: Frame) -> float:
        """Return how much a part [88] of the coming tick agrees with the idiom, in nats."""
        events, _ = events_of(part, self._last)
        unsteady = STEADY * abs(np.count_nonzero(part) - self._voices) if self._contrapuntal else 0.0
        return sum(
            [scores[index] for name, scores in self._scores.items() for index in events.get(name, ())], -unsteady
        )

    @property
    def lean(self) -> float:
        """Return by how many nats a stroke on the coming tick should be likelier, for gaps between strokes as wanted.

        The chance of a stroke after a gap is that of this gap among those that are at least as long.
        """
        if self._contrapuntal or self._last is None or self._last.ago >= LONGEST_GAP:
            return 0.0
        gap = self._last.ago - 1
        wanted, played = (_odds_of_gap(counts["gaps"], gap) for counts in (self._wanted, self._played))
        return RHYTHM * max(-MOST_LOG_RATIO, min(MOST_LOG_RATIO, math.log(wanted / played)))


def _odds_of_gap(shares: _Shares, gap: int) -> float:
    shares = shares / shares.sum() + FLOOR
    return float(shares[gap] / shares[gap + 1 :].sum())


def _count(counts: dict[str, _Shares], events: Events, kept: float) -> None:
    for name, indices in events.items():
        counts[name] *= kept
        for index in indices:
            counts[name][index] += 1
