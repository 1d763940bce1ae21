"""Tap tempo: measures the tempo of tapped beats. The caller gives the times; this module reads no clock."""

from __future__ import annotations

from collections import deque

FEWEST, MOST = 3, 8
SLOWEST_S, FASTEST_S = 3.0, 0.15
"""Seconds between taps. A later tap begins a new series (20 a minute); an earlier one is a bounce (400 a minute)."""
UNEVEN = 1.4
"""Ratio to the mean beat from which a longer or shorter beat begins a new series."""


class Taps:
    """Measures the tempo of taps."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MOST)

    def tap(self, time_s: float) -> float | None:
        """Take in a tap at a time in seconds; return beats per minute, or None until there are enough taps."""
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
        """The mean beat in seconds."""
        return (self._times[-1] - self._times[0]) / (len(self._times) - 1) if len(self._times) > 1 else None
