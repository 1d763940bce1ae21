"""A take without waiting: plays a score into the daemon on a clock that is moved by hand.

Serves tests and `demo --fast`. This module knows no real time and no port.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

from livebach.live.daemon import Daemon

Score = Iterable[tuple[float, bytes]]
"""MIDI messages with their times in seconds, in order."""


class MovableClock(Protocol):
    """A clock that is moved by hand."""

    def now(self) -> float:
        """Return the time in seconds."""

    def sleep_until(self, deadline_s: float) -> None:
        """Move to a time at once."""


def rehearse(daemon: Daemon, clock: MovableClock, score: Score, until_s: float = math.inf) -> None:
    """Play a score to its end, and go on until the daemon ends, nothing is due any more, or a time has come."""
    for time_s, data in score:
        _until(daemon, clock, time_s)
        if daemon.ending:
            return
        daemon.receive(data, time_s)
        daemon.turn()
    _until(daemon, clock, until_s)


def _until(daemon: Daemon, clock: MovableClock, time_s: float) -> None:
    """Carry out all that is due before a time, each at its deadline, and move to that time."""
    while not daemon.ending and (deadline_s := daemon.deadline_s()) < time_s:
        clock.sleep_until(deadline_s)
        daemon.turn()
    if math.isfinite(time_s):
        clock.sleep_until(time_s)
