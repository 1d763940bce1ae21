"""How much of a tick its work takes. Pure: it is told what was spent."""

from __future__ import annotations

from dataclasses import replace

from livebach.status import Status


class TickLoad:
    """Adds up what is spent on the open tick; a status shows that of the tick before."""

    def __init__(self) -> None:
        self._place = (0, 0, 0)
        self._spent_s = 0.0
        self._share = 0.0

    def shown(self, status: Status, spent_s: float) -> Status:
        """The status after so much more was spent, with the share that the last whole tick took."""
        self._spent_s += spent_s
        place = (status.bar, status.beat, status.tick)
        if place != self._place:
            self._share = self._spent_s / status.tick_s if status.tick_s else 0.0
            self._place, self._spent_s = place, 0.0
        return replace(status, load=self._share)
