"""Reads the terminal's keys while livebach plays: each key is a command. Without a terminal there are no keys."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from livebach.controls import Command, hotkey_help, hotkeys

try:
    import termios
    import tty
except ImportError:  # Windows
    pass

KEYS = hotkeys()
HELP = "Keys: " + ", ".join(hotkey_help())
POLL_S = 0.2


class Hotkeys:
    """Reads a terminal's keys on a thread until it is closed; then the terminal is as it was before."""

    def __init__(self, fd: int, command: Callable[[Command], None]) -> None:
        self._fd = fd
        self._command = command
        self._closed = threading.Event()
        self._taken = threading.Event()  # while the terminal is ours
        self._before = termios.tcgetattr(fd)
        tty.setcbreak(fd, termios.TCSADRAIN)
        self._taken.set()
        self._thread = threading.Thread(target=self._work, name="livebach-keys", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # a terminal that has gone away has no keys
            while not self._closed.is_set():
                if not self._taken.wait(POLL_S):  # a read in the background would stop the process
                    continue
                if select.select([self._fd], [], [], POLL_S)[0] and self._taken.is_set():
                    data = os.read(self._fd, 64)
                    if not data:
                        return
                    self._press(data.decode("utf-8", "ignore"))

    def _press(self, text: str) -> None:
        if not text.startswith("\x1b"):  # an arrow key and the like are several characters, and no command
            for key in text:
                if key in KEYS:
                    self._command(KEYS[key])

    def suspend(self) -> None:
        """Give the terminal back for a while: it is as it was, and no key is read. Again does nothing."""
        if self._taken.is_set():
            self._taken.clear()
            with contextlib.suppress(termios.error):  # a terminal that has gone away
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)

    def resume(self) -> None:
        """Take the terminal again, unless this process is in its background. Again does nothing."""
        if not self._taken.is_set() and not self._closed.is_set() and in_foreground(self._fd):
            with contextlib.suppress(termios.error):
                self._before = termios.tcgetattr(self._fd)
                tty.setcbreak(self._fd, termios.TCSANOW)
                self._taken.set()

    def close(self) -> None:
        """Give the terminal back for good; again does nothing."""
        if not self._closed.is_set():
            self._closed.set()
            self._thread.join()
            self.suspend()


class NoHotkeys:
    """Stands in where there is no terminal."""

    def suspend(self) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def open_hotkeys(command: Callable[[Command], None], stream: TextIO | None = None) -> Hotkeys | NoHotkeys:
    """Read the keys of a terminal if there is one and this process is in its foreground."""
    stream = sys.stdin if stream is None else stream
    try:
        fd = stream.fileno()
        if "termios" in globals() and os.isatty(fd) and in_foreground(fd):
            return Hotkeys(fd, command)
    except (OSError, ValueError, AttributeError):
        pass
    return NoHotkeys()


def in_foreground(fd: int) -> bool:
    """Return whether this process may read the terminal; one in the background is stopped if it tries."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
