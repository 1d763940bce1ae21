"""Statistics of piano rolls: note rate, polyphony, pitch classes, note lengths and repetition.

Entropy, scale consistency and polyphony follow MusPy (Dong et al. 2020, "MusPy: A Toolkit for Symbolic Music
Generation"). The overlap of two distributions follows Yang and Lerch 2018, "On the Evaluation of Generative Models in
Music". The module knows frames, but no network and no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, Frames

WINDOW = 512
"""Frames per window: 32 bars of 4/4 on a grid of 16th notes."""
LONGEST_NOTE = 64
"""Maximum note length in the histogram, in ticks. Longer notes count as this long."""
Values = NDArray[np.float64]
Counts = NDArray[np.int64]
_MAJOR = np.isin(np.arange(12), (0, 2, 4, 5, 7, 9, 11))
_MINOR = np.isin(np.arange(12), (0, 2, 3, 5, 7, 8, 10))
_SCALES = np.array([np.roll(scale, root) for scale in (_MAJOR, _MINOR) for root in range(12)])


def windows(frames: Frames, stride: int = WINDOW) -> list[Frames]:
    """Return the complete windows of a roll uint8 [T, 88], `stride` frames apart."""
    return [frames[start : start + WINDOW] for start in range(0, len(frames) - WINDOW + 1, stride)]


# -- figures of a window ----------------------------------------------------------------------------------------------


def onset_rate(frames: Frames) -> float:
    """Return the mean number of struck keys per tick."""
    return float((frames == ONSET).sum() / max(1, len(frames)))


def polyphony(frames: Frames) -> float:
    """Return the mean number of pressed keys over the ticks with at least one pressed key."""
    down = (frames != OFF).sum(axis=1)
    return float(down.sum() / max(1, (down > 0).sum()))


def pitch_classes(frames: Frames) -> Counts:
    """Return the number of onsets of each pitch class, from C: int64 [12]."""
    _, keys = np.nonzero(frames == ONSET)
    return np.bincount((keys + LOW_KEY) % 12, minlength=12)


def pitch_class_entropy(frames: Frames) -> float:
    """Return the entropy of the struck pitch classes, in bits: from 0 for one class to 3.58 for all twelve equally."""
    counts = pitch_classes(frames)
    shares = counts[counts > 0] / max(1, counts.sum())
    return float(-(shares * np.log2(shares)).sum() + 0.0)


def scale_consistency(frames: Frames) -> float:
    """Return the share of onsets that lie in the best fitting major or natural minor scale."""
    counts = pitch_classes(frames)
    return float((_SCALES @ counts).max() / max(1, counts.sum()))


def register(frames: Frames) -> float:
    """Return the mean MIDI key of all onsets, or 0 without onsets."""
    _, keys = np.nonzero(frames == ONSET)
    return float(keys.mean() + LOW_KEY) if len(keys) else 0.0


FIGURES: dict[str, Callable[[Frames], float]] = {
    "onset_rate": onset_rate,
    "polyphony": polyphony,
    "pitch_class_entropy": pitch_class_entropy,
    "scale_consistency": scale_consistency,
    "register": register,
}
"""Functions of all window statistics by name."""


def note_ticks(frames: Frames) -> Counts:
    """Return the length of each note in ticks, unordered: int64 [notes]."""
    flat = np.vstack([frames, np.zeros((1, KEYS), np.uint8)]).ravel(order="F")
    ends = np.flatnonzero(flat != HOLD)
    starts = np.flatnonzero(flat == ONSET)
    return np.asarray(ends[np.searchsorted(ends, starts, side="right")] - starts, np.int64)


def length_counts(frames: Frames) -> Counts:
    """Return the number of notes of each length from 1 tick: int64 [LONGEST_NOTE]."""
    return np.bincount(np.minimum(note_ticks(frames), LONGEST_NOTE), minlength=LONGEST_NOTE + 1)[1:]


def position_counts(frames: Frames, positions: NDArray[np.integer], bar: int) -> Counts:
    """Return the number of onsets at each position in the bar: int64 [bar].

    Args:
        frames: uint8 [T, 88].
        positions: int [T], position of each frame in the bar, in ticks.
        bar: Ticks per bar.

    """
    struck = (frames == ONSET).sum(axis=1)
    return np.bincount(positions, weights=struck, minlength=bar).astype(np.int64)


# -- stretches --------------------------------------------------------------------------------------------------------


def longest_true(flags: NDArray[np.bool_]) -> int:
    """Return the length of the longest run of true values in bool [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def longest_silence(frames: Frames) -> int:
    """Return the longest number of consecutive ticks without a pressed key."""
    return longest_true((frames == OFF).all(axis=1))


def times_in_a_row(frames: Frames, period: int) -> int:
    """Return how often the most repeated passage of `period` ticks occurs in a row. Without repetition it is 1."""
    same = (frames[period:] == frames[:-period]).all(axis=1)
    return 1 + longest_true(same) // period


def repeated_share(frames: Frames, bar: int, back: int = 4) -> float:
    """Return the share of bars equal to one of the `back` previous bars. The first bar begins at the first frame."""
    bars = [frames[start : start + bar].tobytes() for start in range(0, len(frames) - bar + 1, bar)]
    again = sum(one in bars[max(0, i - back) : i] for i, one in enumerate(bars))
    return again / max(1, len(bars))


# -- distributions ----------------------------------------------------------------------------------------------------


def overlap_of_counts(a: Counts, b: Counts) -> float:
    """Return the common area of two histograms over the same bins, each normalised to area 1."""
    return float(np.minimum(a / max(1, a.sum()), b / max(1, b.sum())).sum())


def overlap_of_values(a: Values, b: Values) -> float:
    """Return the common area of the densities of two samples.

    Each density is a Gaussian kernel estimate with Silverman's bandwidth (Silverman 1986, "Density Estimation for
    Statistics and Data Analysis").
    """
    widths = [_silverman(a), _silverman(b)]
    low = min(a.min() - 4 * widths[0], b.min() - 4 * widths[1])
    high = max(a.max() + 4 * widths[0], b.max() + 4 * widths[1])
    grid = np.linspace(low, high, 512)
    return float(np.minimum(_density(a, widths[0], grid), _density(b, widths[1], grid)).sum() * (grid[1] - grid[0]))


def _silverman(values: Values) -> float:
    quartiles = np.subtract(*np.percentile(values, [75, 25])) / 1.349
    spread = min(x for x in (values.std(), quartiles, np.inf) if x > 0)
    return float(0.9 * spread * len(values) ** -0.2) if np.isfinite(spread) else 1e-3


def _density(values: Values, width: float, grid: Values) -> Values:
    distances = (grid[:, None] - values) / width
    return np.asarray(np.exp(-0.5 * distances**2).mean(axis=1) / (width * np.sqrt(2 * np.pi)))


def figures_of(stretches: Sequence[Frames]) -> dict[str, Values]:
    """Return every statistic of every stretch of frames: name -> float64 [stretches]."""
    return {name: np.array([figure(frames) for frames in stretches]) for name, figure in FIGURES.items()}
