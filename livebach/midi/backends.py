"""The MIDI back-ends: what each one can do, and the one table that lists them.

A back-end is a place that has MIDI ports: ALSA, JACK, CoreMIDI, Windows, or a part of this program. To add one, write
one class that extends `Backend` and one row in `BACKENDS`: `--api`, `livebach ports`, `livebach doctor`, the help and
the error messages read this table. The modules of the back-ends are imported only when one of their ports is asked for.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from livebach.midi.port_names import PortError


class Receive(Protocol):
    """The callback of an input connection; may be called on any thread."""

    def __call__(self, data: bytes, time_s: float | None = None, /) -> None:
        """Take one whole MIDI message.

        Args:
            data: The message.
            time_s: When it was played, in seconds of `time.perf_counter`; None for now.

        """


class Connection(Protocol):
    """An open connection to one port."""

    @property
    def alive(self) -> bool:
        """Whether the server or process behind the port is still the one that the connection was opened on."""

    def close(self) -> None:
        """End the connection."""


class OutputConnection(Connection, Protocol):
    """A connection that messages are sent on."""

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Send one whole MIDI message.

        Args:
            data: The message.
            due_s: When it is to sound, in seconds of `time.perf_counter`; None for now. A back-end that cannot
                schedule sends at once: the caller never sends much before that time.

        """


class Backend(ABC):
    """A place that has MIDI ports. The methods raise PortError, one line that says what is missing and how to get it.

    Attributes:
        name: The name in the table, as `--api` takes it.
        virtual_ports: Whether ports can be made that other programs connect to.
        needs_guard: Whether notes may go on sounding when this process is killed. False for a back-end that falls
            silent by itself; for all others a small process waits to end the notes, and connects in its own right.

    """

    name: str
    virtual_ports: bool = False
    needs_guard: bool = True

    @abstractmethod
    def input_names(self) -> list[str]:
        """Return the names of the ports that can be heard."""

    @abstractmethod
    def output_names(self) -> list[str]:
        """Return the names of the ports that can be sent to."""

    @abstractmethod
    def open_input(self, name: str, receive: Receive) -> Connection:
        """Connect to a port of `input_names`; each message goes to `receive`."""

    @abstractmethod
    def open_output(self, name: str) -> OutputConnection:
        """Connect to a port of `output_names`."""

    def open_virtual_input(self, title: str, receive: Receive) -> Connection:
        """Make a port that others may send to."""
        raise PortError(f"{self.name} has no virtual MIDI ports")

    def open_virtual_output(self, title: str) -> OutputConnection:
        """Make a port that others may hear."""
        raise PortError(f"{self.name} has no virtual MIDI ports")

    def names(self, inputs: bool) -> list[str]:
        """Return the ports of one direction."""
        return self.input_names() if inputs else self.output_names()


@dataclass(frozen=True, slots=True)
class BackendRow:
    """One row of the table.

    Several rows may share a name: they are alternatives, and the first one that can be used is used.

    Attributes:
        name: What `--api` and `midi.api` call it.
        title: What it is, in a few words for people.
        factory: "module:function", imported and called with the name when a port is first asked for; returns the
            Backend or raises PortError.
        platforms: The values of `sys.platform` where it exists; none for everywhere.
        requires: A module that must be installed, or "".
        advice: How to get that module, where it is missing.

    """

    name: str
    title: str
    factory: str
    platforms: tuple[str, ...] = ()
    requires: str = ""
    advice: str = ""

    @property
    def here(self) -> bool:
        """Whether this operating system has it."""
        return not self.platforms or sys.platform in self.platforms

    @property
    def installed(self) -> bool:
        """Whether its library is installed."""
        try:
            return not self.requires or find_spec(self.requires) is not None
        except ValueError:  # a module that stands in sys.modules without a spec
            return True


_RTMIDI = "livebach.midi.rtmidi_backend:RtMidiBackend", "rtmidi"
_RTMIDI2 = "livebach.midi.rtmidi2_backend:RtMidi2Backend", "rtmidi2"
_WHEELS = sys.version_info < (3, 13)  # what python-rtmidi has wheels for
_ADVICE = "pip install python-rtmidi" if _WHEELS else "pip install rtmidi2"
_JACK_ADVICE = (
    "pip install python-rtmidi"
    if _WHEELS
    else "apt install python3-rtmidi, and python3 -m venv --system-site-packages .venv"
)

BACKENDS: list[BackendRow] = [
    BackendRow("alsa", "ALSA's sequencer", _RTMIDI[0], ("linux",), _RTMIDI[1], _ADVICE),
    BackendRow("alsa", "ALSA's sequencer", _RTMIDI2[0], ("linux",), _RTMIDI2[1], _ADVICE),
    BackendRow("jack", "JACK or PipeWire", _RTMIDI[0], ("linux", "darwin"), _RTMIDI[1], _JACK_ADVICE),
    BackendRow("coremidi", "macOS", _RTMIDI[0], ("darwin",), _RTMIDI[1], _ADVICE),
    BackendRow("coremidi", "macOS", _RTMIDI2[0], ("darwin",), _RTMIDI2[1], _ADVICE),
    BackendRow("winmm", "Windows", _RTMIDI[0], ("win32",), _RTMIDI[1], _ADVICE),
    BackendRow("winmm", "Windows", _RTMIDI2[0], ("win32",), _RTMIDI2[1], _ADVICE),
]
"""The back-ends, the preferred ones first."""


def backend_names() -> tuple[str, ...]:
    """Return the names in the table, each once, of every operating system."""
    return tuple(dict.fromkeys(row.name for row in BACKENDS))


def rows_here(name: str | None = None) -> list[BackendRow]:
    """Return the rows of this operating system, one for each name: the first installed one, else the first.

    Raises:
        PortError: There is no back-end of that name, or not on this operating system.

    """
    here = [row for row in BACKENDS if row.here]
    names = dict.fromkeys(row.name for row in here)
    if name is not None and name not in names:
        allowed = ", ".join(names if name in backend_names() else backend_names())
        where = " on this machine" if name in backend_names() else ""
        raise PortError(f"api must be one of {allowed}{where}, got {name!r}")
    wanted = names if name is None else [name]
    return [_chosen([row for row in here if row.name == each]) for each in wanted]


def _chosen(rows: Sequence[BackendRow]) -> BackendRow:
    return next((row for row in rows if row.installed), rows[0])


def open_backends(name: str | None = None) -> list[Backend]:
    """Return the back-end of that name, else every one that is installed here, the preferred one first.

    Raises:
        PortError: None can be used; the line has the reason of each.

    """
    found: list[Backend] = []
    troubles: list[str] = []
    for row in rows_here(name):
        try:
            found.append(open_backend(row))
        except PortError as trouble:
            troubles.append(str(trouble))
    if not found:
        raise PortError("; ".join(dict.fromkeys(troubles)) or "this system has no MIDI back-end")
    return found


def open_backend(row: BackendRow) -> Backend:
    """Return the back-end of a row; PortError where its library is missing. Opened once, and kept."""
    if not row.installed:
        raise PortError(f"{row.title} needs {row.advice!r}")
    return _opened(row)


@cache
def _opened(row: BackendRow) -> Backend:
    module, function = row.factory.split(":")
    backend: Backend = getattr(import_module(module), function)(row.name)
    return backend
