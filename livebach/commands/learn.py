"""`livebach learn NAME`: move a controller, press a key or choose a program, and a settings file binds it to NAME."""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue

from livebach.commands.flags import add_settings, settings
from livebach.config import ConfigError, load, read_file, with_value
from livebach.controls import ACTS, DIALS, SWITCHES
from livebach.errors import UserError
from livebach.files import data_path
from livebach.midi.ports import InputPort
from livebach.music.events import Control, Event, NoteOn, Program, from_bytes

NAMES = (*DIALS, *SWITCHES, *ACTS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--file", type=Path, required=True, metavar="FILE", help="the settings to write it to")
    parser.add_argument("--value", default="", metavar="VALUE", help="the value that it sets: learn mode --value duet")
    parser.add_argument("--seconds", type=float, default=30, metavar="S", help="how long to wait for it (30)")
    add_settings(parser, ["--in", "--api"])


def run(args: argparse.Namespace) -> int:
    """Wait for a message, and write down what it is bound to."""
    midi = settings(args).midi
    if midi.input is None:
        raise UserError("name the keyboard's port: --in NAME (livebach ports lists them)")
    if args.value:
        _check(args.name, f"note 0 = {args.value}")
    heard: SimpleQueue[Event] = SimpleQueue()

    def hear(data: bytes, _time_s: float) -> None:
        event = from_bytes(data)
        if event is not None and binding(event):
            heard.put(event)

    with closing(InputPort.open(midi.input, midi.api, hear)):
        sys.stdout.write(f"Move what is to be {args.name}: a controller, a key or a program.\n")
        sys.stdout.flush()
        try:
            event = heard.get(timeout=args.seconds)
        except Empty:
            raise UserError(f"nothing came from {midi.input!r} in {args.seconds:g} s") from None
    bound = binding(event) + (f" = {args.value}" if args.value else "")
    write(args.file, args.name, bound)
    sys.stdout.write(f"control.{args.name}: {bound}\nSaved in {args.file}: start with --config {args.file}\n")
    return 0


def binding(event: Event) -> str:
    """How an event is written as a binding; empty where it can be none."""
    match event:
        case Control(number, _, channel):
            return f"cc {number} channel {channel + 1}"
        case NoteOn(number, _, channel):
            return f"note {number} channel {channel + 1}"
        case Program(number, channel):
            return f"program {number + 1} channel {channel + 1}"
    return ""


def write(path: Path, name: str, bound: str) -> None:
    """Put a binding into a settings file; a new one begins as a copy of the packaged one. All else stays as it is."""
    _check(name, bound)
    source = path if path.exists() else data_path("config.yaml")
    before = read_file(source)
    text = with_binding(source.read_text("utf-8"), name, bound)
    wanted = with_value(before, f"control.{name}", bound)
    new = path.with_name(path.name + ".new")
    try:
        new.write_text(text, "utf-8")
        if read_file(new) != wanted:
            raise UserError(f"{path}: cannot be changed by itself; write {name}: {bound} under control:")
        new.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        new.unlink(missing_ok=True)


def with_binding(text: str, name: str, bound: str) -> str:
    """The text of a settings file with a binding in it, comments and all."""
    lines = text.rstrip("\n").split("\n")
    start = next((i for i, line in enumerate(lines) if re.match(r"control:\s*(#|$)", line)), None)
    if start is None:
        return "\n".join([*lines, "", "control:", f"  {name}: {bound}", ""])
    for i in range(start + 1, len(lines)):
        if re.match(r"[^\s#]", lines[i]):
            break
        found = re.match(rf"(\s+{name}:)([^#]*)(#.*)?$", lines[i])
        if found:
            comment = f"  {found[3]}" if found[3] else ""
            lines[i] = f"{found[1]} {bound}{comment}"
            return "\n".join([*lines, ""])
    indent = next((m[1] for line in lines[start + 1 :] if (m := re.match(r"(\s+)[^\s#]", line))), "  ")
    return "\n".join([*lines[: start + 1], f"{indent}{name}: {bound}", *lines[start + 1 :], ""])


def _check(name: str, bound: str) -> None:
    try:
        with_value(load(), f"control.{name}", bound)
    except ConfigError as error:
        raise UserError(str(error)) from None
