"""The metronome: a click on every beat, on its own channel, during a count-in or always."""

from __future__ import annotations

from livebach.music.events import Event, NoteOff, NoteOn
from livebach.music.grid import Grid

DOWNBEAT_KEY, BEAT_KEY = 76, 77
"""High and low wood block in General MIDI's drum kit."""
DOWNBEAT_VELOCITY, BEAT_VELOCITY = 110, 84


class Click:
    """Clicks on the beats before tick 0, the count-in, or on all beats, on a channel (0..15)."""

    def __init__(self, channel: int, grid: Grid, always: bool) -> None:
        self._channel = channel
        self._grid = grid
        self._on: int | None = None
        self.always = always

    def follow(self, grid: Grid) -> None:
        """Click on the beats of another grid."""
        self._grid = grid

    def falls_on(self, tick: int) -> bool:
        """Return whether this tick has a click."""
        return (self.always or tick < 0) and self._grid.on_beat(tick)

    def strike(self, tick: int) -> list[Event]:
        """Return the events of this tick's click; none where the tick has no click."""
        if not self.falls_on(tick):
            return []
        before, downbeat = self.end(), self._grid.on_downbeat(tick)
        self._on = DOWNBEAT_KEY if downbeat else BEAT_KEY
        return [*before, NoteOn(self._on, DOWNBEAT_VELOCITY if downbeat else BEAT_VELOCITY, self._channel)]

    def end(self) -> list[Event]:
        """Return the click's note-off, where one is due."""
        ending, self._on = self._on, None
        return [] if ending is None else [NoteOff(ending, 0, self._channel)]
