"""The back-ends of rtmidi2, for the versions of Python that python-rtmidi has no wheels for.

JACK is never opened through it: its own copy of libjack ends the process beside the server of jackd2. So it is never
asked to choose a system itself.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from livebach.midi.backends import Receive
from livebach.midi.port_names import PortError
from livebach.midi.rtmidi_backend import RtMidiBackend

_SYSTEMS = {"linux": "API_LINUX_ALSA", "darwin": "API_MACOSX_CORE", "win32": "API_WINDOWS_MM"}


class RtMidi2Backend(RtMidiBackend):
    """ALSA, CoreMIDI or Windows: all of `RtMidiBackend` on another library."""

    @staticmethod
    def _library() -> Any:
        """Return rtmidi2 with the interface of python-rtmidi, as far as that is used."""
        try:
            import rtmidi2
        except ImportError as error:
            raise PortError(f"real MIDI ports need 'pip install --force-reinstall rtmidi2' ({error})") from None
        return SimpleNamespace(
            **{name: getattr(rtmidi2, name) for name in ("API_UNIX_JACK", *_SYSTEMS.values())},
            get_compiled_api=lambda: [getattr(rtmidi2, _SYSTEMS[sys.platform])],
            MidiIn=lambda api, name, queue_size_limit=100: _Input(rtmidi2.MidiIn(name, queue_size_limit, api)),
            MidiOut=lambda api, name: _Output(rtmidi2.MidiOut(name, api)),
            RtMidiError=RuntimeError,
        )

    @staticmethod
    def _set_callback(port: Any, receive: Receive) -> None:
        port.set_callback(receive)


class _Port:
    """An object of rtmidi2 with the methods of one of python-rtmidi."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def get_ports(self) -> list[str]:
        return list(self._port.ports)

    def open_port(self, index: int, name: str) -> None:
        self._port.open_port(index)

    def open_virtual_port(self, title: str) -> None:
        self._port.open_virtual_port(title)

    def close_port(self) -> None:
        self._port.close_port()

    def delete(self) -> None:
        self._port = None


class _Input(_Port):
    def ignore_types(self, sysex: bool, timing: bool, active_sense: bool) -> None:
        self._port.ignore_types(midi_sysex=sysex, midi_time=timing, midi_sense=active_sense)

    def set_callback(self, receive: Receive) -> None:
        def callback(message: list[int], _delta_s: float) -> None:
            receive(bytes(message))

        self._callback = callback  # it must outlive its own cancelling, which it may do itself
        self._port.callback = callback

    def cancel_callback(self) -> None:
        self._port.callback = None


class _Output(_Port):
    def send_message(self, data: bytes) -> None:
        self._port.send_message(tuple(data))
