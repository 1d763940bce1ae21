"""How long a stretch of music is another's note for note, in any key. Knows frames; no file.

A run of steps (see `quotes`) that stands in another piece too is a copy of one more note than it has steps, in any
transposition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from livebach.network.quotes import Steps

_BASE = 0x9E3779B97F4A7C15
_NO_STEP = -1


class _Stream:
    """Steps with running sums of a polynomial hash modulo 2 to the 64: a run's hash is a difference of two sums."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        tokens = _scrambled(steps.astype(np.uint64)) * _powers(_BASE, len(steps))
        self.sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(tokens, dtype=np.uint64)])
        self.unshift = _powers(pow(_BASE, -1, 1 << 64), len(steps))

    def hashes(self, starts: NDArray[np.intp], length: int) -> NDArray[np.uint64]:
        """Of the runs of `length` steps from each start on; the same wherever the run stands."""
        return np.asarray((self.sums[starts + length] - self.sums[starts]) * self.unshift[starts])

    def fitting(self, starts: NDArray[np.intp], length: int) -> NDArray[np.intp]:
        """The starts from which so long a run does not leave the stream."""
        return starts[starts + length <= len(self.steps)]


class Source:
    """Pieces that may have been copied from."""

    def __init__(self, pieces: Sequence[Steps]) -> None:
        self._stream = _Stream(_joined(pieces))

    def runs(self, steps: Steps) -> NDArray[np.int64]:
        """From each step on, how many steps stand somewhere in the source just so: int64 [len(steps)]."""
        stream, found, length = _Stream(steps), np.zeros(len(steps), np.int64), 0
        here, there = np.arange(len(steps)), np.flatnonzero(self._stream.steps != _NO_STEP)
        while len(here) and len(there):
            length += 1
            here, there = stream.fitting(here, length), self._stream.fitting(there, length)
            ours, theirs = stream.hashes(here, length), self._stream.hashes(there, length)
            here, there = here[np.isin(ours, theirs)], there[np.isin(theirs, ours)]
            found[here] = length
        return found

    def longest(self, steps: Steps) -> int:
        """The longest copy in notes, 0 where there is none."""
        runs = self.runs(steps)
        return int(runs.max()) + 1 if len(runs) and runs.max() else 0


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """1, base, base squared, …, modulo 2 to the 64."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)


def _scrambled(tokens: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The tokens mixed as splitmix64 does, so that near numbers have hashes that are far apart."""
    mixed = tokens * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _joined(pieces: Sequence[Steps]) -> Steps:
    """One stream; where a piece ends stands a step that no piece has."""
    end = np.full(1, _NO_STEP, np.int64)
    return np.concatenate([part for steps in pieces for part in (steps, end)] or [end])
