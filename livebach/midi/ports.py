"""Named MIDI ports: what comes in is handed on as it is, what goes out is known well enough to be ended.

A port outlives its connection: when the keyboard is unplugged or the JACK server dies it says so, and connects again
when the name is back (`check`, which `Watcher` calls). Knows what sounds on it, and nothing of music.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from threading import Lock, RLock
from time import perf_counter, sleep
from typing import Self

from livebach.midi.active_notes import Sounding, ends_note, is_channel_message
from livebach.midi.backends import Line, System, Wire, systems
from livebach.midi.port_names import CLIENT, VIRTUAL, PortError, find_port, unnumbered
from livebach.music.events import CHANNELS, MAX_DATA, Control, Event, NoteOff, to_bytes

__all__ = [
    "InputPort",
    "OutputPort",
    "PortError",
    "Thru",
    "find_port",
    "list_inputs",
    "list_outputs",
    "listing",
    "panic",
]

Callback = Callable[[bytes, float], None]
Listener = Callable[[bytes], None]

_PANIC = ((64, 0), (123, 0), (120, 0))  # pedal up, all notes off, all sound off
_PANIC_PAUSE_S = 0.001  # between sixteen note-offs and the next: no buffer on the way holds all of them


def list_inputs(api: str | None = None) -> list[str]:
    """Return the names of the ports that can be heard."""
    return [name for _, name in _offers(systems(api), inputs=True)]


def list_outputs(api: str | None = None) -> list[str]:
    """Return the names of the ports that can be sent to."""
    return [name for _, name in _offers(systems(api), inputs=False)]


def _offers(places: Sequence[System], inputs: bool) -> list[tuple[System, str]]:
    """List the ports of every system that is there; where none is, raise what each of them says."""
    there = _there(places, inputs)
    return [(place, name) for place, names in there for name in names]


def _there(places: Sequence[System], inputs: bool) -> list[tuple[System, list[str]]]:
    there: list[tuple[System, list[str]]] = []
    troubles: list[str] = []
    for place in places:
        try:
            there.append((place, place.names(inputs)))
        except PortError as trouble:
            troubles.append(str(trouble))
    if not there:
        raise PortError("; ".join(troubles) or "python-rtmidi was built without any MIDI system")
    return there


class _Port(ABC):
    """What inputs and outputs have in common: a wanted name, and perhaps a connection to it."""

    inputs: bool

    def __init__(self, wanted: str, places: Sequence[System] = ()) -> None:
        self.wanted = wanted
        self.name = wanted
        self._places = places
        self._line: Line | None = None
        self._closed = False
        self._changing = Lock()  # one change of the connection at a time

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._line is not None

    @property
    def virtual(self) -> bool:
        """Whether it is a port of our own, which others connect to."""
        return self.wanted == VIRTUAL

    @property
    def apis(self) -> list[str]:
        """The systems that it may be on; none for a port inside this process."""
        return [place.api for place in self._places]

    def check(self) -> str | None:
        """Disconnect or connect again as the names say; a sentence when something has changed."""
        with self._changing:
            if self._closed or not self._places:
                return None
            return self._check_back() if self._line is None else self._check_there(self._line)

    def close(self) -> None:
        """End the connection for good; again does nothing."""
        with self._changing:
            self._closed = True
            self._disconnect()

    def _check_there(self, line: Line) -> str | None:
        if line.alive and (self.virtual or self.name in self._names()):
            return None
        self._disconnect()
        return f"{self._kind} {self.name!r} is gone"

    def _check_back(self) -> str | None:
        """Look for the very port first: another one that fits the wanted name may have come meanwhile."""
        for wanted in dict.fromkeys((self.name, unnumbered(self.name), self.wanted)):
            try:
                self._connect(wanted)
            except PortError:
                continue
            return f"{self._kind} {self.name!r} is there"
        return None

    def _connect(self, wanted: str) -> None:
        if self.virtual:
            self._take(_there(self._places, self.inputs)[0][0], f"{CLIENT} {'in' if self.inputs else 'out'}")
            return
        offers = _offers(self._places, self.inputs)
        name = find_port([name for _, name in offers], wanted, self._kind)
        self._take(next(place for place, offered in offers if offered == name), name)

    def _take(self, place: System, name: str) -> None:
        self._line, self.name = self._open_line(place, name), name

    @abstractmethod
    def _open_line(self, place: System, name: str) -> Line:
        """Connect to a port of a system."""

    def _disconnect(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    @property
    def _kind(self) -> str:
        return "MIDI input" if self.inputs else "MIDI output"

    def _names(self) -> list[str]:
        try:
            return [name for _, name in _offers(self._places, self.inputs)]
        except PortError:
            return []


class InputPort(_Port):
    """A port that is heard: each message goes to the callback, with the time it came, on the system's own thread."""

    inputs = True

    def __init__(
        self, wanted: str, callback: Callback, places: Sequence[System] = (), now: Callable[[], float] = perf_counter
    ) -> None:
        super().__init__(wanted, places)
        self._callback = callback
        self._now = now
        self._held = Sounding()

    @classmethod
    def open(
        cls,
        wanted: str,
        api: str | None,
        callback: Callback,
        *,
        wait: bool = False,
        places: Sequence[System] | None = None,
    ) -> Self:
        """Hear the port of that name (or "virtual"); PortError without it, unless it is to be waited for.

        `places`: where it is looked for, if not on the machine's MIDI systems.
        """
        port = cls(wanted, callback, systems(api) if places is None else places)
        _start(port, wait)
        return port

    def received(self, data: bytes) -> None:
        """Hand on one message from the wire."""
        if not self._closed:
            self._held.note(data)
            self._callback(data, self._now())

    def _open_line(self, place: System, name: str) -> Line:
        return place.virtual_input(name, self.received) if self.virtual else place.open_input(name, self.received)

    def _disconnect(self) -> None:
        """Let go of the keys that were down, as the player who lost the cable cannot."""
        super()._disconnect()
        for data in self._held.release():
            if not self._closed:
                self._callback(data, self._now())


class OutputPort(_Port):
    """A port that is sent to, from any thread; it knows what sounds there, and leaves silence."""

    inputs = False

    def __init__(self, wanted: str, places: Sequence[System] = (), wire: Wire | None = None) -> None:
        super().__init__(wanted, places)
        self.before: Listener | None = None  # is told all that will be sent: the loop filter
        self.guard: Listener | None = None  # is told of what may sound, at the latest when it does
        self._line: Wire | None = wire
        self._sending = (
            RLock()
        )  # one rtmidi port is not made for two threads; a loop inside the process comes back here
        self._sounding = Sounding()
        self._owed: list[bytes] = []  # what ends the notes that sounded when the connection was lost

    @classmethod
    def open(
        cls, wanted: str, api: str | None = None, *, wait: bool = False, places: Sequence[System] | None = None
    ) -> Self:
        """Send to the port of that name (or "virtual"); PortError without it, unless it is to be waited for.

        `places`: where it is looked for, if not on the machine's MIDI systems.
        """
        port = cls(wanted, systems(api) if places is None else places)
        _start(port, wait)
        return port

    @property
    def sounding(self) -> frozenset[tuple[int, int]]:
        """The (channel, key) pairs that have had a note-on and not yet a note-off."""
        with self._sending:
            return frozenset(self._sounding.keys)

    def send(self, event: Event, due_s: float | None = None) -> None:
        """Send one event. `due_s`: when it was to leave, for an output that sounds it at a constant delay."""
        self.send_bytes(to_bytes(event), due_s)

    def send_bytes(self, data: bytes, due_s: float | None = None) -> None:
        """Send one whole message; it is lost where nothing is connected."""
        with self._sending:
            self._send(data, due_s)

    def release(self) -> None:
        """End all that sounds here."""
        with self._sending:
            for data in self._sounding.ends():  # each is forgotten as it is sent: an interrupt loses none
                self._send(data)

    def panic(self) -> None:
        """Silence all sixteen channels, whoever made them sound."""
        self.release()
        for channel in range(CHANNELS):
            for controller, value in _PANIC:
                self.send(Control(controller, value, channel))

    def twin(self) -> OutputPort:
        """Open a second connection to the same place, for another thread; where that cannot be, it is this one."""
        if self.virtual or not self._places:
            return self
        twin = OutputPort(self.wanted, self._places)
        twin.before, twin.guard, twin.name = self.before, self.guard, self.name
        try:
            if self.connected:
                twin._connect(self.name)
        except PortError:
            return self
        return twin

    def close(self) -> None:
        """Leave silence, and end the connection for good; again does nothing."""
        if not self._closed:
            self.release()
        super().close()

    def _send(self, data: bytes, due_s: float | None = None) -> None:
        """Send while nobody else does; the guard hears of a note before it sounds, and of its end after."""
        if self._line is None:
            return
        if not is_channel_message(data):  # a clock's: nothing sounds by it, and it is nobody's echo
            self._line.send(data, due_s)
            return
        if self.before is not None:
            self.before(data)
        last = ends_note(data)
        if not last:
            self._told(data)
        self._line.send(data, due_s)
        if last:
            self._told(data)

    def _told(self, data: bytes) -> None:
        self._sounding.note(data)
        if self.guard is not None:
            self.guard(data)

    def _open_line(self, place: System, name: str) -> Wire:
        return place.virtual_output(name) if self.virtual else place.open_output(name)

    def _take(self, place: System, name: str) -> None:
        """Begin with what is still owed: the synth may have gone on sounding without us."""
        super()._take(place, name)
        owed, self._owed = self._owed, []
        for data in owed:
            self.send_bytes(data)

    def _disconnect(self) -> None:
        with self._sending:
            self._owed = self._sounding.release()
            super()._disconnect()


def _start(port: _Port, wait: bool) -> None:
    try:
        port._connect(port.wanted)
    except PortError:
        if not wait:
            raise


class Thru:
    """Sends on what the player plays, byte for byte, from the input's callback; clock and the like stay here."""

    def __init__(self, output: OutputPort, on: bool = True) -> None:
        self.output = output
        self.on = on

    def __call__(self, data: bytes) -> None:
        """Send one message on, if it is a whole channel message."""
        if self.on and is_channel_message(data):
            self.output.send_bytes(data)

    def switch(self, on: bool) -> None:
        """Turn it on or off; off, it ends what it has sent on."""
        self.on = on
        if not on:
            self.output.release()

    def close(self) -> None:
        """End what the player has down, and the connection."""
        self.on = False
        self.output.close()


def listing(api: str | None = None) -> str:
    """Return the ports as text for a person."""
    parts = (("inputs (--in)", list_inputs(api)), ("outputs (--out)", list_outputs(api)))
    return "\n".join(f"{title}:\n" + ("\n".join(f"  {name}" for name in names) or "  none") for title, names in parts)


def panic(wanted: str, api: str | None = None) -> str:
    """Silence a synth by every means MIDI has; returns the name of its port."""
    port = OutputPort.open(wanted, api)
    try:
        port.panic()
        for channel in range(CHANNELS):
            for key in range(MAX_DATA + 1):
                port.send(NoteOff(key, channel=channel))
                if key % 16 == 15:
                    sleep(_PANIC_PAUSE_S)
    finally:
        port.close()
    return port.name
