"""What music is like in figures: how busy, how full, in what key, how it repeats. Knows frames; no network and no file.

Entropy, scale consistency and polyphony are defined as muspy does (Dong et al. 2020); the overlap of two distributions
is that of Yang and Lerch 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, Frames

WINDOW = 512
"""Frames that a figure is taken over: 32 bars of 4/4 on a grid of 16ths."""
LONGEST_NOTE = 64
"""Ticks; longer notes count as this long."""
Values = NDArray[np.float64]
Counts = NDArray[np.int64]
_MAJOR = np.isin(np.arange(12), (0, 2, 4, 5, 7, 9, 11))
_MINOR = np.isin(np.arange(12), (0, 2, 3, 5, 7, 8, 10))
_SCALES = np.array([np.roll(scale, root) for scale in (_MAJOR, _MINOR) for root in range(12)])


def windows(frames: Frames, stride: int = WINDOW) -> list[Frames]:
    """The whole windows of a roll, `stride` frames apart."""
    return [frames[start : start + WINDOW] for start in range(0, len(frames) - WINDOW + 1, stride)]


# -- figures of a window ----------------------------------------------------------------------------------------------


def onset_rate(frames: Frames) -> float:
    """Keys struck per tick."""
    return float((frames == ONSET).sum() / max(1, len(frames)))


def polyphony(frames: Frames) -> float:
    """Keys down per tick on which any is."""
    down = (frames != OFF).sum(axis=1)
    return float(down.sum() / max(1, (down > 0).sum()))


def pitch_classes(frames: Frames) -> Counts:
    """How often each pitch class is struck, C first: [12]."""
    _, keys = np.nonzero(frames == ONSET)
    return np.bincount((keys + LOW_KEY) % 12, minlength=12)


def pitch_class_entropy(frames: Frames) -> float:
    """Of the pitch classes that are struck, in bits: 0 for a single one, 3.58 where all twelve are equally frequent."""
    counts = pitch_classes(frames)
    shares = counts[counts > 0] / max(1, counts.sum())
    return float(-(shares * np.log2(shares)).sum() + 0.0)


def scale_consistency(frames: Frames) -> float:
    """The share of struck notes that lie in one scale, of that major or natural minor scale in which most do."""
    counts = pitch_classes(frames)
    return float((_SCALES @ counts).max() / max(1, counts.sum()))


def register(frames: Frames) -> float:
    """The mean MIDI key that is struck."""
    _, keys = np.nonzero(frames == ONSET)
    return float(keys.mean() + LOW_KEY) if len(keys) else 0.0


FIGURES: dict[str, Callable[[Frames], float]] = {
    "onset_rate": onset_rate,
    "polyphony": polyphony,
    "pitch_class_entropy": pitch_class_entropy,
    "scale_consistency": scale_consistency,
    "register": register,
}
"""What is measured of every window, by name."""


def note_ticks(frames: Frames) -> Counts:
    """How long each note is, in ticks, in no order: [notes]."""
    flat = np.vstack([frames, np.zeros((1, KEYS), np.uint8)]).ravel(order="F")
    ends = np.flatnonzero(flat != HOLD)
    starts = np.flatnonzero(flat == ONSET)
    return np.asarray(ends[np.searchsorted(ends, starts, side="right")] - starts, np.int64)


def length_counts(frames: Frames) -> Counts:
    """Notes by length: [LONGEST_NOTE], the first one tick long."""
    return np.bincount(np.minimum(note_ticks(frames), LONGEST_NOTE), minlength=LONGEST_NOTE + 1)[1:]


def position_counts(frames: Frames, positions: NDArray[np.integer], bar: int) -> Counts:
    """Keys struck by tick in the bar: [bar]."""
    struck = (frames == ONSET).sum(axis=1)
    return np.bincount(positions, weights=struck, minlength=bar).astype(np.int64)


# -- stretches --------------------------------------------------------------------------------------------------------


def longest_true(flags: NDArray[np.bool_]) -> int:
    """The length of the longest run of True in bool [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def longest_silence(frames: Frames) -> int:
    """The longest stretch of ticks on which no key is down."""
    return longest_true((frames == OFF).all(axis=1))


def times_in_a_row(frames: Frames, period: int) -> int:
    """How many times on end a passage of `period` ticks is heard, wherever it begins: 1 where none is repeated."""
    same = (frames[period:] == frames[:-period]).all(axis=1)
    return 1 + longest_true(same) // period


def repeated_share(frames: Frames, bar: int, back: int = 4) -> float:
    """The share of bars that are just as one of the `back` bars before them; bars are counted from the first frame."""
    bars = [frames[start : start + bar].tobytes() for start in range(0, len(frames) - bar + 1, bar)]
    again = sum(one in bars[max(0, i - back) : i] for i, one in enumerate(bars))
    return again / max(1, len(bars))


# -- distributions ----------------------------------------------------------------------------------------------------


def overlap_of_counts(a: Counts, b: Counts) -> float:
    """The area that two histograms over the same bins have in common, each of area 1."""
    return float(np.minimum(a / max(1, a.sum()), b / max(1, b.sum())).sum())


def overlap_of_values(a: Values, b: Values) -> float:
    """The area under both of two densities, each a sum of Gaussians of Silverman's width."""
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
    """Every figure of every stretch: name to float64 [stretches]."""
    return {name: np.array([figure(frames) for frames in stretches]) for name, figure in FIGURES.items()}
