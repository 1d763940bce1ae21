"""`livebach generate`: music to a MIDI file, offline."""

from __future__ import annotations

import argparse
from pathlib import Path

from livebach.commands.flags import add_settings, settings
from livebach.errors import UserError
from livebach.files import write_new
from livebach.live.assembly import load_network
from livebach.music.metre import Metre
from livebach.music.midi_writer import Ruler, to_midi
from livebach.music.score_reader import CorpusError, Piece, piece_of, read_score
from livebach.musician.rollout import PRIME_BARS, music, tracks
from livebach.network.engine import Engine

ERRORS = (CorpusError,)
MAX_BARS = 100_000
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
    path = write_new(args.out, to_midi(tracks(frames, primed, ruler, engine.spec.steps_per_quarter), ruler))
    print(f"wrote {path}: {args.bars} bars of {metre}")
    return 0


def _prime(args: argparse.Namespace, engine: Engine) -> tuple[Piece, Metre]:
    score = read_score(args.prime, engine.spec.steps_per_quarter)
    return piece_of(args.prime.name, score), score.metres[0][1]
