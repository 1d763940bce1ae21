"""Sends a MIDI clock: 24 even pulses per quarter note along the grid, with start and stop (MIDI 1.0, System Real Time).

Where the grid's phase moves, the pulses follow gradually, so the time between two pulses stays nearly even. Where the
bar begins anew, the receiver is started again on the next downbeat. The caller gives the times and the grid. This
module reads no clock and knows no notes.
"""

from __future__ import annotations

import math

from livebach.music.events import PULSE, START, STOP, Event, Realtime
from livebach.music.grid import Grid
from livebach.musician.clock_follower import PULSES

HASTE, DELAY = 0.75, 1.25
"""The shortest and the longest time between two pulses, as ratios to the nominal time."""
ASTRAY = PULSES / 2
"""Pulses that the sender catches up at most. Beyond that, the count begins anew at the grid's place."""
AT_ONCE_S = 1e-6
"""A pulse due within this time is sent first: pulses fall on the moments of ticks, up to rounding."""


class ClockSender:
    """Returns the pulses, and tells when the next one is due."""

    def __init__(self, steps_per_quarter: int, start_s: float) -> None:
        self._ticks = steps_per_quarter / PULSES  # ticks from pulse to pulse
        self._number = 0  # of the next pulse; pulse n is at tick n * _ticks
        self._last_s = start_s
        self._started = False  # whether the receiver runs
        self._running = False  # whether the grid ran at the last call of `changed`

    def deadline_s(self, grid: Grid) -> float:
        """Return when the next pulse is due, in absolute seconds."""
        apart_s = self._apart_s(grid)
        if not self._running:
            return self._last_s + apart_s
        return min(max(self._on_grid_s(grid), self._last_s + HASTE * apart_s), self._last_s + DELAY * apart_s)

    def pulse(self, grid: Grid, now_s: float) -> list[Event]:
        """Return the pulse if one is due. On a downbeat a start precedes it where the receiver does not run."""
        due_s = self.deadline_s(grid)
        if now_s + AT_ONCE_S < due_s:
            return []
        self._last_s = due_s if now_s - due_s < self._apart_s(grid) else now_s  # after a standstill no burst
        if not self._running:
            return [Realtime(PULSE)]
        tick = self._number * self._ticks
        downbeat = tick >= 0 and math.isclose(tick, grid.next_downbeat(round(tick)))
        starts, self._started = downbeat and not self._started, self._started or downbeat
        self._number += 1
        return [Realtime(START), Realtime(PULSE)] if starts else [Realtime(PULSE)]

    def changed(self, grid: Grid, tick: int, running: bool, now_s: float) -> list[Event]:
        """Return the events to send at once after a change of the grid, from the open tick on."""
        begins, self._running = running and not self._running, running
        if not running:
            return self.stop()
        apart_s = self._apart_s(grid)
        if not begins and abs(self._on_grid_s(grid) - self._last_s) <= ASTRAY * apart_s:
            return []
        from_s = max(now_s, grid.time_s(tick)) - AT_ONCE_S
        self._number = math.ceil((from_s - grid.origin_s) / apart_s)
        self._last_s = self._on_grid_s(grid) - apart_s
        return [*self.stop(), *self.pulse(grid, now_s)]

    def stop(self) -> list[Event]:
        """Return the stop message for a receiver that runs."""
        started, self._started = self._started, False
        return [Realtime(STOP)] if started else []

    def _apart_s(self, grid: Grid) -> float:
        """Return the nominal seconds from pulse to pulse."""
        return grid.tick_s * self._ticks

    def _on_grid_s(self, grid: Grid) -> float:
        """Return the nominal time of the next pulse, in seconds."""
        return grid.origin_s + self._number * self._apart_s(grid)
