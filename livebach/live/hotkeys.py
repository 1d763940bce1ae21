"""The terminal's keys while playing: each is a command. Where there is no terminal to read, there are none."""

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
    """Reads a terminal's keys on a thread of its own until it is closed; the terminal is then as it was."""

    def __init__(self, fd: int, command: Callable[[Command], None]) -> None:
        self._fd = fd
        self._command = command
        self._closed = threading.Event()
        self._before = termios.tcgetattr(fd)
        tty.setcbreak(fd, termios.TCSADRAIN)
        self._thread = threading.Thread(target=self._work, name="livebach-keys", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # a terminal that has gone away has no keys
            while not self._closed.is_set():
                if select.select([self._fd], [], [], POLL_S)[0]:
                    data = os.read(self._fd, 64)
                    if not data:
                        return
                    self._press(data.decode("utf-8", "ignore"))

    def _press(self, text: str) -> None:
        if not text.startswith("\x1b"):  # an arrow key and the like are several characters, and no command
            for key in text:
                if key in KEYS:
                    self._command(KEYS[key])

    def close(self) -> None:
        """Give the terminal back; again does nothing."""
        if not self._closed.is_set():
            self._closed.set()
            self._thread.join()
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)


class NoHotkeys:
    """No terminal."""

    def close(self) -> None:
        """Nothing to give back."""


def open_hotkeys(command: Callable[[Command], None], stream: TextIO | None = None) -> Hotkeys | NoHotkeys:
    """Read the keys of this terminal, where it is one, and ours: a job in the background leaves it alone."""
    stream = sys.stdin if stream is None else stream
    try:
        fd = stream.fileno()
        if "termios" in globals() and os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp():
            return Hotkeys(fd, command)
    except (OSError, ValueError, AttributeError):
        pass
    return NoHotkeys()
