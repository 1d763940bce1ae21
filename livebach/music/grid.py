"""The musical grid: the tick at a time, the time of a tick, and its place in the bar.

All times are absolute seconds: a deadline is `origin + n * tick`, so rounding errors do not add up and the grid does
not drift. Reads no clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from livebach.music.metre import Metre

Place = tuple[int, int, int]
"""The place of a tick: (tick in the bar, length of a beat, length of a bar), all in ticks."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick of the music that was played.

    Attributes:
        quarters: Its position in quarter notes from the first downbeat.
        time_s: Its time.
        quarter_s: The length of a quarter note.
        metre: The metre; None for that of the settings.
        since: Where that metre begins, in quarter notes from the first downbeat.
        bar: The number of the bar that begins on it; None where none does.

    """

    quarters: float
    time_s: float
    quarter_s: float
    metre: Metre | None = None
    since: float = 0.0
    bar: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Grid:
    """Ticks of equal length from an origin; tick 0 is a downbeat, and ticks before it are negative.

    After a change of metre another tick is the downbeat from which the bars are counted. After a part of a tick its
    frame is final: a key that is struck later is the next tick's.
    """

    origin_s: float
    tick_s: float
    beat_ticks: int
    bar_ticks: int
    closes: float = 0.5
    """This part for even ticks."""
    odd_closes: float = 0.5
    """This part for odd ticks."""
    downbeat: int = 0
    """The tick on which the present metre begins."""
    bars: int = 0
    """Bars before that tick."""

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
        return self.origin_s + (tick + self.part_taken(tick)) * self.tick_s

    def part_taken(self, tick: int) -> float:
        """Return the part of a tick after which its frame is final."""
        return self.odd_closes if tick % 2 else self.closes

    def nearest(self, time_s: float) -> int:
        """Return the nearest tick to a time."""
        return math.floor((time_s - self.origin_s) / self.tick_s + 0.5)

    def place(self, tick: int) -> Place:
        """Return the place of a tick in the bar."""
        return self._in_bar(tick), self.beat_ticks, self.bar_ticks

    def on_beat(self, tick: int) -> bool:
        """Return whether a beat starts on a tick."""
        return self._in_bar(tick) % self.beat_ticks == 0

    def on_downbeat(self, tick: int) -> bool:
        """Return whether a bar starts on a tick."""
        return self._in_bar(tick) == 0

    def next_downbeat(self, tick: int) -> int:
        """Return the first downbeat at or after a tick."""
        return tick + -self._in_bar(tick) % self.bar_ticks

    def count(self, tick: int) -> tuple[int, int]:
        """Return bar and beat as musicians count them, from 1; the bars of a count-in are 0, -1 and so on."""
        bars = (tick - self.downbeat) // self.bar_ticks + self.bars
        return bars + 1, self._in_bar(tick) // self.beat_ticks + 1

    def _in_bar(self, tick: int) -> int:
        return (tick - self.downbeat) % self.bar_ticks

    def at_tempo(self, bpm: float, tick: int) -> Grid:
        """Return the grid at another tempo from a tick on; the time of that tick stays."""
        return replace(self, tick_s=60.0 / (bpm * self.beat_ticks)).moved(tick, self.time_s(tick))

    def in_metre(self, metre: Metre, tick: int, steps_per_quarter: int) -> Grid:
        """Return the grid in another metre from a tick on, which becomes a downbeat. Ticks keep their length."""
        beat, bar = metre.beat_ticks(steps_per_quarter), metre.bar_ticks(steps_per_quarter)
        return replace(self, beat_ticks=beat, bar_ticks=bar, downbeat=tick, bars=self.count(tick)[0] - 1)

    def moved(self, tick: int, time_s: float) -> Grid:
        """Return the grid shifted so that a tick sounds at a time."""
        return replace(self, origin_s=time_s - tick * self.tick_s)
