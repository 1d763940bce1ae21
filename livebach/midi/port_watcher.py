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
        self._troubles: dict[Watched, str] = {}
        self._ended = Event()
        self._thread = Thread(target=self._run, name="livebach-watcher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def check(self) -> None:
        """Check each port once; a sentence that two connections of one port return is passed on once."""
        for sentence in dict.fromkeys(sentence for port in self._ports if (sentence := self._sentence_of(port))):
            self._say(sentence)

    def _sentence_of(self, port: Watched) -> str | None:
        """Have one port look after itself; an error of it is said once, and the others are still watched."""
        try:
            return port.check()
        except Exception as error:  # noqa: BLE001 - an error that is not told here would end the watching unnoticed
            text = f"{type(error).__name__}: {error}"
            new, self._troubles[port] = self._troubles.get(port) != text, text
            return f"{getattr(port, 'name', 'a watched part')}: {text}" if new else None

    def close(self) -> None:
        """End the thread, before the ports are closed; again does nothing."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._period_s)

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            self.check()
