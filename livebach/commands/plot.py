"""`livebach plot TAKE`: a picture of a saved take, both players in their colours, as it was in time."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict

from livebach.commands.flags import number, user_path
from livebach.controls import Controls
from livebach.errors import UserError
from livebach.evaluation import pictures
from livebach.files import check_new, write_new
from livebach.live import take_log
from livebach.live.take_log import Log
from livebach.music.events import NoteOff, NoteOn

MOST_S = 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("take", type=user_path, metavar="TAKE", help="the take's folder, or its take.jsonl")
    parser.add_argument("-o", "--out", type=user_path, required=True, metavar="OUT.png", help="needs the extra plot")
    parser.add_argument(
        "--from", dest="start_s", type=number(0, MOST_S), default=0.0, metavar="S", help="from so many seconds on"
    )
    parser.add_argument(
        "--to", dest="end_s", type=number(0, MOST_S), default=MOST_S, metavar="S", help="up to there (its end)"
    )


def run(args: argparse.Namespace) -> int:
    """Draw it; a line with the file's name."""
    if not args.start_s < args.end_s:
        raise UserError(f"--from and --to must be in order, got {args.start_s:g} and {args.end_s:g}")
    check_new(args.out)
    notes = [note for note in notes_of(take_log.read(args.take)) if note.end_s > args.start_s]
    notes = [note for note in notes if note.start_s < args.end_s]
    if not notes:
        raise UserError(f"{args.take}: no note sounds between {args.start_s:g} and {args.end_s:g} seconds")
    figure = pictures.take_figure(notes, args.start_s, min(args.end_s, max(note.end_s for note in notes)))
    write_new(args.out, lambda out: pictures.save(figure, out))
    sys.stdout.write(f"wrote {args.out}: {len(notes)} notes\n")
    return 0


def notes_of(log: Log) -> list[pictures.Sounding]:
    """The notes of both players; seconds count from the first of them."""
    notes = [note for own in (False, True) for note in _paired(log, own)]
    first_s = min((note.start_s for note in notes), default=0.0)
    return [pictures.Sounding(n.key, n.start_s - first_s, n.end_s - first_s, n.own) for n in notes]


def _paired(log: Log, own: bool) -> Iterator[pictures.Sounding]:
    """Of one player, each note with its end, or the take's end."""
    begun: dict[tuple[int, int], float] = {}
    now_s = 0.0
    for now_s, event in _events(log, own):
        place = event.channel, event.key
        if place in begun:
            yield pictures.Sounding(event.key, begun.pop(place), now_s, own)
        if isinstance(event, NoteOn):
            begun[place] = now_s
    yield from (pictures.Sounding(key, start_s, now_s, own) for (_, key), start_s in begun.items())


def _events(log: Log, own: bool) -> Iterator[tuple[float, NoteOn | NoteOff]]:
    """What one of them played: of its own without the clicks, of the player's without what is bound."""
    midi, voices, controls = log.config.midi, log.config.sound.voices or 1, Controls(asdict(log.config.control))
    channels = range(midi.output_channel - 1, midi.output_channel - 1 + voices)
    for call in log.calls:
        events = call.out if own else (call.event,)
        for event in events:
            if isinstance(event, (NoteOn, NoteOff)) and (
                event.channel in channels if own else not controls.claims(event)
            ):
                yield call.t, event
