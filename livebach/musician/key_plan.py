"""A plan of keys: the music stays in its home key, moves to near keys for some bars, and returns.

A step-by-step model plans no keys, and drifts away from its key within some bars. The plan names the present key.
Pitch classes that are rarer in the last bars than in that key's profile become likelier, and more frequent ones rarer.
The correction grows with the distance from the profile, so music in the key is hardly changed. This module knows no
time but ticks.
"""

from __future__ import annotations

from collections import deque
from random import Random

import numpy as np
from numpy.typing import NDArray

from livebach.music.key import PITCH_CLASSES, Key, profile
from livebach.music.roll import ONSET, Frame

STAY_BARS = (2, 7)
"""Shortest and longest stay at home."""
AWAY_BARS = (2, 4)
"""Shortest and longest stay in another key."""
HEARD_BARS = 2
"""Bars whose pitch classes are compared with the profile."""
FEWEST_NOTES = 4
LEAST_GAIN = 0.6
ERROR_GAIN = 4.5
"""Factor of the distance from the profile (0..1), added to LEAST_GAIN."""
OUTSIDE, FREE_OUTSIDE = 3.0, 1.0
"""Nats taken off pitches outside the scale of the planned key: in counterpoint, and in other idioms. Others use
more of them, and with less recall fewer come from elsewhere."""
MOST_LOG_RATIO = 1.5
FLOOR = 0.02
"""Added to shares before their ratio is taken, as one note of a rare pitch class means little."""
_NEAR_MAJOR = ((7, False), (5, False), (9, True), (4, True), (2, True))
_NEAR_MINOR = ((7, True), (5, True), (3, False), (10, False), (8, False))
"""Keys within a fifth of home: semitones from the tonic, and whether they are minor."""


def near_keys(home: Key) -> list[Key]:
    """Return the keys within a fifth of home on the circle of fifths, without home itself."""
    steps = _NEAR_MINOR if home.minor else _NEAR_MAJOR
    return [Key((home.tonic + up) % 12, minor) for up, minor in steps]


class KeyPlan:
    """The planned key of each bar, and the bias of the logits that leads there."""

    def __init__(self, home: Key, bar_ticks: int, random: Random, outside: float = OUTSIDE) -> None:
        """Begin at home; `outside` are the nats to take off pitches outside the scale."""
        self.home = self.key = home
        self.outside = outside
        self._bar_ticks, self._random = bar_ticks, random
        self._heard: deque[NDArray[np.int64]] = deque(maxlen=HEARD_BARS * bar_ticks)
        self._left = self._stay()

    def _stay(self) -> int:
        bars = STAY_BARS if self.key == self.home else AWAY_BARS
        return self._random.randint(*bars) * self._bar_ticks

    def observe(self, frame: Frame) -> None:
        """Take in the frame [88] of both players on a tick."""
        self._heard.append(np.bincount(PITCH_CLASSES[frame == ONSET], minlength=12))

    def advance(self) -> None:
        """Advance by a tick. Home and other keys alternate."""
        self._left -= 1
        if self._left <= 0:
            self.key = self._random.choice(near_keys(self.home)) if self.key == self.home else self.home
            self._left = self._stay()

    def go_home(self) -> None:
        """Return home now, for the longest stay. Call this before an ending."""
        self.key, self._left = self.home, STAY_BARS[1] * self._bar_ticks

    def tonal(self) -> NDArray[np.intp]:
        """Return the key of the planned scale that stands for each key, [88]: itself, or the commoner neighbour."""
        scale, common = self.key.scale, profile(self.key)[PITCH_CLASSES]
        keys = np.arange(len(scale))
        up, down = np.minimum(keys + 1, keys[-1]), np.maximum(keys - 1, 0)
        lower = ~scale[up] | (scale[down] & (common[down] > common[up]))
        return np.where(scale, keys, np.where(lower, down, up))

    def bias(self) -> NDArray[np.float32]:
        """Return the bias of the logits of ONSET, [88] in nats; zeros before enough notes have been heard."""
        counts = np.sum(self._heard, axis=0) if self._heard else np.zeros(12)
        if counts.sum() < FEWEST_NOTES:
            return np.zeros(len(PITCH_CLASSES), np.float32)
        heard, wanted = counts / counts.sum(), profile(self.key)
        error = 0.5 * float(np.abs(wanted - heard).sum())
        ratio = np.clip(np.log((wanted + FLOOR) / (heard + FLOOR)), -MOST_LOG_RATIO, MOST_LOG_RATIO)
        bias = ((LEAST_GAIN + ERROR_GAIN * error) * ratio)[PITCH_CLASSES]
        return np.asarray(bias - self.outside * ~self.key.scale, np.float32)
