"""Ports and a clock inside this process: for tests, and for playing without MIDI.

Knows nothing of rtmidi: what is sent arrives at once, on the sender's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from livebach.events import Event, from_bytes
from livebach.ports import InputPort, OutputPort, PortError


class ManualClock:
    """A clock that moves only when it is told to, or slept on."""

    def __init__(self, start_s: float = 0.0) -> None:
        self.time_s = start_s

    def now(self) -> float:
        """The time in seconds."""
        return self.time_s

    def sleep_until(self, deadline_s: float) -> None:
        """Be there at once; a time that is past changes nothing."""
        self.time_s = max(self.time_s, deadline_s)

    def advance(self, by_s: float) -> None:
        """Move on."""
        self.time_s += by_s


class FakePort(OutputPort):
    """A port inside this process: what is sent to it is kept, and reaches every input opened on it."""

    def __init__(self, name: str = "fake", now: Callable[[], float] = perf_counter) -> None:
        super().__init__(name, wire=FakeWire(self._arrived))
        self.sent: list[tuple[float, bytes]] = []
        self._now = now
        self._inputs: list[InputPort] = []

    def open_input(self, callback: Callable[[bytes, float], None]) -> InputPort:
        """Hear what is sent here, as a program hears its keyboard."""
        port = InputPort(self.name, callback, now=self._now)
        self._inputs.append(port)
        return port

    def connect(self, other: OutputPort) -> None:
        """Lay a cable: what is sent here is sent on to the other port."""
        self.open_input(lambda data, _: other.send_bytes(data))

    def events(self) -> list[Event]:
        """What was sent, as events, without the times."""
        return [event for _, data in self.sent if (event := from_bytes(data)) is not None]

    def _arrived(self, data: bytes) -> None:
        self.sent.append((self._now(), data))
        for port in tuple(self._inputs):
            port.received(data)


@dataclass
class FakeWire:
    """A line that hands on what is sent, until it is closed; `alive` may be unset, as by a server that died."""

    received: Callable[[bytes], None]
    alive: bool = True
    closed: int = 0

    def send(self, data: bytes) -> None:
        """Send one message."""
        if self.alive and not self.closed:
            self.received(data)

    def close(self) -> None:
        """Count the closings."""
        self.closed += 1


@dataclass
class FakeSystem:
    """A place with ports that come and go: its lists of names may be changed at any time."""

    api: str = "fake"
    running: bool = True
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    lines: dict[str, FakeWire] = field(default_factory=dict)  # the line opened last on each name
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    def names(self, inputs: bool) -> list[str]:
        """The ports of one kind."""
        if not self.running:
            raise PortError("no fake server is running")
        return list(self.inputs if inputs else self.outputs)

    def open_input(self, name: str, received: Callable[[bytes], None]) -> FakeWire:
        """Hear a port; what is sent on the line in `lines` is what it plays."""
        return self._line(name, self.inputs, received)

    def open_output(self, name: str) -> FakeWire:
        """Send to a port; it arrives in `sent`."""
        return self._line(name, self.outputs, lambda data: self.sent.append((name, data)))

    def virtual_input(self, title: str, received: Callable[[bytes], None]) -> FakeWire:
        """Make a port that others may send to."""
        return self._line(title, [title], received)

    def virtual_output(self, title: str) -> FakeWire:
        """Make a port that others may hear."""
        return self._line(title, [title], lambda data: self.sent.append((title, data)))

    def _line(self, name: str, there: list[str], received: Callable[[bytes], None]) -> FakeWire:
        if name not in there:
            raise PortError(f"no port {name!r}")
        self.lines[name] = FakeWire(received)
        return self.lines[name]
