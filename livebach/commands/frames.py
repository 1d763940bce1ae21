"""`livebach frames`: write a MIDI file's frames, as the network reads them, to a file of arrays or a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from livebach.commands.flags import user_path, whole
from livebach.errors import UserError
from livebach.files import check_new, write_new
from livebach.music.score_reader import CorpusError, Piece, piece_of, read_score

ERRORS = (CorpusError,)
MAX_STEPS = 48


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("file", type=user_path, metavar="FILE.mid")
    parser.add_argument(
        "-o",
        "--out",
        type=user_path,
        metavar="FILE.npz",
        help="write the arrays frames, uint8 [T, 88], and places, int16 [T, 3]",
    )
    parser.add_argument("--png", type=user_path, metavar="FILE.png", help="draw the frames (needs the extra plot)")
    parser.add_argument(
        "--steps-per-quarter",
        dest="steps",
        type=whole(1, MAX_STEPS),
        default=4,
        metavar="N",
        help="ticks per quarter note (default: 4)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the files, and print one line for each."""
    if args.out is None and args.png is None:
        raise UserError("name an output: -o FILE.npz, --png FILE.png, or both")
    for out in (args.out, args.png):
        if out is not None:
            check_new(out)
    piece = piece_of(args.file.name, read_score(args.file, args.steps))
    words = f"{len(piece.frames)} frames, {piece.onsets} onsets"
    if args.out is not None:
        write_new(args.out, lambda out: np.savez_compressed(out, frames=piece.frames, places=piece.places))
        print(f"wrote {args.out}: {words}")
    if args.png is not None:
        _draw(args.png, piece)
        print(f"wrote {args.png}: {words}")
    return 0


def _draw(path: Path, piece: Piece) -> None:
    from livebach.evaluation import pictures

    bars = np.flatnonzero(piece.places[:, 0] == 0)
    figure = pictures.roll_figure(piece.frames, bars.tolist(), title=piece.name)
    write_new(path, lambda out: pictures.save(figure, out))
