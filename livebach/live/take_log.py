"""The log of a take: its lines, and how they are read and written.

`take.jsonl` is a header, then one line for each call of the musician, with exact times and what it answered, in the
order in which they happened; `livebach replay` makes the same calls again. This module knows no thread and no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from livebach.config import Config, from_dict
from livebach.controls import Command, parse_command
from livebach.errors import UserError
from livebach.files import read_bytes
from livebach.music.events import Event, from_bytes, realtime, to_bytes
from livebach.music.grid import Mark
from livebach.music.metre import Metre
from livebach.musician.clock_follower import ClockMessage

FORMAT = 2
LOG, MIDI = "take.jsonl", "take.mid"
CALLS = ("feed", "advance", "command", "swap", "stop")
MOST_S = 1e9
"""A clock that counts from the machine's start stays below this for thirty years."""
MOST_WAITING = 1000
"""Number of calls without a beat after which the bars of the MIDI file go on without one."""
QUICKEST_S, SLOWEST_S = 0.01, 100.0
"""A quarter note at the most extreme tempi and metres."""
SAME_US = 5
"""Tempi that differ by less count as one, in microseconds a quarter note."""


@dataclass(frozen=True, slots=True)
class Header:
    """The start of a take: with it and the calls, every note can be played again."""

    config: dict[str, Any]
    seed: int
    start_s: float
    checkpoint: str
    sha256: str
    started: str = ""
    livebach: str = ""
    touch_sha256: str = ""
    """Of the touch network; empty where a take was played without one."""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Swap:
    """A change of the network: the new checkpoint, and the number of the first frame that it was given."""

    checkpoint: str
    sha256: str
    since: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the musician: its kind and time, its answer, when it was due, and the beat that it ends."""

    do: str
    t: float
    out: tuple[Event, ...] = ()
    event: Event | None = None
    due: float | None = None
    command: Command | ClockMessage | None = None
    swap: Swap | None = None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """A take as it is read. `remarks` are lines for people, about lost ports and the like."""

    header: Header
    calls: list[Call]
    remarks: list[str] = field(default_factory=list)

    @property
    def config(self) -> Config:
        """Return the settings of the take."""
        return from_dict(self.header.config)


# --- lines -----------------------------------------------------------------------------------------------------------


def header_line(header: Header) -> str:
    """Return the first line of the log."""
    return json.dumps(asdict(header))  # ASCII: a file may have a name that is no text in UTF-8


def call_line(call: Call) -> str:
    """Return the line of a call: times in full precision, messages in hexadecimal."""
    line: dict[str, Any] = {"do": call.do, "t": call.t}
    if call.due is not None:
        line["due"] = call.due
    if call.event is not None:
        line["in"] = to_bytes(call.event).hex()
    if call.command is not None:
        line["name"], line["value"] = _words(call.command)
    if call.swap is not None:
        line |= asdict(call.swap)
    if call.mark is not None:
        line["beat"] = _beat(call.mark)
    if call.out:
        line["out"] = [to_bytes(event).hex() for event in call.out]
    return json.dumps(line, separators=(",", ":"))


def _beat(mark: Mark) -> list[float | str]:
    """Return a beat as a list; it names the metre where that is not the one of the settings."""
    metre: list[float | str] = [] if mark.metre is None else [str(mark.metre), mark.since]
    return [mark.quarters, mark.time_s, mark.quarter_s, *metre]


CLOCK = "clock"
"""The name under which the messages of a MIDI clock are written among the commands."""


def _words(request: Command | ClockMessage) -> tuple[str, str]:
    """Return a request as name and value."""
    return (CLOCK, request.text) if isinstance(request, ClockMessage) else (request.name, request.value)


def _request(name: str, value: str) -> Command | ClockMessage:
    """Return the request of a name and a value. Raises ValueError for an invalid message of a clock."""
    return ClockMessage.parse(value) if name == CLOCK else parse_command(name, value)


def remark_line(text: str, t: float) -> str:
    """Return the line of a remark at a time in seconds."""
    return json.dumps({"do": "remark", "t": t, "text": text})


def _event(text: Any) -> Event:
    data = bytes.fromhex(text) if isinstance(text, str) else b""
    event = from_bytes(data) or realtime(data)
    if event is None:
        raise ValueError(f"not a MIDI message: {text!r}")
    return event


def _call(line: dict[str, Any]) -> Call:
    do, due = line["do"], line.get("due")
    if do not in CALLS:
        raise ValueError(f"no such call: {do!r}")
    heard = _event(line["in"]) if do == "feed" else None
    asked = _request(str(line["name"]), str(line["value"])) if do == "command" else None
    swap = _swap(line) if do == "swap" else None
    out = tuple(_event(text) for text in line.get("out", ()))
    due = None if due is None else _time(due)
    return Call(do, _time(line["t"]), out, heard, due, asked, swap, _mark(line.get("beat")))


def _mark(beat: Any) -> Mark | None:
    if beat is None:
        return None
    quarters, time_s, quarter_s = map(_time, beat[:3])
    if not QUICKEST_S <= quarter_s <= SLOWEST_S:
        raise ValueError(f"not a quarter note's length: {quarter_s!r}")
    if len(beat) == 3:
        return Mark(quarters, time_s, quarter_s)
    metre, since = beat[3:]
    return Mark(quarters, time_s, quarter_s, Metre.parse(str(metre)), _time(since))


def _swap(line: dict[str, Any]) -> Swap:
    swap = Swap(line["checkpoint"], line["sha256"], line["since"])
    _check_named(swap.checkpoint, swap.sha256)
    if not isinstance(swap.since, int):
        raise TypeError(f"not a frame's number: {swap.since!r}")
    return swap


def _check_named(name: Any, sha256: Any) -> None:
    if not isinstance(name, str) or not isinstance(sha256, str) or "\0" in name:
        raise ValueError("not the name and SHA-256 of a checkpoint")


def _time(value: Any) -> float:
    if not isinstance(value, (int, float)) or not abs(value) < MOST_S:
        raise ValueError(f"not a time: {value!r}")
    return float(value)


def _header(text: str) -> Header:
    data = json.loads(text)
    if not isinstance(data, dict) or "format" not in data:
        raise ValueError("not the log of a take")
    if data["format"] != FORMAT:
        raise ValueError(f"the take has format {data['format']!r}; this version of livebach reads format {FORMAT}")
    header = Header(**data)
    if from_dict(header.config).sampling.seed is None:
        raise ValueError("its settings have no seed")
    if not isinstance(header.seed, int):
        raise TypeError(f"not a seed: {header.seed!r}")
    _check_named(header.checkpoint, header.sha256)
    _time(header.start_s)
    return header


def _whole_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers; a last line that was cut off is left out."""
    lines = text.split("\n")
    return ((number, line) for number, line in enumerate(lines[:-1], 1) if line)


# --- reading ---------------------------------------------------------------------------------------------------------


def log_path(session: Path) -> Path:
    """Return the log of a take that is named by its folder or by the log itself."""
    return session / LOG if session.is_dir() else session


def read(session: Path) -> Log:
    """Read a take.

    Raises:
        UserError: If the log cannot be read or is damaged; names the file and the line.

    """
    path = log_path(session)
    try:
        return read_text(read_bytes(path).decode())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not the log of a take: not a text file in UTF-8") from None
    except UserError as error:
        raise UserError(f"{path}, {error}") from None


def read_text(text: str) -> Log:
    """Read the lines of a take; a last line that was cut off is left out.

    Raises:
        UserError: If a line is damaged; names the line.

    """
    number = 1
    try:
        lines = _whole_lines(text)
        number, first = next(lines, (1, "null"))
        log = Log(_header(first), [])
        for number, line in lines:  # noqa: B007 - the number is for the message below
            _read_line(log, json.loads(line))
    except KeyError as error:
        raise UserError(f"line {number}: {error} is missing") from None
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise UserError(f"line {number}: {str(error).partition(chr(10))[0]}") from None
    return log


def _read_line(log: Log, line: dict[str, Any]) -> None:
    if line["do"] == "remark":
        log.remarks.append(str(line["text"]))
    else:
        log.calls.append(_call(line))
