"""What the input callback leaves for the loop: a queue that is bounded, wakes the loop, and says when it has shed load.

The rule under a flood: where `CAPACITY` events wait, those that come are dropped, until the queue has been emptied;
then the loop is told, and releases every key. Knows neither ports nor music.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue

from livebach.music.events import Event

CAPACITY = 1024

Heard = tuple[Event, float]
"""An event, and when it reached us."""
Task = Callable[[], None]
"""Something that another thread wants done by the loop."""


class Inbox:
    """Many may put, one takes."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Heard | Task] = SimpleQueue()
        self._shedding = False
        self.shed = 0
        """How many messages were dropped."""

    def admits(self) -> bool:
        """Whether another message may come in; under a flood it is counted as dropped instead."""
        self._shedding = self._shedding or self._queue.qsize() >= CAPACITY
        self.shed += self._shedding
        return not self._shedding

    def hear(self, event: Event, time_s: float) -> None:
        """Leave an event."""
        self._queue.put((event, time_s))

    def ask(self, task: Task) -> None:
        """Leave something to do; never dropped, and safe to call from a signal's handler."""
        self._queue.put(task)

    def recover(self) -> bool:
        """True once after a flood, when all that was let in has been taken; events are let in again."""
        if not self._shedding or not self._queue.empty():
            return False
        self._shedding = False
        return True

    def take(self, timeout_s: float = 0.0) -> Heard | Task | None:
        """The next one, waiting so long for it; None where nothing came."""
        try:
            return self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
        except Empty:
            return None
