"""Log lines with a time and a level, for a machine without a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from livebach.live.display import DisplayUpdate, Lines, Unmoved

LEVELS = ("debug", "info", "warning")
"""Debug: the notes, beat by beat. Info: what was opened and saved. Warning: what may need a person."""


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def plain(level: str, text: str) -> str:
    """Return one line for people."""
    return f"{_now()} {level:7} {text}"


def as_json(level: str, text: str) -> str:
    """Return one line of JSON."""
    return json.dumps({"time": _now(), "level": level, "text": text})  # ASCII, whatever the encoding


FORMS: dict[str, Callable[[str, str], str]] = {"plain": plain, "json": as_json}


class LogSink(Unmoved):
    """Writes updates as lines of one form, from one level on."""

    def __init__(self, stream: TextIO, form: str = "plain", level: str = "info") -> None:
        self._stream = stream
        self._form = FORMS[form]
        self._least = LEVELS.index(level)
        self._lines = Lines()

    def show(self, seen: DisplayUpdate) -> None:
        """Write the lines that an update completes."""
        if seen.text:
            self._write("debug", self._lines.close())
            self._write(seen.level, seen.text.splitlines())
        else:
            self._write("debug", self._lines.read(seen))

    def close(self) -> None:
        """Write the remaining lines."""
        self._write("debug", self._lines.close())

    def _write(self, level: str, lines: list[str]) -> None:
        if LEVELS.index(level) >= self._least and lines:
            self._stream.write("".join(self._form(level, line.strip()) + "\n" for line in lines))
            self._stream.flush()
