"""Measure the longest note-for-note copies between pieces, in any transposition. The module reads no file.

A run of steps (see `livebach.network.quotes`) that also occurs in another piece is a copy. A run of n steps is a copy
of n + 1 notes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from livebach.network.quotes import Steps

_BASE = 0x9E3779B97F4A7C15
_NO_STEP = -1


class _Stream:
    """Steps with prefix sums of a polynomial hash modulo 2**64.

    The hash of a run is a difference of two prefix sums (Karp and Rabin 1987).
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        tokens = _scrambled(steps.astype(np.uint64)) * _powers(_BASE, len(steps))
        self.sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(tokens, dtype=np.uint64)])
        self.unshift = _powers(pow(_BASE, -1, 1 << 64), len(steps))

    def hashes(self, starts: NDArray[np.intp], length: int) -> NDArray[np.uint64]:
        """Return the hash of the run of `length` steps from each start. The hash does not depend on the start."""
        return np.asarray((self.sums[starts + length] - self.sums[starts]) * self.unshift[starts])

    def fitting(self, starts: NDArray[np.intp], length: int) -> NDArray[np.intp]:
        """Return the starts whose runs of `length` steps end within the stream."""
        return starts[starts + length <= len(self.steps)]


class Source:
    """Pieces that a network may have copied from."""

    def __init__(self, pieces: Sequence[Steps]) -> None:
        self._stream = _Stream(_joined(pieces))

    def runs(self, steps: Steps) -> NDArray[np.int64]:
        """Return the length of the longest copied run from each step: int64 [len(steps)], in steps."""
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
        """Return the length of the longest copy in notes, or 0 if there is none."""
        runs = self.runs(steps)
        return int(runs.max()) + 1 if len(runs) and runs.max() else 0


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """Return the first `count` powers of `base` modulo 2**64, from 1."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)


def _scrambled(tokens: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the tokens mixed like in splitmix64, so that near numbers get very different hashes.

    The method is that of Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators".
    """
    mixed = tokens * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _joined(pieces: Sequence[Steps]) -> Steps:
    """Return all pieces as one stream. A step that occurs in no piece follows each piece."""
    end = np.full(1, _NO_STEP, np.int64)
    return np.concatenate([part for steps in pieces for part in (steps, end)] or [end])
