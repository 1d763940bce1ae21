"""Playing on a musical grid, tick by tick: the player's keys in, the network's notes out.

Each tick n has three moments: its frame is chosen a little before T_n, sounds at T_n, and is final half a tick later.
Until then the player's keys are rounded to the tick. Only final frames go into the network's memory.

The caller gives the time with every call. The performance reads no clock and opens no port. Equal calls at equal times
give equal events, so a take can be replayed. The performance knows neither controls nor how its notes are sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from livebach.config import Config, ConfigError, with_value
from livebach.music.events import Event, NoteOn
from livebach.music.key import Key, KeyHearing
from livebach.music.roll import HOLD, LOW_KEY, OFF, Frame
from livebach.music.texture import Texture
from livebach.music.touch import TickTouch
from livebach.musician.cadence import Cadence
from livebach.musician.clock_follower import ClockKind, ClockMessage
from livebach.musician.memory import Network
from livebach.musician.metronome import Click
from livebach.musician.modes import TurnContext, mode_of
from livebach.musician.network_part import NetworkPart
from livebach.musician.outlet import Delayed
from livebach.musician.player_part import PlayerPart
from livebach.musician.status import State
from livebach.musician.timekeeper import Timekeeper
from livebach.musician.turns import Change, Ending, Switches, Turn, after
from livebach.network.sampling import SamplingParams
from livebach.network.touch import TouchNetwork

BARS_AT_HOME = 4
"""Bars before an ending in which the network stays in its home key."""


class Performance:
    """Listens to a player, and plays in the network's turn."""

    def __init__(
        self, engine: Network, settings: Config, seed: int, start_s: float, touch: TouchNetwork | None = None
    ) -> None:
        """Wait for the player, or count in from `start_s` on.

        Args:
            engine: The network.
            settings: The settings.
            seed: Seed of all random numbers.
            start_s: The present time, in absolute seconds.
            touch: The touch network; None plays by rules.

        """
        self.time = Timekeeper(settings, engine.spec.steps_per_quarter, start_s)
        grid = self.time.grid
        self.player = PlayerPart(settings, grid.bar_ticks)
        self.own = NetworkPart(engine, settings, seed, grid, touch)
        self.player.follower.know(self.own.memory.idiom)
        self._settings = settings
        self._mode = mode_of(settings)
        self._click = Click(settings.time.click_channel - 1, grid, always=settings.time.click)
        self._hearing = KeyHearing(grid.bar_ticks)  # the key of both players' music
        self._turn = Turn.LISTENING
        self._ending = Ending()
        self._phrase: tuple[int, int] | None = None  # first and last tick on which the player sounded in this turn
        self.switches = Switches()
        self.missed = 0
        """Number of ticks that were too late to sound."""

    @property
    def settings(self) -> Config:
        """The present settings."""
        return self._settings

    @property
    def turn(self) -> Turn:
        """Whose turn it is."""
        return self._turn

    @property
    def state(self) -> State:
        """The state to display."""
        if not self.time.running:
            return State.IDLE
        return State.PLAYING if self._playing else State.LISTENING

    @property
    def texture(self) -> Texture:
        """The texture asked of the network."""
        return self._mode.texture(self.player.follower.texture)

    # --- what comes in -----------------------------------------------------------------------------------------------

    def feed(self, event: Event, now_s: float) -> list[Event]:
        """Take in an event of the player's; return the events to send at once."""
        if self._turn is Turn.CLOSED:
            return []
        out = self.own.notes.make_way(event)
        self.own.touch.make_way(event)
        if self.player.strikes(event, now_s):
            assert isinstance(event, NoteOn)
            if self._begins_phrase:
                self._change(Change.NEW_PHRASE)
            if not self.time.running:
                self._start(now_s)
            elif self._playing and self._mode.yields:
                out += self._yield(now_s)
            else:
                out += self.own.notes.release(event.key - LOW_KEY)
        if self.player.listener.hears(event):
            self.time.source.observe(event, now_s)
        return out

    def receive_clock(self, message: ClockMessage, now_s: float) -> list[Event]:
        """Take in a message of a MIDI clock; return the events to send at once."""
        effect = self.time.source.receive(message, now_s)
        if effect.halts:
            return self._halt(now_s)
        out = [] if effect.place is None else self._take_place(effect.place, now_s)
        if effect.bpm is not None:
            self._follow_tempo(effect.bpm, now_s)
        if message.kind is ClockKind.PULSE:
            self.time.lay(self.time.source.aligned(self.time.grid))
        return out

    def _follow_tempo(self, bpm: float, now_s: float) -> None:
        """Set the tempo of a clock. A tempo that the setting does not allow is ignored."""
        try:
            settings = with_value(self._settings, "time.bpm", bpm)
        except ConfigError:
            return
        self.apply(settings, now_s)
        self.set_tempo()

    def advance(self, now_s: float) -> list[Event | Delayed]:
        """Do the work that is due; return the events to send now.

        Choosing a frame takes time, so it ends the call. The next call decides whether the frame is too late.
        """
        time = self.time
        out: list[Event | Delayed] = [*self._halt(now_s)] if time.source.lost(now_s) else []
        self._skip_to(now_s)
        while self.next_s() <= now_s:
            if self._click_waits and time.moments.click_s(time.tick) <= self._due_s:
                out += self._strike_click(now_s)
            elif not self._audible or time.open_tick.sounded:
                out += self._close_tick(now_s)
            elif self._playing and time.open_tick.drawn is None and not time.too_late(now_s):
                return out + self._draw()
            else:
                out += self._sound(now_s)
        return out

    def next_s(self) -> float:
        """Return the time of the next work, in absolute seconds; infinity where only an event can cause any."""
        if self._turn is Turn.CLOSED or not self.time.running:
            return math.inf
        return min(self._due_s, self.time.moments.click_s(self.time.tick)) if self._click_waits else self._due_s

    def close(self) -> list[Event]:
        """End all sounding notes; return their events. Later calls are ignored."""
        self._change(Change.CLOSE)
        return [*self._click.end(), *self.own.notes.close(), *self.own.touch.lift()]

    # --- requests ----------------------------------------------------------------------------------------------------

    def apply(self, settings: Config, now_s: float) -> list[Event]:
        """Use other settings from now on; return the events to send at once.

        A new mode decides from the next tick on; notes that go on are not cut. A new metre begins on the next downbeat.
        For a new tempo call `set_tempo` too.
        """
        before, self._settings = self._settings.turns.mode, settings
        if not self.time.running:
            self._take_metre()
        self.player.set(settings)
        self.own.touch.set(settings)
        self._mode = mode_of(settings)
        if settings.turns.mode == before:
            return []
        self._ending = Ending()
        return self.fall_silent(now_s) if self._mode.yields or not self._playing else []

    def set_tempo(self) -> None:
        """Use the tempo of the settings, from the open tick on."""
        self.time.set_bpm(self._settings.time.bpm)

    def take_over(self, now_s: float) -> None:
        """Let the network play from the next beat on. Where the grid does not run, it starts with a downbeat now."""
        self._change(Change.ASK)
        if not self.time.running:
            self._start(now_s)
            self._decide()

    def finish(self, now_s: float) -> None:
        """End with a cadence on the first downbeat a bar or more from now. Without music so far, do nothing."""
        if self._ending.cadence is None and self._hearing.key() is not None and not self.switches.mute:
            self.take_over(now_s)
            grid = self.time.grid
            self._plan_cadence(grid.next_downbeat(max(0, self.time.tick) + grid.bar_ticks))

    def end(self) -> None:
        """Stay silent until the player begins a new phrase."""
        self._change(Change.END)
        self._ending = Ending()

    def fall_silent(self, now_s: float) -> list[Event]:
        """End the network's notes now, within the tick; return their note-offs."""
        if self.time.running:
            self._catch_up(now_s)
        self._change(Change.LET_GO)
        self._note(drawn=None)
        return self.own.release()

    def forget(self) -> None:
        """Forget all the music so far."""
        self.own.forget()
        self._hearing.forget()
        self.player.forget()

    # --- a tick: drawn, sounded, closed ------------------------------------------------------------------------------

    @property
    def _playing(self) -> bool:
        return self._turn is Turn.PLAYING

    def _change(self, change: Change) -> None:
        self._turn = after(self._turn, change)

    def _note(self, **known: Any) -> None:
        """Replace values of the open tick."""
        self.time.open_tick = replace(self.time.open_tick, **known)

    @property
    def _audible(self) -> bool:
        """Whether the open tick may have events to send."""
        own = bool(self.own.notes.sounding) or self.own.touch.pedal_down
        return self._playing or own or self._click.falls_on(self.time.tick)

    @property
    def _delayed(self) -> bool:
        """Whether notes are sent a little after the tick: in a duet, unless a MIDI clock leads."""
        return not self._mode.yields and not self.time.source.leads

    @property
    def _due_s(self) -> float:
        """The time at which the open tick is to be drawn, sounded or closed, in absolute seconds."""
        tick, moments = self.time.open_tick, self.time.moments
        if tick.sounded or not self._audible:
            return moments.close_s(tick.number)
        if self._playing and tick.drawn is None:
            alone, first = self._mode.yields, self.own.touch.first(self._usual_offsets)
            return moments.draw_s(tick.number, self._delayed, not self.own.begun, alone, first)
        return moments.sound_s(tick.number, self._delayed, tick.touch.first)

    @property
    def _usual_offsets(self) -> Mapping[int, float]:
        """The player's offsets at the place of the open tick, with their shares."""
        return self.player.timing.usual(self.time.grid.place(self.time.tick))

    @property
    def _click_waits(self) -> bool:
        return not self.time.open_tick.clicked and self._click.falls_on(self.time.tick)

    def _context(self) -> TurnContext:
        listener, grid, tick = self.player.listener, self.time.grid, self.time.tick
        return TurnContext(
            on_beat=grid.on_beat(tick),
            playing=self._playing,
            asked=self._turn is Turn.ASKED or self._ending.cadence is not None,
            heard=listener.heard,
            at_rest=listener.at_rest,
            silent_ticks=self.player.silent_ticks,
            player=listener.peek(grid.close_s(tick)),
            recent=self.player.recent,
            sounding=self.own.notes.held_frame,
        )

    def _draw(self) -> list[Event]:
        """Choose the open tick's frame. With articulation below 1, notes that end on the tick end now."""
        context, sampling = self._context(), self._settings.sampling
        if self.switches.hold:
            drawn = context.sounding
        else:
            bias = self.player.key_lock.bias
            params = SamplingParams(temperature=sampling.temperature, min_p=sampling.min_p, key_bias=bias)
            place = self.time.grid.place(self.time.tick)
            self.own.improviser.lean = self.own.touch.lean(self.player.timing, place)
            last_key, cadence = self.player.last_key, self._ending.cadence
            drawn = self.own.choose(context, self._mode, params, last_key, self.time.tick, cadence)
        self._note(drawn=drawn, touch=self._touch_of(drawn, context))
        return self.own.notes.release_all_but(drawn) if self.time.moments.gap_s else []

    def _touch_of(self, drawn: Frame, context: TurnContext) -> TickTouch:
        """Choose velocities, offsets and pedal of the open tick's frame."""
        grid, tick = self.time.grid, self.time.tick
        held = np.flatnonzero((drawn == HOLD) | (context.player == HOLD)).tolist()
        struck, loudness = self.player.struck(grid, tick), self.player.listener.touch
        return self.own.touch.choose(drawn, struck, held, grid, tick, loudness, self._usual_offsets)

    def _sound(self, now_s: float) -> list[Event | Delayed]:
        """Sound the open tick. If that is too late, sounding notes go on and nothing new is struck."""
        if self.time.too_late(now_s):
            self.missed += 1
            self._note(sounded=True, own=self.own.notes.held_frame)
            return []
        tick, moments = self.time.open_tick, self.time.moments
        ahead_s = moments.ahead_s(tick.number, tick.touch.first)
        own, events = self.own.sound(tick.drawn, self.player.listener.held, tick.touch, moments.part_s, ahead_s)
        self._note(sounded=True, own=own)
        return events

    def _strike_click(self, now_s: float) -> list[Event]:
        self._note(clicked=True)
        return [] if self.time.too_late(now_s) else self._click.strike(self.time.tick)

    def _close_tick(self, now_s: float) -> list[Event]:
        """Close the open tick: its frame becomes final, and the mode decides about the next tick."""
        grid, tick = self.time.grid, self.time.open_tick
        self.missed += now_s > grid.time_s(tick.number + 1) and not tick.sounded
        self._finish_tick(grid.close_s(tick.number))
        self.time.open(tick.number + 1)
        self._decide()
        return self._click.end()

    def _finish_tick(self, until_s: float) -> None:
        """Remember the open tick's frame, in which the player's keys take precedence, without running the network."""
        tick = self.time.open_tick
        own = tick.own if tick.sounded else self.own.notes.held_frame
        self.time.set_mark()
        struck = self.player.struck(self.time.grid, tick.number)
        self.player.judge_timing(self.time.grid, tick.number)
        # In a duet the texture of both together is not the one to follow.
        player = self.player.close_tick(until_s, follow=self._mode.yields and not self._playing)
        frame: Frame = np.where(player == OFF, own, player)
        self._hearing.observe(frame)
        self.own.improviser.listen(frame, player)
        if self._playing:
            self.own.improviser.played(own, own if self._mode.yields else frame)
        place = self.time.grid.place(tick.number)
        if self._playing or self.player.silent_ticks <= self.time.grid.bar_ticks:  # longer rests carry no information
            self.own.touch.observe(own, tick.touch, player, struck, place, self.player.pedal, self._playing)
        self._follow_phrase(tick.number, player)
        self.own.memory.note(frame, place, players=not self._playing)

    def _follow_phrase(self, tick: int, player: Frame) -> None:
        """Note the first and last tick on which the player has played since the network's turn."""
        if self._playing:
            self._phrase = None
        elif player.any():
            self._phrase = (tick if self._phrase is None else self._phrase[0]), tick

    def _decide(self) -> None:
        """Decide whether the network plays on the open tick. If so, all earlier frames go into its memory now."""
        self._take_metre()
        self.time.set_between(self.player.timing.between, alone=self._playing and self._mode.yields)
        self.time.follow_source()
        self._look_ahead()
        may = self.time.tick >= 0 and not self.switches.mute and self._turn is not Turn.ENDED
        if not (may and self._mode.plays(self._context())):
            self._change(Change.LET_GO)
            self.own.memory.settle(self.player.follower.texture)
            self.time.running = not self._may_rest()
            return
        if not self._playing:
            self._take_up()
        self.own.make_ready(self._settings, self.time.grid.place(self.time.tick), self.texture)

    def _look_ahead(self) -> None:
        """End the turn if that is due, and plan a cadence if the end is near."""
        ending = self._ending
        if ending.leave is not None and self.time.tick >= ending.leave - BARS_AT_HOME * self.time.grid.bar_ticks:
            self.own.improviser.guides.go_home()
        if ending.tick is not None and self.time.tick >= ending.tick:
            self.end()
        elif ending.leave is not None and ending.cadence is None and self._settings.turns.ending == "cadence":
            self._plan_cadence(ending.leave - self.time.grid.bar_ticks, self.own.improviser.guides.home)

    def _take_up(self) -> None:
        """Begin the network's turn."""
        self._change(Change.TAKE_UP)
        self.own.take_up(alone=self._mode.yields, home=self.player.key_lock.home)
        if self._mode.yields:
            grid, bars = self.time.grid, self._answer_bars()
            leave = None if bars is None else grid.next_downbeat(self.time.tick) + bars * grid.bar_ticks
            self._ending = replace(self._ending, leave=leave)

    def _answer_bars(self) -> int | None:
        """Return the number of bars of the network's turn: as set, or as in the player's phrase; None has no limit."""
        bars = self._settings.turns.bars
        if not isinstance(bars, str):
            return bars
        first, last = self._phrase or (self.time.tick, self.time.tick)
        return max(1, round((last + 1 - first) / self.time.grid.bar_ticks))

    def _plan_cadence(self, due: int, home: Key | None = None) -> None:
        """Plan a last chord on the downbeat `due` if that is near and a key is known: `home`, or the key heard."""
        key, grid = self.player.key_lock.key or home or self._hearing.key(), self.time.grid
        if key is not None and 0 <= due - self.time.tick <= 2 * grid.bar_ticks:
            self._ending = replace(self._ending, cadence=Cadence(key, due, due + grid.bar_ticks, grid.beat_ticks))

    # --- turns and the grid ------------------------------------------------------------------------------------------

    @property
    def _begins_phrase(self) -> bool:
        """Whether a key struck now begins a phrase: always where the players take turns, else after a silence."""
        silence = self.player.silent_ticks >= self._settings.turns.silence_ticks
        return self._mode.yields or silence or not self.time.running

    def _start(self, now_s: float) -> None:
        """Start the grid at the first onset after a silence, which is a downbeat."""
        self.player.silent_ticks = 0
        self.time.start(now_s)

    def _take_metre(self) -> None:
        """Begin the metre of the settings where the open tick is a downbeat. At rest, the next tick is one."""
        time, metre = self.time, self._settings.time.metre
        if metre == time.metre:
            return
        if not time.running:
            time.open(time.grid.next_downbeat(time.tick))
        elif not time.grid.on_downbeat(time.tick):
            return
        before = time.grid
        time.set_metre(metre)
        self._ending = self._ending.in_metre(before, time.grid)
        self._hearing.set_bar(time.grid.bar_ticks)
        self._click.follow(time.grid)
        self.player.set_bar(time.grid.bar_ticks)
        self.own.set_metre(time.grid)

    def _yield(self, now_s: float) -> list[Event]:
        """Fall silent for the player, and take the grid's phase from this onset.

        Within half a tick of a beat, the player is in time with the network, and the count of the bar goes on.
        Elsewhere the onset is a new start, a downbeat. A fixed grid stays.
        """
        out = self.fall_silent(now_s)
        self._ending = Ending()
        self.player.silent_ticks = 0
        time = self.time
        if not time.fixed and time.grid.nearest(now_s) > time.tick:
            self._pass_over(now_s)
        if time.fixed or time.grid.on_beat(time.tick):
            time.open_tick = time.open_tick.with_onsets_only()
        else:
            self._pass_over(now_s)
            time.open(time.grid.next_downbeat(time.tick))
            self._take_metre()
        if not time.fixed:
            time.move_to(now_s)
        time.source.restart(time.grid, placed=False)
        return out

    def _take_place(self, place: int, now_s: float) -> list[Event]:
        """Continue at the place of a clock's sender: `place` is its tick, counted from the start of its song."""
        out = self.fall_silent(now_s)
        if self.time.running:
            self._pass_over(now_s)
        self.time.take_place(place, now_s)
        return out

    def _pass_over(self, now_s: float) -> None:
        """Finish the open tick as it is now. A tick that has not sounded stays open."""
        if self.time.open_tick.sounded:
            self._finish_tick(now_s)
            self.time.open(self.time.tick + 1)

    def _halt(self, now_s: float) -> list[Event]:
        """Fall silent because the clock has stopped or is lost, until the player or the clock begins anew."""
        out = self.fall_silent(now_s)
        self._ending = Ending()
        self.time.halt()
        return out

    def _catch_up(self, now_s: float) -> None:
        """Close the ticks that `advance` missed, without running the network."""
        self._skip_to(now_s)
        while now_s >= (close_s := self.time.grid.close_s(self.time.tick)):
            self.missed += not self.time.open_tick.sounded
            self._finish_tick(close_s)
            self.time.open(self.time.tick + 1)

    def _may_rest(self) -> bool:
        """Return whether the silence is long enough for the grid to stop and wait for the player's next onset."""
        grid = self.time.grid
        limit = grid.bar_ticks + self._settings.turns.silence_ticks + grid.beat_ticks
        quiet = not self.own.notes.sounding and not self.time.fixed
        return quiet and min(self.player.silent_ticks, self.time.tick) > limit

    def _skip_to(self, now_s: float) -> None:
        """After a standstill of more than a bar, close the open tick, and skip most of the ticks since."""
        if not self.time.running or self._turn is Turn.CLOSED:
            return
        grid, tick = self.time.grid, self.time.tick
        late = math.floor((now_s - grid.close_s(tick)) / grid.tick_s)
        if late > grid.bar_ticks:
            self.missed += late - grid.bar_ticks
            self._finish_tick(grid.close_s(tick))
            self.time.open(tick + late - grid.bar_ticks)
