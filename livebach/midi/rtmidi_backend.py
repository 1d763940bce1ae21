"""The back-ends of python-rtmidi: ALSA, JACK, CoreMIDI and Windows.

Knows nothing of notes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livebach.midi.backends import Backend, Connection, OutputConnection, Receive
from livebach.midi.jack_server import JackServer
from livebach.midi.port_names import CLIENT, LINK, PortError, others
from livebach.midi.rtmidi_io import Activity, CallbackInput, PolledInput, RtMidiOutput, set_callback

_CONSTANTS = {
    "alsa": "API_LINUX_ALSA",
    "jack": "API_UNIX_JACK",
    "coremidi": "API_MACOSX_CORE",
    "winmm": "API_WINDOWS_MM",
}
_SEQUENCER = Path("/dev/snd/seq")
_DELIVERY_S = 0.03  # what is sent just after a port was opened, or just before it is closed, may be lost,
_DELIVERY_PERIODS = 4  # on JACK for some periods
_QUEUE = 16384  # messages that rtmidi keeps for us


class RtMidiBackend(Backend):
    """One of the MIDI systems that python-rtmidi was built with."""

    def __init__(self, name: str) -> None:
        self._rt = self._library()
        self._id = getattr(self._rt, _CONSTANTS[name])
        if self._id not in self._rt.get_compiled_api():
            raise PortError(f"the installed MIDI library was built without {name}")
        self.name = name
        self.virtual_ports = name != "winmm"
        self._jack = JackServer() if name == "jack" else None
        self._listers: dict[bool, Any] = {}
        self._shared: dict[str, RtMidiOutput] = {}
        self._activity = Activity()

    @staticmethod
    def _library() -> Any:
        """Import python-rtmidi; PortError where the sound library that it is linked to is missing."""
        try:
            import rtmidi
        except ImportError as error:
            cure = "apt install libasound2" if "libasound" in str(error) else "pip install python-rtmidi"
            raise PortError(f"real MIDI ports need {cure!r} ({error})") from None
        return rtmidi

    @staticmethod
    def _set_callback(port: Any, receive: Receive) -> None:
        set_callback(port, receive)

    def input_names(self) -> list[str]:
        """Return the ports that can be heard, without the ends of our own connections."""
        return others(self._all(inputs=True))

    def output_names(self) -> list[str]:
        """Return the ports that can be sent to, without the ends of our own connections."""
        return others(self._all(inputs=False))

    def open_input(self, name: str, receive: Receive) -> Connection:
        """Hear a port; MIDI clock comes through, system exclusive and active sensing do not."""
        port = self._new_input()
        return self._input(port, lambda: port.open_port(_index(port, name), name=LINK), name, receive)

    def open_virtual_input(self, title: str, receive: Receive) -> Connection:
        """Make a port that others may send to."""
        self._check_virtual()
        port = self._new_input()
        return self._input(port, lambda: port.open_virtual_port(title), title, receive)

    def open_output(self, name: str) -> OutputConnection:
        """Send to a port. On JACK, where a connection takes time in every period, all users of a port share one."""
        shared = self._shared.get(name)
        if shared is not None and shared.join():
            return shared
        port = self._new(self._rt.MidiOut)
        output = self._output(port, lambda: port.open_port(_index(port, name), name=LINK), name)
        if self._jack is not None:
            self._shared[name] = output
        return output

    def open_virtual_output(self, title: str) -> OutputConnection:
        """Make a port that others may hear."""
        self._check_virtual()
        port = self._new(self._rt.MidiOut)
        return self._output(port, lambda: port.open_virtual_port(title), title)

    def _all(self, inputs: bool) -> list[str]:
        self._check_here()
        if self._jack is not None and self._jack.usable:
            return self._jack.names(inputs) or []
        if inputs not in self._listers:
            self._listers[inputs] = self._new(self._rt.MidiIn if inputs else self._rt.MidiOut)
        return list(self._listers[inputs].get_ports())

    def _check_here(self) -> None:
        if self.name == "alsa" and not _SEQUENCER.exists():
            raise PortError(f"ALSA's sequencer is not on this machine (no {_SEQUENCER}; modprobe snd-seq?)")
        if self.name == "alsa" and not os.access(_SEQUENCER, os.R_OK | os.W_OK):
            raise PortError(f"ALSA's sequencer is closed to this user ({_SEQUENCER}; join the group audio?)")
        if self._jack is not None and self._jack.usable and self._jack.names(inputs=True) is None:
            raise PortError("no JACK server is running")

    def _check_virtual(self) -> None:
        if not self.virtual_ports:
            raise PortError("Windows has no virtual MIDI ports; a program like loopMIDI makes them")

    def _new(self, kind: Any, **more: Any) -> Any:
        self._check_here()  # the clear errors, before rtmidi's own
        try:
            return kind(self._id, name=self._client_name(), **more)
        except (self._rt.RtMidiError, RuntimeError) as error:
            raise PortError(f"{self.name} refuses a connection: {error}") from None

    def _client_name(self) -> str:
        """Return the name of a new client: another one after each restart of the JACK server.

        Our clients of the server that was killed cannot be closed. Under the same name one of them would be woken in
        place of the new client, which would stand still.
        """
        servers = 1 if self._jack is None else self._jack.generation
        return CLIENT if servers <= 1 else f"{CLIENT}-{servers}"

    def _new_input(self) -> Any:
        port = self._new(self._rt.MidiIn, queue_size_limit=_QUEUE)
        port.ignore_types(sysex=True, timing=False, active_sense=True)
        return port

    def _input(self, port: Any, open_it: Callable[[], object], name: str, receive: Receive) -> Connection:
        """Open an input; on JACK it is polled, elsewhere it calls back."""
        if self._jack is not None:
            self._try(port, open_it, name)
            return PolledInput(port, self._liveness(), receive, self._activity)
        connection = CallbackInput(port, self._liveness(), receive)
        self._set_callback(port, connection.deliver)
        self._try(port, open_it, name)
        return connection

    def _output(self, port: Any, open_it: Callable[[], object], name: str) -> RtMidiOutput:
        self._try(port, open_it, name)
        period_s = self._jack.period_s if self._jack is not None else 0.0
        delivery_s = 0.0 if self.name == "alsa" else max(_DELIVERY_S, _DELIVERY_PERIODS * period_s)
        return RtMidiOutput(port, self._liveness(), delivery_s, self._rt.RtMidiError, self._activity)

    def _try(self, port: Any, open_it: Callable[[], object], name: str) -> None:
        try:
            open_it()
        except (self._rt.RtMidiError, RuntimeError, ValueError, OSError) as error:
            port.delete()
            raise PortError(f"{self.name} port {name!r} cannot be opened: {error}") from None

    def _liveness(self) -> Callable[[], bool]:
        jack = self._jack
        if jack is None or not jack.usable:
            return lambda: True
        born = jack.generation
        return lambda: jack.alive and jack.generation == born


def _index(port: Any, name: str) -> int:
    names: list[str] = port.get_ports()
    if name not in names:
        raise ValueError("it has just gone")
    return names.index(name)
