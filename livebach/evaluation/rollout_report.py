"""Compare roll-outs with real music: figures side by side, and checks of their bounds.

The module knows frames and pieces. The callers load the network, read the command line and open most files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.evaluation import roll_statistics as stats
from livebach.evaluation.copied_runs import Source
from livebach.evaluation.rollout_runs import RollOutRecord
from livebach.music.roll import ONSET, Frames
from livebach.music.score_reader import Piece
from livebach.network.quotes import line_steps_of, steps_of
from livebach.training.corpus import Corpus

Key = tuple[int, int]
"""Identity of a metre: beat length and bar length, in ticks."""
HALVES = 20
"""Number of random splits of the real pieces into halves."""
REAL_STRIDE = stats.WINDOW // 4
"""Frames between the starts of two windows of a real piece."""


# -- copies -----------------------------------------------------------------------------------------------------------

STREAMS = {"copied_notes": steps_of, "copied_line": line_steps_of}
"""Functions that read a roll as one stream of notes: all voices, or the upper line."""


def copies(frames: Frames, stream: str, source: Source, stride: int = stats.WINDOW) -> list[int]:
    """Return the length of the longest copy in each window, in notes. A shorter roll counts as one window.

    Args:
        frames: uint8 [T, 88].
        stream: Name in STREAMS.
        source: Pieces that may be copied.
        stride: Frames between the starts of two windows.

    """
    runs = source.runs(STREAMS[stream](frames))
    struck = (frames == ONSET).sum(axis=1)
    notes = np.concatenate([[0], np.cumsum(struck > 0 if stream == "copied_line" else struck)])
    starts = range(0, max(1, len(frames) - stats.WINDOW + 1), stride)
    return [_longest_within(runs, *notes[[start, min(start + stats.WINDOW, len(frames))]]) for start in starts]


def _longest_within(runs: NDArray[np.int64], first: int, stop: int) -> int:
    """Return the length in notes of the longest copy among the notes first..stop - 1."""
    inside = np.minimum(runs[first : stop - 1], np.arange(stop - 1 - first, 0, -1)[: len(runs[first : stop - 1])])
    longest = int(inside.max(initial=0))
    return longest + 1 if longest else 0


# -- distributions ----------------------------------------------------------------------------------------------------

Positions = dict[Key, stats.Counts]
"""Number of onsets at each position in the bar, for each metre."""


def positions_of(pairs: Sequence[tuple[Frames, NDArray[np.int16]]]) -> Positions:
    """Return the number of onsets at each position in the bar, for each metre.

    Args:
        pairs: Frames uint8 [T, 88] and places int16 [T, 3] of each piece.

    """
    total: Positions = {}
    for frames, places in pairs:
        for beat, bar in {(int(b), int(n)) for _, b, n in places}:
            here = (places[:, 1] == beat) & (places[:, 2] == bar)
            counts = stats.position_counts(frames[here], places[here, 0], bar)
            total[beat, bar] = total.get((beat, bar), 0) + counts
    return total


def overlap_of_positions(a: Positions, b: Positions, weights: Positions) -> float | None:
    """Return the mean overlap over the common metres, weighted by the onsets in `weights`.

    The result is None if the common metres have no onsets.
    """
    shared = [key for key in weights if key in a and key in b]
    total = sum(int(weights[key].sum()) for key in shared)
    if not total:
        return None
    return sum(stats.overlap_of_counts(a[k], b[k]) * int(weights[k].sum()) for k in shared) / total


@dataclass(frozen=True, slots=True)
class Shape:
    """Distributions of the figures over some music: values per window, and histograms."""

    windows: dict[str, stats.Values]
    lengths: stats.Counts
    positions: Positions

    def overlap(self, other: Shape, weights: Positions) -> dict[str, float | None]:
        """Return the overlap of each figure with another shape, or None if one of the shapes has no values."""
        found: dict[str, float | None] = {}
        for name, values in self.windows.items():
            both = len(values) and len(other.windows[name])
            found[name] = stats.overlap_of_values(values, other.windows[name]) if both else None
        found["note_lengths"] = stats.overlap_of_counts(self.lengths, other.lengths)
        found["onsets_by_position"] = overlap_of_positions(self.positions, other.positions, weights)
        return found


def shape_of_rollouts(played: Sequence[RollOutRecord]) -> Shape:
    """Return the shape of all roll-outs together."""
    windows = [w for record in played for w in stats.windows(record.frames)]
    lengths = np.sum([stats.length_counts(r.frames) for r in played], axis=0)
    return Shape(stats.figures_of(windows), lengths, positions_of([(r.frames, r.places) for r in played]))


def _shape_of_piece(piece: Piece) -> Shape:
    windows = stats.windows(piece.frames, REAL_STRIDE)
    positions = positions_of([(piece.frames, piece.places)])
    return Shape(stats.figures_of(windows), stats.length_counts(piece.frames), positions)


def _shape_between(piece: Piece, whole: Shape, figure: str, low: float, high: float) -> Shape | None:
    """Return the shape of the windows of a piece whose figure is `low`..`high`, or None if there is none."""
    values = whole.windows[figure]
    chosen = np.flatnonzero((low <= values) & (values <= high))
    if not len(chosen):
        return None
    starts = chosen * REAL_STRIDE
    pairs = [(piece.frames[s : s + stats.WINDOW], piece.places[s : s + stats.WINDOW]) for s in starts]
    lengths = np.sum([stats.length_counts(frames) for frames, _ in pairs], axis=0)
    return Shape({name: found[chosen] for name, found in whole.windows.items()}, lengths, positions_of(pairs))


def joined(shapes: Sequence[Shape]) -> Shape:
    """Return the shape of several pieces together."""
    positions: Positions = {}
    for key, counts in (item for shape in shapes for item in shape.positions.items()):
        positions[key] = positions.get(key, 0) + counts
    values = {name: np.concatenate([shape.windows[name] for shape in shapes]) for name in stats.FIGURES}
    return Shape(values, np.sum([shape.lengths for shape in shapes], axis=0), positions)


def overlaps(real: Sequence[Shape], ours: Shape) -> dict[str, dict[str, float | None]]:
    """Return three values for each figure: two overlaps, and their quotient.

    `rollouts` is the overlap of roll-outs and real pieces. `real` is the mean overlap between random halves of the real
    pieces. `share` is `rollouts / real`.
    """
    found = ours.overlap(joined(real), ours.positions)
    halves = [_halves(real, ours.positions, seed) for seed in range(HALVES)]
    return {name: _with_share(value, [h[name] for h in halves]) for name, value in found.items()}


def _halves(real: Sequence[Shape], weights: Positions, seed: int) -> dict[str, float | None]:
    order = np.random.default_rng(seed).permutation(len(real)).tolist()
    if len(order) < 2:
        return real[0].overlap(real[0], weights)
    a, b = (joined([real[i] for i in half]) for half in (order[::2], order[1::2]))
    return a.overlap(b, weights)


def _with_share(value: float | None, halves: list[float | None]) -> dict[str, float | None]:
    known = [h for h in halves if h is not None]
    real = sum(known) / len(known) if known else None
    return {"rollouts": value, "real": real, "share": value / real if value is not None and real else None}


# -- real music -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reference:
    """Figures of real pieces, and the pieces that may be copied."""

    pieces: list[Piece]
    shapes: list[Shape]
    """Shape of each piece. Pieces shorter than a window have no windows."""
    shape: Shape
    """Shape of all pieces together."""
    repeated_bars: list[float]
    sources: dict[str, Source]
    copied: dict[str, list[int]]
    """Length in notes of the longest copy in each window of the held-out pieces."""


def reference(corpus: Corpus) -> Reference:
    """Measure the pieces of a corpus."""
    pieces = [piece for split in corpus.splits.values() for piece in split]
    sources = {name: Source([steps(p.frames) for p in corpus.splits["train"]]) for name, steps in STREAMS.items()}
    held_out = corpus.splits["valid"] + corpus.splits["test"]
    copied = {
        name: [n for p in held_out for n in copies(p.frames, name, source, REAL_STRIDE)]
        for name, source in sources.items()
    }
    shapes = [_shape_of_piece(piece) for piece in pieces]
    repeated = [stats.repeated_share(p.frames, int(p.places[0, 2])) for p in pieces]
    return Reference(pieces, shapes, joined(shapes), repeated, sources, copied)


# -- the report -------------------------------------------------------------------------------------------------------


def report_on(record: RollOutRecord, real: Reference) -> dict[str, Any]:
    """Return the figures of one roll-out as plain JSON values."""
    frames, bar = record.frames, record.bar
    quarter = max(1, len(frames) // 4)
    ends = {"first_quarter": frames[:quarter], "last_quarter": frames[-quarter:]}
    return {
        "prime": record.prime,
        "seed": record.seed,
        "metre": str(record.metre),
        "frames": len(frames),
        "longest_silence_bars": stats.longest_silence(frames) / bar,
        "two_bars_times_in_a_row": stats.times_in_a_row(frames, 2 * bar),
        "repeated_bars": stats.repeated_share(frames, bar),
        **{name: copies(frames, name, source) for name, source in real.sources.items()},
        "windows": {k: _rounded(v) for k, v in stats.figures_of(stats.windows(frames)).items()},
        **{name: {k: figure(part) for k, figure in stats.FIGURES.items()} for name, part in ends.items()},
    }


def _rounded(values: stats.Values) -> list[float]:
    return [round(float(v), 5) for v in values]


def report(real: Reference, played: Sequence[RollOutRecord]) -> dict[str, Any]:
    """Return all figures of roll-outs and of real music, and all checks, as plain JSON values."""
    rows = [report_on(record, real) for record in played]
    whole = {
        "real": real_figures(real),
        "overlaps": overlaps(real.shapes, shape_of_rollouts(played)),
        "copies": {name: _copies(rows, name, copied) for name, copied in real.copied.items() if copied},
        "rollouts": rows,
    }
    return {"checks": checks(whole), **whole}


def _copies(rows: Sequence[dict[str, Any]], name: str, real: Sequence[int]) -> dict[str, float]:
    """Return the 95th percentile and maximum of the longest copies per window.

    The third value, `above`, is the share of windows above the 95th percentile of the held-out pieces.
    """
    found = np.array([n for row in rows for n in row[name]])
    return {
        "p95": float(np.percentile(found, 95)),
        "max": int(found.max()),
        "above": float((found > np.percentile(real, 95)).mean()),
    }


def real_figures(real: Reference) -> dict[str, Any]:
    """Return percentiles and means over the windows of real music. Copies are those of the held-out pieces."""
    found: dict[str, Any] = {"pieces": len(real.shapes), "windows": len(real.shape.windows["onset_rate"])}
    for name, values in real.shape.windows.items():
        if len(values):
            low, high = np.percentile(values, [1, 99])
            found[name] = {"p1": float(low), "p99": float(high), "mean": float(values.mean())}
    for name, copied in real.copied.items():
        if copied:
            found[name] = {"p95": float(np.percentile(copied, 95)), "max": max(copied), "windows": len(copied)}
    repeats = np.array(real.repeated_bars)
    found["repeated_bars"] = {"mean": float(repeats.mean()), "p95": float(np.percentile(repeats, 95))}
    return found


# -- bounds -----------------------------------------------------------------------------------------------------------

LEAST_RANGE = 0.1
"""Minimum width of the range of a figure in `alike`, as a share of the middle of the range."""
LEAST_PIECES = 8
"""Minimum number of real pieces for overlaps in `alike`."""
MOST_SILENT_BARS = 2
"""Maximum silence of a roll-out, in bars."""
MOST_TIMES_IN_A_ROW = 4
"""Maximum number of times that two bars may occur in a row."""
MOST_DRIFT = 0.15
"""Maximum relative change of a figure from the first quarter of a roll-out to the last quarter."""
LEAST_SHARE = 0.8
"""Minimum overlap with real music, as a share of the overlap between halves of real music."""
IN_BOUNDS = ("onset_rate", "polyphony")
"""Figures whose windows must stay between the 1st and 99th percentile of real windows, without drift."""
ALIKE = ("pitch_class_entropy", "scale_consistency", "note_lengths", "onsets_by_position")
"""Figures whose distributions must overlap with real music."""


def check(name: str, value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """Return the result of a check of one value. An unknown value fails the check."""
    ok = value is not None and (low is None or value >= low) and (high is None or value <= high)
    return {"name": name, "value": value, "low": low, "high": high, "ok": ok}


def checks(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all checks of a report. Each check covers all roll-outs."""
    rows, real = whole["rollouts"], whole["real"]
    found = [
        check("longest silence, bars", max(r["longest_silence_bars"] for r in rows), high=MOST_SILENT_BARS),
        check("two bars in a row, times", max(r["two_bars_times_in_a_row"] for r in rows), high=MOST_TIMES_IN_A_ROW),
    ]
    for name in IN_BOUNDS:
        values = [v for r in rows for v in r["windows"][name]]
        if name in real:
            found.append(check(f"{name}, least of a window", min(values, default=None), low=real[name]["p1"]))
            found.append(check(f"{name}, most of a window", max(values, default=None), high=real[name]["p99"]))
        found.append(check(f"{name}, last quarter to first", _drift(rows, name), 1 - MOST_DRIFT, 1 + MOST_DRIFT))
    found += [
        check(f"{name}, overlap to real against real", whole["overlaps"][name]["share"], low=LEAST_SHARE)
        for name in ALIKE
    ]
    for name in STREAMS:
        if name in real:
            found.append(check(f"{name}, longest", max(n for r in rows for n in r[name]), high=real[name]["p95"]))
    return found


def _drift(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    first, last = (sum(r[part][name] for r in rows) for part in ("first_quarter", "last_quarter"))
    return last / first if first else None


def summary(real: Reference, played: Sequence[RollOutRecord], figure: str) -> dict[str, Any]:
    """Return the means over all roll-outs, the checks, and the comparison with similar music.

    Args:
        real: Figures of real music.
        played: Roll-outs with one setting of a knob.
        figure: Name of the figure that the knob controls.

    """
    whole = report(real, played)
    frames = np.concatenate([record.frames for record in played])
    return {
        **{name: figure_of(frames) for name, figure_of in stats.FIGURES.items()},
        "checks": whole["checks"],
        "alike": alike(real, shape_of_rollouts(played), figure),
    }


def alike(real: Reference, ours: Shape, figure: str) -> dict[str, Any]:
    """Return overlaps with the windows of real music whose figure is in the range of the roll-outs.

    In music with few onsets the notes are long, also in Bach's music. So the roll-outs of a changed knob are compared
    with real music of the same range. There are no overlaps if fewer than LEAST_PIECES pieces are in the range.
    """
    values = ours.windows[figure]
    if not len(values):
        return {"figure": figure, "windows": 0, "pieces": 0}
    middle, least = float(values.max() + values.min()) / 2, LEAST_RANGE / 2
    low, high = min(float(values.min()), middle * (1 - least)), max(float(values.max()), middle * (1 + least))
    pairs = zip(real.pieces, real.shapes, strict=True)
    found_in = (_shape_between(piece, whole, figure, low, high) for piece, whole in pairs)
    shapes = [shape for shape in found_in if shape is not None]
    count = sum(len(shape.windows[figure]) for shape in shapes)
    found = {"figure": figure, "low": low, "high": high, "windows": count, "pieces": len(shapes)}
    return {**found, "overlaps": overlaps(shapes, ours)} if len(shapes) >= LEAST_PIECES else found


def draw(folder: Path, whole: dict[str, Any], real: Reference, played: Sequence[RollOutRecord]) -> list[Path]:
    """Draw a picture of each figure and of each roll-out. Return the paths.

    Raises:
        UserError: If matplotlib is missing.

    """
    from livebach.evaluation import pictures

    ours = shape_of_rollouts(played)
    data: dict[str, Any] = dict(real.shape.windows) | {k: v for k, v in real.copied.items() if v}
    data["note_lengths"] = ours.lengths, real.shape.lengths
    commonest = max(ours.positions, key=lambda key: int(ours.positions[key].sum()))
    data["onsets_by_position"] = (
        ours.positions[commonest],
        real.shape.positions.get(commonest, np.zeros(commonest[1], np.int64)),
    )
    paths = pictures.figure_plots(whole, data, folder)
    for number, record in enumerate(played, 1):
        paths.append(folder / f"rollout{number:02}.png")
        heard = np.concatenate([record.primed, record.frames])
        offset = int(record.places[0, 0]) - len(record.primed)
        pictures.roll_png(paths[-1], heard[: pictures.MOST_DRAWN], record.bar, len(record.primed), offset % record.bar)
    return paths
