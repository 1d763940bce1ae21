"""Leads the network out of a loop: a figure that it plays over and over with few changes.

A network that hears its own loop expects it to go on, ever more surely. It keeps its rhythm here, but not its keys: for
about a bar no key is struck that was struck two bars before at the same place. This module knows no time but ticks.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import ONSET, Frame

BARS = 2
MOST_TIMES = 2
"""Length of the passages that are compared, in bars, and how often one may be played in a row."""
UNLIKE = 2
"""Number of strokes as two bars before that one other stroke outweighs."""


class Loop:
    """Judges whether the network's part repeats itself, within one turn."""

    def __init__(self, bar_ticks: int) -> None:
        self._past: deque[NDArray[np.bool_]] = deque(maxlen=BARS * bar_ticks)  # the keys struck
        self._strokes = 0  # number of ticks among these with any key struck
        self._alike = 0  # number of strokes as two bars before; another stroke takes UNLIKE of them
        self._breaking = False

    def observe(self, part: Frame) -> None:
        """Take in the network's part [88] of a tick."""
        struck = part == ONSET
        if len(self._past) == self._past.maxlen:
            before = self._past[0]
            self._strokes -= bool(before.any())
            if struck.any() or before.any():
                same = np.array_equal(struck, before)
                self._alike = self._alike + 1 if same else max(0, self._alike - UNLIKE)
        self._past.append(struck)
        self._strokes += bool(struck.any())
        self._breaking = self._alike > (0 if self._breaking else (MOST_TIMES - 1) * self._strokes)

    @property
    def worn(self) -> NDArray[np.bool_] | None:
        """The keys [88] that should not be struck on the coming tick, so that a loop ends; None for no such key."""
        return self._past[0] if self._breaking and self._past[0].any() else None
