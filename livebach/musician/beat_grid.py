"""Moves the grid smoothly towards the beat that the player plays: no tick is left out, repeated or reversed.

Keys wait until a tick has closed. Then the beat is estimated, and the next ticks are moved towards it. The caller gives
the times. This module reads no clock and knows nothing of turns.
"""

from __future__ import annotations

from dataclasses import replace

from livebach.music.events import Event, NoteOff, NoteOn
from livebach.music.grid import Grid
from livebach.music.metre import Metre
from livebach.musician.beat_rhythms import beats
from livebach.musician.beat_tracker import BeatFollower

STEP = 0.35
"""Largest move of the grid's phase at each tick, in ticks."""
RESTING = 2.0
"""Beats after the player's last note from which the grid continues at its own tempo."""
ANEW = 4.0
"""Beats without a note after which the player's next note begins anew, near a beat of the grid."""

MOST_A_TICK = 48
"""Most key events that count in one tick. More are not playing, and would take too long."""


class BeatGrid:
    """Follows the player's beat, and moves the grid."""

    def __init__(self, metre: Metre, steps_per_quarter: int, grid: Grid) -> None:
        tables = beats(metre)
        self._ticks = tables.sixteenths * steps_per_quarter / 4  # a followed beat's length
        self._follower = BeatFollower(tables, grid.tick_s * self._ticks)
        self._waiting: list[tuple[float, Event]] = []
        self._struck: dict[tuple[int, int], float] = {}  # (channel, key) that is down: since when
        self._last_s: float | None = None  # the newest note
        self._placed = True

    def begin(self, grid: Grid, placed: bool) -> None:
        """Begin anew in the grid's tempo. With `placed` the grid gives the next note's place in the beat."""
        self._placed = placed
        self._follower.begin(grid.tick_s * self._ticks)
        self._waiting.clear()
        self._struck.clear()
        self._last_s = None

    def observe(self, event: Event, time_s: float) -> None:
        """Take in a key that the player struck or released, at a time in seconds."""
        if len(self._waiting) < MOST_A_TICK:
            self._waiting.append((time_s, event))

    def laid(self, grid: Grid, tick: int) -> Grid:
        """Return the grid from this tick on. The tick before has just closed."""
        for time_s, event in self._waiting:
            self._take(event, time_s, grid)
        self._waiting.clear()
        now_s, beat = grid.close_s(tick - 1), self._follower.beat
        if beat is None or self._last_s is None or now_s - self._last_s > RESTING * beat.length_s:
            return grid
        half, to_go = self._ticks / 2, 1 - grid.closes  # in ticks: from now to this one
        ahead = (beat.place_at(now_s) * self._ticks - tick + to_go + half) % self._ticks - half  # in ticks
        tick_s = beat.length_s / self._ticks
        return replace(grid, tick_s=tick_s).moved(tick, now_s + (to_go - max(-STEP, min(ahead, STEP))) * tick_s)

    def _take(self, event: Event, time_s: float, grid: Grid) -> None:
        if isinstance(event, NoteOn):
            beat_s = grid.tick_s * self._ticks
            silent = self._placed if self._last_s is None else time_s - self._last_s > ANEW * beat_s
            if silent:
                self._follower.begin(beat_s, (time_s - grid.origin_s) / beat_s % 1)
            self._follower.strike(time_s)
            self._struck[event.channel, event.key] = self._last_s = time_s
        elif isinstance(event, NoteOff) and (event.channel, event.key) in self._struck:
            self._follower.release(self._struck.pop((event.channel, event.key)), time_s)
