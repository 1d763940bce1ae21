"""Musical keys: find the key of music by its pitch classes, and the pitches that belong to a key.

The present key is the one whose profile correlates most with the pitch classes (Krumhansl and Kessler 1982, "Tracing
the dynamic changes in perceived tonal organization"). A home key, which an opening sets up, is the one whose profile
makes the pitch classes likeliest (Albrecht and Shanahan 2013, "The use of large corpora to train a new type of
key-finding algorithm"). This module knows frames, and no time but ticks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, LOW_KEY, OFF, Frame

MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
_MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
_MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)
"""Shares of pitch classes in major and minor, from the tonic up (Albrecht and Shanahan)."""
FLOOR = 0.025
"""Added to the shares of a profile, as a single chromatic note is no strong evidence."""
MAJOR_SCALE = frozenset({0, 2, 4, 5, 7, 9, 11})
MINOR_SCALE = frozenset({0, 2, 3, 5, 7, 8, 10, 11})  # the leading note too
NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
HEARD_BARS = 8
"""Number of bars from which the key is found."""
OPENING_TICKS = 8
"""Ticks at the beginning of music that count twice. Music begins in its home key, and soon touches others."""

PITCH_CLASSES = (np.arange(KEYS) + LOW_KEY) % 12  # [88]
Weights = NDArray[np.float64]  # [12]


@dataclass(frozen=True, slots=True)
class Key:
    """A major or minor key; `tonic` is a pitch class, C is 0."""

    tonic: int
    minor: bool

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read «d minor», «Bb major», or «F#» for F sharp major. Raises ValueError for any other text."""
        name, _, mode = text.strip().partition(" ")
        letter, sign = name[:1].upper(), name[1:]
        if letter not in LETTERS or sign not in ("", "b", "#") or mode.strip() not in ("", "major", "minor"):
            raise ValueError(f"a key must be like 'd minor' or 'Bb major', got {text!r}")
        shift = {"": 0, "b": -1, "#": 1}[sign]
        return cls((LETTERS[letter] + shift) % 12, mode.strip() == "minor")

    def __str__(self) -> str:
        return f"{NAMES[self.tonic]} {'minor' if self.minor else 'major'}"

    def degrees(self, *steps: int) -> NDArray[np.bool_]:
        """Return a mask [88] of the piano keys at these intervals (semitones) above a tonic, in any octave."""
        return np.isin(PITCH_CLASSES, [(self.tonic + step) % 12 for step in steps])

    @property
    def scale(self) -> NDArray[np.bool_]:
        """The mask [88] of the piano keys that belong to the scale."""
        return self.degrees(*(MINOR_SCALE if self.minor else MAJOR_SCALE))

    @property
    def third(self) -> int:
        """Semitones from the tonic to the third."""
        return 3 if self.minor else 4


def profile(key: Key) -> Weights:
    """Return the share of each pitch class in a key, [12], C first."""
    return np.roll(_MINOR if key.minor else _MAJOR, key.tonic)


ALL_KEYS = tuple(Key(tonic, minor) for minor in (False, True) for tonic in range(12))
_floored = np.array([profile(key) for key in ALL_KEYS]) + FLOOR
LOG_PROFILES = np.log(_floored / _floored.sum(axis=1, keepdims=True))
"""Log of the share of each pitch class in each of ALL_KEYS, [24, 12]."""
_PROFILES = np.array([np.roll(MINOR if key.minor else MAJOR, key.tonic) for key in ALL_KEYS])  # [24, 12]
_PROFILES = (_PROFILES - _PROFILES.mean(axis=1, keepdims=True)) / _PROFILES.std(axis=1, keepdims=True)


def find_key(weights: Weights) -> Key | None:
    """Return the key whose profile is nearest to the weights of the pitch classes [12]; None if all are equal."""
    if weights.max() - weights.min() <= 0:
        return None
    return ALL_KEYS[int(np.argmax(_PROFILES @ (weights - weights.mean())))]


def likeliest_key(weights: Weights) -> Key | None:
    """Return the key that makes the weights of the pitch classes [12] likeliest; None if all are equal."""
    if weights.max() - weights.min() <= 0:
        return None
    return ALL_KEYS[int(np.argmax(LOG_PROFILES @ weights))]


class KeyHearing:
    """Follows the key of music that comes frame by frame, by the time that each pitch class sounded recently."""

    def __init__(self, bar_ticks: int) -> None:
        self._ticks: deque[Weights] = deque(maxlen=HEARD_BARS * bar_ticks)
        self._dropped = False

    def set_bar(self, bar_ticks: int) -> None:
        """Have bars of another length count. What was heard stays, as far as it counts."""
        self._ticks = deque(self._ticks, HEARD_BARS * bar_ticks)

    def observe(self, frame: Frame) -> None:
        """Add a frame [88]."""
        self._dropped = len(self._ticks) == self._ticks.maxlen
        self._ticks.append(np.bincount(PITCH_CLASSES[frame != OFF], minlength=12).astype(np.float64))

    def key(self) -> Key | None:
        """Return the present key; None if nothing sounded."""
        return find_key(np.sum(self._ticks, axis=0)) if self._ticks else None

    def home(self) -> Key | None:
        """Return the key that the music sets up; None if nothing sounded. Its opening counts twice."""
        if not self._ticks:
            return None
        opening = [] if self._dropped else list(islice(self._ticks, OPENING_TICKS))
        return likeliest_key(np.sum([*self._ticks, *opening], axis=0))

    def __len__(self) -> int:
        """Return the number of ticks that count at present."""
        return len(self._ticks)

    def forget(self) -> None:
        """Forget all frames."""
        self._ticks.clear()
        self._dropped = False
