"""Signals: Ctrl-C and the like end the loop, SIGUSR1 reloads the network."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from livebach.live.daemon import Daemon
from livebach.live.network_swap import Swapper
from livebach.midi.feedback_filter import FeedbackFilter, Verdict

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


SWAP = "SIGUSR1"
"""Has the checkpoint's file taken up anew."""


class Stage:
    """Where the input's callback and the signals find the daemon, once there is one."""

    def __init__(self) -> None:
        self.daemon: Daemon | None = None
        self.swapper: Swapper | None = None
        self.feedback = FeedbackFilter()
        self.send_probe: Callable[[bytes], None] = lambda data: None
        """Sends a message of the feedback filter's to the output."""
        self.ended = False
        """Whether a signal has asked for the end."""

    def hear(self, data: bytes, time_s: float) -> None:
        """Hand on a message that is the player's; before there is a daemon, nobody listens."""
        if self.daemon is None:
            return
        verdict = self.feedback.judge(data, time_s)
        if verdict is Verdict.PLAYER:
            self.daemon.hear(data, time_s)
        elif verdict is Verdict.LOOP_FOUND:
            self.daemon.release_player()
        self.probe(time_s)

    def probe(self, now_s: float) -> None:
        """Send what the feedback filter needs to find out whether there is a loop; mostly nothing."""
        for data in self.feedback.probe(now_s):
            self.send_probe(data)

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """While this lasts, Ctrl-C and the like end the loop, also twice; afterwards they do what they did before."""
        numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        before = [signal.signal(number, self._end) for number in numbers]
        if hasattr(signal, SWAP):
            numbers.append(getattr(signal, SWAP))
            before.append(signal.signal(numbers[-1], self._swap))
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _swap(self, _number: int, _frame: Any) -> None:
        if self.swapper is not None:
            self.swapper.ask()

    def _end(self, _number: int, _frame: Any) -> None:
        self.ended = True
        if self.daemon is None:
            raise KeyboardInterrupt
        self.daemon.end()
