"""Follows a MIDI clock: 24 pulses a quarter note, which come unevenly, made into an even grid.

A line is laid through the pulses of the last bars. Where the newest stray from it together, the tempo has changed, and
it begins anew with them. Pulses that are missing are counted by the time that they would have taken. Is told the times;
reads no clock, and knows neither bars nor notes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from livebach.controls import Command

PULSES = 24  # a quarter note
MOST = 16 * PULSES
"""Pulses that the line goes through: with ±5 ms on each, its end is within 1 ms in 99 of 100 cases."""
NEWEST = 12
STRAYED_S = 0.006
"""The newest pulses are on average so far off only if the tempo has changed."""
BRIDGED_BEATS = 2
"""More than these missing, and the clock is lost."""
SETTLED = 2 * PULSES
GAP, UNSETTLED_GAP = 1.55, 3.0
"""After so many pulses' time some are missing: once the line has settled, and before."""
UNEVEN_S = 0.0068
"""A pulse that is late by no more is only uneven, however fast they come."""
FEWEST = 7
"""Pulses after which there is a tempo."""


class ClockFollower:
    """Takes pulses, and says when each pulse is, was or will be, evenly. A beat is a quarter note, or longer."""

    def __init__(self, beat_pulses: int = PULSES) -> None:
        self._bridged = BRIDGED_BEATS * max(PULSES, beat_pulses)
        self._pulses: deque[tuple[int, float]] = deque(maxlen=MOST)
        self._slope_s = 0.0  # seconds a pulse
        self._newest_s = 0.0  # when the newest pulse should have been
        self.count = -1
        """The newest pulse's number."""

    def pulse(self, time_s: float) -> None:
        """Take a pulse."""
        self.count += self._steps(time_s)
        self._pulses.append((self.count, time_s))
        if len(self._pulses) > 1:
            self._lay()

    def _steps(self, time_s: float) -> int:
        """How many pulses after the newest this one is: more than one where some are missing."""
        if not self.known:
            return 1
        by_line, by_last = ((time_s - since_s) / self._slope_s for since_s in (self._newest_s, self._pulses[-1][1]))
        if by_line > self._bridged + 0.5:
            self._pulses.clear()
            return 1
        least = GAP if len(self._pulses) >= SETTLED else UNSETTLED_GAP
        gap = min(by_line, by_last) >= max(
            least, 1 + UNEVEN_S / self._slope_s
        )  # both, for neither unevenness nor a new tempo is a gap
        return max(1, round(by_line)) if gap else 1

    def _lay(self) -> None:
        numbers, times = (np.array(column, np.float64) for column in zip(*self._pulses, strict=True))
        numbers -= self.count
        slope, end = _line(numbers, times)
        if len(numbers) > 2 * NEWEST:
            off = times[-NEWEST:] - (end + slope * numbers[-NEWEST:])
            if abs(off.mean()) > STRAYED_S:
                self._pulses = deque(list(self._pulses)[-NEWEST:], MOST)
                slope, end = _line(numbers[-NEWEST:], times[-NEWEST:])
        self._slope_s, self._newest_s = slope, end

    @property
    def known(self) -> bool:
        """Whether there is a tempo."""
        return len(self._pulses) >= FEWEST and self._slope_s > 0

    @property
    def pulse_s(self) -> float:
        """Seconds from pulse to pulse."""
        return self._slope_s

    def time_s(self, number: int) -> float:
        """When a pulse is, by the line."""
        return self._newest_s + (number - self.count) * self._slope_s

    def lost(self, now_s: float) -> bool:
        """Whether it has been away for so long that it is not bridged."""
        return self.known and now_s > self.time_s(self.count + self._bridged)


@dataclass(slots=True)
class Transport:
    """Start, stop and place of whoever sends the clock; the place is counted in 16ths, as MIDI does."""

    position: int = 0
    starting: bool = False  # the next pulse is that of the place
    running: bool = False
    seat: tuple[int, int] = (0, 0)
    """A pulse's number, and the tick that it is."""

    def told(self, value: str) -> bool:
        """Take «start», «continue», «stop» or «position N»; True where what was going on has ended."""
        word, _, number = value.partition(" ")
        if word == "position" and number.isdecimal():
            self.position = int(number)
            return False
        if word == "start":
            self.position = 0
        self.starting = word in ("start", "continue")
        was, self.running = self.running, False
        return was


_WORDS = {0xF8: "pulse", 0xFA: "start", 0xFB: "continue", 0xFC: "stop"}


def clock_command(data: bytes) -> Command | None:
    """A message of a MIDI clock as a command; None where it is another one."""
    if len(data) == 1 and data[0] in _WORDS:
        return Command("clock", _WORDS[data[0]])
    if len(data) == 3 and data[0] == 0xF2 and max(data[1:]) < 0x80:
        return Command("clock", f"position {data[1] | data[2] << 7}")
    return None


def _line(numbers: np.ndarray[tuple[int], np.dtype[np.float64]], times: np.ndarray) -> tuple[float, float]:
    """Slope, and value at 0, of the line nearest to the points."""
    mean, mean_s = numbers.mean(), times.mean()
    apart = numbers - mean
    slope = float(apart @ (times - mean_s) / (apart @ apart))
    return slope, float(mean_s - slope * mean)
