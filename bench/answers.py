"""Count the fugue subjects that livebach states again in its answers.

    python bench/answers.py CHECKPOINT --data DIR [--subjects 10] [--seed 0]

The player plays subjects of the Well-Tempered Clavier, alone, up to the entry of the second voice, and then rests. Time
is simulated, so that the speed of the machine has no influence. livebach answers a subject if at least 6 of its notes
return within 16 bars, in any voice and key, with the same rhythm and, up to a semitone, the same intervals. Prints one
JSON object: the number of answered subjects, and where the answers are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from livebach.config import Config, override
from livebach.evaluation.musical_figures import LEAST_THEME, Notes, statements, theme_of
from livebach.evaluation.rollout_runs import metre_of
from livebach.music.events import NoteOff, NoteOn
from livebach.music.roll import KEYS, LOW_KEY, ONSET, Frames
from livebach.music.score_reader import Piece
from livebach.musician.musician import Musician
from livebach.network.checkpoint import load
from livebach.network.engine import Engine
from livebach.training.corpus import load_corpus

ANSWER_BARS = 16
BPM = 100


def subject_of(piece: Piece) -> Notes:
    """Return the unaccompanied opening of a piece: ticks and keys (0..87); empty if it is too short."""
    alone = np.flatnonzero(np.count_nonzero(piece.frames, axis=1) > 1)
    return theme_of(piece.frames[: int(alone[0]) if len(alone) else len(piece.frames)])


def answer(engine: Engine, piece: Piece, subject: Notes, seed: int) -> Frames:
    """Return livebach's 16 bars after a subject: frames [T, 88] with onsets only."""
    offset, beat, bar = (int(x) for x in piece.places[0])
    config = override(override(Config(), f"time.metre={metre_of(beat, bar, 4)}"), f"time.bpm={BPM}")
    tick_s = 60 / BPM / beat
    musician, sent = Musician(engine, config, seed, 0.0), []
    start_s = 1.0 - offset * tick_s
    ends = [tick for tick, _ in subject[1:]] + [subject[-1][0] + beat]
    events: list[tuple[float, NoteOn | NoteOff]] = []
    for (tick, key), end in zip(subject, ends, strict=True):
        events.append((start_s + tick * tick_s, NoteOn(key + LOW_KEY)))
        events.append((start_s + (end - 0.1) * tick_s, NoteOff(key + LOW_KEY)))
    last_s = events[-1][0]
    for time_s, event in [*events, (last_s + (ANSWER_BARS + 1) * bar * tick_s, None)]:
        while (due_s := musician.deadline_s()) <= time_s:
            sent += [(due_s, out) for out in musician.advance(due_s)]
        if event is not None:
            sent += [(time_s, out) for out in musician.feed(event, time_s)]
    struck = [(round((time_s - last_s) / tick_s), out.key) for time_s, out in sent if isinstance(out, NoteOn)]
    frames = np.zeros((max((tick for tick, _ in struck), default=0) + 1, KEYS), np.uint8)
    for tick, key in struck:
        frames[max(0, tick), key - LOW_KEY] = ONSET
    return frames


def main() -> None:
    """Play every subject once, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    engine = Engine(load(args.checkpoint))
    corpus = load_corpus(args.data, engine.spec.steps_per_quarter, report=lambda _: None)
    pieces = [piece for split in ("valid", "test", "train") for piece in corpus.splits[split] if "wtc" in piece.name]
    fugues = [piece for piece in pieces if len(subject_of(piece)) >= LEAST_THEME][: args.subjects]
    found: list[dict[str, Any]] = []
    for number, piece in enumerate(fugues):
        subject = subject_of(piece)
        places = statements(subject, answer(engine, piece, subject, args.seed + number), diatonic=True)
        bar = int(piece.places[0, 2])
        stated = [{"bar": 1 + tick // bar, "semitones_up": up} for tick, up in places]
        found.append({"piece": piece.name, "notes": len(subject), "stated": stated})
    answered = sum(bool(one["stated"]) for one in found)
    print(json.dumps({"subjects": len(found), "answered": answered, "each": found}, indent=1))


if __name__ == "__main__":
    main()
