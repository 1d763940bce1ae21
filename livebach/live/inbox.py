"""The inbox of the loop: a bounded queue of events and tasks that other threads fill, and the loop empties.

When `CAPACITY` entries wait, new events are dropped and counted until the queue is empty; then the loop is told, and
releases every key. This module knows neither ports nor music.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue

from livebach.music.events import Event

CAPACITY = 1024

Heard = tuple[Event, float]
"""An event, and the time at which it was received, in seconds."""
Task = Callable[[], None]
"""A function that another thread has the loop call."""


class Inbox:
    """A queue with many writers and one reader."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Heard | Task] = SimpleQueue()
        self._shedding = False
        self.shed = 0
        """The number of dropped messages."""

    def admits(self) -> bool:
        """Return whether there is room for another message; count it as dropped if there is none."""
        self._shedding = self._shedding or self._queue.qsize() >= CAPACITY
        self.shed += self._shedding
        return not self._shedding

    def put(self, event: Event, time_s: float) -> None:
        """Add an event that was received at a time in seconds."""
        self._queue.put((event, time_s))

    def put_task(self, task: Task) -> None:
        """Add a task. Tasks are never dropped. Safe to call from a signal handler."""
        self._queue.put(task)

    def recover(self) -> bool:
        """Return True once after a flood, when the queue is empty; events are accepted again."""
        if not self._shedding or not self._queue.empty():
            return False
        self._shedding = False
        return True

    def take(self, timeout_s: float = 0.0) -> Heard | Task | None:
        """Return the next entry, or None if none comes within the timeout in seconds."""
        try:
            return self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
        except Empty:
            return None
