"""Named MIDI ports: what comes in is handed on as it is; what goes out is known well enough to be ended.

A port outlives its connection: when the keyboard is unplugged or the JACK server dies it says so, and connects again
when the name is back (`check`, which `PortWatcher` calls). Knows which notes are active on it, and nothing of music.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from threading import Lock, RLock
from time import perf_counter, sleep
from typing import Self

from livebach.midi.active_notes import ActiveNotes, is_channel_message, is_note_off
from livebach.midi.backends import Backend, Connection, OutputConnection, open_backends
from livebach.midi.port_names import CLIENT, VIRTUAL, PortError, find_port, unnumbered
from livebach.music.events import CHANNELS, MAX_DATA, ControlChange, Event, NoteOff, to_bytes

__all__ = [
    "InputPort",
    "OutputPort",
    "PortError",
    "Thru",
    "find_port",
    "list_inputs",
    "list_outputs",
    "panic",
]

Callback = Callable[[bytes, float], None]
Listener = Callable[[bytes], None]

_PANIC = ((64, 0), (123, 0), (120, 0))  # pedal up, all notes off, all sound off
_PANIC_PAUSE_S = 0.001  # between sixteen note-offs and the next: no buffer on the way holds all of them


def list_inputs(api: str | None = None) -> list[str]:
    """Return the names of the ports that can be heard."""
    return [name for _, name in _Offer(open_backends(api), inputs=True).checked()]


def list_outputs(api: str | None = None) -> list[str]:
    """Return the names of the ports that can be sent to."""
    return [name for _, name in _Offer(open_backends(api), inputs=False).checked()]


class _Offer:
    """The ports of one direction that several back-ends have now, and why a back-end has none to offer."""

    def __init__(self, backends: Sequence[Backend], inputs: bool) -> None:
        self.running: list[Backend] = []
        self.ports: list[tuple[Backend, str]] = []
        self.troubles: list[str] = []
        for backend in backends:
            try:
                self.ports += [(backend, name) for name in backend.names(inputs)]
                self.running.append(backend)
            except PortError as trouble:
                self.troubles.append(str(trouble))

    def checked(self) -> list[tuple[Backend, str]]:
        """Return the ports; where no back-end runs, raise what each of them says."""
        if not self.running:
            raise PortError("; ".join(self.troubles) or "no MIDI back-end is installed")
        return self.ports

    def find(self, wanted: str, kind: str) -> tuple[Backend, str]:
        """Return the one port that `wanted` means; the PortError also names what does not run."""
        ports = self.checked()
        try:
            found = find_port([name for _, name in ports], wanted, kind)
        except PortError as error:
            raise PortError("; ".join([str(error), *self.troubles])) from None
        return next((backend, name) for backend, name in ports if name == found)

    def for_virtual(self) -> Backend:
        """Return the first back-end on which a port of our own can be made."""
        self.checked()
        for backend in self.running:
            if backend.virtual_ports:
                return backend
        raise PortError("; ".join([f"{self.running[0].name} has no virtual MIDI ports", *self.troubles]))


class Port(ABC):
    """What inputs and outputs have in common: a wanted name, and perhaps a connection to it."""

    inputs: bool

    def __init__(self, wanted: str, backends: Sequence[Backend] = ()) -> None:
        self.wanted = wanted
        self.name = wanted
        self._backends = backends
        self._backend: Backend | None = None
        self._connection: Connection | None = None
        self._closed = False
        self._changing = Lock()  # one change of the connection at a time

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None

    @property
    def virtual(self) -> bool:
        """Whether it is a port of our own, which others connect to."""
        return self.wanted == VIRTUAL

    def check(self) -> str | None:
        """Disconnect or connect again as the names say; a sentence when something has changed."""
        with self._changing:
            if self._closed or not self._backends:
                return None
            return self._check_back() if self._connection is None else self._check_there(self._connection)

    def close(self) -> None:
        """End the connection for good; again does nothing."""
        with self._changing:
            self._closed = True
            self._disconnect()

    def _check_there(self, connection: Connection) -> str | None:
        if connection.alive and (self.virtual or self.name in self._names()):
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
        offer = _Offer(self._backends, self.inputs)
        if self.virtual:
            self._take(offer.for_virtual(), f"{CLIENT} {'in' if self.inputs else 'out'}")
        else:
            self._take(*offer.find(wanted, self._kind))

    def _take(self, backend: Backend, name: str) -> None:
        connection = self._open_connection(backend, name)
        self._backend, self.name = backend, name
        self._connection = connection  # last: another thread that sees `connected` sees the new name too

    @abstractmethod
    def _open_connection(self, backend: Backend, name: str) -> Connection:
        """Connect to a port of a back-end."""

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _kind(self) -> str:
        return "MIDI input" if self.inputs else "MIDI output"

    def _names(self) -> list[str]:
        return [name for _, name in _Offer(self._backends, self.inputs).ports]


class InputPort(Port):
    """A port that is heard: each message goes to the callback, with the time it came, on the back-end's own thread."""

    inputs = True

    def __init__(
        self, wanted: str, callback: Callback, backends: Sequence[Backend] = (), now: Callable[[], float] = perf_counter
    ) -> None:
        super().__init__(wanted, backends)
        self._callback = callback
        self._now = now
        self._held = ActiveNotes()

    @classmethod
    def open(
        cls,
        wanted: str,
        api: str | None,
        callback: Callback,
        *,
        wait: bool = False,
        backends: Sequence[Backend] | None = None,
    ) -> Self:
        """Hear the port of that name (or "virtual").

        Args:
            wanted: The name or a part of it.
            api: The back-end to look at, as the table names it; None for all.
            callback: Takes each message and the time when it was played.
            wait: Whether the port may be missing now and come later.
            backends: Look here, not in the table.

        Raises:
            PortError: There is no such port, and it is not to be waited for.

        """
        port = cls(wanted, callback, open_backends(api) if backends is None else backends)
        _start(port, wait)
        return port

    def receive(self, data: bytes, time_s: float | None = None) -> None:
        """Hand on one message from the connection; without a time it was played now."""
        if not self._closed:
            self._held.update(data)
            self._callback(data, self._now() if time_s is None else time_s)

    def _open_connection(self, backend: Backend, name: str) -> Connection:
        return (
            backend.open_virtual_input(name, self.receive) if self.virtual else backend.open_input(name, self.receive)
        )

    def _disconnect(self) -> None:
        """Let go of the keys that were down, as the player who lost the cable cannot."""
        super()._disconnect()
        for data in self._held.release():
            if not self._closed:
                self._callback(data, self._now())


class OutputPort(Port):
    """A port that is sent to, from any thread; it knows which notes are active there, and leaves silence."""

    inputs = False

    def __init__(
        self, wanted: str, backends: Sequence[Backend] = (), connection: OutputConnection | None = None
    ) -> None:
        super().__init__(wanted, backends)
        self.before: Listener | None = None  # is told all that will be sent: the feedback filter
        self.guard: Listener | None = None  # is told of what may sound, at the latest when it does
        self._connection: OutputConnection | None = connection
        # One rtmidi port is not made for two threads; a loop inside the process comes back on the same one.
        self._sending = RLock()
        self._active = ActiveNotes()
        self._owed: list[bytes] = []  # what ends the notes that sounded when the connection was lost

    @classmethod
    def open(
        cls, wanted: str, api: str | None = None, *, wait: bool = False, backends: Sequence[Backend] | None = None
    ) -> Self:
        """Send to the port of that name (or "virtual"); the arguments and errors are those of `InputPort.open`."""
        port = cls(wanted, open_backends(api) if backends is None else backends)
        _start(port, wait)
        return port

    @property
    def needs_guard(self) -> bool:
        """Whether notes may go on sounding here when this process is killed."""
        backends = self._backends if self._backend is None else [self._backend]
        return not self.virtual and any(backend.needs_guard for backend in backends)

    @property
    def guarded_backends(self) -> list[str]:
        """The names of the back-ends on which a guard may have to look for this port."""
        return [backend.name for backend in self._backends if backend.needs_guard]

    @property
    def sounding(self) -> frozenset[tuple[int, int]]:
        """The (channel, key) pairs that have had a note-on and not yet a note-off."""
        with self._sending:
            return frozenset(self._active.keys)

    def send(self, event: Event, due_s: float | None = None) -> None:
        """Send one event.

        Args:
            event: The event.
            due_s: When it is to sound, in seconds of `time.perf_counter`; None for now.

        """
        self.send_bytes(to_bytes(event), due_s)

    def send_bytes(self, data: bytes, due_s: float | None = None) -> None:
        """Send one whole message; it is lost where nothing is connected."""
        with self._sending:
            self._send(data, due_s)

    def release(self) -> None:
        """End everything that sounds here."""
        with self._sending:
            for data in self._active.endings():  # each is forgotten as it is sent: an interrupt loses none
                self._send(data)

    def panic(self) -> None:
        """Silence all sixteen channels, no matter which program made them sound."""
        self.release()
        for channel in range(CHANNELS):
            for controller, value in _PANIC:
                self.send(ControlChange(controller, value, channel))

    def twin(self) -> OutputPort:
        """Open a second connection to the same port, for another thread; where that cannot be, return this one."""
        if self.virtual or not self._backends:
            return self
        twin = OutputPort(self.wanted, self._backends)
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
        """Send while no other thread does; the guard hears of a note before it sounds, and of its end after."""
        if self._connection is None:
            return
        if not is_channel_message(data):  # a clock's: nothing sounds by it, and no filter has to know it
            self._connection.send(data, due_s)
            return
        if self.before is not None:
            self.before(data)
        last = is_note_off(data)
        if not last:
            self._record(data)
        self._connection.send(data, due_s)
        if last:
            self._record(data)

    def _record(self, data: bytes) -> None:
        self._active.update(data)
        if self.guard is not None:
            self.guard(data)

    def _open_connection(self, backend: Backend, name: str) -> OutputConnection:
        return backend.open_virtual_output(name) if self.virtual else backend.open_output(name)

    def _take(self, backend: Backend, name: str) -> None:
        """Begin with what is still owed: the synth may have gone on sounding without us."""
        super()._take(backend, name)
        owed, self._owed = self._owed, []
        for data in owed:
            self.send_bytes(data)

    def _disconnect(self) -> None:
        with self._sending:
            self._owed = self._active.release()
            super()._disconnect()


def _start(port: Port, wait: bool) -> None:
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
