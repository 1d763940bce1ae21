"""Two bars that come again and again: a network alone may settle on them for good. Knows frames; no network."""

from __future__ import annotations

from collections import deque

import numpy as np

from livebach.roll import ONSET, Frame

BARS = 2
MOST_TIMES = 3
"""In a row. Bach writes nothing of two bars more often."""


class RepeatWatch:
    """Follows what a network plays of itself, from the beginning of its turn on."""

    def __init__(self, bar_ticks: int) -> None:
        self._period = BARS * bar_ticks
        self._past: deque[bytes] = deque(maxlen=self._period)
        self._same = 0  # so many ticks on end were those of two bars before

    def hear(self, part: Frame) -> None:
        """Take in what the network played on a tick, [88]."""
        self._same = self._same + 1 if self._again(part) else 0
        self._past.append(part.tobytes())

    def against(self, part: Frame) -> int | None:
        """The key (0..87) that it must not strike, if its part of the coming tick is to be [88]; None: it may be."""
        struck = np.flatnonzero(part == ONSET)
        enough = self._same >= (MOST_TIMES - 1) * self._period
        return int(struck[-1]) if enough and len(struck) and self._again(part) else None

    def _again(self, part: Frame) -> bool:
        return len(self._past) == self._period and self._past[0] == part.tobytes()
