"""Sources of the tempo: the settings, an incoming MIDI clock, or the player's own beat.

All sources have one interface, so the rest of the musician does not depend on which one is used. The caller gives the
times. Sources read no clock, send nothing, and know only when the player's keys go down and up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from livebach.config import TimeSettings
from livebach.music.events import Event
from livebach.music.grid import Grid
from livebach.music.metre import Metre
from livebach.musician.beat_grid import BeatGrid
from livebach.musician.clock_follower import PULSES, ClockFollower, ClockKind, ClockMessage, Transport, TransportState

SIXTEENTHS = 4  # a quarter note: the unit of a song position


@dataclass(frozen=True, slots=True)
class ClockEffect:
    """The effect of a MIDI clock's message; by default none.

    Attributes:
        halts: Whether the music stops.
        place: The tick of this moment, counted from the start of the song; None where the place stays.
        bpm: The new tempo in beats per minute; None where the tempo stays.

    """

    halts: bool = False
    place: int | None = None
    bpm: float | None = None


NO_EFFECT = ClockEffect()


class TempoSource:
    """A source of the tempo. This base class keeps the tempo of the settings, and leaves the phase to the player."""

    @property
    def leads(self) -> bool:
        """Whether the source decides where the beats are, instead of the player's first key."""
        return False

    def receive(self, message: ClockMessage, now_s: float) -> ClockEffect:
        """Take in a message of a MIDI clock; return its effect."""
        return NO_EFFECT

    def seat(self, tick: int) -> None:
        """Note that the newest pulse is on this tick of the grid."""

    def aligned(self, grid: Grid) -> Grid:
        """Return the grid after the newest message of a MIDI clock."""
        return grid

    def lost(self, now_s: float) -> bool:
        """Return whether the source has disappeared."""
        return False

    def halt(self) -> None:
        """Note that the music has stopped, because the source stopped or disappeared."""

    def observe(self, event: Event, now_s: float) -> None:
        """Take in a key that the player struck or released."""

    def restart(self, grid: Grid, placed: bool) -> None:
        """Begin anew in the grid's tempo. With `placed` the grid gives the next note's place in the beat."""

    def next_grid(self, grid: Grid, tick: int) -> Grid:
        """Return the grid from this tick on. The tick before has just closed."""
        return grid

    def set_metre(self, metre: Metre, grid: Grid) -> None:
        """Follow the beats of another metre; `grid` is the grid in that metre."""


class SetTempo(TempoSource):
    """The tempo of the settings, of a control, or of taps."""


class MidiClockTempo(TempoSource):
    """A MIDI clock. Its pulses give the tempo; once the sender has started, they give the grid too."""

    def __init__(self, steps_per_quarter: int, beat_ticks: int) -> None:
        self._tick_pulses = PULSES / steps_per_quarter
        self._beat_pulses = self._tick_pulses * beat_ticks
        self._clock = ClockFollower(round(beat_ticks * self._tick_pulses))
        self._transport = Transport()
        self._heard = False  # whether pulses have come since the music was stopped

    @property
    def leads(self) -> bool:
        """Whether the sender has started."""
        return self._transport.state is TransportState.RUNNING

    def receive(self, message: ClockMessage, now_s: float) -> ClockEffect:
        """Take in a pulse or a transport message; return its effect."""
        if message.kind is not ClockKind.PULSE:
            ended = self._transport.receive(message)
            return ClockEffect(halts=ended or message.kind is ClockKind.STOP)
        self._clock.pulse(now_s)
        self._heard = True
        return ClockEffect(place=self._place(), bpm=self._new_bpm())

    def _place(self) -> int | None:
        """Return the newest pulse's tick, counted from the start of the song; None unless the sender just started."""
        if self._transport.state is not TransportState.STARTING:
            return None
        return round(self._transport.position * PULSES / SIXTEENTHS / self._tick_pulses)

    def _new_bpm(self) -> float | None:
        """Return the tempo in four digits once per quarter note, else None."""
        if not self._clock.known or self._clock.count % PULSES:
            return None
        return float(f"{60 / (self._clock.pulse_s * self._beat_pulses):.4g}")

    def seat(self, tick: int) -> None:
        """Note that the newest pulse is on this tick of the grid. From now on the sender leads."""
        self._transport.begin(self._clock.count, tick)

    def set_metre(self, metre: Metre, grid: Grid) -> None:
        """Count the pulses of another beat."""
        self._beat_pulses = self._tick_pulses * grid.beat_ticks

    def aligned(self, grid: Grid) -> Grid:
        """Return the grid with its ticks evenly on the pulses."""
        if not self.leads or not self._clock.known:
            return grid
        count, tick = self._transport.seat
        tick_s = self._clock.pulse_s * self._tick_pulses
        return replace(grid, tick_s=tick_s).moved(tick, self._clock.time_s(count))

    def lost(self, now_s: float) -> bool:
        """Return whether a sender that was heard has been silent for longer than is bridged."""
        return self._heard and self._clock.lost(now_s)

    def halt(self) -> None:
        """Note that the sender no longer leads."""
        self._heard = False
        self._transport.halt()


class PlayerTempo(TempoSource):
    """The beat of the player's own playing."""

    def __init__(self, metre: Metre, steps_per_quarter: int, grid: Grid) -> None:
        self._steps_per_quarter = steps_per_quarter
        self._beat_grid = BeatGrid(metre, steps_per_quarter, grid)

    def observe(self, event: Event, now_s: float) -> None:
        """Take in a key that the player struck or released."""
        self._beat_grid.observe(event, now_s)

    def restart(self, grid: Grid, placed: bool) -> None:
        """Begin anew in the grid's tempo. With `placed` the grid gives the next note's place in the beat."""
        self._beat_grid.begin(grid, placed)

    def next_grid(self, grid: Grid, tick: int) -> Grid:
        """Return the grid from this tick on, moved towards the player's beat."""
        return self._beat_grid.laid(grid, tick)

    def set_metre(self, metre: Metre, grid: Grid) -> None:
        """Follow the beat of another metre."""
        self._beat_grid = BeatGrid(metre, self._steps_per_quarter, grid)


def _set_tempo(_time: TimeSettings, _grid: Grid, _steps_per_quarter: int) -> TempoSource:
    return SetTempo()


def _midi_clock(_time: TimeSettings, grid: Grid, steps_per_quarter: int) -> TempoSource:
    return MidiClockTempo(steps_per_quarter, grid.beat_ticks)


def _player(time: TimeSettings, grid: Grid, steps_per_quarter: int) -> TempoSource:
    return PlayerTempo(time.metre, steps_per_quarter, grid)


SOURCES: dict[str, Callable[[TimeSettings, Grid, int], TempoSource]] = {
    "internal": _set_tempo,
    "external": _midi_clock,
    "player": _player,
}
"""The sources by the value of `time.clock`."""


def tempo_source(time: TimeSettings, grid: Grid, steps_per_quarter: int) -> TempoSource:
    """Return the source that the settings name; `grid` is the one at the start."""
    return SOURCES[time.clock](time, grid, steps_per_quarter)
