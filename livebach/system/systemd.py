"""Tells systemd, or whatever else has set NOTIFY_SOCKET, that playing has begun, goes on, and ends.

A datagram to a socket of this machine, never waited for. The only module that knows sockets; nothing here listens.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

PERIOD_S = 1.0
"""How often it is said, at most, that the loop turns."""


class Notifier:
    """One who is told; nobody where there is no address."""

    def __init__(self, address: str | None, now: Callable[[], float] = monotonic) -> None:
        self._address = f"\0{address[1:]}" if address and address[0] == "@" else address
        self._now = now
        self._told_s = float("-inf")
        self._socket = _socket() if address else None

    def ready(self) -> None:
        """Playing has begun."""
        self._tell("READY=1")

    def alive(self) -> None:
        """The loop has turned. May be called as often as it does."""
        if self._socket is not None and self._now() - self._told_s >= PERIOD_S:
            self._told_s = self._now()
            self._tell("WATCHDOG=1")

    def close(self) -> None:
        """It ends; again does nothing."""
        self._tell("STOPPING=1")
        sender, self._socket = self._socket, None
        if sender is not None:
            sender.close()

    def _tell(self, text: str) -> None:
        if self._socket is not None and self._address:
            with suppress(OSError):  # whoever listened is gone, or does not keep up: the music goes on
                self._socket.sendto(text.encode(), self._address)


def _socket() -> socket | None:
    """Where to tell from; loaded only where somebody wants to be told."""
    from socket import SOCK_DGRAM, socket

    try:
        from socket import AF_UNIX
    except ImportError:  # not on Windows
        return None
    sender = socket(AF_UNIX, SOCK_DGRAM)
    sender.setblocking(False)
    return sender


def open_notifier() -> Notifier:
    """Whoever the environment names; the processes that we start are not to speak for us."""
    return Notifier(os.environ.pop("NOTIFY_SOCKET", None))
