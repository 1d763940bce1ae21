"""Notify systemd, or another supervisor that sets NOTIFY_SOCKET, that playing begins, goes on, and ends.

The protocol is that of sd_notify(3): datagrams to a local socket, sent without waiting. Nothing here listens.
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
"""The shortest time between two watchdog messages, in seconds."""


class Notifier:
    """Sends the notifications; without an address it does nothing."""

    def __init__(self, address: str | None, now: Callable[[], float] = monotonic) -> None:
        self._address = f"\0{address[1:]}" if address and address[0] == "@" else address
        self._now = now
        self._told_s = float("-inf")
        self._socket = _socket() if address else None

    def ready(self) -> None:
        """Notify that playing has begun."""
        self._tell("READY=1")

    def alive(self) -> None:
        """Notify that the loop still runs; call this on every turn of the loop."""
        if self._socket is not None and self._now() - self._told_s >= PERIOD_S:
            self._told_s = self._now()
            self._tell("WATCHDOG=1")

    def close(self) -> None:
        """Notify that playing ends, and close the socket; again does nothing."""
        self._tell("STOPPING=1")
        sender, self._socket = self._socket, None
        if sender is not None:
            sender.close()

    def _tell(self, text: str) -> None:
        if self._socket is not None and self._address:
            with suppress(OSError):  # the supervisor is gone, or does not keep up: the music goes on
                self._socket.sendto(text.encode(), self._address)


def _socket() -> socket | None:
    """Return a socket to send from; the module is loaded only when there is a supervisor."""
    from socket import SOCK_DGRAM, socket

    try:
        from socket import AF_UNIX
    except ImportError:  # not on Windows
        return None
    sender = socket(AF_UNIX, SOCK_DGRAM)
    sender.setblocking(False)
    return sender


def open_notifier() -> Notifier:
    """Return a notifier for the socket in the environment, and hide that socket from child processes."""
    return Notifier(os.environ.pop("NOTIFY_SOCKET", None))
