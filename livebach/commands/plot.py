"""`livebach plot TAKE`: draw a saved take over time, with one colour for each player."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace

from livebach.bindings import Controls
from livebach.commands.flags import number, user_path
from livebach.errors import UserError
from livebach.evaluation import pictures, theme_marks
from livebach.files import check_new, write_new
from livebach.live import take_log
from livebach.live.take_log import Log
from livebach.music.events import PEDAL_DOWN, SUSTAIN, ControlChange, NoteOff, NoteOn

MOST_S = 3600
STEPS_PER_BEAT = 4
"""Steps of the grid that sets the tolerance for statements of the theme: 16ths if a beat is a quarter."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("take", type=user_path, metavar="TAKE", help="the take's folder, or its take.jsonl")
    parser.add_argument(
        "-o",
        "--out",
        type=user_path,
        required=True,
        metavar="OUT.png",
        help="the picture to write (needs the extra plot)",
    )
    parser.add_argument(
        "--from",
        dest="start_s",
        type=number(0, MOST_S),
        default=0.0,
        metavar="S",
        help="begin at this second (default: 0)",
    )
    parser.add_argument(
        "--to",
        dest="end_s",
        type=number(0, MOST_S),
        default=MOST_S,
        metavar="S",
        help="end at this second (default: the end of the take)",
    )
    parser.add_argument("--themes", action="store_true", help="mark your first theme and livebach's statements of it")


def run(args: argparse.Namespace) -> int:
    """Draw the take, and print the path of the picture."""
    if not args.start_s < args.end_s:
        raise UserError(f"--from and --to must be in order, got {args.start_s:g} and {args.end_s:g}")
    check_new(args.out)
    log = take_log.read(args.take)
    notes = [note for note in notes_of(log) if note.end_s > args.start_s]
    notes = [note for note in notes if note.start_s < args.end_s]
    if not notes:
        raise UserError(f"{args.take}: no note sounds between {args.start_s:g} and {args.end_s:g} seconds")
    end_s = min(args.end_s, max(note.end_s for note in notes))
    marked = themes_of(log) if args.themes else []
    figure = pictures.take_figure(notes, args.start_s, end_s, pedals_of(log), marked)
    write_new(args.out, lambda out: pictures.save(figure, out))
    stated = f", {max(0, len(marked) - 1)} statements of the theme by livebach" if args.themes else ""
    sys.stdout.write(f"wrote {args.out}: {len(notes)} notes{stated}\n")
    return 0


def themes_of(log: Log) -> list[list[pictures.Sounding]]:
    """Return the notes of the player's theme and of each statement by livebach; an empty list without a theme."""
    notes = notes_of(log)
    theme = theme_marks.theme_of(notes)
    tick_s = 60 / log.config.time.bpm / STEPS_PER_BEAT
    return [theme, *theme_marks.statements(notes, theme, 0.75 * tick_s)] if theme else []


def notes_of(log: Log) -> list[pictures.Sounding]:
    """Return the notes of both players. Times are seconds from the first note."""
    notes, first_s = _notes(log)
    return [replace(note, start_s=note.start_s - first_s, end_s=note.end_s - first_s) for note in notes]


def pedals_of(log: Log) -> list[pictures.Pedalled]:
    """Return the intervals in which a pedal was down. Times are seconds from the first note."""
    first_s = _notes(log)[1]
    pedals = [pedal for own in (False, True) for pedal in _pedalled(log, own)]
    return [replace(pedal, start_s=pedal.start_s - first_s, end_s=pedal.end_s - first_s) for pedal in pedals]


def _notes(log: Log) -> tuple[list[pictures.Sounding], float]:
    notes = [note for own in (False, True) for note in _paired(log, own)]
    return notes, min((note.start_s for note in notes), default=0.0)


def _paired(log: Log, own: bool) -> Iterator[pictures.Sounding]:
    """Yield the notes of one player. A note without a note-off lasts to the end of the take."""
    begun: dict[tuple[int, int], tuple[float, int]] = {}
    now_s = 0.0
    for now_s, event in _events(log, own):
        if isinstance(event, ControlChange):
            continue
        place = event.channel, event.key
        if place in begun:
            start_s, velocity = begun.pop(place)
            yield pictures.Sounding(event.key, start_s, now_s, own, velocity)
        if isinstance(event, NoteOn):
            begun[place] = now_s, event.velocity
    for (_, key), (start_s, velocity) in begun.items():
        yield pictures.Sounding(key, start_s, now_s, own, velocity)


def _pedalled(log: Log, own: bool) -> Iterator[pictures.Pedalled]:
    """Yield the intervals in which a pedal of one player was down, on any channel."""
    down: dict[int, float] = {}
    for now_s, event in _events(log, own):
        if not isinstance(event, ControlChange):
            continue
        if event.value >= PEDAL_DOWN:
            down.setdefault(event.channel, now_s)
        elif event.channel in down:
            yield pictures.Pedalled(down.pop(event.channel), now_s, own)
    yield from (pictures.Pedalled(start_s, log.calls[-1].t, own) for start_s in down.values())


def _events(log: Log, own: bool) -> Iterator[tuple[float, NoteOn | NoteOff | ControlChange]]:
    """Yield one player's notes and pedal, without livebach's clicks and the player's bound notes."""
    midi, voices, controls = log.config.midi, log.config.sound.voices or 1, Controls(log.config.control.bindings)
    channels = range(midi.output_channel - 1, midi.output_channel - 1 + voices)
    for call in log.calls:
        for event in call.out if own else (call.event,):
            if not isinstance(event, (NoteOn, NoteOff, ControlChange)) or getattr(event, "control", SUSTAIN) != SUSTAIN:
                continue
            if event.channel in channels if own else not controls.claims(event):
                yield call.t, event
