"""Draw piano rolls, takes, and figures of roll-outs beside real music. The functions import matplotlib when called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from livebach.errors import UserError
from livebach.files import displayable
from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, Frames

NEEDS_MATPLOTLIB = "pictures need matplotlib: pip install 'livebach[plot]'"
GIVEN_COLOUR = "#8a8f98"
OWN_COLOUR = "#b5432a"
THEME_COLOUR = "#2a9d4a"
REAL_COLOUR = "#3f6d8e"
_BLACK = (1, 3, 6, 8, 10)
_MOST_TICKS_A_ROW = 512
_SECONDS_A_ROW = 45
_SHORTEST_S = 0.03
"""Minimum drawn length of a note, so that short notes stay visible."""
MOST_DRAWN = 4096
"""Maximum number of ticks in the picture of a roll-out."""


def figure_of(width: float, height: float) -> Any:
    """Return an empty matplotlib figure, width and height in inches, that needs no screen.

    Raises:
        UserError: If matplotlib is missing.

    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(f"{NEEDS_MATPLOTLIB} ({error})") from error
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def save(figure: Any, out: BinaryIO | Path) -> None:
    """Write a figure as PNG. The same figure gives the same bytes."""
    figure.savefig(out, format="png", metadata={"Software": None})


# -- piano roll -------------------------------------------------------------------------------------------------------


def roll_png(path: Path, frames: Frames, bar_ticks: int, primed: int = 0, upbeat: int = 0) -> None:
    """Draw frames as a PNG, with a line at every bar.

    Args:
        path: PNG file to write.
        frames: uint8 [T, 88].
        bar_ticks: Ticks per bar.
        primed: Number of ticks of the prime, drawn in grey. All later ticks are red.
        upbeat: Position of the first frame in its bar, in ticks.

    Raises:
        UserError: If matplotlib is missing.

    """
    first = -upbeat % bar_ticks
    save(roll_figure(frames, list(range(first, len(frames), bar_ticks)), primed), path)


def roll_figure(frames: Frames, bars: Sequence[int], primed: int = 0, title: str = "") -> Any:
    """Return a figure of frames. Long rolls continue in the next row.

    Args:
        frames: uint8 [T, 88].
        bars: Ticks of the bar lines.
        primed: Number of ticks of the prime, drawn in grey.
        title: Title of the figure.

    Raises:
        UserError: If matplotlib is missing.

    """
    rows = [range(s, min(s + _MOST_TICKS_A_ROW, len(frames))) for s in range(0, max(1, len(frames)), _MOST_TICKS_A_ROW)]
    low, high = _span(frames)
    figure = figure_of(14, 0.4 + len(rows) * (0.7 + 0.052 * (high - low)))
    for axes, row in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        _draw_row(axes, frames, row, bars, primed)
        axes.set_xlim(row.start, row.start + min(_MOST_TICKS_A_ROW, len(frames)) or 1)
        axes.set_ylim(low - 0.5, high + 0.5)
    if title:
        figure.suptitle(displayable(title))
    return figure


def _span(frames: Frames) -> tuple[int, int]:
    """Return the lowest and highest MIDI key of the used range, extended to whole octaves."""
    used = np.flatnonzero((frames != OFF).any(axis=0)) + LOW_KEY
    low, high = (int(used[0]), int(used[-1])) if len(used) else (60, 71)
    return low // 12 * 12, high // 12 * 12 + 12


def _draw_row(axes: Any, frames: Frames, row: range, bars: Sequence[int], primed: int) -> None:
    _keyboard(axes, row.start, row.start + _MOST_TICKS_A_ROW)
    notes = _bars_of_notes(frames[: row.stop], row.start)
    given = [(start, min(end, primed), key) for start, end, key in notes]
    own = [(max(start, primed), end, key) for start, end, key in notes]
    for spans, colour in ((given, GIVEN_COLOUR), (own, OWN_COLOUR)):
        _boxes(axes, [(a, b - 0.15, key, 0.85) for a, b, key in spans if a < b], colour, 2)
    inside = [tick for tick in bars if tick in row]
    axes.vlines(inside, LOW_KEY - 1, LOW_KEY + KEYS, color="#c5c9d0", linewidth=0.7, zorder=0.5)
    numbered = [(tick, str(i + 1)) for i, tick in enumerate(bars) if tick in row and i % 4 == 0]
    axes.set_xticks([tick for tick, _ in numbered], [number for _, number in numbered])


def _boxes(
    axes: Any,
    boxes: Sequence[tuple[float, float, int, float]],
    colour: str | Sequence[tuple[float, float, float]],
    above: float,
) -> None:
    """Draw boxes, each given by start, end, middle key and height in keys.

    The colour is one colour for all boxes, or one colour per box. One collection of all boxes is drawn fast.
    """
    from matplotlib.collections import PolyCollection

    corners = [[(a, k - h / 2), (b, k - h / 2), (b, k + h / 2), (a, k + h / 2)] for a, b, k, h in boxes]
    axes.add_collection(PolyCollection(corners, facecolors=colour, linewidths=0, zorder=above))


def _bars_of_notes(frames: Frames, first: int) -> list[tuple[int, int, int]]:
    """Return start, end and MIDI key of every note that sounds at or after tick `first`. Cut earlier starts."""
    flat = np.vstack([frames, np.zeros((1, KEYS), np.uint8)]).ravel(order="F")
    ends, starts = np.flatnonzero(flat != HOLD), np.flatnonzero(flat == ONSET)
    stops = ends[np.searchsorted(ends, starts, side="right")]
    tall = len(frames) + 1
    spans = zip(starts % tall, starts % tall + stops - starts, starts // tall + LOW_KEY, strict=True)
    return [(max(int(s), first), int(e), int(k)) for s, e, k in spans if e > first]


# -- a take -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sounding:
    """A note of a take. `own` tells whether livebach played the note."""

    key: int
    start_s: float
    end_s: float
    own: bool
    velocity: int = 64


@dataclass(frozen=True, slots=True)
class Pedalled:
    """An interval with a pressed sustain pedal. `own` tells whether the pedal is livebach's or the player's."""

    start_s: float
    end_s: float
    own: bool


def take_figure(
    notes: Sequence[Sounding],
    start_s: float,
    end_s: float,
    pedals: Sequence[Pedalled] = (),
    themes: Sequence[Sequence[Sounding]] = (),
) -> Any:
    """Return a figure of a take between two times. Long takes continue in the next row.

    The player's notes are blue, and livebach's notes are red. Louder notes are darker. The bands at the bottom are the
    pedals. A line joins the notes of each statement of a theme.

    Args:
        notes: Notes of the take, at least one.
        start_s: First time, in seconds.
        end_s: Last time, in seconds.
        pedals: Intervals with a pressed pedal.
        themes: Notes of each statement of a theme.

    Raises:
        UserError: If matplotlib is missing.

    """
    low = min(note.key for note in notes) // 12 * 12
    high = max(note.key for note in notes) // 12 * 12 + 12
    rows = max(1, math.ceil((end_s - start_s) / _SECONDS_A_ROW - 1e-9))
    length_s = (end_s - start_s) / rows
    figure = figure_of(10, 0.4 + rows * (0.6 + 0.045 * (high - low)))
    for row, axes in enumerate(figure.subplots(rows, 1, squeeze=False)[:, 0]):
        first_s = start_s + row * length_s
        _keyboard(axes, first_s, first_s + length_s)
        for own, colour in ((False, REAL_COLOUR), (True, OWN_COLOUR)):
            played = [note for note in notes if note.own == own]
            spans = [(n.start_s, max(n.start_s + _SHORTEST_S, n.end_s), n.key, 0.85) for n in played]
            _boxes(axes, spans, [_shade(colour, note.velocity) for note in played], 2)
            band = low - (3 if own else 2)
            _boxes(axes, [(p.start_s, p.end_s, band, 0.6) for p in pedals if p.own == own], colour, 2)
        for statement in themes:
            places = [n.start_s for n in statement], [n.key for n in statement]
            axes.plot(*places, color=THEME_COLOUR, linewidth=2, alpha=0.7, marker="o", markersize=3, zorder=3)
        axes.set(xlim=(first_s, first_s + length_s), ylim=(low - (4 if pedals else 0.5), high + 0.5))
    figure.axes[-1].set_xlabel("seconds", fontsize=8)
    _legend(figure, bool(pedals), bool(themes))
    return figure


def _legend(figure: Any, pedals: bool, themes: bool) -> None:
    from matplotlib.patches import Patch

    boxes = [Patch(color=REAL_COLOUR, label="you"), Patch(color=OWN_COLOUR, label="livebach")]
    boxes += [Patch(color=_shade(OWN_COLOUR, velocity), label=label) for velocity, label in _SHADES.items()]
    if themes:
        boxes.append(Patch(color=THEME_COLOUR, label="the theme"))
    note = "  bands below: pedal" if pedals else None
    figure.legend(handles=boxes, loc="outside upper left", ncols=5, frameon=False, title=note, title_fontsize=8)


_SHADES = {20: "soft", 110: "loud"}


def _shade(colour: str, velocity: int) -> tuple[float, float, float]:
    """Return the colour of a note as red, green and blue, 0..1. Softer notes are paler."""
    strength = 0.2 + 0.8 * min(1.0, max(0.0, (velocity - 15) / 90))
    red, green, blue = (1 - strength * (1 - int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return red, green, blue


def _keyboard(axes: Any, start: float, stop: float) -> None:
    """Draw black keys as grey lanes, and label the octaves."""
    black = [k for k in range(LOW_KEY, LOW_KEY + KEYS) if k % 12 in _BLACK]
    _boxes(axes, [(start, stop, key, 1.0) for key in black], "#f1f2f4", 0)
    octaves = range(LOW_KEY // 12 * 12 + 12, LOW_KEY + KEYS, 12)
    axes.set_yticks(octaves, [f"C{key // 12 - 1}" for key in octaves])
    axes.tick_params(length=0, labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)


# -- figures of roll-outs ---------------------------------------------------------------------------------------------


def figure_plots(report: dict[str, Any], real: dict[str, Any], folder: Path) -> list[Path]:
    """Draw a PNG for each figure of a report, with roll-outs and real music. Return the paths.

    Args:
        report: The report of `rollout_report.report`.
        real: For each name of a figure the values of the windows of real music, or a pair of histograms of roll-outs
            and real music.
        folder: Existing folder for the pictures.

    Raises:
        UserError: If matplotlib is missing.

    """
    return [_written(folder / f"{name}.png", _plot(name, report, values)) for name, values in real.items()]


def _written(path: Path, figure: Any) -> Path:
    save(figure, path)
    return path


def _plot(name: str, report: dict[str, Any], values: Any) -> Any:
    figure = figure_of(9, 3.6)
    title = name.replace("_", " ")
    if name in report["rollouts"][0]["windows"]:
        _over_time(figure, title, [r["windows"][name] for r in report["rollouts"]], np.asarray(values))
    elif name in report["rollouts"][0]:
        _as_histogram(figure, title, [n for r in report["rollouts"] for n in r[name]], values)
    else:
        _side_by_side(figure, title, *values)
    return figure


def _over_time(figure: Any, title: str, lines: Sequence[Sequence[float]], real: Any) -> None:
    over, beside = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    if len(real):  # a small collection may have no whole window
        low, high = np.percentile(real, [1, 99])
        over.axhspan(low, high, color=REAL_COLOUR, alpha=0.15, linewidth=0, label="real, 1st to 99th percentile")
        over.axhline(real.mean(), color=REAL_COLOUR, linewidth=1)
    for line in lines:
        over.plot(range(1, len(line) + 1), line, color=OWN_COLOUR, alpha=0.35, linewidth=0.9)
    over.plot(
        range(1, len(lines[0]) + 1), np.mean(lines, axis=0), color=OWN_COLOUR, linewidth=2, label="roll-outs, mean"
    )
    over.set(title=title, xlabel="window of 512 frames")
    over.legend(frameon=False, fontsize=8)
    bins = np.histogram_bin_edges(np.concatenate([real, np.ravel(lines)]), 24)
    for values, colour, label in ((real, REAL_COLOUR, "real"), (np.ravel(lines), OWN_COLOUR, "roll-outs")):
        if len(values):
            beside.hist(values, bins, density=True, orientation="horizontal", color=colour, alpha=0.5, label=label)
    beside.set(xticks=[], title="all windows")
    beside.legend(frameon=False, fontsize=8)


def _as_histogram(figure: Any, title: str, ours: Sequence[int], real: Sequence[int]) -> None:
    axes = figure.subplots()
    bins = np.arange(0, max([*ours, *real, 1]) + 2) - 0.5
    for values, colour, label in ((real, REAL_COLOUR, "held-out pieces"), (ours, OWN_COLOUR, "roll-outs")):
        if len(values):
            axes.hist(values, bins, density=True, color=colour, alpha=0.5, label=f"{label}, a window")
    if len(real):
        axes.axvline(np.percentile(real, 95), color=REAL_COLOUR, linewidth=1, label="held-out pieces, 95th percentile")
    axes.set(title=f"{title}: longest run that is in the training set", xlabel="notes")
    axes.legend(frameon=False, fontsize=8)


def _side_by_side(figure: Any, title: str, ours: Any, real: Any) -> None:
    axes = figure.subplots()
    places = np.arange(len(ours))
    for counts, shift, colour, label in ((real, -0.2, REAL_COLOUR, "real"), (ours, 0.2, OWN_COLOUR, "roll-outs")):
        axes.bar(places + 1 + shift, np.asarray(counts) / max(1, np.sum(counts)), 0.4, color=colour, label=label)
    axes.set(title=title, xlabel="ticks", xticks=[n for n in (1, 5, 9, 13, 17, 25, 33, 49, 64) if n <= len(ours)])
    axes.legend(frameon=False, fontsize=8)
