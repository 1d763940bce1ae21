"""The musician: a performance, what can be asked of it while it plays, and how its notes and its clock leave.

Sans I/O: the musician is told the time with every call, and says when it wants to be called next. It reads no clock and
opens no port; equal calls at equal times give equal events, which is what replay rests on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from livebach.config import Config, ConfigError, override, value_of
from livebach.controls import CONTROLS, Argument, Command, Controls, Dial, resolve
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
"""What may be asked for between two events of the player's."""


class Musician:
    """Takes in the player's events and what the person asks for; gives the events that are to be sent."""

    def __init__(
        self, engine: Network, settings: Config, seed: int, start_s: float, touch: TouchNetwork | None = None
    ) -> None:
        """Begin in silence; a count-in starts at `start_s` (absolute seconds). `seed` is that of all chance.

        `touch` says how notes are played where `sound.touch` is learned; without it they follow the player's loudness.
        """
        self.performance = Performance(engine, settings, seed, start_s, touch)
        self.taps = Taps()
        self._controls = Controls(settings.control.bindings)
        self._outlet = Outlet(settings, seed)
        self._sender = ClockSender(engine.spec.steps_per_quarter, start_s) if settings.time.send_clock else None

    # --- what the world calls ----------------------------------------------------------------------------------------

    def feed(self, event: Event, now_s: float) -> list[Event]:
        """Take in an event of the player's, be it music or a control; return what must be sent at once."""
        if not self._controls.claims(event):
            self._outlet.make_way(event)
            return self._sent(self.performance.feed(event, now_s), now_s)
        return [out for command in self._controls.read(event) for out in self.command(command, now_s)]

    def command(self, request: Request, now_s: float) -> list[Event]:
        """Do what is asked for, where that can be; return what must be sent at once."""
        return [] if self._closed else self._sent(self._do(request, now_s), now_s)

    def deadline_s(self) -> float:
        """When `advance` should be called next; infinity where only an event can change anything."""
        if self._closed:
            return math.inf
        pulse_s = math.inf if self._sender is None else self._sender.deadline_s(self.performance.time.grid)
        return min(self.performance.next_s(), self._outlet.next_s(), pulse_s)

    def advance(self, now_s: float) -> list[Event]:
        """Do what is due; return what is to be sent now. A pulse of the clock waits for no work on the network."""
        if self._sender is not None and (pulse := self._sender.pulse(self.performance.time.grid, now_s)):
            return pulse
        return self._sent(self.performance.advance(now_s), now_s)

    def stop(self, now_s: float) -> list[Event]:
        """End everything that sounds; what has not begun never does. What comes after is ignored."""
        out = self._sent(self.performance.close(), now_s)
        return out if self._sender is None else [*out, *self._sender.stop()]

    def told(self) -> HistoryView:
        """What the network was told, as far as that is kept."""
        return self.performance.own.memory.told

    def exchange(self, network: Network, history: History) -> bool:
        """Play on with another network, which was told the same; False, and nothing changed, where it was not."""
        own = self.performance.own
        if not own.memory.exchange(network, history):
            return False
        own.improviser.exchanged()
        return True

    def status(self) -> Status:
        """What there is to show."""
        play, time = self.performance, self.performance.time
        here = time.tick if time.running else 0
        bar, beat = time.grid.count(here) if time.running else (0, 0)
        return Status(
            state=play.state,
            mode=play.settings.turns.mode,
            muted=play.switches.mute,
            holding=play.switches.hold,
            bpm=time.bpm,
            metre=str(play.settings.time.metre),
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

    # --- what the person asks for ------------------------------------------------------------------------------------

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
        """Turn a dial to a value, or by a step; a value that its setting cannot have is left."""
        play = self.performance
        now = written(value_of(play.settings, dial.setting))
        try:
            settings = override(play.settings, f"{dial.setting}={dial.turned(now, to, followed(dial.setting, play))}")
        except ConfigError:
            return []
        return play.apply(settings, now_s)

    def set_tempo(self, to: Argument, now_s: float) -> list[Event]:
        """Go at this tempo, in beats a minute, or a step from the tempo of the grid."""
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

    # --- how it leaves -----------------------------------------------------------------------------------------------

    @property
    def _closed(self) -> bool:
        return self.performance.turn is Turn.CLOSED

    def _sent(self, events: Sequence[Event | Delayed], now_s: float) -> list[Event]:
        """What goes out of these events now, and of the clock where the grid has changed."""
        time = self.performance.time
        out = self._outlet.send(events, now_s, time.grid.tick_s)
        if self._sender is None:
            return out
        return [*out, *self._sender.changed(time.grid, time.tick, time.running, now_s)]
