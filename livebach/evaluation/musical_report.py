"""Compare roll-outs with the real pieces of their primes, in figures of musical memory and style.

The report uses the first 32 bars of each roll-out, and up to 32 bars of the real piece after the same prime. A figure
is averaged over the seeds of a piece, then over pieces. The interval of a figure is the 95 percent bootstrap interval
of the mean over pieces (Efron 1979, "Bootstrap Methods: Another Look at the Jackknife").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.evaluation.musical_figures import FIGURES, Passage, bars_nearly_equal, key_of
from livebach.evaluation.rollout_runs import RollOutRecord
from livebach.music.score_reader import Piece

BARS = 32
"""Number of bars of each passage."""
RESAMPLES = 2000
"""Number of bootstrap samples."""
LOOPING = 0.3
"""A passage is stuck in a loop if more than this share of bars nearly equals one of the four previous bars."""


def rolled(record: RollOutRecord, piece: Piece) -> Passage:
    """Return the network's music after the prime of a piece."""
    offset, beat, bar = (int(x) for x in record.places[0])
    return Passage(record.primed, record.frames[: BARS * bar], beat, bar, offset, key_of(piece.frames))


def real(record: RollOutRecord, piece: Piece) -> Passage | None:
    """Return the composer's music after the same prime, or None if the piece ends within four bars."""
    offset, beat, bar = (int(x) for x in record.places[0])
    frames = piece.frames[len(record.primed) : len(record.primed) + BARS * bar]
    if len(frames) < 4 * bar:
        return None
    return Passage(record.primed, frames, beat, bar, offset, key_of(piece.frames))


def compared(played: Sequence[RollOutRecord], pieces: Sequence[Piece]) -> dict[str, Any]:
    """Return every figure of roll-outs and of real music as plain JSON values: mean, and low and high bounds.

    Args:
        played: Roll-outs.
        pieces: Real pieces; the prime of each roll-out names one of these pieces.

    Raises:
        KeyError: If the piece of a prime is missing.

    """
    by_name = {piece.name: piece for piece in pieces}
    ours: dict[str, list[Passage]] = {}
    theirs: dict[str, list[Passage]] = {}
    for record in played:
        piece = by_name[record.prime]
        ours.setdefault(piece.name, []).append(rolled(record, piece))
        if piece.name not in theirs:
            written = real(record, piece)
            theirs[piece.name] = [] if written is None else [written]
    found: dict[str, Any] = {
        name: {"rollouts": _summary(ours, name), "real": _summary(theirs, name)} for name in FIGURES
    }
    looping = [(bars_nearly_equal(passage) or 0) > LOOPING for passages in ours.values() for passage in passages]
    return {"passages": len(looping), "pieces": len(ours), "looping": int(sum(looping)), "figures": found}


def _summary(passages: dict[str, list[Passage]], figure: str) -> dict[str, float] | None:
    means = []
    for of_piece in passages.values():
        values = [value for passage in of_piece if (value := FIGURES[figure](passage)) is not None]
        if values:
            means.append(float(np.mean(values)))
    if not means:
        return None
    low, high = interval(np.array(means))
    return {"mean": float(np.mean(means)), "low": low, "high": high}


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the low and high bounds of the 95 percent bootstrap interval of a mean over pieces, float64 [pieces]."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def table(report: dict[str, Any]) -> list[str]:
    """Return the figures as lines of text."""
    rows = [f"{'first 32 bars':32} {'roll-outs':>10} {'':^17} {'real':>8}"]
    for name, both in report["figures"].items():
        ours, theirs = both["rollouts"], both["real"]
        cells = [f"{name.replace('_', ' '):32}", f"{_short(ours, 'mean'):>10}"]
        cells.append(f"{_short(ours, 'low')} to {_short(ours, 'high')}".rjust(17))
        cells.append(f"{_short(theirs, 'mean'):>8}")
        rows.append(" ".join(cells))
    looping, passages = report["looping"], report["passages"]
    rows.append(f"{looping} of {passages} roll-outs are stuck in a loop, of {report['pieces']} pieces")
    return rows


def _short(summary: dict[str, float] | None, name: str) -> str:
    return "-" if summary is None else f"{summary[name]:.4f}"
