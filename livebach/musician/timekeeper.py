"""The musician's time: the grid, whether it runs, the open tick, and the source of the tempo.

The caller gives the time with every call. This module reads no clock, and knows nothing of notes and turns.
"""

from __future__ import annotations

from dataclasses import replace

from livebach.config import Config
from livebach.music.grid import Grid, Mark
from livebach.music.metre import Metre
from livebach.musician.open_tick import Moments, OpenTick
from livebach.musician.player_timing import Between
from livebach.musician.tempo_sources import tempo_source


class Timekeeper:
    """Lays the grid and counts its ticks."""

    def __init__(self, settings: Config, steps_per_quarter: int, start_s: float) -> None:
        """Wait for the player, or count in from `start_s` on (absolute seconds)."""
        time = settings.time
        grid = Grid.of(time.bpm, time.metre, steps_per_quarter)
        first = -time.count_in_bars * grid.bar_ticks
        early_s = Moments.of(grid, settings).early_s
        self._settings = settings
        self.metre = time.metre
        """The present metre. A change of the setting takes effect on the next downbeat."""
        self._between, self._alone = Between.NOTHING, False
        self._steps = steps_per_quarter
        self.source = tempo_source(time, grid, steps_per_quarter)
        self.moments = Moments.of(grid.moved(first, start_s + early_s), settings)
        self.open_tick = OpenTick(first)
        self.running = time.click or time.count_in_bars > 0
        """Whether the grid runs; at rest it waits for the player's first key."""
        self.mark: Mark | None = None
        """The newest beat that is over, or the tick from which the tempo changed."""
        self.set_bpm(time.bpm)

    @property
    def grid(self) -> Grid:
        """The present grid."""
        return self.moments.grid

    @property
    def tick(self) -> int:
        """The number of the open tick."""
        return self.open_tick.number

    @property
    def tick_s(self) -> float:
        """The time at which the open tick sounds, in absolute seconds."""
        return self.grid.time_s(self.tick)

    @property
    def bpm(self) -> float:
        """The grid's tempo in beats per minute."""
        return round(60 / (self.grid.tick_s * self.grid.beat_ticks), 3)

    @property
    def fixed(self) -> bool:
        """Whether the player cannot move the grid, because a clock leads or a click always sounds."""
        return self.source.leads or self._settings.time.click

    def lay(self, grid: Grid) -> None:
        """Use this grid from now on, with the moments that depend on it."""
        self.moments = Moments.of(grid, self._settings, self._between, self._alone)

    def set_between(self, between: Between, alone: bool) -> None:
        """Close ticks as needed for what the player plays between them; `alone` where only the network plays."""
        if (between, alone) != (self._between, self._alone):
            self._between, self._alone = between, alone
            self.lay(self.grid)

    def set_bpm(self, bpm: float) -> None:
        """Set the tempo from the open tick on."""
        self.lay(self.grid.at_tempo(bpm, self.tick))
        self.source.restart(self.grid, placed=True)

    def set_metre(self, metre: Metre) -> None:
        """Use this metre from the open tick on, a downbeat. The beat keeps its length, unless a MIDI clock leads."""
        bpm, self.metre = self.bpm, metre
        grid = self.grid.in_metre(metre, self.tick, self._steps)
        self.source.set_metre(metre, grid)
        self.lay(grid if self.source.leads else grid.at_tempo(bpm, self.tick))
        self.source.restart(self.grid, placed=True)

    def follow_source(self) -> None:
        """Update the grid from the source of the tempo, after a tick has closed."""
        self.lay(self.source.next_grid(self.grid, self.tick))

    def start(self, now_s: float) -> None:
        """Start the grid with a downbeat now."""
        self.running = True
        self.open(self.grid.next_downbeat(self.tick))
        self.move_to(now_s)
        self.source.restart(self.grid, placed=False)

    def open(self, tick: int) -> None:
        """Open this tick."""
        self.open_tick = OpenTick(tick)

    def move_to(self, now_s: float) -> None:
        """Shift the grid so that the open tick sounds at this time."""
        self.moments = replace(self.moments, grid=self.grid.moved(self.tick, now_s))

    def take_place(self, place: int, now_s: float) -> None:
        """Set the present tick to a clock sender's place in the bar, and start; `place` is in ticks of its song."""
        self.open(self.tick + (place - self.grid.place(self.tick)[0]) % self.grid.bar_ticks)
        self.move_to(now_s)
        self.running = True
        self.source.seat(self.tick)

    def halt(self) -> None:
        """Stop the grid until the player or the clock begins anew."""
        self.running = False
        self.source.halt()

    def too_late(self, now_s: float) -> bool:
        """Return whether it is too late to sound the open tick."""
        return self.moments.too_late(self.tick, now_s)

    def set_mark(self) -> None:
        """Note the open tick as a mark where it is a beat, or where the tempo has changed."""
        quarter_s = self._steps * self.grid.tick_s
        if self.grid.on_beat(self.tick) or self.mark is None or self.mark.quarter_s != quarter_s:
            grid, tick, steps = self.grid, self.tick, self._steps
            bar = grid.count(tick)[0] if grid.on_downbeat(tick) else None
            metre = None if self.metre == self._settings.time.metre and not grid.downbeat else self.metre
            self.mark = Mark(tick / steps, grid.time_s(tick), quarter_s, metre, grid.downbeat / steps, bar)
