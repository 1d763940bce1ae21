"""The musician: a performance, the controls, and the sending of notes and clock.

The musician does no I/O. The caller gives the time with every call, and asks when to call next. The musician reads no
clock and opens no port. Equal calls at equal times give equal events, so a take can be replayed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from livebach.bindings import Controls
from livebach.config import Config, ConfigError, override, value_of
from livebach.controls import CONTROLS, Argument, Command, Dial, resolve
from livebach.music.events import Event
from livebach.musician.clock_follower import ClockMessage
from livebach.musician.clock_sender import ClockSender
from livebach.musician.followed import followed, written
from livebach.musician.memory import History, HistoryView, Network
from livebach.musician.outlet import Delayed, Outlet
from livebach.musician.performance import Performance
from livebach.musician.status import Status
from livebach.musician.tap_tempo import Taps
from livebach.musician.turns import Turn
from livebach.network.touch import TouchNetwork

Request = Command | ClockMessage
"""A control's command, or a message of a MIDI clock."""


class Musician:
    """Takes in the player's events and requests, and returns the events to send.

    Times are absolute seconds of any clock that does not go backwards. Call `advance` at `deadline_s`, and `feed` and
    `command` as events arrive. Send all returned events in order.
    """

    def __init__(
        self, engine: Network, settings: Config, seed: int, start_s: float, touch: TouchNetwork | None = None
    ) -> None:
        """Begin in silence, or with a count-in at `start_s`.

        Args:
            engine: The network, such as an `Engine`.
            settings: The settings.
            seed: Seed of all random numbers.
            start_s: The present time, in absolute seconds.
            touch: The touch network for `sound.touch: learned`; None follows the player's loudness instead.

        """
        self.performance = Performance(engine, settings, seed, start_s, touch)
        self.taps = Taps()
        self._controls = Controls(settings.control.bindings)
        self._outlet = Outlet(settings, seed)
        self._sender = ClockSender(engine.spec.steps_per_quarter, start_s) if settings.time.send_clock else None

    # --- the interface -----------------------------------------------------------------------------------------------

    def feed(self, event: Event, now_s: float) -> list[Event]:
        """Take in an event of the player's, a note or a control.

        Args:
            event: The event.
            now_s: The time of the event, in absolute seconds.

        Returns:
            Events to send at once.

        """
        if not self._controls.claims(event):
            self._outlet.make_way(event)
            return self._sent(self.performance.feed(event, now_s), now_s)
        return [out for command in self._controls.read(event) for out in self.command(command, now_s)]

    def command(self, request: Request, now_s: float) -> list[Event]:
        """Carry out a request; return the events to send at once. An impossible request does nothing."""
        return [] if self._closed else self._sent(self._do(request, now_s), now_s)

    def deadline_s(self) -> float:
        """Return the time for the next call of `advance`, in absolute seconds; infinity until the next event."""
        if self._closed:
            return math.inf
        pulse_s = math.inf if self._sender is None else self._sender.deadline_s(self.performance.time.grid)
        return min(self.performance.next_s(), self._outlet.next_s(), pulse_s)

    def advance(self, now_s: float) -> list[Event]:
        """Do the work that is due; return the events to send now. A pulse of the clock never waits for the network."""
        if self._sender is not None and (pulse := self._sender.pulse(self.performance.time.grid, now_s)):
            return pulse
        return self._sent(self.performance.advance(now_s), now_s)

    def stop(self, now_s: float) -> list[Event]:
        """End all notes, and drop those that wait; return the events to send. Later calls are ignored."""
        out = self._sent(self.performance.close(), now_s)
        return out if self._sender is None else [*out, *self._sender.stop()]

    def told(self) -> HistoryView:
        """Return the frames in the network's memory, as far as they are kept."""
        return self.performance.own.memory.told

    def exchange(self, network: Network, history: History) -> bool:
        """Continue with another network.

        Args:
            network: The new network.
            history: Its history, which must agree with the frames that `told` returned.

        Returns:
            Whether the network was exchanged; False where the histories disagree, and nothing changes.

        """
        own = self.performance.own
        if not own.memory.exchange(network, history):
            return False
        own.improviser.exchanged()
        self.performance.player.follower.know(own.memory.idiom)
        return True

    def status(self) -> Status:
        """Return the values to display."""
        play, time = self.performance, self.performance.time
        here = time.tick if time.running else 0
        bar, beat = time.grid.count(here) if time.running else (0, 0)
        return Status(
            state=play.state,
            mode=play.settings.turns.mode,
            muted=play.switches.mute,
            holding=play.switches.hold,
            bpm=time.bpm,
            metre=str(time.metre),
            bar=bar,
            beat=beat,
            tick=time.grid.place(here)[0],
            player_keys=play.player.midi_keys,
            own_keys=play.own.midi_keys,
            missed=play.missed,
            tick_s=time.grid.tick_s,
            mark=time.mark,
            settings=play.settings,
        )

    # --- requests ----------------------------------------------------------------------------------------------------

    def _do(self, request: Request, now_s: float) -> list[Event]:
        if isinstance(request, ClockMessage):
            return self.performance.receive_clock(request, now_s)
        control = CONTROLS.get(request.name)
        if control is not None and control.do is not None:
            out: list[Event] = resolve(control.do)(self, request.argument, now_s)
            return out
        if control is not None and isinstance(control.kind, Dial):
            return self.turn(control.kind, request.argument, now_s)
        return []

    def turn(self, dial: Dial, to: Argument, now_s: float) -> list[Event]:
        """Turn a dial to a value, or by a step. A value that the setting does not allow is ignored."""
        play = self.performance
        now = written(value_of(play.settings, dial.setting))
        try:
            settings = override(play.settings, f"{dial.setting}={dial.turned(now, to, followed(dial.setting, play))}")
        except ConfigError:
            return []
        return play.apply(settings, now_s)

    def set_tempo(self, to: Argument, now_s: float) -> list[Event]:
        """Set the tempo in beats per minute, or move it by a step. A tempo outside the setting's range is ignored."""
        play = self.performance
        try:
            dial = CONTROLS["tempo"].kind
            assert isinstance(dial, Dial)
            settings = override(play.settings, f"{dial.setting}={dial.turned(f'{play.time.bpm:g}', to)}")
        except ConfigError:
            return []
        out = play.apply(settings, now_s)
        play.set_tempo()
        return out

    # --- sending -----------------------------------------------------------------------------------------------------

    @property
    def _closed(self) -> bool:
        return self.performance.turn is Turn.CLOSED

    def _sent(self, events: Sequence[Event | Delayed], now_s: float) -> list[Event]:
        """Return the events to send now, with the clock's where the grid has changed."""
        time = self.performance.time
        out = self._outlet.send(events, now_s, time.grid.tick_s)
        if self._sender is None:
            return out
        return [*out, *self._sender.changed(time.grid, time.tick, time.running, now_s)]
