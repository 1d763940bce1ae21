"""Watches the names of the ports, since no MIDI system reports what is unplugged.

Knows no system: it asks each port to look after itself, on a thread of its own, and passes on what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event, Thread
from typing import Protocol

PERIOD_S = 0.5


class Watched(Protocol):
    """Something that can look after its own connection."""

    def check(self) -> str | None:
        """Connect or disconnect as need be; a sentence when something has changed."""


class PortWatcher:
    """Has ports look after themselves, twice a second; `say` gets the sentences, on this watcher's thread."""

    def __init__(self, ports: Iterable[Watched], say: Callable[[str], None], period_s: float = PERIOD_S) -> None:
        self._ports = list(dict.fromkeys(ports))
        self._say = say
        self._period_s = period_s
        self._ended = Event()
        self._thread = Thread(target=self._run, name="livebach-watcher", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def check(self) -> None:
        """Look once; what two connections of one port say alike is said once."""
        for sentence in dict.fromkeys(sentence for port in self._ports if (sentence := port.check())):
            self._say(sentence)

    def close(self) -> None:
        """End it; again does nothing. Closing comes before the ports are closed."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._period_s)

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            self.check()
