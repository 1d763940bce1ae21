"""The runs of notes in the training music, as hashes. A network that plays must not repeat a long run.

Notes are sorted by start, then by key. Each pair of neighbours is a step: an interval in semitones and a distance in
ticks. A run of steps is therefore the same in every key. Two streams are looked at: all voices together, and the upper
line alone. Pieces of Bach share short runs too, such as scales and cadences. A longer shared run is a quote. This
module knows frames, and no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, ONSET, Frames
from livebach.setting_rules import SHORTEST_QUOTE

Steps = NDArray[np.int64]
Hashes = NDArray[np.uint32]

GRAM = SHORTEST_QUOTE - 1
"""Steps in one hash."""
MOST_RUNS = 1 << 20
"""Most hashes of a stream. A network that learnt from more music does not know it by heart, and the hashes are left
out of its checkpoint."""
_NONE = np.zeros(0, np.uint32)
_FURTHEST = 1 << 12
_MASK = (1 << 64) - 1
_FACTOR = 0x9E3779B97F4A7C15


def steps_of(frames: Frames) -> Steps:
    """Return the steps of all voices, from frames [T, 88]: int64 [notes - 1], a number for each kind of step."""
    ticks, keys = np.nonzero(frames == ONSET)
    return _steps(ticks, keys)


def line_steps_of(frames: Frames) -> Steps:
    """Return the steps of the upper line: the highest key struck on each tick with an onset."""
    struck = frames == ONSET
    ticks = np.flatnonzero(struck.any(axis=1))
    return _steps(ticks, KEYS - 1 - struck[ticks, ::-1].argmax(axis=1))


def _steps(ticks: NDArray[np.intp], keys: NDArray[np.intp]) -> Steps:
    return np.asarray(np.minimum(np.diff(ticks), _FURTHEST) * 2 * KEYS + np.diff(keys) + KEYS, np.int64)


def step_number(ticks: int, up: int) -> int:
    """Return the number of the step to a note `ticks` later and `up` semitones higher."""
    return min(ticks, _FURTHEST) * 2 * KEYS + up + KEYS


def _hashes(steps: Steps) -> Hashes:
    """Return the hash of each run of `GRAM` steps: uint32 [len(steps) - GRAM + 1]."""
    count = max(0, len(steps) - GRAM + 1)
    mixed = np.zeros(count, np.uint64)
    for i in range(GRAM):
        mixed = (mixed ^ steps[i : i + count].astype(np.uint64)) * np.uint64(_FACTOR)
    return (mixed >> np.uint64(32)).astype(np.uint32)


def run_hash(steps: Sequence[int]) -> int:
    """Return the hash of one run of `GRAM` steps. For a single run this is faster than numpy."""
    mixed = 0
    for step in steps:
        mixed = ((mixed ^ step) * _FACTOR) & _MASK
    return mixed >> 32


@dataclass(frozen=True, slots=True, eq=False)
class Quotes:
    """Every run of 13 notes in some music.

    Attributes:
        notes: uint32 [runs], sorted hashes of the runs of all voices.
        line: uint32 [runs], sorted hashes of the runs of the upper line.

    """

    notes: Hashes = field(default_factory=lambda: np.zeros(0, np.uint32))
    line: Hashes = field(default_factory=lambda: np.zeros(0, np.uint32))

    @classmethod
    def of(cls, pieces: Sequence[Frames]) -> Quotes:
        """Return the runs of pieces, uint8 [T, 88] each. A stream with more than `MOST_RUNS` runs is left empty."""
        return cls(*(_kept(_hashes(steps(frames)) for frames in pieces) for steps in (steps_of, line_steps_of)))

    def joined(self, other: Quotes) -> Quotes:
        """Return the runs of both. A stream with more than `MOST_RUNS` runs is left empty."""
        return Quotes(_kept([self.notes, other.notes]), _kept([self.line, other.line]))


def _kept(each: Iterable[Hashes]) -> Hashes:
    found, waiting = _NONE, list[Hashes]()
    for hashes in each:
        waiting.append(hashes)
        if sum(map(len, waiting)) > MOST_RUNS // 4:  # sorting once for many pieces is faster
            found, waiting = np.unique(np.concatenate([found, *waiting])), []
        if len(found) > MOST_RUNS:
            return _NONE
    found = np.unique(np.concatenate([found, *waiting]))
    return found if len(found) <= MOST_RUNS else _NONE


NOTHING = Quotes()
