"""`livebach replay TAKE`: replay a saved take, and compare every note with the log.

The same network, settings, seed and calls at the same times give the same notes, byte for byte, on the same machine.
Exit status: 0 no difference, 1 a difference, 2 the take cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from livebach.commands.flags import user_path
from livebach.errors import UserError
from livebach.files import check_new, expanded
from livebach.live import assembly, take_log, take_midi
from livebach.live.daemon import MusicianProtocol
from livebach.live.take_log import Call, Header, Log, Swap
from livebach.music.events import Event, NoteOn
from livebach.musician.memory import History
from livebach.styles import DEFAULT

MOST_SHOWN = 5
OLD_DEFAULT = "default"
"""The name of the shipped network in takes from the time before styles."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("take", type=user_path, metavar="TAKE", help="the take's folder, or its take.jsonl")
    parser.add_argument(
        "-o", "--out", type=user_path, metavar="OUT.mid", help="write the replayed music to this MIDI file"
    )
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="FILE",
        help="look for the take's network in this file too; may be repeated",
    )
    parser.add_argument(
        "--touch", type=user_path, metavar="FILE", help="look for the take's touch network in this file"
    )


def run(args: argparse.Namespace) -> int:
    """Replay the take, and print the differences."""
    if args.out is not None:
        check_new(args.out)
    log = take_log.read(args.take)
    touch = log.config.engine.touch_checkpoint if args.touch is None else str(args.touch)
    fast = log.config.engine.fast
    networks = Networks(args.checkpoint, fast)
    network = networks.find(log.header.checkpoint, log.header.sha256)
    if log.header.touch_sha256:
        network = _with_touch_of(log.header, network, touch, fast)
    elif args.touch is not None:
        raise UserError(f"--touch {args.touch}: this take was played without a touch network")
    musician = assembly.musician(network, log.config, log.header.start_s)
    again = list(play_again(musician, log.calls, networks))
    if args.out is not None:
        sys.stdout.write(f"{take_midi.write_midi(Log(log.header, again), args.out)}\n")
    return _compare(log.calls, again)


def _with_touch_of(header: Header, network: assembly.Loaded, file: str | None, fast: bool) -> assembly.Loaded:
    """Return the network with the take's touch network; raise UserError if the file is another one, or missing."""
    if file is not None and not expanded(file).exists():
        raise UserError(f"the touch network {file} is not there; --touch names another file")
    network = assembly.with_touch(network, file, fast)
    if network.touch_sha256 != header.touch_sha256:
        raise UserError(
            f"this is not the touch network of the take: its SHA-256 must be {header.touch_sha256[:12]}…, "
            f"got {network.touch_sha256[:12]}…; --touch names another file"
        )
    return network


@dataclass(frozen=True)
class Networks:
    """Finds the networks of a take, in the files that the take names or in the files given."""

    given: Sequence[str] = ()
    fast: bool = False

    def find(self, name: str, sha256: str) -> assembly.Loaded:
        """Return the network with this SHA-256; raise UserError if no file has it."""
        name = DEFAULT if name == OLD_DEFAULT else name
        for network in (assembly.load_network(each, self.fast) for each in (*self.given, name)):
            if network.sha256 == sha256:
                return network
        raise UserError(
            f"checkpoint {network.name} is not the network of this take: its SHA-256 must be {sha256[:12]}…, "
            f"got {network.sha256[:12]}…; --checkpoint names another file"
        )


def play_again(musician: MusicianProtocol, calls: Iterable[Call], networks: Networks | None = None) -> Iterator[Call]:
    """Repeat the calls of a take, and yield each call with its new output."""
    for call in calls:
        if call.swap is not None:
            _swap(musician, call.swap, networks or Networks())
        yield replace(call, out=tuple(_answer(musician, call)))


def _swap(musician: MusicianProtocol, swap: Swap, networks: Networks) -> None:
    network = networks.find(swap.checkpoint, swap.sha256).engine
    if not musician.exchange(network, History(network, swap.since)):
        raise UserError(
            f"the take switches to {swap.checkpoint} with frames from {swap.since}, which are no longer kept"
        )


def _answer(musician: MusicianProtocol, call: Call) -> list[Event]:
    if call.swap is not None:
        return []
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
    sys.stdout.write(f"{verdict}; {notes} notes by livebach\n")
    return 1 if differing else 0


def _said(call: Call) -> str:
    return " ".join(map(str, call.out)) or "nothing"
