"""The bars of music that was played at a changing tempo: maps the beats of a take to the ticks of a MIDI file.

Each beat comes with its place, its time and the present tempo. Between two beats time runs evenly. A bar is written
when the next one begins. A bar that the player broke off gets its own time signature, and a silence is filled with
bars. This module knows no file and no event.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from livebach.music.grid import Mark
from livebach.music.metre import Metre
from livebach.music.midi_writer import LONGEST_QUARTER_US, PPQ

STRAIGHT = 2.0
"""Two beats are neighbours if their distance in time differs from the tempo by no more than this factor."""
STRETCH = 1.25
"""A silence is stretched or squeezed into whole bars by no more than this factor."""
FINEST = 16
"""The length of a bar that was broken off is rounded to this part of a whole note."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the file with one tempo."""

    from_s: float
    until_s: float
    quarter: float  # where it begins, in quarters from the file's start
    quarters: float  # how long it is
    signature: tuple[int, int] | None = None  # of the bar that begins here, where one does

    @property
    def quarter_us(self) -> int:
        """Return the length of a quarter note in microseconds."""
        us = (self.until_s - self.from_s) / self.quarters * 1e6
        return max(1, min(LONGEST_QUARTER_US, round(us)))

    def tick(self, time_s: float) -> int:
        """Return the tick of the file at a time in seconds."""
        part = (time_s - self.from_s) / (self.until_s - self.from_s)
        return max(0, round((self.quarter + part * self.quarters) * PPQ))


class TempoMap:
    """Takes beats, and returns the stretches of each bar once the bar is over."""

    def __init__(self, metre: Metre, first: Mark, from_s: float) -> None:
        """Begin with the bar line of the first beat, or as many bars before it as hold `from_s`."""
        self._usual = metre
        self._use_metre_of(first)
        line = first.quarters - self._into_bar(first)
        time_s = first.time_s - (first.quarters - line) * first.quarter_s
        before = max(0, math.ceil((time_s - from_s) / (self._bar * first.quarter_s) - 1e-9))
        start = Mark(line - before * self._bar, time_s - before * self._bar * first.quarter_s, first.quarter_s)
        self._quarter = 0.0  # where the open bar begins in the file
        self._open = [start]  # the open bar's beats, the bar line first
        self._ready: list[Stretch] = []
        if first.time_s > start.time_s:
            self._add(first)

    def add(self, mark: Mark) -> list[Stretch]:
        """Add the next beat, and return the stretches of the bars that it ends."""
        self._add(mark)
        ready, self._ready = self._ready, []
        return ready

    def until(self, time_s: float, beyond: int = 0) -> list[Stretch]:
        """Go on in the last tempo, and return the stretches of the bars that are over at a time, and of some more."""
        last, first = self._open[-1], self._open[0]
        bar_s, played = self._bar * last.quarter_s, last.quarters - first.quarters
        line_s = last.time_s - played * last.quarter_s
        bars = math.floor((time_s - line_s) / bar_s) + beyond
        if bars > 0:
            self._close(
                Mark(first.quarters + bars * self._bar, line_s + bars * bar_s, last.quarter_s), bars * self._bar
            )
        ready, self._ready = self._ready, []
        return ready

    def _add(self, mark: Mark) -> None:
        last = self._open[-1]
        if mark.time_s <= last.time_s:
            return
        self._place(mark, last)
        self._use_metre_of(mark)

    def _use_metre_of(self, mark: Mark) -> None:
        """Lay the bar lines after a beat as its metre has them. A metre begins on a bar line of the one before."""
        self._metre, self._since = mark.metre or self._usual, mark.since
        self._bar = 4 * self._metre.numerator / self._metre.denominator  # quarters

    def _into_bar(self, mark: Mark) -> float:
        """Return how many quarters a beat is after the bar line."""
        return (mark.quarters - self._since) % self._bar

    def _place(self, mark: Mark, last: Mark) -> None:
        told, passed = mark.quarters - last.quarters, (mark.time_s - last.time_s) / last.quarter_s
        if 0 < told <= 2 * self._bar and told / STRAIGHT <= passed <= told * STRAIGHT:
            self._go_on(mark)
        else:
            self._begin_anew(mark, passed)

    def _go_on(self, mark: Mark) -> None:
        """Continue to the next beat or a later one. Each bar line on the way ends a bar."""
        last = self._open[-1]
        quarter_s = (mark.time_s - last.time_s) / (mark.quarters - last.quarters)
        for line in self._lines(last.quarters, mark.quarters):
            self._close(Mark(line, last.time_s + (line - last.quarters) * quarter_s, quarter_s), self._bar)
        if mark.quarters > self._open[-1].quarters:
            self._open.append(mark)
        else:
            self._open[-1] = mark  # with the tempo of the mark

    def _lines(self, after: float, until: float) -> Iterator[float]:
        first = math.floor((after - self._since) / self._bar + 1e-9) + 1
        last = math.floor((until - self._since) / self._bar + 1e-9)
        return (self._since + bar * self._bar for bar in range(first, last + 1))

    def _begin_anew(self, mark: Mark, passed: float) -> None:
        """Begin a bar with this beat or shortly before, after a bar that was broken off or a silence."""
        last, into = self._open[-1], self._into_bar(mark)
        played = last.quarters - self._open[0].quarters
        total = played + max(1 / FINEST, passed - into)
        bars = max(1, round(total / self._bar))
        whole = bars * self._bar - played
        fits = whole > 0 and 1 / STRETCH <= (passed - into) / whole <= STRETCH
        length = bars * self._bar if fits else max(1, round(total * FINEST / 4)) * 4 / FINEST
        line_s = max(mark.time_s - into * mark.quarter_s, last.time_s + 1e-3)
        self._close(Mark(mark.quarters - into, line_s, mark.quarter_s), max(length, played + 4 / FINEST))
        if mark.time_s > line_s:
            self._open.append(mark)

    def _close(self, line: Mark, length: float) -> None:
        """End the open bar, or the silence after it, with this bar line; `length` is in quarter notes."""
        signature = self._signature(length)
        ends = [*(mark.quarters - self._open[0].quarters for mark in self._open[1:]), length]
        times = [*(mark.time_s for mark in self._open), line.time_s]
        start = 0.0
        for n, end in enumerate(ends):
            quarter = self._quarter + start
            self._ready.append(Stretch(times[n], times[n + 1], quarter, end - start, None if n else signature))
            start = end
        self._quarter += length
        self._open = [line]

    def _signature(self, quarters: float) -> tuple[int, int]:
        """Return the metre for whole bars, else a time signature of quarters, eighths or 16ths."""
        if math.isclose(quarters / self._bar, round(quarters / self._bar)):
            return self._metre.numerator, self._metre.denominator
        count, unit = round(quarters * FINEST / 4), FINEST
        while count % 2 == 0 and unit > 4:
            count, unit = count // 2, unit // 2
        return min(count, 255), unit
