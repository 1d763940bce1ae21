"""Count the fugue subjects that livebach states again in its answers.

    python -m bench.answers CHECKPOINT --data DIR [--subjects 10] [--seed 0] [--jack] [--bpm 100]

The player plays subjects of the Well-Tempered Clavier, alone, up to the entry of the second voice, and then rests. A
subject is 6 to 12 notes here. livebach answers it if all of them return within 16 bars, in any voice and key, with the
same rhythm and, up to a semitone, the same intervals. `in_another` counts only answers in another voice or key.

Time is simulated, so that the speed of the machine has no influence. With `--jack` livebach runs as a process, and
keyboard and listener play and hear it on JACK in real time: `--bpm 200` takes half as long. Prints one JSON object: the
number of answered subjects, and where the answers are.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.rig import Rig, rig
from livebach.commands.timing import load_average
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
from tests.support.subjects import events

ANSWER_BARS = 16
BPM = 100
OWN_ON = 0x91


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


def answer_on_jack(here: Rig, piece: Piece, subject: Notes, seed: int, bpm: float) -> Frames:
    """Return the same from a process that plays on JACK."""
    _, beat, bar = (int(x) for x in piece.places[0])
    tick_s = 60 / bpm / beat
    played = events(subject, tick_s)
    settings = ["--bpm", f"{bpm:g}", "--metre", str(metre_of(beat, bar, 4)), "--seed", str(seed), "--save", "off"]
    with here.livebach(*settings):
        before = len(here.wire.heard())
        start_s = here.keyboard.play(played)
        here.keyboard.sent(len(played))
        time.sleep(max(0, start_s + played[-1][0] + (ANSWER_BARS + 0.5) * bar * tick_s - time.perf_counter()))
        own = [(t, data[1]) for t, data in here.wire.heard()[before:] if data[0] == OWN_ON and data[2]]
    ticks = [(round((t - start_s - played[-1][0]) / tick_s), key) for t, key in own]
    frames = np.zeros((ANSWER_BARS * bar, KEYS), np.uint8)
    for tick, key in ticks:
        if 0 <= tick < len(frames):
            frames[tick, key - LOW_KEY] = ONSET
    return frames


def main() -> None:
    """Play every subject once, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jack", action="store_true", help="play on JACK, in real time")
    parser.add_argument("--bpm", type=float, default=BPM, help="beats a minute with --jack")
    args = parser.parse_args()
    engine = Engine(load(args.checkpoint))
    corpus = load_corpus(args.data, engine.spec.steps_per_quarter, report=lambda _: None)
    pieces = [piece for split in ("valid", "test", "train") for piece in corpus.splits[split] if "wtc" in piece.name]
    fugues = [piece for piece in pieces if len(subject_of(piece)) >= LEAST_THEME][: args.subjects]
    found: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(rig("--checkpoint", str(args.checkpoint.resolve()))) if args.jack else None
        for number, piece in enumerate(fugues):
            subject, seed = subject_of(piece), args.seed + number
            if here is None:
                frames = answer(engine, piece, subject, seed)
            else:
                frames = answer_on_jack(here, piece, subject, seed, args.bpm)
            bar = int(piece.places[0, 2])
            places = statements(subject, frames[: ANSWER_BARS * bar], diatonic=True)
            stated = [{"bar": 1 + tick // bar, "semitones_up": up} for tick, up in places]
            found.append({"piece": piece.name, "notes": len(subject), "stated": stated})
    answered = sum(bool(one["stated"]) for one in found)
    in_another = sum(any(place["semitones_up"] for place in one["stated"]) for one in found)
    figures = {"subjects": len(found), "answered": answered, "in_another": in_another, "each": found}
    print(json.dumps({**figures, "load": load_average()}, indent=1))


if __name__ == "__main__":
    main()
