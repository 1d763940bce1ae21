"""The improviser as a whole: a performer, and what can be done with it while it plays.

Commands come as events that the settings bind to something (`config.Control`), or by name. Like all else here they are
calls at stated times: equal calls give equal events.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from livebach.config import Config, ConfigError, override
from livebach.controls import DIALS, Command, Controls, takes
from livebach.music.events import ALL_NOTES_OFF, ALL_SOUND_OFF, CHANNELS, SUSTAIN, ControlChange, Event
from livebach.music.grid import Grid
from livebach.musician.beat_grid import BeatGrid
from livebach.musician.clock_follower import PULSES, ClockFollower, Transport
from livebach.musician.clock_sender import ClockSender
from livebach.musician.expression import Spread, VoiceChannels
from livebach.musician.modes import mode_of
from livebach.musician.performer import Performer
from livebach.musician.tap_tempo import Taps

if TYPE_CHECKING:
    from livebach.musician.memory import Network


MOST_SPREAD = 0.4
"""No note starts later than this part of a tick: before it may end."""


class Musician(Performer):
    """A performer that is turned up and down, muted, stopped, and told to go back."""

    def __init__(self, engine: Network, settings: Config, seed: int, start_s: float) -> None:
        super().__init__(engine, settings, seed, start_s)
        self._controls = Controls(asdict(settings.control))
        first, sound = settings.midi.output_channel - 1, settings.sound
        self._voices = None if sound.voices is None else VoiceChannels(first, sound.voices)
        self._spread = Spread(seed, range(first, first + (sound.voices or 1)))
        self._taps = Taps()
        self._tick_pulses = PULSES / engine.spec.steps_per_quarter
        self._clock = ClockFollower(round(self._grid.beat_ticks * self._tick_pulses))
        self._transport = Transport()
        time, steps = settings.time, engine.spec.steps_per_quarter
        self._sender = ClockSender(steps, start_s) if time.send_clock else None
        self._beat_grid = BeatGrid(time.metre, steps, self._grid) if time.clock == "player" else None
        self._pace()

    def feed(self, event: Event, now_s: float) -> list[Event]:
        """Take in an event of the player's, be it music or a control; returns what must be sent at once."""
        if not self._controls.claims(event):
            out = super().feed(event, now_s)
            if self._beat_grid is not None and self._listener.hears(event):
                self._beat_grid.hear(event, now_s)
            return self._sent(out, now_s)
        return [out for command in self._controls.read(event) for out in self.command(command, now_s)]

    def command(self, command: Command, now_s: float) -> list[Event]:
        """Do what is asked for; what cannot be is left. Returns what must be sent at once."""
        return [] if self._stopped else self._sent(self._do(command, now_s), now_s)

    def advance(self, now_s: float) -> list[Event]:
        """Do what is due; returns what is to be sent now. A pulse of the clock waits for no work on the network."""
        if self._sender is not None and (pulse := self._sender.pulse(self._grid, now_s)):
            return pulse
        gone = self._halt(now_s) if self._transport.running and self._clock.lost(now_s) else []
        return self._sent([*gone, *super().advance(now_s)], now_s)

    def stop(self, now_s: float) -> list[Event]:
        """End everything that sounds; what has not begun never does."""
        out = self._sent(super().stop(now_s), now_s)
        return out if self._sender is None else [*out, *self._sender.stop()]

    def deadline_s(self) -> float:
        """When `advance` should be called next; infinity where only an event can change anything."""
        if self._stopped:
            return math.inf
        pulse_s = math.inf if self._sender is None else self._sender.deadline_s(self._grid)
        return min(self._next_s(), self._spread.deadline_s(), pulse_s)

    def _sent(self, events: list[Event], now_s: float) -> list[Event]:
        """What goes out of these events now, and of the clock where the grid has changed."""
        out = self._spread.sent(events if self._voices is None else self._voices.sent(events), now_s)
        if self._sender is None:
            return out
        return [*out, *self._sender.changed(self._grid, self._tick, self._running, now_s)]

    def _do(self, command: Command, now_s: float) -> list[Event]:
        if command.name in DIALS:
            return self._turn(command, now_s)
        if command.name == "clock":
            return self._follow_clock(command.value, now_s)
        do = ACTS.get(command.name)
        return do(self, command.value, now_s) if do and takes(command.name, command.value) else []

    # --- another's clock ---------------------------------------------------------------------------------------------

    def _follow_clock(self, value: str, now_s: float) -> list[Event]:
        """Take a message of a MIDI clock: a pulse, or what its sender does."""
        if value != "pulse":
            return self._halt(now_s) if self._transport.told(value) else []
        self._clock.pulse(now_s)
        out = self._take_seat(now_s) if self._transport.starting else []
        if self._clock.known:
            if self._clock.count % PULSES == 0:
                beat_s = self._clock.pulse_s * self._tick_pulses * self._grid.beat_ticks
                self._turn(Command("tempo", f"{60 / beat_s:.4g}"), now_s)
            if self._transport.running:
                self._align()
        return out

    @property
    def _behind_s(self) -> float:
        """Among machines that share a clock, its notes are on the tick."""
        return 0.0 if self._transport.running else super()._behind_s

    def _take_seat(self, now_s: float) -> list[Event]:
        """Take this pulse for the first: the open tick, or one soon after it, stands where the sender is in the bar."""
        out = self._fall_silent(now_s)
        if self._running and self._sounded:
            self._finish(now_s)
            self._open(self._tick + 1)
        here = round(self._transport.position * PULSES / 4 / self._tick_pulses)
        self._open(self._tick + (here - self._tick) % self._grid.bar_ticks)
        self._grid = self._grid.moved(self._tick, now_s)
        self._running = self._fixed = self._transport.running = True
        self._transport.starting, self._transport.seat = False, (self._clock.count, self._tick)
        return out

    def _align(self) -> None:
        """Have the grid's ticks fall on the clock's pulses, evenly."""
        tick_s, (count, tick) = self._clock.pulse_s * self._tick_pulses, self._transport.seat
        self._go_at(replace(self._grid, tick_s=tick_s).moved(tick, self._clock.time_s(count)))

    def _halt(self, now_s: float) -> list[Event]:
        """The clock has stopped, or is lost: silence, until the player begins, or it does."""
        out = self._fall_silent(now_s)
        self._leave, self._cadence, self._transport.running = None, None, False
        self._running, self._fixed = False, self._settings.time.click
        return out

    # --- the player's beat -------------------------------------------------------------------------------------------

    def _start(self, now_s: float) -> None:
        super()._start(now_s)
        self._begin_beats(placed=False)

    def _yield(self, now_s: float) -> list[Event]:
        out = super()._yield(now_s)
        self._begin_beats(placed=False)
        return out

    def _begin_beats(self, placed: bool) -> None:
        if self._beat_grid is not None:
            self._beat_grid.begin(self._grid, placed)

    def _decide(self) -> None:
        """A tick has closed: where the player's beat is followed, the next ones are laid towards it."""
        if self._beat_grid is not None:
            self._go_at(self._beat_grid.laid(self._grid, self._tick))
        super()._decide()

    # --- dials -------------------------------------------------------------------------------------------------------

    def _turn(self, command: Command, now_s: float) -> list[Event]:
        dial = DIALS[command.name]
        section, _, name = dial.setting.partition(".")
        before = self._bpm if name == "bpm" else getattr(getattr(self._settings, section), name)
        try:
            turned = dial.turned(_written(before), command.value)
            self._settings = override(self._settings, f"{dial.setting}={turned}")
        except ConfigError:
            return []
        self._follower.set(self._settings)
        self._lock.set(self._settings)
        if name == "bpm":
            self._pace()
        mode_before, self._mode = self._mode, mode_of(self._settings)
        return [] if type(mode_before) is type(self._mode) else self._change_turns(now_s)

    def _pace(self) -> None:
        """Go at the tempo that is set, from the open tick on."""
        self._go_at(self._grid.at_tempo(self._settings.time.bpm, self._tick))
        self._begin_beats(placed=True)

    def _go_at(self, grid: Grid) -> None:
        """Go on by this grid, and with all that is a part of a tick."""
        self._grid = grid
        self._set_pace(grid.tick_s)
        self._spread.most_s = min(self._settings.sound.humanize_ms / 1000, MOST_SPREAD * grid.tick_s)

    def _change_turns(self, now_s: float) -> list[Event]:
        """Another mode begins with its own decision, from the next tick on; what sounds and goes on is not cut."""
        self._leave, self._cadence = None, None
        if self._mode.yields or not self._playing:
            return self._fall_silent(now_s)
        return []

    # --- switches ----------------------------------------------------------------------------------------------------

    def _mute(self, value: str, now_s: float) -> list[Event]:
        self._muted = _switched(self._muted, value)
        return self._fall_silent(now_s) if self._muted else []

    def _hold(self, value: str, now_s: float) -> list[Event]:
        self._holding = _switched(self._holding, value)
        return []

    # --- acts --------------------------------------------------------------------------------------------------------

    def _take_over(self, value: str, now_s: float) -> list[Event]:
        """From the next beat on; where nobody has begun, now is the downbeat."""
        self._asked, self._done = not self._playing, False
        if not self._running:
            self._start(now_s)
            self._decide()
        return []

    def _end_well(self, value: str, now_s: float) -> list[Event]:
        """With a cadence: a bar from now, on the next downbeat. Where nothing was heard there is nothing to end."""
        if self._cadence is None and self._hearing.key() is not None and not self._muted:
            self._take_over("", now_s)
            self._plan_cadence(self._grid.next_downbeat(max(0, self._tick) + self._grid.bar_ticks))
        return []

    def _back(self, value: str, now_s: float) -> list[Event]:
        self._memory.back(int(value or 1) * self._grid.bar_ticks)
        return []

    def _tap(self, value: str, now_s: float) -> list[Event]:
        """The tempo of the last beats that were tapped, from the third on."""
        bpm = self._taps.tap(now_s)
        return [] if bpm is None else self._turn(Command("tempo", f"{bpm:.4g}"), now_s)

    def _reset(self, value: str, now_s: float) -> list[Event]:
        self._memory.forget()
        self._hearing.forget()
        self._lock.forget()
        self._follower.forget()
        return []

    def _panic(self, value: str, now_s: float) -> list[Event]:
        """Its own notes end, then all that may sound on any channel; the player's keys count as released."""
        out = self._fall_silent(now_s)
        self._make_done()
        self._listener.release(now_s)
        quiet = [(SUSTAIN, 0), (ALL_NOTES_OFF, 0), (ALL_SOUND_OFF, 0)]
        return [
            *out,
            *(ControlChange(control, value, channel) for channel in range(CHANNELS) for control, value in quiet),
        ]


ACTS: dict[str, Callable[[Musician, str, float], list[Event]]] = {
    "mute": Musician._mute,
    "hold": Musician._hold,
    "takeover": Musician._take_over,
    "finish": Musician._end_well,
    "back": Musician._back,
    "tap": Musician._tap,
    "reset": Musician._reset,
    "panic": Musician._panic,
}


def _written(value: object) -> str:
    """A setting's value as a dial's positions are written."""
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _switched(before: bool, value: str) -> bool:
    return not before if not value else value == "on"
