"""The musical grid: the tick at a time, the time of a tick, and its place in the bar.

All times are absolute seconds: a deadline is `origin + n * tick`, so rounding errors do not add up and the grid does
not drift. Reads no clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from livebach.music.metre import Metre

Place = tuple[int, int, int]
"""The place of a tick: (tick in the bar, length of a beat, length of a bar), all in ticks."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick: its position in quarter notes from the first downbeat, its time, and the length of a quarter note."""

    quarters: float
    time_s: float
    quarter_s: float


@dataclass(frozen=True, slots=True)
class Grid:
    """Ticks of equal length from an origin; tick 0 is a downbeat, and ticks before it are negative."""

    origin_s: float
    tick_s: float
    beat_ticks: int
    bar_ticks: int
    closes: float = 0.5
    """The part of a tick after which its frame is final: a key that is struck later is the next tick's."""

    @classmethod
    def of(cls, bpm: float, metre: Metre, steps_per_quarter: int, origin_s: float = 0.0) -> Grid:
        """Return a grid of `bpm` beats a minute; the beat is that of the metre (in 6/8 a dotted quarter)."""
        beat = metre.beat_ticks(steps_per_quarter)
        return cls(origin_s, 60.0 / (bpm * beat), beat, metre.bar_ticks(steps_per_quarter))

    def time_s(self, tick: int) -> float:
        """Return the time at which a tick sounds."""
        return self.origin_s + tick * self.tick_s

    def close_s(self, tick: int) -> float:
        """Return the time at which the frame of a tick is final; what follows is the next tick's."""
        return self.origin_s + (tick + self.closes) * self.tick_s

    def nearest(self, time_s: float) -> int:
        """Return the nearest tick to a time."""
        return math.floor((time_s - self.origin_s) / self.tick_s + 0.5)

    def place(self, tick: int) -> Place:
        """Return the place of a tick in the bar."""
        return tick % self.bar_ticks, self.beat_ticks, self.bar_ticks

    def on_beat(self, tick: int) -> bool:
        """Return whether a beat starts on a tick."""
        return tick % self.bar_ticks % self.beat_ticks == 0

    def on_downbeat(self, tick: int) -> bool:
        """Return whether a bar starts on a tick."""
        return tick % self.bar_ticks == 0

    def next_downbeat(self, tick: int) -> int:
        """Return the first downbeat at or after a tick."""
        return -(-tick // self.bar_ticks) * self.bar_ticks

    def count(self, tick: int) -> tuple[int, int]:
        """Return bar and beat as musicians count them, from 1; the bars of a count-in are 0, -1 and so on."""
        return tick // self.bar_ticks + 1, tick % self.bar_ticks // self.beat_ticks + 1

    def at_tempo(self, bpm: float, tick: int) -> Grid:
        """Return the grid at another tempo from a tick on; the time of that tick stays."""
        return replace(self, tick_s=60.0 / (bpm * self.beat_ticks)).moved(tick, self.time_s(tick))

    def moved(self, tick: int, time_s: float) -> Grid:
        """Return the grid shifted so that a tick sounds at a time."""
        return replace(self, origin_s=time_s - tick * self.tick_s)
