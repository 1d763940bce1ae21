"""Measure what the live rule for triplets costs the network, in nats per frame. Prints JSON.

    python -m bench.triplets --data DIR [--split valid] [--most 100000]

In training every time of a score is rounded to the nearest tick, so triplets are on the ticks 0, 1 and 3 of a beat. In
play every tick closes half way to the next one, and the player's timing decides. The bench plays each piece exactly in
time to the listener that livebach plays with, and compares the likelihoods of both versions, with and without
adaptation.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from livebach.config import Config
from livebach.evaluation.likelihood import key_nats
from livebach.live.assembly import load_network
from livebach.music.events import Event, NoteOff, NoteOn
from livebach.music.grid import Grid
from livebach.music.metre import Metre
from livebach.music.roll import HIGH_KEY, LOW_KEY, Frames, Note
from livebach.music.score_reader import CorpusError, Piece, read_score
from livebach.music.touch import PARTS, STEPS_PER_QUARTER
from livebach.musician.open_tick import Moments
from livebach.musician.player_part import PlayerPart
from livebach.musician.player_timing import Between
from livebach.training.corpus import load_corpus
from livebach.training.licence_index import SPLITS

FINE = 96
"""Steps of a quarter note at which the pieces are played: exact for triplets of 32nds and for 64ths."""
TICK = FINE // STEPS_PER_QUARTER
NEAR = 1 / PARTS / 2
"""Greatest distance, in ticks, of a triplet's stroke from a third of a tick."""


def events(notes: list[Note]) -> Iterator[tuple[int, Event]]:
    """Yield the events of notes with their times in steps, ends first. A key sounds until its last note ends."""
    sounding: Counter[int] = Counter()
    moments = [(n.end, 0, n) for n in notes] + [(n.start, 1, n) for n in notes]
    for at, struck, note in sorted(moments, key=lambda moment: (moment[0], moment[1], moment[2].key)):
        sounding[note.key] += 1 if struck else -1
        if struck:
            yield at, NoteOn(note.key, note.velocity)
        elif not sounding[note.key]:
            yield at, NoteOff(note.key)


def heard(notes: list[Note], ticks: int) -> tuple[Frames, float]:
    """Return the frames [ticks, 88] of a player who plays these notes, and the share of ticks that close late."""
    config = Config()
    player, grid = PlayerPart(config, 16), Grid.of(60, Metre(4, 4), STEPS_PER_QUARTER)
    waiting, frames, late = list(events(notes))[::-1], [], 0
    for tick in range(ticks):
        grid = Moments.of(grid, config, player.timing.between).grid
        late += player.timing.between is Between.HALVES
        while waiting and waiting[-1][0] / FINE < grid.close_s(tick):
            at, event = waiting.pop()
            player.strikes(event, at / FINE)
        player.judge_timing(grid, tick)
        frames.append(player.close_tick(grid.close_s(tick), follow=False))
    return np.array(frames), late / ticks


def triplets(notes: list[Note]) -> float:
    """Return the share of notes that begin a third of a tick from a tick: those of triplets."""
    places = np.array([note.start / TICK for note in notes])
    return float((np.abs(np.abs(places - np.round(places)) - 1 / 3) < NEAR).mean())


def compared(engine: Any, path: Path, piece: Piece, most: int) -> dict[str, Any]:
    """Return the figures of one piece."""
    notes = [note for note in read_score(path, FINE).notes if LOW_KEY <= note.key <= HIGH_KEY]
    frames, late = heard(notes, len(piece.frames))
    live = Piece(piece.name, frames[:most], piece.places[:most])
    trained = Piece(piece.name, piece.frames[:most], piece.places[:most])
    same = bool(np.array_equal(live.frames, trained.frames))
    row: dict[str, Any] = {"name": piece.name, "frames": len(live.frames), "triplets": round(triplets(notes), 3)}
    row |= {"closes_late": round(late, 3), "other_frames": int((live.frames != trained.frames).any(axis=1).sum())}
    for name, adapt in (("adapting", True), ("fixed", False)):
        before = float(key_nats(engine, trained, adapt=adapt).sum())
        row[name] = before, before if same else float(key_nats(engine, live, adapt=adapt).sum())
    return row


def pooled(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the nats per frame of several pieces, and what the live rule costs."""
    frames = sum(row["frames"] for row in rows)
    found: dict[str, Any] = {"pieces": len(rows), "frames": frames}
    for name in ("adapting", "fixed"):
        trained, live = (sum(row[name][i] for row in rows) / max(1, frames) for i in (0, 1))
        found[name] = {"trained": round(trained, 4), "live": round(live, 4), "cost": round(live - trained, 4)}
    return found


def main() -> None:
    """Compare all pieces of a split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default=Config().engine.checkpoint)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=SPLITS, default="valid")
    parser.add_argument("--most", type=int, default=100_000, help="measure at most this many frames of each piece")
    parser.add_argument("--least", type=float, default=0.0, help="leave out pieces with a smaller share of triplets")
    args = parser.parse_args()
    engine, rows = load_network(args.checkpoint, Config().engine.fast).engine, []
    for piece in load_corpus(args.data, STEPS_PER_QUARTER).splits[args.split]:
        try:
            path = args.data / piece.name
            if args.least and triplets(list(read_score(path, FINE).notes)) < args.least:
                continue
            rows.append(compared(engine, path, piece, args.most))
        except CorpusError as error:
            raise SystemExit(str(error)) from None
    with_triplets = [row for row in rows if row["triplets"] >= 0.05]
    print(json.dumps({"pieces": rows, "all": pooled(rows), "with_triplets": pooled(with_triplets)}, indent=1))


if __name__ == "__main__":
    main()
