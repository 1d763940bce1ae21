"""The MIDI systems of this machine, over python-rtmidi: what ports they have, and lines to and from them.

Loads rtmidi only when it is asked for a real port. Knows nothing of notes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from livebach.midi.jack_server import JackServer
from livebach.midi.port_names import CLIENT, LINK, PortError, others
from livebach.midi.rtmidi_io import Activity, CalledLine, PolledLine, Received, SentWire, call_back

APIS = {
    "alsa": "API_LINUX_ALSA",
    "jack": "API_UNIX_JACK",
    "coremidi": "API_MACOSX_CORE",
    "winmm": "API_WINDOWS_MM",
}
_SEQUENCER = Path("/dev/snd/seq")
_DELIVERY_S = 0.03  # what is sent just after a port was opened, or just before it is closed, may be lost,
_DELIVERY_PERIODS = 4  # on JACK for some periods
_QUEUE = 16384  # messages that rtmidi keeps for us


class Line(Protocol):
    """An open connection to one port."""

    @property
    def alive(self) -> bool:
        """Whether the system under it is still the one it was opened on."""

    def close(self) -> None:
        """End the connection."""


class Wire(Line, Protocol):
    """A line that can be sent on."""

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Send one whole MIDI message. `due_s`: when it was due, for those who sound it at a constant delay."""


class System(Protocol):
    """A place that has MIDI ports."""

    api: str

    def names(self, inputs: bool) -> list[str]:
        """Return the ports we can hear (inputs) or send to; PortError when the system is not there."""

    def open_input(self, name: str, received: Received) -> Line:
        """Hear a port of the list."""

    def open_output(self, name: str) -> Wire:
        """Send to a port of the list."""

    def virtual_input(self, title: str, received: Received) -> Line:
        """Make a port that others may send to."""

    def virtual_output(self, title: str) -> Wire:
        """Make a port that others may hear."""


def _rtmidi() -> ModuleType:
    """Import rtmidi, which needs the system's sound library, only when a real port is asked for."""
    try:
        import rtmidi
    except ImportError as error:
        library = "libasound" in str(error)
        cure = "apt install libasound2" if library else "pip install python-rtmidi"
        raise PortError(f"real MIDI ports need {cure!r} ({error})") from None
    module: ModuleType = rtmidi
    return module


@cache
def system(api: str) -> System:
    """Return the system of that name; PortError where python-rtmidi was built without it."""
    return RtMidiSystem(api)


def systems(api: str | None = None) -> list[System]:
    """Return the one system asked for, else every one that python-rtmidi was built with, the preferred one first."""
    return [system(name) for name in ([api] if api else built_in())]


def built_in() -> list[str]:
    """Return the names of the systems that python-rtmidi was built with here."""
    rtmidi = _rtmidi()
    compiled = rtmidi.get_compiled_api()
    return [api for api, constant in APIS.items() if getattr(rtmidi, constant) in compiled]


class RtMidiSystem:
    """One of rtmidi's APIs."""

    def __init__(self, api: str) -> None:
        if api not in APIS:
            raise PortError(f"api must be one of {', '.join(APIS)}, got {api!r}")
        if api not in built_in():
            raise PortError(f"api must be one of {', '.join(built_in())} on this machine, got {api!r}")
        self.api = api
        self._rt = _rtmidi()
        self._id = getattr(self._rt, APIS[api])
        self._jack = JackServer() if api == "jack" else None
        self._listers: dict[bool, Any] = {}
        self._wires: dict[str, SentWire] = {}
        self._activity = Activity()

    def names(self, inputs: bool) -> list[str]:
        """Return the ports, without the ends of our own connections."""
        return others(self._all(inputs))

    def open_input(self, name: str, received: Received) -> Line:
        """Hear a port; MIDI clock comes through, system exclusive and active sensing do not."""
        port = self._input()
        return self._heard(port, lambda: port.open_port(_place(port, name), name=LINK), name, received)

    def virtual_input(self, title: str, received: Received) -> Line:
        """Make a port that others may send to."""
        self._check_virtual()
        port = self._input()
        return self._heard(port, lambda: port.open_virtual_port(title), title, received)

    def open_output(self, name: str) -> Wire:
        """Send to a port. On JACK, where a connection takes time in every period, all who do so share one."""
        shared = self._wires.get(name)
        if shared is not None and shared.join():
            return shared
        port = self._new(self._rt.MidiOut)
        wire = self._wire(port, lambda: port.open_port(_place(port, name), name=LINK), name)
        if self._jack is not None:
            self._wires[name] = wire
        return wire

    def virtual_output(self, title: str) -> Wire:
        """Make a port that others may hear."""
        self._check_virtual()
        port = self._new(self._rt.MidiOut)
        return self._wire(port, lambda: port.open_virtual_port(title), title)

    def _all(self, inputs: bool) -> list[str]:
        self._check_here()
        if self._jack is not None and self._jack.usable:
            names = self._jack.names(inputs)
            if names is None:
                raise PortError("no JACK server is running")
            return names
        if inputs not in self._listers:
            self._listers[inputs] = self._new(self._rt.MidiIn if inputs else self._rt.MidiOut)
        return list(self._listers[inputs].get_ports())

    def _check_here(self) -> None:
        if self.api == "alsa" and not _SEQUENCER.exists():
            raise PortError(f"ALSA's sequencer is not on this machine (no {_SEQUENCER}; modprobe snd-seq?)")
        if self.api == "alsa" and not os.access(_SEQUENCER, os.R_OK | os.W_OK):
            raise PortError(f"ALSA's sequencer is closed to this user ({_SEQUENCER}; join the group audio?)")

    def _check_virtual(self) -> None:
        if self.api == "winmm":
            raise PortError("Windows has no virtual MIDI ports; a program like loopMIDI makes them")

    def _new(self, kind: Any, **more: Any) -> Any:
        self._all(True) if self._jack is not None else self._check_here()  # the clear errors, before rtmidi's own
        try:
            return kind(self._id, name=CLIENT, **more)
        except (self._rt.RtMidiError, RuntimeError) as error:
            raise PortError(f"{self.api} refuses a connection: {error}") from None

    def _input(self) -> Any:
        port = self._new(self._rt.MidiIn, queue_size_limit=_QUEUE)
        port.ignore_types(sysex=True, timing=False, active_sense=True)
        return port

    def _heard(self, port: Any, open_it: Callable[[], object], name: str, received: Received) -> Line:
        """Open an input; on JACK it is asked for what came, elsewhere it calls back."""
        polled = self._jack is not None
        if not polled:
            call_back(port, received)
        self._try(port, open_it, name)
        live = self._liveness()
        return PolledLine(port, live, received, self._activity) if polled else CalledLine(port, live)

    def _wire(self, port: Any, open_it: Callable[[], object], name: str) -> SentWire:
        self._try(port, open_it, name)
        period_s = self._jack.period_s if self._jack is not None else 0.0
        delivery_s = 0.0 if self.api == "alsa" else max(_DELIVERY_S, _DELIVERY_PERIODS * period_s)
        return SentWire(port, self._liveness(), delivery_s, self._rt.RtMidiError, self._activity)

    def _try(self, port: Any, open_it: Callable[[], object], name: str) -> None:
        try:
            open_it()
        except (self._rt.RtMidiError, RuntimeError, ValueError, OSError) as error:
            port.delete()
            raise PortError(f"{self.api} port {name!r} cannot be opened: {error}") from None

    def _liveness(self) -> Callable[[], bool]:
        jack = self._jack
        if jack is None or not jack.usable:
            return lambda: True
        born = jack.generation
        return lambda: jack.alive and jack.generation == born


def _place(port: Any, name: str) -> int:
    names: list[str] = port.get_ports()
    if name not in names:
        raise ValueError("it has just gone")
    return names.index(name)
