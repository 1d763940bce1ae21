"""Evaluate a touch network on unseen pieces, in two ways: forced, and playing on alone after eight bars.

Forced: for each note the network knows the whole past, and the higher notes of the same tick. Playing on alone: the
network knows the first eight bars, then samples the touch of the next sixteen bars, as in live playing. Two tables are
the baseline: they count which values followed each past in the training pieces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.music.touch import (
    LATEST,
    OFFSETS,
    PARTS,
    PEDAL_MOVES,
    PEDALS,
    STEPS_PER_QUARTER,
    Pedal,
    Performance,
    Sounded,
)
from livebach.musician.player_timing import PlayerTiming
from livebach.musician.touch import TouchPlayer
from livebach.network.touch import TouchNetwork, with_habits
from livebach.training import touch_rows
from livebach.training.touch_rows import Score

HEARD_BARS, PLAYED_BARS = 8, 16
FEWEST_HEARD, FEWEST_PLAYED = 16, 32
"""Minimum number of heard and of played notes. Shorter pieces are not measured playing on alone."""
PRIOR = 0.1
"""Initial value of each count of a table, as smoothing."""
NONE = 9
"""Value for "no offset" in the keys of a table."""


# --- references ------------------------------------------------------------------------------------------------------


def offset_pasts(piece: Performance) -> Iterator[Hashable]:
    """Yield the key of the offset table for each note.

    The key holds the offset of the next higher note of the same tick, the offset of the last tick with notes, the
    position in the beat, the last offset at this position, and the ticks since the last notes.
    """
    last, above, gap, there = NONE, NONE, 0, {}
    first = 0
    for i in range(len(piece.key)):
        tick = int(piece.tick[i])
        if i and tick != piece.tick[i - 1]:
            gap, above = min(tick - int(piece.tick[i - 1]), 4), NONE
            last = int(piece.offset[first])
            there[int(piece.place[piece.tick[first], 0]) % STEPS_PER_QUARTER] = last
            first = i
        phase = int(piece.place[tick, 0]) % STEPS_PER_QUARTER
        yield above, last, phase, there.get(phase, NONE), gap
        above = int(piece.offset[i])


def pedal_pasts(piece: Performance) -> Iterator[Hashable]:
    """Yield the key of the pedal table for each tick.

    The key holds whether the pedal is down, the position in the beat, whether the tick is a downbeat, whether a note
    begins, and the ticks since the last pedal move.
    """
    struck, down, since = set(piece.tick.tolist()), False, 0
    for tick, kind in enumerate(piece.pedal.tolist()):
        position, beat, _ = piece.place[tick].tolist()
        yield down, position % beat, position == 0, tick in struck, min(since, 4)
        down = Pedal(kind).down
        since = 0 if kind in PEDAL_MOVES else since + 1


class Table:
    """Counts of the values that followed each past."""

    def __init__(
        self, values: int, pasts: Callable[[Performance], Iterator[Hashable]], name: str, lowest: int = 0
    ) -> None:
        """Count `values` values from -`lowest` on, of the performance's array `name`."""
        self._pasts, self._name, self._lowest = pasts, name, lowest
        self._counts: defaultdict[Hashable, NDArray[np.float64]] = defaultdict(lambda: np.full(values, PRIOR))

    def count(self, pieces: Sequence[Performance]) -> Table:
        """Count the values of these pieces. Return the table itself."""
        for piece in pieces:
            for past, value in zip(self._pasts(piece), self._numbers(piece), strict=True):
                self._counts[past][value] += 1
        return self

    def _numbers(self, piece: Performance) -> list[int]:
        numbers: list[int] = (getattr(piece, self._name) + self._lowest).tolist()
        return numbers

    def nats(self, piece: Performance) -> float:
        """Return the cost of a piece in nats."""
        values = self._numbers(piece)
        chances = (self._counts[past] for past in self._pasts(piece))
        return float(sum(-np.log(c[v] / c.sum()) for c, v in zip(chances, values, strict=True)))


def tables(pieces: Sequence[Performance]) -> tuple[Table, Table]:
    """Return the tables of offsets and of the pedal, counted in these pieces."""
    return Table(OFFSETS, offset_pasts, "offset", LATEST).count(pieces), Table(PEDALS, pedal_pasts, "pedal").count(
        pieces
    )


# --- forced ----------------------------------------------------------------------------------------------------------


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Return Pearson's correlation coefficient, or None if one of the samples is constant."""
    return None if np.std(a) == 0 or np.std(b) == 0 else float(np.corrcoef(a, b)[0, 1])


def forced(network: TouchNetwork, score: Score) -> dict[str, Any]:
    """Return the costs of velocity, offset and pedal in nats, and the velocity correlation, with the past known."""
    piece, rows = score.piece, touch_rows.forced(score)
    velocities = network.velocities(rows.features.astype(np.float32), rows.mean, rows.matched)
    nats = velocities.mixture.nats(piece.velocity)
    new = score.matches[:, 0] < 0
    chances = np.exp(network.offsets(score.offsets.astype(np.float32), score.above))
    offsets = with_habits(chances, score.habits.astype(np.float32))
    pedals = network.pedals(score.pedals.astype(np.float32), score.was_down)
    return {
        "velocity_nats": float(nats.sum()),
        "velocity_r": correlation(velocities.mean, piece.velocity),
        "new_notes": int(new.sum()),
        "new_velocity_nats": float(nats[new].sum()),
        "offset_nats": float(-np.log(offsets[np.arange(len(offsets)), piece.offset + LATEST]).sum()),
        "pedal_nats": float(-pedals[np.arange(len(pedals)), piece.pedal].sum()),
    }


# --- playing on alone ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stretch:
    """The heard ticks, and the following ticks that the network plays."""

    heard: range
    played: range


def stretch_of(piece: Performance) -> Stretch | None:
    """Return a stretch of eight heard bars and up to sixteen played bars, or None if the piece is too short."""
    bars = np.flatnonzero(piece.place[:, 0] == 0).tolist()
    if len(bars) <= HEARD_BARS:
        return None
    middle = bars[HEARD_BARS]
    end = bars[HEARD_BARS + PLAYED_BARS] if len(bars) > HEARD_BARS + PLAYED_BARS else piece.ticks
    notes = np.searchsorted(piece.tick, [middle, end])
    if notes[0] < FEWEST_HEARD or notes[1] - notes[0] < FEWEST_PLAYED:
        return None
    return Stretch(range(middle), range(middle, end))


def play_on(network: TouchNetwork, piece: Performance, stretch: Stretch, seed: int) -> NDArray[np.int64]:
    """Return the network's velocities for the played notes of a stretch, in the order of the piece: int64 [notes]."""
    player, timing = TouchPlayer(network, seed), PlayerTiming()
    out, sounding = list[int](), dict[int, int]()
    starts = np.searchsorted(piece.tick, np.arange(stretch.played.stop + 1)).tolist()
    for tick in range(stretch.played.stop):
        part = slice(starts[tick], starts[tick + 1])
        keys, place = piece.key[part].tolist(), tuple(piece.place[tick].tolist())
        held = [key for key, end in sounding.items() if end > tick and key not in keys]
        pedal = Pedal(int(piece.pedal[tick]))
        if tick in stretch.heard:
            timing.observe((piece.offset[part] / PARTS).tolist(), place)
            touch = map(Sounded, piece.velocity[part].tolist(), piece.offset[part].tolist())
            player.observe(dict(zip(keys, touch, strict=True)), {}, held, place, pedal, pedal)
        else:
            played = player.play(keys, {}, held, place, timing.usual(place))
            out += [played[key].velocity for key in keys]
            player.observe({}, played, held, place, player.pedal(keys, held, place))
        sounding = {key: end for key, end in sounding.items() if end > tick}
        sounding |= dict(zip(keys, piece.end[part].tolist(), strict=True))
    return np.array(out)


def chord_lead(piece: Performance, notes: slice, velocity: NDArray[Any]) -> float | None:
    """Return the mean velocity difference between top and bottom note of a chord, or None without a chord.

    Args:
        piece: The piece.
        notes: Slice of the notes.
        velocity: Velocity of each of these notes, [notes].

    """
    ticks = piece.tick[notes]
    first = np.flatnonzero(np.append(True, ticks[1:] != ticks[:-1]))
    last = np.append(first[1:], len(ticks)) - 1
    chords = last > first
    return float((velocity[first] - velocity[last])[chords].mean()) if chords.any() else None


def alone(network: TouchNetwork, piece: Performance, seed: int) -> dict[str, Any] | None:
    """Compare the network playing on alone with the pianist. Return None if the piece is too short."""
    stretch = stretch_of(piece)
    if stretch is None:
        return None
    start, stop = np.searchsorted(piece.tick, [stretch.played.start, stretch.played.stop]).tolist()
    notes = slice(start, stop)
    played, real = play_on(network, piece, stretch, seed), piece.velocity[notes]
    return {
        "notes": stop - start,
        "r": correlation(played, real),
        "spread": float(np.std(played)),
        "real_spread": float(np.std(real)),
        "chord_lead": chord_lead(piece, notes, played),
        "real_chord_lead": chord_lead(piece, notes, real),
    }


# --- the report ------------------------------------------------------------------------------------------------------


def report(
    network: TouchNetwork,
    train: Sequence[Performance],
    pieces: Sequence[Performance],
    seed: int,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return all figures per piece, per composer and pooled, as plain JSON values.

    Args:
        network: The touch network.
        train: Training pieces, for the tables.
        pieces: Pieces to evaluate.
        seed: Seed of playing on alone.
        told: Function called with one line per finished piece.

    """
    offset_table, pedal_table = tables(train)
    rows: list[dict[str, Any]] = []
    for piece in pieces:
        row: dict[str, Any] = {"name": piece.name, "notes": len(piece.key), "ticks": piece.ticks}
        row |= forced(network, touch_rows.read_score(piece))
        row |= {"offset_table_nats": offset_table.nats(piece), "pedal_table_nats": pedal_table.nats(piece)}
        rows.append({**row, "alone": alone(network, piece, seed)})
        told(f"{len(rows)} of {len(pieces)}: {piece.name}")
    composers = sorted({row["name"].partition("/")[0] for row in rows if "/" in row["name"]})
    by_composer = {c: pooled([row for row in rows if row["name"].startswith(c + "/")]) for c in composers}
    return {"pooled": pooled(rows), "composers": by_composer, "pieces": rows}


def pooled(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of several pieces. Costs are pooled; all other figures are means over pieces."""
    notes, ticks = sum(row["notes"] for row in rows), sum(row["ticks"] for row in rows)
    new, quarters = sum(row["new_notes"] for row in rows), ticks / STEPS_PER_QUARTER
    found = [row["alone"] for row in rows if row["alone"]]

    def total(name: str) -> float:
        return float(sum(row[name] for row in rows))

    def mean(values: Sequence[float | None]) -> float | None:
        there = [value for value in values if value is not None]
        return float(np.mean(there)) if there else None

    return {
        "notes": notes,
        "velocity_nats_per_note": total("velocity_nats") / notes,
        "velocity_r": mean([row["velocity_r"] for row in rows]),
        "new_notes": new,
        "velocity_nats_per_new_note": total("new_velocity_nats") / new if new else None,
        "offset_nats_per_quarter": total("offset_nats") / quarters,
        "offset_table_nats_per_quarter": total("offset_table_nats") / quarters,
        "pedal_nats_per_tick": total("pedal_nats") / ticks,
        "pedal_table_nats_per_tick": total("pedal_table_nats") / ticks,
        "alone_pieces": len(found),
        "alone_r": mean([row["r"] for row in found]),
        "alone_spread": mean([row["spread"] / row["real_spread"] for row in found if row["real_spread"]]),
        "alone_chord_lead": mean([row["chord_lead"] for row in found]),
        "real_chord_lead": mean([row["real_chord_lead"] for row in found]),
    }


COLUMNS = {
    "notes": "notes",
    "velocity_nats_per_note": "velocity",
    "velocity_r": "r",
    "velocity_nats_per_new_note": "new notes",
    "offset_nats_per_quarter": "offset",
    "offset_table_nats_per_quarter": "(table)",
    "pedal_nats_per_tick": "pedal",
    "pedal_table_nats_per_tick": "(table)",
    "alone_r": "alone: r",
    "alone_spread": "spread",
    "alone_chord_lead": "top-bottom",
}
"""Columns of the text table: name of a figure and heading."""


def table(found: dict[str, Any]) -> str:
    """Return the figures as a table of text."""
    rows = [f"{'':34}" + "".join(f"{label:>11}" for label in COLUMNS.values())]
    rows += [_row(row["name"], pooled([row])) for row in found["pieces"]]
    rows += [_row(f"all of {composer}", row) for composer, row in found["composers"].items()]
    rows.append(_row(f"all {len(found['pieces'])} pieces", found["pooled"]))
    return "\n".join(rows)


def _row(label: str, figures: dict[str, Any]) -> str:
    cells = (figures[name] for name in COLUMNS)
    shown = ("-" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
    return f"{label:34}" + "".join(f"{cell:>11}" for cell in shown)
