"""Signals: Ctrl-C and the like end the loop, Ctrl-Z suspends it in silence, SIGUSR1 reloads the network."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep
from typing import Any, Protocol

from livebach.live.daemon import Daemon
from livebach.live.network_swap import Swapper
from livebach.midi.feedback_filter import FeedbackFilter, Verdict

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
SWAP = "SIGUSR1"
"""The signal that reloads the checkpoint's file."""
_SUSPEND, _CONTINUE = "SIGTSTP", "SIGCONT"
_DELIVERY_S = 0.06  # time until sent events have left: JACK and the built-in sound need this process until then
_STALE_S = 0.05  # events that came in while the process was stopped arrive all at once, and are not played


class OnTerminal(Protocol):
    """An object that has changed the terminal, or draws on it."""

    def suspend(self) -> None:
        """Restore the terminal. A second call does nothing."""

    def resume(self) -> None:
        """Use the terminal again, unless this process is in its background. A second call does nothing."""


class Stage:
    """Gives the input's callback and the signal handlers access to the daemon, once it exists."""

    def __init__(self) -> None:
        self.daemon: Daemon | None = None
        self.swapper: Swapper | None = None
        self.feedback = FeedbackFilter()
        self.send_probe: Callable[[bytes], None] = lambda data: None
        """Sends a message of the feedback filter's to the output."""
        self.on_terminal: list[OnTerminal] = []
        self._suspended = False

    def receive(self, data: bytes, time_s: float) -> None:
        """Pass on a message of the player's; before the daemon exists, drop it."""
        if self.daemon is None or self._suspended:
            return
        verdict = self.feedback.judge(data, time_s)
        if verdict is Verdict.PLAYER:
            self.daemon.receive(data, time_s)
        elif verdict is Verdict.LOOP_FOUND:
            self.daemon.release_player()
        self.probe(time_s)

    def probe(self, now_s: float) -> None:
        """Send the messages with which the feedback filter detects a loop, if any are due."""
        for data in self.feedback.probe(now_s):
            self.send_probe(data)

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Handle signals as described above within the context, and as before afterwards."""
        handlers: dict[str, Callable[[int, Any], None]] = dict.fromkeys(SIGNALS, self._end)
        handlers |= {SWAP: self._swap, _SUSPEND: self._suspend, _CONTINUE: self._continue}
        here = {getattr(signal, name): handler for name, handler in handlers.items() if hasattr(signal, name)}
        before = {number: signal.signal(number, handler) for number, handler in here.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _swap(self, _number: int, _frame: Any) -> None:
        if self.swapper is not None:
            self.swapper.ask()

    def _suspend(self, _number: int, _frame: Any) -> None:
        self._suspended = True
        if self.daemon is None:
            self._stop()
        else:
            self.daemon.ask(self._stop)

    def _stop(self) -> None:
        """Stop the process in silence, with the terminal restored. Return when the process has been continued."""
        if self.daemon is not None:
            self.daemon.silence()
        for part in self.on_terminal:
            part.suspend()
        sleep(_DELIVERY_S)
        os.kill(os.getpid(), signal.SIGSTOP)  # SIGTSTP would not stop a process without a shell
        sleep(_STALE_S)
        self._suspended = False
        self._continue()

    def _continue(self, *_: Any) -> None:
        """Use the terminal again after `fg`; `bg` sends this signal too, but leaves the terminal to the shell."""
        if not self._suspended:
            for part in self.on_terminal:
                part.resume()

    def _end(self, _number: int, _frame: Any) -> None:
        if self.daemon is None:
            raise KeyboardInterrupt
        self.daemon.end()
