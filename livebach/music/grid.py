"""The musical grid: which tick it is at a time, when a tick sounds, and its place in the bar.

Plain arithmetic on absolute seconds: every deadline is `origin + n * tick`, so nothing adds up and nothing drifts.
Reads no clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from livebach.music.metre import Metre

Place = tuple[int, int, int]
"""Where a tick stands: (tick in the bar, beat length, bar length), all in ticks."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick that was played by: its place, in quarter notes from the first downbeat on, its time, and a quarter's."""

    quarters: float
    time_s: float
    quarter_s: float


@dataclass(frozen=True, slots=True)
class Grid:
    """Ticks of equal length from an origin on; tick 0 is a downbeat, ticks before it are negative."""

    origin_s: float
    tick_s: float
    beat_ticks: int
    bar_ticks: int

    @classmethod
    def of(cls, bpm: float, metre: Metre, steps_per_quarter: int, origin_s: float = 0.0) -> Grid:
        """A grid of `bpm` beats a minute, a beat as the metre has it (in 6/8 a dotted quarter)."""
        beat = metre.beat_ticks(steps_per_quarter)
        return cls(origin_s, 60.0 / (bpm * beat), beat, metre.bar_ticks(steps_per_quarter))

    def time_s(self, tick: int) -> float:
        """When a tick sounds."""
        return self.origin_s + tick * self.tick_s

    def close_s(self, tick: int) -> float:
        """When a tick's frame is final: half a tick after it sounds. What comes at that instant is the next tick's."""
        return self.origin_s + (tick + 0.5) * self.tick_s

    def nearest(self, time_s: float) -> int:
        """The tick that a time rounds to."""
        return math.floor((time_s - self.origin_s) / self.tick_s + 0.5)

    def place(self, tick: int) -> Place:
        """A tick's place in the metre."""
        return tick % self.bar_ticks, self.beat_ticks, self.bar_ticks

    def on_beat(self, tick: int) -> bool:
        """Whether a beat starts on this tick."""
        return tick % self.bar_ticks % self.beat_ticks == 0

    def on_downbeat(self, tick: int) -> bool:
        """Whether a bar starts on this tick."""
        return tick % self.bar_ticks == 0

    def next_downbeat(self, tick: int) -> int:
        """The first downbeat that is not before this tick."""
        return -(-tick // self.bar_ticks) * self.bar_ticks

    def count(self, tick: int) -> tuple[int, int]:
        """Bar and beat as musicians count them, from 1; the bars of a count-in are 0, -1 and so on."""
        return tick // self.bar_ticks + 1, tick % self.bar_ticks // self.beat_ticks + 1

    def at_tempo(self, bpm: float, tick: int) -> Grid:
        """The same grid at another tempo from this tick on, which stays where it is."""
        return replace(self, tick_s=60.0 / (bpm * self.beat_ticks)).moved(tick, self.time_s(tick))

    def moved(self, tick: int, time_s: float) -> Grid:
        """The same grid, shifted so that this tick sounds at this time."""
        return replace(self, origin_s=time_s - tick * self.tick_s)
