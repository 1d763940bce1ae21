"""The clock: the time now, and sleeping until a given time.

This module knows nothing of music: times are seconds of one monotonic clock.
"""

from __future__ import annotations

from time import perf_counter, sleep

SPIN_S = 0.0005  # a sleep may end this late: the rest of the wait is spent awake


class Clock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Return the time in seconds."""
        return perf_counter()

    def sleep_until(self, deadline_s: float) -> None:
        """Sleep until shortly before a time, then spin; return at once when the time is past."""
        rest_s = deadline_s - perf_counter() - SPIN_S
        if rest_s > 0:
            sleep(rest_s)
        while perf_counter() < deadline_s:
            pass


class ManualClock:
    """A clock that moves only when a test advances it, or during a sleep on it."""

    def __init__(self, start_s: float = 0.0) -> None:
        self.time_s = start_s

    def now(self) -> float:
        """Return the time in seconds."""
        return self.time_s

    def sleep_until(self, deadline_s: float) -> None:
        """Move to a time without waiting; a time that is past changes nothing."""
        self.time_s = max(self.time_s, deadline_s)

    def advance(self, by_s: float) -> None:
        """Move forward by some seconds."""
        self.time_s += by_s
