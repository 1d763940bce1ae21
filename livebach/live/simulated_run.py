"""A whole take without waiting: a score is played into the daemon on a clock that is moved by hand.

For tests and for `demo --fast`. Knows no real time and no port.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

from livebach.live.daemon import Daemon

Score = Iterable[tuple[float, bytes]]
"""MIDI messages and when they are played, in seconds, in order."""


class MovableClock(Protocol):
    """A clock that can be moved on."""

    def now(self) -> float:
        """The time, in seconds."""

    def sleep_until(self, deadline_s: float) -> None:
        """Be there at once."""


def rehearse(daemon: Daemon, clock: MovableClock, score: Score, until_s: float = math.inf) -> None:
    """Play a score to its end and go on until the daemon ends, nothing is left to do, or that time has come."""
    for time_s, data in score:
        _until(daemon, clock, time_s)
        if daemon.ending:
            return
        daemon.hear(data, time_s)
        daemon.turn()
    _until(daemon, clock, until_s)


def _until(daemon: Daemon, clock: MovableClock, time_s: float) -> None:
    """Do all that is due before a time, each at its deadline, and go there."""
    while not daemon.ending and (deadline_s := daemon.deadline_s()) < time_s:
        clock.sleep_until(deadline_s)
        daemon.turn()
    if math.isfinite(time_s):
        clock.sleep_until(time_s)
