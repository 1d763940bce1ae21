"""Tap tempo: beats that somebody taps, and how fast they are. Is told the times; reads no clock."""

from __future__ import annotations

from collections import deque

FEWEST, MOST = 3, 8
SLOWEST_S, FASTEST_S = 3.0, 0.15
"""A beat that comes later begins anew (20 a minute); one that comes sooner is the same tap again (400 a minute)."""
UNEVEN = 1.4
"""So much longer or shorter than the beats before, it begins anew too: another tempo."""


class Taps:
    """Takes taps, says beats a minute."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MOST)

    def tap(self, time_s: float) -> float | None:
        """Beats a minute, once there are enough taps."""
        if self._times:
            since_s = time_s - self._times[-1]
            if since_s < FASTEST_S:
                return None
            if since_s > SLOWEST_S or not 1 / UNEVEN < since_s / (self._beat_s or since_s) < UNEVEN:
                self._times = deque(list(self._times)[-1:] if since_s <= SLOWEST_S else [], MOST)
        self._times.append(time_s)
        beat_s = self._beat_s
        return None if beat_s is None or len(self._times) < FEWEST else 60 / beat_s

    @property
    def _beat_s(self) -> float | None:
        """The mean beat."""
        return (self._times[-1] - self._times[0]) / (len(self._times) - 1) if len(self._times) > 1 else None
