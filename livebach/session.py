"""A saved take: what its log holds, line by line, and the MIDI file that can be made of it.

`session.jsonl` is a header, then one line for each call of the musician, with exact times and what it answered, in the
order in which they happened; `replay` makes the same calls again. Knows no thread and no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from livebach.config import Config, from_dict
from livebach.controls import Command, Controls
from livebach.errors import UserError
from livebach.events import Event, NoteOn, Realtime, from_bytes, realtime, to_bytes
from livebach.midifile import Ruler, Track, joined, write_new

FORMAT = 1
LOG, MIDI = "session.jsonl", "session.mid"
CALLS = ("feed", "advance", "command", "swap", "stop")
MOST_S = 1e9
"""A clock that counts from the machine's start stays below this for thirty years."""
MOST_WAITING = 1000
"""Calls without an onset after which the MIDI file's bars are laid all the same."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a take starts from: with it and the calls, every note can be had again."""

    config: dict[str, Any]
    seed: int
    start_s: float
    checkpoint: str
    sha256: str
    started: str = ""
    livebach: str = ""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Swap:
    """Another network: its checkpoint, and the number of the first frame that it was told."""

    checkpoint: str
    sha256: str
    since: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the musician: `do` with the time it was given, what it answered, and when it was due."""

    do: str
    t: float
    out: tuple[Event, ...] = ()
    event: Event | None = None
    due: float | None = None
    command: Command | None = None
    swap: Swap | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """A take, as read. `remarks` are lines for people: ports lost and found, overflows."""

    header: Header
    calls: list[Call]
    remarks: list[str] = field(default_factory=list)

    @property
    def config(self) -> Config:
        """The settings of the take."""
        return from_dict(self.header.config)


# --- lines -----------------------------------------------------------------------------------------------------------


def header_line(header: Header) -> str:
    """The log's first line."""
    return json.dumps(asdict(header), ensure_ascii=False)


def call_line(call: Call) -> str:
    """One line of the log: times in full precision, messages in hexadecimal."""
    line: dict[str, Any] = {"do": call.do, "t": call.t}
    if call.due is not None:
        line["due"] = call.due
    if call.event is not None:
        line["in"] = to_bytes(call.event).hex()
    if call.command is not None:
        line["name"], line["value"] = call.command.name, call.command.value
    if call.swap is not None:
        line |= asdict(call.swap)
    if call.out:
        line["out"] = [to_bytes(event).hex() for event in call.out]
    return json.dumps(line, separators=(",", ":"))


def remark_line(text: str, t: float) -> str:
    """A line for people."""
    return json.dumps({"do": "remark", "t": t, "text": text}, ensure_ascii=False)


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
    asked = Command(str(line["name"]), str(line["value"])) if do == "command" else None
    swap = _swap(line) if do == "swap" else None
    out = tuple(_event(text) for text in line.get("out", ()))
    return Call(do, _time(line["t"]), out, heard, None if due is None else _time(due), asked, swap)


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
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError("not the log of a take, or one of another version of livebach")
    header = Header(**data)
    if from_dict(header.config).sampling.seed is None:
        raise ValueError("its settings have no seed")
    if not isinstance(header.seed, int):
        raise TypeError(f"not a seed: {header.seed!r}")
    _check_named(header.checkpoint, header.sha256)
    _time(header.start_s)
    return header


def _whole_lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines; a last one that was cut off is left out."""
    lines = text.split("\n")
    return ((number, line) for number, line in enumerate(lines[:-1], 1) if line)


# --- reading ---------------------------------------------------------------------------------------------------------


def log_path(session: Path) -> Path:
    """The log of a take that is named by its folder or by the log itself."""
    return session / LOG if session.is_dir() else session


def read(session: Path) -> Log:
    """Read a take; UserError names the file and the line where it is damaged."""
    path = log_path(session)
    try:
        return read_text(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8") from None
    except UserError as error:
        raise UserError(f"{path}, {error}") from None


def read_text(text: str) -> Log:
    """Read a take's lines; UserError names the line that is damaged. A last one that was cut off is left out."""
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


# --- as a MIDI file --------------------------------------------------------------------------------------------------


class Score:
    """A take's tracks, «you» and «livebach», written to two files call by call.

    The first onset is a downbeat, unless a count-in or a click came before; until it is there, calls wait.
    """

    def __init__(self, header: Header, you: BinaryIO, own: BinaryIO) -> None:
        config = from_dict(header.config)
        self._files = you, own
        self._ruler = Ruler(config.time.bpm, config.time.metre, header.start_s)
        self._tracks: list[Track] = []
        self._waiting: list[Call] | None = []
        self._controls = Controls(asdict(config.control))
        self._counted = config.time.count_in_bars > 0 or config.time.click

    def add(self, call: Call) -> None:
        """Write what was played in one call."""
        if self._waiting is None:
            self._write(call)
            return
        self._waiting.append(call)
        if self._counted or isinstance(call.event, NoteOn) or len(self._waiting) >= MOST_WAITING:
            self._begin()

    def _begin(self) -> None:
        """Lay the bars, and write what has waited."""
        waiting, self._waiting = self._waiting or [], None
        if waiting and not self._counted:
            self._ruler = replace(self._ruler, origin_s=waiting[-1].t)
        ruler = self._ruler.from_bar_before(min((call.t for call in waiting), default=self._ruler.origin_s))
        names = zip(("you", "livebach"), self._files, strict=True)
        self._tracks = [Track(file, name, ruler, leads=name == "you") for name, file in names]
        for call in waiting:
            self._write(call)

    def _write(self, call: Call) -> None:
        you, own = self._tracks
        if call.event is not None and not self._controls.claims(call.event):
            you.add(call.t, call.event)
        for event in call.out:
            if not isinstance(event, Realtime):  # which no MIDI file may hold
                own.add(call.t, event)

    def midi(self) -> bytes:
        """The whole as a MIDI file; the end."""
        if self._waiting is not None:
            self._begin()
        for track in self._tracks:
            track.close()
        return joined([_whole(file) for file in self._files])


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def write_midi(log: Log, path: Path) -> Path:
    """Make the MIDI file of a take, with the tracks «you» and «livebach»."""
    score = Score(log.header, BytesIO(), BytesIO())
    for call in log.calls:
        score.add(call)
    return write_new(score.midi(), path)
