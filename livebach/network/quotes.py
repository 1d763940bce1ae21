"""What of its training music a network must not take over at length: the runs of notes in it, as hashes.

Notes in order of start, then of key, become steps: how far up from the note before, and how many ticks after it. So a
run of steps is the same in every key. Two streams of them are looked at: all voices as one, and the upper line alone.
Bach's own pieces share runs too, of scales and cadences; what goes on for longer is a quote. Knows frames; no network.
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
"""Steps from note to note that one hash stands for."""
MOST_RUNS = 1 << 20
"""Of one stream: whoever learnt from more music has none of it by heart, and it would not fit."""
_NONE = np.zeros(0, np.uint32)
_FURTHEST = 1 << 12
_MASK = (1 << 64) - 1
_FACTOR = 0x9E3779B97F4A7C15


def steps_of(frames: Frames) -> Steps:
    """The steps of a roll's notes, all voices as one stream: int64 [notes - 1], each a number of its own."""
    ticks, keys = np.nonzero(frames == ONSET)
    return _steps(ticks, keys)


def line_steps_of(frames: Frames) -> Steps:
    """The steps of the upper line: of the highest key struck on each tick on which one is."""
    struck = frames == ONSET
    ticks = np.flatnonzero(struck.any(axis=1))
    return _steps(ticks, KEYS - 1 - struck[ticks, ::-1].argmax(axis=1))


def _steps(ticks: NDArray[np.intp], keys: NDArray[np.intp]) -> Steps:
    return np.asarray(np.minimum(np.diff(ticks), _FURTHEST) * 2 * KEYS + np.diff(keys) + KEYS, np.int64)


def step_number(ticks: int, up: int) -> int:
    """One of them: a key so far up, so many ticks later."""
    return min(ticks, _FURTHEST) * 2 * KEYS + up + KEYS


def _hashes(steps: Steps) -> Hashes:
    """Of each run of `GRAM` steps: uint32 [len(steps) - GRAM + 1]."""
    count = max(0, len(steps) - GRAM + 1)
    mixed = np.zeros(count, np.uint64)
    for i in range(GRAM):
        mixed = (mixed ^ steps[i : i + count].astype(np.uint64)) * np.uint64(_FACTOR)
    return (mixed >> np.uint64(32)).astype(np.uint32)


def run_hash(steps: Sequence[int]) -> int:
    """The slow twin's equal for one run, quicker than numpy is."""
    mixed = 0
    for step in steps:
        mixed = ((mixed ^ step) * _FACTOR) & _MASK
    return mixed >> 32


@dataclass(frozen=True, slots=True, eq=False)
class Quotes:
    """Every run of 13 notes in some music: sorted hashes, uint32 [runs], of all voices and of the upper line."""

    notes: Hashes = field(default_factory=lambda: np.zeros(0, np.uint32))
    line: Hashes = field(default_factory=lambda: np.zeros(0, np.uint32))

    @classmethod
    def of(cls, pieces: Sequence[Frames]) -> Quotes:
        """Of pieces uint8 [T, 88]; nothing of either stream where that has more than `MOST_RUNS`."""
        return cls(*(_kept(_hashes(steps(frames)) for frames in pieces) for steps in (steps_of, line_steps_of)))

    def joined(self, other: Quotes) -> Quotes:
        """Of the music of both; nothing of either stream where that would be more than `MOST_RUNS`."""
        return Quotes(_kept([self.notes, other.notes]), _kept([self.line, other.line]))


def _kept(each: Iterable[Hashes]) -> Hashes:
    found, waiting = _NONE, list[Hashes]()
    for hashes in each:
        waiting.append(hashes)
        if sum(map(len, waiting)) > MOST_RUNS // 4:  # not a sort for each piece
            found, waiting = np.unique(np.concatenate([found, *waiting])), []
        if len(found) > MOST_RUNS:
            return _NONE
    found = np.unique(np.concatenate([found, *waiting]))
    return found if len(found) <= MOST_RUNS else _NONE


NOTHING = Quotes()
