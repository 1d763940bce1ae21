"""Find editions of one piece among others: by the runs of melodic intervals that they share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import ONSET, Frames

_GRAM = 12


ALIKE = 0.05
"""Share of common melodic runs above which two pieces are editions of one: other pairs of Bach stay below 0.04."""


def fingerprint(frames: Frames) -> frozenset[int]:
    """Hashes of every run of 12 steps of the upper line, as intervals: the same in every key and tempo."""
    lines = [_skyline(frames), _skyline(frames[:, ::-1])]
    grams = set()
    for line in lines:
        steps = np.diff(line)
        runs = max(len(steps) - _GRAM + 1, min(len(steps), 1))  # a shorter line is one run
        grams |= {hash(steps[i : i + _GRAM].tobytes()) for i in range(runs)}
    return frozenset(grams)


def _skyline(frames: Frames) -> NDArray[np.int16]:
    struck = frames == ONSET
    ticks = np.flatnonzero(struck.any(axis=1))
    return np.asarray(frames.shape[1] - 1 - struck[ticks, ::-1].argmax(axis=1), np.int16)


def alike(a: frozenset[int], b: frozenset[int]) -> bool:
    """Whether two fingerprints are those of one piece in two editions, or of a piece and a part of it."""
    return bool(a and b) and len(a & b) > ALIKE * min(len(a), len(b))
