"""`livebach learn NAME`: bind the next controller, key or program that the player uses to the control NAME."""

from __future__ import annotations

import argparse
import os
import re
import sys
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic

from livebach.commands.flags import add_settings, number, settings, user_path
from livebach.config import Config, ConfigError, from_text, read_file, with_value
from livebach.controls import CONTROLS
from livebach.errors import UserError
from livebach.files import check_replaceable, data_path, displayable, read_bytes, replace_file
from livebach.midi.ports import InputPort
from livebach.music.events import ControlChange, Event, NoteOn, ProgramChange, from_bytes

NAMES = tuple(CONTROLS)
MOST_S = 3600
GESTURE_S = 0.05
"""The longest time in seconds from the first to the last message of one gesture, such as a bank and a program."""
UNBINDABLE = frozenset({0, 6, 32, 38, 88, *range(96, 102), *range(120, 128)})
"""Controllers that belong to other messages: bank, data entry, velocity prefix, (N)RPN, channel mode."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=f"the control to bind: {', '.join(NAMES)}")
    parser.add_argument(
        "--file", type=user_path, required=True, metavar="FILE", help="write the binding to this settings file"
    )
    parser.add_argument(
        "--value", default="", metavar="VALUE", help="set this value when used, as in learn mode --value duet"
    )
    parser.add_argument(
        "--seconds", type=number(0.1, MOST_S), default=30, metavar="S", help="wait this many seconds (default: 30)"
    )
    add_settings(parser, ["--in", "--api"])


def run(args: argparse.Namespace) -> int:
    """Wait for a message, and write the binding to the settings file."""
    midi = settings(args).midi
    if midi.input is None:
        raise UserError("name the keyboard's port: --in NAME (livebach ports lists them)")
    with_value(_settings_of(args.file), f"control.{args.name}", _with_value("note 1", args.value))
    check_replaceable(args.file)
    heard: SimpleQueue[Event] = SimpleQueue()

    def receive(data: bytes, _time_s: float) -> None:
        event = from_bytes(data)
        if event is not None:
            heard.put(event)

    with closing(InputPort.open(midi.input, midi.api, receive)):
        sys.stdout.write(f"Move a controller, press a key or choose a program for {args.name}.\n")
        event = first_gesture(heard, args.seconds, midi.input)
    bound = _with_value(binding(event), args.value)
    write(args.file, args.name, bound)
    sys.stdout.write(f"control.{args.name}: {bound}\nSaved in {args.file}: start with --config {args.file}\n")
    return 0


def _with_value(bound: str, value: str) -> str:
    return f"{bound} = {value}" if value else bound


def first_gesture(heard: SimpleQueue[Event], patience_s: float, source: str) -> Event:
    """Wait for the player's gesture, and return its message to bind.

    Args:
        heard: The queue of incoming events.
        patience_s: How long to wait, in seconds.
        source: The port's name, for error messages.

    Raises:
        UserError: If no message that can be bound arrives in time.

    """
    until_s = monotonic() + patience_s
    gesture: list[Event] = []
    refused: ControlChange | None = None
    while (rest_s := until_s - monotonic()) > 0:
        try:
            event = heard.get(timeout=rest_s)
        except Empty:
            break
        if binding(event):
            until_s = until_s if gesture else min(until_s, monotonic() + GESTURE_S)
            gesture.append(event)
        elif isinstance(event, ControlChange):
            refused = event
    if gesture:
        return min(gesture, key=_rank)  # the first message of the highest rank
    if refused is not None:
        raise UserError(
            f"{source!r} sent controller {refused.control}, which is part of other messages and cannot be bound:"
            " set the control up to send a plain controller, a note or a program"
        )
    raise UserError(f"nothing that can be bound came from {source!r} in {patience_s:g} s")


def _rank(event: Event) -> int:
    """Rank the messages of one gesture: a program, then a key, a controller, the fine part of a controller."""
    if isinstance(event, ProgramChange):
        return 0
    if isinstance(event, NoteOn):
        return 1
    return 3 if isinstance(event, ControlChange) and 32 <= event.control < 64 else 2


def binding(event: Event) -> str:
    """Return the binding for an event, or an empty text if the event cannot be bound."""
    match event:
        case ControlChange(number, _, channel) if number not in UNBINDABLE:
            return f"cc {number} channel {channel + 1}"
        case NoteOn(number, _, channel):
            return f"note {number} channel {channel + 1}"
        case ProgramChange(number, channel):
            return f"program {number + 1} channel {channel + 1}"
    return ""


def _settings_of(path: Path) -> Config:
    """Return the settings of the file, or the packaged settings if the file does not exist."""
    return read_file(path if os.path.lexists(path) else data_path("config.yaml"))


def write(path: Path, name: str, bound: str) -> None:
    """Put a binding into a settings file and leave the rest unchanged. A new file begins as a copy of config.yaml.

    Raises:
        UserError: If the file is damaged or cannot be written, or if its layout does not allow changing a single line.

    """
    wanted = with_value(_settings_of(path), f"control.{name}", bound)
    before = read_bytes(path if os.path.lexists(path) else data_path("config.yaml")).decode()
    line_end = "\r\n" if "\r\n" in before else "\n"
    text = with_binding(before.replace("\r\n", "\n"), name, bound)
    if not _states(text, wanted):
        raise UserError(f"{path}: livebach cannot edit this layout; write {name}: {bound} under control: yourself")
    try:
        data = text.replace("\n", line_end).encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: a settings file is UTF-8 text, but this value is not: {displayable(bound)}") from None
    replace_file(path, data)


def _states(text: str, wanted: Config) -> bool:
    try:
        return from_text(text) == wanted
    except ConfigError:
        return False


def with_binding(text: str, name: str, bound: str) -> str:
    """Return the text of a settings file with a binding added or changed. Comments are kept."""
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
