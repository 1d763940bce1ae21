"""Lets the grid follow the beat that the player plays, smoothly: no tick is left out, doubled or turned back.

Keys wait until a tick has closed; then the beat is found, and the next ticks are moved towards it. The caller gives the
times; the module reads no clock and knows nothing of turns.
"""

from __future__ import annotations

from dataclasses import replace

from livebach.music.events import Event, NoteOff, NoteOn
from livebach.music.grid import Grid
from livebach.music.metre import Metre
from livebach.musician.beat_rhythms import beats
from livebach.musician.beat_tracker import BeatFollower

STEP = 0.35
"""The grid's place moves by so much of a tick at most with each tick."""
RESTING = 2.0
"""So many beats after the player's last note the grid goes on by itself."""
ANEW = 4.0
"""After so many beats without a note, the player begins anew, near a beat of the grid."""

MOST_A_TICK = 48
"""The most keys, struck or released, that count in one tick: more are no playing, and would take too long."""


class BeatGrid:
    """Follows the player's beat, and lays the grid."""

    def __init__(self, metre: Metre, steps_per_quarter: int, grid: Grid) -> None:
        tables = beats(metre)
        self._ticks = tables.sixteenths * steps_per_quarter / 4  # a followed beat's length
        self._follower = BeatFollower(tables, grid.tick_s * self._ticks)
        self._waiting: list[tuple[float, Event]] = []
        self._struck: dict[tuple[int, int], float] = {}  # (channel, key) that is down: since when
        self._last_s: float | None = None  # the newest note
        self._placed = True

    def begin(self, grid: Grid, placed: bool) -> None:
        """Begin anew, in the grid's tempo; the next note is where the grid says, or anywhere in a beat."""
        self._placed = placed
        self._follower.begin(grid.tick_s * self._ticks)
        self._waiting.clear()
        self._struck.clear()
        self._last_s = None

    def observe(self, event: Event, time_s: float) -> None:
        """Take a key of the player's, struck or released."""
        if len(self._waiting) < MOST_A_TICK:
            self._waiting.append((time_s, event))

    def laid(self, grid: Grid, tick: int) -> Grid:
        """The grid from this tick on; the one before it has just closed."""
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
