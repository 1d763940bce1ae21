"""Listening and playing on a musical grid: the player's events in, its own events out.

Sans I/O: it is told the time with every call, and says when it wants to be called next. It reads no clock and opens no
port; equal calls at equal times give equal events, which is what replay rests on.

Each tick n has three moments: it is drawn a little before T_n, sounds at T_n, and is closed half a tick later. Until
then the player's keys round to it; closed frames go into the network's memory. Nothing provisional is remembered.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from livebach.music.events import Event, NoteOn
from livebach.music.grid import Grid, Mark
from livebach.music.key import KeyHearing
from livebach.music.roll import KEYS, LOW_KEY, OFF, ONSET, Frame
from livebach.musician.cadence import Cadence
from livebach.musician.expression import velocity
from livebach.musician.improviser import Improviser
from livebach.musician.listener import Listener
from livebach.musician.memory import History, HistoryView, Memory, Network
from livebach.musician.metronome import Click
from livebach.musician.modes import TurnContext, mode_of
from livebach.musician.own_notes import Voice
from livebach.musician.status import Status
from livebach.musician.texture_follower import KeyLock, TextureFollower
from livebach.network.sampling import SamplingParams

if TYPE_CHECKING:
    from livebach.config import Config

MOST_AHEAD = 0.45
"""No tick is drawn or sent earlier than this part of a tick before it sounds: the one before must be closed."""
MOST_BEHIND = 0.25
"""No tick of a duet is drawn or sent later than this part of a tick after its time."""


class Performer:
    """Listens to a player, and plays when it is its turn."""

    def __init__(self, engine: Network, settings: Config, seed: int, start_s: float) -> None:
        midi, time, turns = settings.midi, settings.time, settings.turns
        grid = Grid.of(time.bpm, time.metre, engine.spec.steps_per_quarter)
        self._settings = settings
        self._mode = mode_of(settings)
        self._listener = Listener(
            None if midi.input_channel is None else midi.input_channel - 1,
            turns.pedal_counts,
            settings.sound.velocity_default,
        )
        self._voice = Voice(midi.output_channel - 1, shared=midi.thru)
        self._click = Click(time.click_channel - 1, grid, always=time.click)
        self._follower = TextureFollower(settings, grid.bar_ticks)
        self._lock = KeyLock(settings, grid.bar_ticks)
        self._hearing = KeyHearing(grid.bar_ticks)  # both players'
        self._memory = Memory(engine, settings.engine.adapt)
        quotes = settings.sampling.longest_quote
        self._improviser = Improviser(self._memory, seed, grid.beat_ticks, grid.bar_ticks, quotes)
        self._lead_s = settings.engine.lead_ms / 1000
        self._set_pace(grid.tick_s)

        # The open tick: the next one to be closed. Until its grid runs, there is none.
        self._tick = -time.count_in_bars * grid.bar_ticks
        self._grid = grid.moved(self._tick, start_s + self._early_s)
        self._running = time.click or time.count_in_bars > 0
        self._stopped = False
        self._fixed = time.click  # whether the grid is not the player's to move
        self._playing = False  # whether the network plays on the open tick
        self._drawn: Frame | None = None
        self._sounded = False  # whether the moment of the open tick has passed
        self._clicked = False  # whether its click has sounded
        self._own: Frame = np.zeros(KEYS, np.uint8)  # what the network sounded on it
        self._recent: deque[Frame] = deque(maxlen=grid.bar_ticks)  # the player's part of the last bar
        self._last_key: int | None = None  # the player's highest key of the last frame that had any
        self._silent_ticks = 0
        self._missed = 0
        self._steps = engine.spec.steps_per_quarter
        self._mark: Mark | None = None  # the newest beat that is over, or tick from which on the tempo is another
        self._muted = False
        self._holding = False
        self._asked = False  # to play
        self._done = False  # silent until the player begins anew
        self._leave: int | None = None  # the tick on which it leaves the word to the player
        self._cadence: Cadence | None = None

    def _set_pace(self, tick_s: float) -> None:
        self._early_s = min(self._settings.midi.latency_ms / 1000, MOST_AHEAD * tick_s)
        self._gap_s = (1 - self._settings.sound.articulation) * tick_s  # between a note's end and the tick that ends it

    # --- what the world calls ----------------------------------------------------------------------------------------

    def feed(self, event: Event, now_s: float) -> list[Event]:
        """Take in an event of the player's; returns what must be sent at once."""
        if self._stopped:
            return []
        out = self._voice.make_way(event)
        if self._listener.take(event, now_s):
            assert isinstance(event, NoteOn)
            self._done &= not self._begins_anew
            if not self._running:
                self._start(now_s)
            elif self._playing and self._mode.yields:
                out += self._yield(now_s)
            else:
                out += self._voice.release(event.key - LOW_KEY)
        return out

    def _next_s(self) -> float:
        """When there is something to do next; infinity where only an event can change anything."""
        if self._stopped or not self._running:
            return math.inf
        due_s = self._due_s
        return min(due_s, self._click_s) if self._click_waits else due_s

    def advance(self, now_s: float) -> list[Event]:
        """Do what is due; returns what is to be sent now.

        Choosing a frame ends it, as that takes time: whether the frame comes too late is for the next call to say.
        """
        out: list[Event] = []
        self._skip_to(now_s)
        while self._next_s() <= now_s:
            if self._click_waits and self._click_s <= self._due_s:
                out += self._strike_click(now_s)
            elif not self._audible or self._sounded:
                out += self._close(now_s)
            elif self._playing and self._drawn is None and not self._too_late(now_s):
                return out + self._draw()
            else:
                out += self._sound(now_s)
        return out

    def told(self) -> HistoryView:
        """What the network was told, as far as that is kept."""
        return self._memory.told

    def exchange(self, network: Network, past: History) -> bool:
        """Play on with another network, which was told the same; False, and nothing changed, where it was not."""
        if not self._memory.exchange(network, past):
            return False
        self._improviser.exchanged()
        return True

    def stop(self, now_s: float) -> list[Event]:
        """End everything that sounds. What comes after is ignored."""
        self._stopped = True
        return [*self._click.end(), *self._voice.close()]

    def status(self) -> Status:
        """The state of affairs."""
        here = self._tick if self._running else 0
        bar, beat = self._grid.count(here) if self._running else (0, 0)
        return Status(
            state="idle" if not self._running else "playing" if self._playing else "listening",
            mode=self._settings.turns.mode + (", mute" if self._muted else "") + (", hold" if self._holding else ""),
            bpm=self._bpm,
            metre=str(self._settings.time.metre),
            bar=bar,
            beat=beat,
            tick=self._grid.place(here)[0],
            player_keys=tuple(key + LOW_KEY for key in self._listener.held),
            own_keys=tuple(key + LOW_KEY for key in self._voice.sounding),
            missed=self._missed,
            tick_s=self._grid.tick_s,
            mark=self._mark,
            settings=self._settings,
        )

    @property
    def _bpm(self) -> float:
        """Beats a minute, as the grid goes."""
        return round(60 / (self._grid.tick_s * self._grid.beat_ticks), 3)

    # --- a tick: drawn, sounded, closed ------------------------------------------------------------------------------

    @property
    def _audible(self) -> bool:
        """Whether anything may have to be sent on the open tick."""
        return self._playing or bool(self._voice.sounding) or self._click.falls_on(self._tick)

    @property
    def _due_s(self) -> float:
        """When the open tick is to be drawn, sounded or closed."""
        if not self._audible or self._sounded:
            return self._grid.close_s(self._tick)
        return self._draw_s if self._playing and self._drawn is None else self._sound_s

    @property
    def _click_waits(self) -> bool:
        return not self._clicked and self._click.falls_on(self._tick)

    @property
    def _click_s(self) -> float:
        return self._grid.time_s(self._tick) - self._early_s

    @property
    def _behind_s(self) -> float:
        """Playing together, it sounds a little after the tick: what the player strikes on it is known by then.

        The onsets of people who play together are 30 to 50 ms apart (Rasch, Acustica 43, 1979).
        """
        return 0.0 if self._mode.yields else min(self._settings.turns.delay_ms / 1000, MOST_BEHIND * self._grid.tick_s)

    @property
    def _sound_s(self) -> float:
        return self._grid.time_s(self._tick) - self._early_s + self._behind_s

    @property
    def _draw_s(self) -> float:
        """A takeover may need several draws, and the player is silent anyway: it takes all the time there is."""
        ahead = self._early_s + max(self._lead_s, self._gap_s) if self._improviser.begun else math.inf
        return self._grid.time_s(self._tick) - min(ahead, MOST_AHEAD * self._grid.tick_s) + self._behind_s

    def _too_late(self, now_s: float) -> bool:
        """Whether it is no use sounding the open tick any more."""
        return now_s > self._grid.close_s(self._tick) - self._early_s

    def _scene(self) -> TurnContext:
        return TurnContext(
            on_beat=self._grid.on_beat(self._tick),
            playing=self._playing,
            asked=self._asked or self._cadence is not None,
            heard=self._listener.heard,
            at_rest=self._listener.at_rest,
            silent_ticks=self._silent_ticks,
            player=self._listener.peek(self._grid.close_s(self._tick)),
            recent=self._recent,
            sounding=self._voice.held_frame,
        )

    def _draw(self) -> list[Event]:
        """Choose the open tick's frame. Where notes end before the tick that ends them, that is now."""
        scene, sampling = self._scene(), self._settings.sampling
        params = SamplingParams(temperature=sampling.temperature, min_p=sampling.min_p, key_bias=self._lock.bias)
        params, given = self._mode.params(params, scene), self._mode.given(scene)
        if self._holding:
            self._drawn = scene.sounding
        elif self._cadence is None:
            own = self._mode.own(scene)
            self._drawn = self._improviser.draw(given, params, scene.sounding, self._last_key, own)
        else:
            self._drawn = self._draw_cadence(self._cadence, given, params, scene.sounding)
        return self._voice.release_all_but(self._drawn) if self._gap_s else []

    def _draw_cadence(self, cadence: Cadence, given: Frame, params: SamplingParams, sounding: Frame) -> Frame:
        own, params = cadence.given(self._tick, sounding), cadence.params(params, self._tick)
        frame = self._improviser.draw(given, params, sounding, self._last_key, own)
        return cadence.completed(frame, self._tick, sounding)

    def _sound(self, now_s: float) -> list[Event]:
        """The moment of the open tick. Too late for it, what sounds goes on, and nothing new is struck."""
        self._sounded = True
        if self._too_late(now_s):
            self._missed += 1
            self._own = self._voice.held_frame
            return []
        self._own = np.zeros(KEYS, np.uint8) if self._drawn is None else self._drawn
        self._own[self._listener.held + self._voice.barred] = OFF
        loudness = velocity(self._settings.sound.velocity, self._listener.touch, self._grid, self._tick)
        return self._voice.play(self._own, loudness)

    def _strike_click(self, now_s: float) -> list[Event]:
        self._clicked = True
        return [] if self._too_late(now_s) else self._click.strike(self._tick)

    def _close(self, now_s: float) -> list[Event]:
        """The end of the open tick: its frame is final, and the mode decides about the next."""
        self._missed += now_s > self._grid.time_s(self._tick + 1) and not self._sounded
        self._finish(self._grid.close_s(self._tick))
        self._open(self._tick + 1)
        self._decide()
        return self._click.end()

    def _finish(self, until_s: float) -> None:
        """Note the open tick's frame, in which the player's keys win; no work on the network."""
        if not self._sounded:
            self._own = self._voice.held_frame
        quarter_s = self._steps * self._grid.tick_s
        if self._grid.on_beat(self._tick) or self._mark is None or self._mark.quarter_s != quarter_s:
            self._mark = Mark(self._tick / self._steps, self._grid.time_s(self._tick), quarter_s)
        player = self._listener.frame(until_s)
        frame = np.where(player == OFF, self._own, player)
        self._lock.hear(player)
        self._hearing.hear(frame)
        self._recent.append(player)
        if player.any():
            self._last_key = int(np.flatnonzero(player)[-1])
        self._silent_ticks = self._silent_ticks + 1 if self._listener.at_rest and not player.any() else 0
        if self._playing:
            self._improviser.played(self._own, self._own if self._mode.yields else frame)
        if self._mode.yields and not self._playing:  # in a duet the frames are both players': theirs is not the goal
            self._follower.hear(player)
        self._memory.note(frame, self._grid.place(self._tick), players=not self._playing)

    def _open(self, tick: int) -> None:
        self._tick = tick
        self._drawn, self._sounded, self._clicked = None, False, False
        self._own = np.zeros(KEYS, np.uint8)

    def _decide(self) -> None:
        """Whether the network plays on the open tick; if so, everything before it goes into its memory now."""
        self._look_ahead()
        may = self._tick >= 0 and not self._muted and not self._done
        was, self._playing = self._playing, may and self._mode.plays(self._scene())
        if self._playing and not was:
            self._take_up()
        if self._playing:
            self._improviser.texture = self._mode.texture(self._follower.texture)
            register = self._settings.sampling.register
            self._improviser.register = register if isinstance(register, int) else None
            self._memory.make_ready(self._grid.place(self._tick), self._improviser.texture)
        else:
            self._memory.settle(self._follower.texture)
            self._running = not self._may_rest()

    def _look_ahead(self) -> None:
        """Whether it is time to make an end, or to have made one."""
        end = self._leave if self._cadence is None else self._cadence.end
        if end is not None and self._tick >= end:
            self._make_done()
        elif self._leave is not None and self._cadence is None and self._settings.turns.ending == "cadence":
            self._plan_cadence(self._leave - self._grid.bar_ticks)

    def _make_done(self) -> None:
        self._done, self._asked, self._leave, self._cadence = True, False, None, None

    def _take_up(self) -> None:
        """Begin to play."""
        self._asked = False
        if self._mode.yields:
            self._improviser.begin()
            bars = self._settings.turns.bars
            self._leave = None if bars is None else self._grid.next_downbeat(self._tick) + bars * self._grid.bar_ticks
        else:
            self._improviser.join()

    def _plan_cadence(self, due: int) -> None:
        """End with a chord on this tick, a downbeat, if that is near, and it is known in which key."""
        key = self._lock.key or self._hearing.key()
        if key is not None and 0 <= due - self._tick <= 2 * self._grid.bar_ticks:
            self._cadence = Cadence(key, due, due + self._grid.bar_ticks, self._grid.beat_ticks)

    # --- turns and the grid ------------------------------------------------------------------------------------------

    def _start(self, now_s: float) -> None:
        """The first onset after a silence: it is the downbeat."""
        self._running = True
        self._silent_ticks = 0
        self._open(self._grid.next_downbeat(self._tick))
        self._grid = self._grid.moved(self._tick, now_s)

    def _yield(self, now_s: float) -> list[Event]:
        """Fall silent for the player, and take the grid's phase from this onset.

        On a beat, give or take half a tick, the player is with us: the count of the bar goes on. Anywhere else it is a
        new start: a downbeat. A click that always sounds is a grid of its own, and stays.
        """
        out = self._fall_silent(now_s)
        self._asked, self._leave, self._cadence = False, None, None
        self._silent_ticks = 0
        if self._fixed or self._grid.on_beat(self._tick):
            self._own = np.where(self._own == ONSET, ONSET, OFF).astype(np.uint8)
        else:
            self._new_bar(now_s)
        if not self._fixed:
            self._grid = self._grid.moved(self._tick, now_s)
        return out

    def _fall_silent(self, now_s: float) -> list[Event]:
        """End its own notes now, in the middle of the tick."""
        if self._running:
            self._catch_up(now_s)
        self._playing, self._drawn = False, None
        return self._voice.release()

    @property
    def _begins_anew(self) -> bool:
        """Whether a key that the player strikes now is a new beginning: always in turns, after a silence in a duet."""
        return self._mode.yields or self._silent_ticks >= self._settings.turns.silence_ticks or not self._running

    def _catch_up(self, now_s: float) -> None:
        """Close the ticks that `advance` came too late for, without any work on the network."""
        self._skip_to(now_s)
        while now_s >= self._grid.close_s(self._tick):
            self._missed += not self._sounded
            self._finish(self._grid.close_s(self._tick))
            self._open(self._tick + 1)

    def _new_bar(self, now_s: float) -> None:
        tick = self._tick
        if self._sounded:
            self._finish(now_s)
            tick += 1
        self._open(self._grid.next_downbeat(tick))

    def _may_rest(self) -> bool:
        """Whether, after a silence in which the mode wants nothing, the grid may wait for the player's next onset."""
        limit = self._grid.bar_ticks + self._settings.turns.silence_ticks + self._grid.beat_ticks
        quiet = not self._voice.sounding and not self._fixed
        return quiet and min(self._silent_ticks, self._tick) > limit

    def _skip_to(self, now_s: float) -> None:
        """After a standstill of more than a bar, close the open tick, and leave out most of the others."""
        if self._running and not self._stopped:
            late = math.floor((now_s - self._grid.close_s(self._tick)) / self._grid.tick_s)
            if late > self._grid.bar_ticks:
                self._missed += late - self._grid.bar_ticks
                self._finish(self._grid.close_s(self._tick))
                self._open(self._tick + late - self._grid.bar_ticks)
