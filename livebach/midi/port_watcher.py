"""Checks the ports regularly, because no MIDI system reports unplugged devices.

A thread calls `check` of each port, and passes the sentences on that they return. Knows no MIDI system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event, Thread
from typing import Protocol

PERIOD_S = 0.5


class Watched(Protocol):
    """Something with a regular check, such as a port with its connection."""

    def check(self) -> str | None:
        """Do what is needed, such as connecting again; return a sentence if something has changed."""


class PortWatcher:
    """Checks ports twice a second; `say` gets the sentences, on the watcher's thread."""

    def __init__(self, ports: Iterable[Watched], say: Callable[[str], None], period_s: float = PERIOD_S) -> None:
        self._ports = list(dict.fromkeys(ports))
        self._say = say
        self._period_s = period_s
        self._ended = Event()
        self._thread = Thread(target=self._run, name="livebach-watcher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def check(self) -> None:
        """Check each port once; a sentence that two connections of one port return is passed on once."""
        for sentence in dict.fromkeys(sentence for port in self._ports if (sentence := port.check())):
            self._say(sentence)

    def close(self) -> None:
        """End the thread, before the ports are closed; again does nothing."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._period_s)

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            self.check()
