"""Find editions of the same piece by their common runs of melodic intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import ONSET, Frames

_GRAM = 12
ALIKE = 0.05
"""Pieces that share more than this part of their runs count as one piece. Different pieces by Bach share below 0.04."""


def fingerprint(frames: Frames) -> frozenset[int]:
    """Return hashes of all runs of 12 intervals in the upper and lower line.

    The hashes do not depend on key and tempo.

    Args:
        frames: uint8 [T, 88].

    """
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
    """Return whether two fingerprints belong to near-duplicates: editions of one piece, or a piece and an excerpt."""
    return bool(a and b) and len(a & b) > ALIKE * min(len(a), len(b))
