"""Where the tempo comes from: the settings, a MIDI clock that comes in, or the player's own beat.

Each source answers the same questions, and the rest of the musician does not ask which one it is. Sources are told the
times; they read no clock, send nothing, and know nothing of notes but when the player's keys go down and up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from livebach.config import TimeSettings
from livebach.music.events import Event
from livebach.music.grid import Grid
from livebach.musician.beat_grid import BeatGrid
from livebach.musician.clock_follower import PULSES, ClockFollower, ClockKind, ClockMessage, Transport, TransportState

SIXTEENTHS = 4  # a quarter note: the unit of a song position


@dataclass(frozen=True, slots=True)
class ClockEffect:
    """What a message of a MIDI clock asks for; by default nothing."""

    halts: bool = False
    """The music stops."""
    place: int | None = None
    """This moment is the tick of this number since the song began."""
    bpm: float | None = None
    """The tempo is another, in beats a minute."""


NO_EFFECT = ClockEffect()


class TempoSource:
    """Where the tempo comes from. This base class keeps the tempo that is set, and leaves the phase to the player."""

    @property
    def leads(self) -> bool:
        """Whether the source, and not the player's first key, decides where the beats are."""
        return False

    def receive(self, message: ClockMessage, now_s: float) -> ClockEffect:
        """Take a message of a MIDI clock; return what it asks for."""
        return NO_EFFECT

    def seat(self, tick: int) -> None:
        """Take note that the newest pulse is this tick of the grid."""

    def aligned(self, grid: Grid) -> Grid:
        """Return the grid as it is after the newest message of a MIDI clock."""
        return grid

    def lost(self, now_s: float) -> bool:
        """Return whether the source has gone away by now."""
        return False

    def halt(self) -> None:
        """Take note that the music was stopped because the source said so, or has gone away."""

    def observe(self, event: Event, now_s: float) -> None:
        """Take a key of the player's, struck or released."""

    def restart(self, grid: Grid, placed: bool) -> None:
        """Begin anew in a grid's tempo; `placed` where the grid says where the next note is in the beat."""

    def next_grid(self, grid: Grid, tick: int) -> Grid:
        """Return the grid from this tick on; the tick before has just closed."""
        return grid


class SetTempo(TempoSource):
    """The tempo that the settings, a control or the player's taps say."""


class MidiClockTempo(TempoSource):
    """A MIDI clock: its pulses are the tempo; once it has started, they are the grid too."""

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
        """Take a pulse, or what the sender does; return what follows from it."""
        if message.kind is not ClockKind.PULSE:
            ended = self._transport.receive(message)
            return ClockEffect(halts=ended or message.kind is ClockKind.STOP)
        self._clock.pulse(now_s)
        self._heard = True
        return ClockEffect(place=self._place(), bpm=self._new_bpm())

    def _place(self) -> int | None:
        """The number of the tick that the newest pulse is, in ticks of the song, where the sender has just started."""
        if self._transport.state is not TransportState.STARTING:
            return None
        return round(self._transport.position * PULSES / SIXTEENTHS / self._tick_pulses)

    def _new_bpm(self) -> float | None:
        """The tempo in four digits, once a quarter note."""
        if not self._clock.known or self._clock.count % PULSES:
            return None
        return float(f"{60 / (self._clock.pulse_s * self._beat_pulses):.4g}")

    def seat(self, tick: int) -> None:
        """Take note that the newest pulse is this tick of the grid: from here on the sender leads."""
        self._transport.begin(self._clock.count, tick)

    def aligned(self, grid: Grid) -> Grid:
        """Return the grid whose ticks fall on the pulses, evenly."""
        if not self.leads or not self._clock.known:
            return grid
        count, tick = self._transport.seat
        tick_s = self._clock.pulse_s * self._tick_pulses
        return replace(grid, tick_s=tick_s).moved(tick, self._clock.time_s(count))

    def lost(self, now_s: float) -> bool:
        """Return whether a sender has sent nothing for longer than is bridged, be it that it led or only ran."""
        return self._heard and self._clock.lost(now_s)

    def halt(self) -> None:
        """Take note that the sender no longer leads."""
        self._heard = False
        self._transport.halt()


class PlayerTempo(TempoSource):
    """The beat of the player's own playing."""

    def __init__(self, beat_grid: BeatGrid) -> None:
        self._beat_grid = beat_grid

    def observe(self, event: Event, now_s: float) -> None:
        """Take a key of the player's, struck or released."""
        self._beat_grid.observe(event, now_s)

    def restart(self, grid: Grid, placed: bool) -> None:
        """Begin anew in a grid's tempo; `placed` where the grid says where the next note is in the beat."""
        self._beat_grid.begin(grid, placed)

    def next_grid(self, grid: Grid, tick: int) -> Grid:
        """Return the grid laid towards the player's beat from this tick on."""
        return self._beat_grid.laid(grid, tick)


def _set_tempo(_time: TimeSettings, _grid: Grid, _steps_per_quarter: int) -> TempoSource:
    return SetTempo()


def _midi_clock(_time: TimeSettings, grid: Grid, steps_per_quarter: int) -> TempoSource:
    return MidiClockTempo(steps_per_quarter, grid.beat_ticks)


def _player(time: TimeSettings, grid: Grid, steps_per_quarter: int) -> TempoSource:
    return PlayerTempo(BeatGrid(time.metre, steps_per_quarter, grid))


SOURCES: dict[str, Callable[[TimeSettings, Grid, int], TempoSource]] = {
    "internal": _set_tempo,
    "external": _midi_clock,
    "player": _player,
}
"""The sources by the value of `time.clock`."""


def tempo_source(time: TimeSettings, grid: Grid, steps_per_quarter: int) -> TempoSource:
    """Return the source that the settings name; `grid` is the one at the start."""
    return SOURCES[time.clock](time, grid, steps_per_quarter)
