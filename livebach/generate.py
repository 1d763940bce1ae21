"""`livebach generate`: music to a MIDI file, offline."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np

from livebach.config import Config
from livebach.corpus import CorpusError, Piece, piece_of, read_score
from livebach.engine import Engine
from livebach.errors import UserError
from livebach.events import NoteOff, NoteOn
from livebach.follow import asked, followed
from livebach.midifile import Ruler, Timed, to_midi, write_new
from livebach.options import add_settings, settings
from livebach.roll import KEYS, Frames, Metre, Texture, notes_from_frames
from livebach.rollout import RollOut
from livebach.sampling import Policy
from livebach.take import load_network

ERRORS = (CorpusError,)
MAX_BARS = 100_000
PRIME_BARS = 4
VELOCITY = 72
_SETTINGS = ("--bpm", "--metre", "--checkpoint", "--temperature", "--min-p", "--seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("--bars", type=int, default=32, metavar="N", help="how many bars it writes after the prime")
    parser.add_argument("--prime", type=Path, metavar="FILE.mid", help="what it goes on from, in its metre and tempo")
    parser.add_argument("--prime-bars", type=int, default=PRIME_BARS, metavar="N", help="how much of it")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.mid")
    add_settings(parser, _SETTINGS)


def run(args: argparse.Namespace) -> int:
    """Write the file; a line with its name."""
    for name, low, value in (("--bars", 1, args.bars), ("--prime-bars", 1, args.prime_bars)):
        if not low <= value <= MAX_BARS:
            raise UserError(f"{name} must be {low}..{MAX_BARS}, got {value}")
    if args.out.exists():
        raise UserError(f"{args.out}: there is such a file already, and nothing is overwritten")
    config = settings(args)
    engine = load_network(config.engine.checkpoint).engine
    prime = _prime(args, engine) if args.prime else None
    frames, metre, primed = music(engine, config, args.bars, prime, args.prime_bars)
    ruler = Ruler(config.time.bpm, metre)
    path = write_new(to_midi(tracks(frames, primed, ruler, engine.spec.steps_per_quarter), ruler), args.out)
    print(f"wrote {path}: {args.bars} bars of {metre}")
    return 0


def _prime(args: argparse.Namespace, engine: Engine) -> tuple[Piece, Metre]:
    score = read_score(args.prime, engine.spec.steps_per_quarter)
    return piece_of(args.prime.name, score), score.metres[0][1]


def music(
    engine: Engine, config: Config, bars: int, prime: tuple[Piece, Metre] | None = None, prime_bars: int = PRIME_BARS
) -> tuple[Frames, Metre, int]:
    """Frames [T, 88] of the prime and what follows it, their metre, and how many of them are the prime."""
    metre = prime[1] if prime else config.time.metre
    bar = metre.bar_ticks(engine.spec.steps_per_quarter)
    start, offset = np.zeros((0, KEYS), np.uint8), 0
    if prime:
        offset = int(prime[0].places[0, 0])
        start = prime[0].frames[: prime_bars * bar - offset]
    texture = texture_from(config, start)
    seed = config.sampling.seed
    rng = np.random.default_rng(seed)
    quotes = config.sampling.longest_quote
    roll = RollOut(engine, metre, rng, policy_from(config), texture, config.engine.adapt, quotes, offset)
    roll.prime(start)
    played = np.array(list(islice(roll.play(), bars * bar)))
    return np.concatenate([start, played]), metre, len(start)


def policy_from(config: Config) -> Policy:
    """The sampling settings."""
    return Policy(config.sampling.temperature, config.sampling.min_p)


def texture_from(config: Config, heard: Frames) -> Texture:
    """The texture settings; «follow» follows what was heard, where there was anything."""
    return asked(config.sampling.density, config.sampling.polyphony, followed(heard) if len(heard) else Texture())


def tracks(frames: Frames, primed: int, ruler: Ruler, steps_per_quarter: int) -> list[tuple[str, list[Timed]]]:
    """The notes as the MIDI tracks «prime» and «livebach»."""
    tick_s = ruler.quarter_us / 1e6 / steps_per_quarter
    events: dict[str, list[Timed]] = {"prime": [], "livebach": []}
    for note in notes_from_frames(frames):
        events["prime" if note.start < primed else "livebach"] += [
            (note.start * tick_s, NoteOn(note.key, VELOCITY)),
            (note.end * tick_s, NoteOff(note.key)),
        ]
    return [(name, sorted(timed, key=_order)) for name, timed in events.items() if timed or name == "livebach"]


def _order(timed: Timed) -> tuple[float, bool]:
    """In time; at one time the note-offs first, so that a key struck again is not cut."""
    return timed[0], isinstance(timed[1], NoteOn)
