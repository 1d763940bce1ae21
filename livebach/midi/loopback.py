"""Ports and connections inside this process: for tests, and for playing without MIDI.

Knows nothing of rtmidi: what is sent arrives at once, on the sender's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from livebach.midi.ports import InputPort, OutputPort
from livebach.music.events import Event, from_bytes


class FakePort(OutputPort):
    """A port inside this process: what is sent to it is kept, and reaches every input opened on it."""

    def __init__(self, name: str = "fake", now: Callable[[], float] = perf_counter) -> None:
        super().__init__(name, connection=FakeConnection(self._arrived))
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
        """Return what was sent, as events, without the times."""
        return [event for _, data in self.sent if (event := from_bytes(data)) is not None]

    def _arrived(self, data: bytes) -> None:
        self.sent.append((self._now(), data))
        for port in tuple(self._inputs):
            port.receive(data)


@dataclass
class FakeConnection:
    """A connection that hands on what is sent, until it is closed; a test unsets `alive` as a server that died does."""

    receive: Callable[[bytes], None]
    alive: bool = True
    closed: int = 0

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Send one message."""
        if self.alive and not self.closed:
            self.receive(data)

    def close(self) -> None:
        """Count the closings."""
        self.closed += 1
