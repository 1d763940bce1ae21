"""Measure how well the grid follows free playing: how many of its beats match the player's beats.

    python -m bench.follow --data DIR [--told 1.1] [--drift 0.08] [--noise-ms 15] [--slowing 0.25] [--json FILE]

Thirty pieces of DIR are played freely into the musician (`time.clock: player`), on a simulated clock: all validation
and test pieces of the Well-Tempered Clavier, then other pieces by the hash of their names (`corpus.split_of`), in the
order of their names. livebach was neither trained nor tuned on them. Each piece plays until its first change of metre,
for at most two and a half minutes. The hash of the name draws a tempo that is usual for the metre. The tempo drifts by
±8 %. Onsets have a standard deviation of 15 ms. Over the last bar of every four the tempo falls by 25 %, and then
returns at once. `--told` multiplies the tempo that livebach is set to.

A beat is a quarter note, a dotted quarter in compound metres, and the metre's own beat if that is shorter. The beats of
the grid are those that the musician played by, fixed half a 16th in advance. A hit is within 70 ms. All beats count,
from the first one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from pathlib import Path

import numpy as np

from livebach.commands.timing import load_average, machine
from livebach.config import Config, override
from livebach.music.metre import Metre
from livebach.music.score_reader import Score, read_score, upbeat_ticks
from livebach.musician.musician import Musician
from livebach.testing import ScriptedEngine
from livebach.training.corpus import midi_files, split_of
from tests.support.simulated_player import Hands, Playing, f_measure

PIECES = 30
STEPS = 48
"""Steps per quarter in which the scores are read, so that triplets and 32nds are exact."""
LONGEST_S = 150.0
START_S = 1.0
CLEAR = 1.3
TEMPI = {
    (4, False): (66, 112),
    (2, False): (54, 84),
    (8, False): (130, 200),
    (8, True): (50, 84),
    (16, True): (60, 100),
}
"""Beats a minute, by the metre's denominator and whether the metre is compound."""


def held_out(folder: Path) -> list[Path]:
    """Return the thirty pieces in order."""
    files = [path for path in midi_files(folder) if split_of(path.name) != "train"]
    clavier = [path for path in files if path.stem.startswith("wtc")]
    return [*clavier, *(path for path in files if path not in clavier)][:PIECES]


def upbeat_of(path: Path, metre: Metre) -> int:
    """Return the steps before the first bar line. Files do not state them; long and low notes suggest them."""
    coarse = read_score(path, 4)
    upbeat, beat = upbeat_ticks(coarse), metre.beat_ticks(4)
    if metre.denominator <= 2:
        beat = 4
    weight, bar = np.zeros(beat), metre.bar_ticks(4)
    for note in coarse.notes:
        weight[note.start % beat] += min(note.end - note.start, bar) * (1.5 if note.key < 55 else 1.0)
    order = np.argsort(-weight)
    clear = weight[order[0]] >= CLEAR * weight[order[1]] and order[0] != upbeat % beat
    return int(order[0] if clear else upbeat) * STEPS // 4


def played(path: Path, hands: Hands) -> tuple[Playing, Metre, float]:
    """Return a piece played freely, its metre and its tempo."""
    score: Score = read_score(path, STEPS)
    metre = score.metres[0][1]
    seed = int.from_bytes(hashlib.sha256(path.stem.encode()).digest()[:4], "big")
    low, high = TEMPI.get((metre.denominator, metre.compound), (66, 112))
    bpm = low * (high / low) ** np.random.default_rng(seed).random()
    stop = score.metres[1][0] if len(score.metres) > 1 else score.length
    stop = min(stop, math.ceil(LONGEST_S * bpm / 60 * metre.beat_ticks(STEPS)))
    notes = [note for note in score.notes if note.start < stop]
    return hands.play(notes, metre, bpm, seed, STEPS, upbeat_of(path, metre)), metre, bpm


def followed(playing: Playing, metre: Metre, bpm: float) -> list[float]:
    """Return the beats of the musician's grid during this playing."""
    config = Config()
    for assignment in (f"time.metre={metre}", f"time.bpm={bpm:.4f}", "time.clock=player", "turns.mode=listen"):
        config = override(config, assignment)
    musician = Musician(ScriptedEngine(), config, 1, 0.0)
    ticks: list[tuple[int, float]] = []

    for time_s, event in playing.events:
        while (due_s := musician.deadline_s()) <= time_s + START_S:
            tick, at_s = musician.performance.time.tick, musician.performance.time.tick_s
            musician.advance(due_s)
            if musician.performance.time.tick > tick:
                ticks.append((tick, at_s - START_S))
        musician.feed(event, time_s + START_S)
    step = 4 if metre.denominator <= 2 else metre.beat_ticks(4)
    return [time_s for tick, time_s in ticks if tick % step == 0]


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--told", type=float, default=1.0, help="set livebach's tempo to this multiple of the player's")
    parser.add_argument("--drift", type=float, default=Hands().drift)
    parser.add_argument("--noise-ms", type=float, default=Hands().noise_s * 1000)
    parser.add_argument("--slowing", type=float, default=Hands().slowing)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    hands, rows = Hands(args.drift, args.noise_ms / 1000, args.slowing), []
    for path in held_out(args.data):
        playing, metre, bpm = played(path, hands)
        f = f_measure(followed(playing, metre, args.told * bpm), playing.beats)
        rows.append({"piece": path.stem, "metre": str(metre), "bpm": bpm, "beats": len(playing.beats), "f": f})
        print(f"{path.stem:52} {metre!s:>5} {bpm:6.1f} bpm {len(playing.beats):4} beats  F {f:.3f}", flush=True)
    mean = float(np.mean([row["f"] for row in rows]))
    print(f"{len(rows)} pieces, mean F {mean:.3f}; load {load_average()}")
    if args.json is not None:
        args.json.write_text(json.dumps({"mean": mean, "told": args.told, "pieces": rows, "machine": machine()}))


if __name__ == "__main__":
    main()
