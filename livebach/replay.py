"""`livebach replay SESSION`: play a saved take again and hold every note against the log.

The same network, settings, seed and calls at the same times give the same notes, byte for byte, on the same machine.
Exit status: 0 the same, 1 something differs, 2 the take cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from livebach import session, take
from livebach.daemon import Player
from livebach.errors import UserError
from livebach.events import Event, NoteOn
from livebach.session import Call, Log

MOST_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("session", type=Path, metavar="SESSION", help="the take's folder, or its session.jsonl")
    parser.add_argument("-o", "--out", type=Path, metavar="OUT.mid", help="write what is played again to a MIDI file")
    parser.add_argument("--checkpoint", metavar="FILE", help="the network, where it is not where it was")


def run(args: argparse.Namespace) -> int:
    """Replay; what is the same and what is not."""
    log = session.read(args.session)
    network = _network(log, args.checkpoint)
    musician = take.musician(network, log.config, log.header.start_s)
    again = list(play_again(musician, log.calls))
    if args.out is not None:
        sys.stdout.write(f"{session.write_midi(Log(log.header, again), args.out)}\n")
    return _compare(log.calls, again)


def _network(log: Log, given: str | None) -> take.Loaded:
    """The network of the take; UserError where the file is another one now."""
    header = log.header
    network = take.load_network(given or header.checkpoint, log.config.engine.fast)
    if network.sha256 != header.sha256:
        raise UserError(
            f"checkpoint {network.name} is not the one of this take: its SHA-256 must be {header.sha256[:12]}…, "
            f"got {network.sha256[:12]}…; --checkpoint names another file"
        )
    return network


def play_again(musician: Player, calls: Iterable[Call]) -> Iterator[Call]:
    """Make the calls of a take again; each with what it answers now."""
    for call in calls:
        yield replace(call, out=tuple(_answer(musician, call)))


def _answer(musician: Player, call: Call) -> list[Event]:
    if call.event is not None:
        return musician.feed(call.event, call.t)
    if call.command is not None:
        return musician.command(call.command, call.t)
    return musician.advance(call.t) if call.do == "advance" else musician.stop(call.t)


def _compare(calls: list[Call], again: list[Call]) -> int:
    differing = [(then, now) for then, now in zip(calls, again, strict=True) if then.out != now.out]
    for then, now in differing[:MOST_SHOWN]:
        sys.stdout.write(f"{then.do} at {then.t:.6f} s: then {_said(then)}, now {_said(now)}\n")
    notes = sum(isinstance(event, NoteOn) for call in calls for event in call.out)
    verdict = f"{len(differing)} of {len(calls)} calls differ" if differing else f"the same in {len(calls)} calls"
    sys.stdout.write(f"{verdict}; {notes} notes of livebach's\n")
    return 1 if differing else 0


def _said(call: Call) -> str:
    return " ".join(map(str, call.out)) or "nothing"
