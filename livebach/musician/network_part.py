"""The network's part: its memory, its choice of a frame, and its sounding notes.

This module knows neither the time nor whose turn it is.
"""

from __future__ import annotations

from livebach.config import Config
from livebach.music.events import Event
from livebach.music.grid import Grid, Place
from livebach.music.key import Key
from livebach.music.roll import LOW_KEY, OFF, Frame
from livebach.music.texture import Texture
from livebach.music.touch import STEPS_PER_QUARTER, TickTouch
from livebach.musician.cadence import Cadence
from livebach.musician.improviser import Improviser
from livebach.musician.memory import Memory, Network
from livebach.musician.modes import Mode, TurnContext
from livebach.musician.open_tick import SILENCE
from livebach.musician.outlet import Delayed
from livebach.musician.own_notes import OwnNotes
from livebach.musician.own_touch import OwnTouch
from livebach.network.sampling import SamplingParams
from livebach.network.touch import TouchNetwork


class NetworkPart:
    """One network's memory, choices and notes."""

    def __init__(
        self, engine: Network, settings: Config, seed: int, grid: Grid, touch: TouchNetwork | None = None
    ) -> None:
        """Begin without any music. `touch` is the touch network; None plays by rules."""
        self.touch = OwnTouch(touch if engine.spec.steps_per_quarter == STEPS_PER_QUARTER else None, settings, seed)
        self.notes = OwnNotes(settings.midi.output_channel - 1, settings.sound.voices, shared=settings.midi.thru)
        self.memory = Memory(engine, settings.engine.adapt, grid.place(0))
        quotes = settings.sampling.longest_quote
        self.improviser = Improviser(self.memory, seed, grid.beat_ticks, grid.bar_ticks, quotes)

    def set_metre(self, grid: Grid) -> None:
        """Play in another metre, that of the grid. What was played is kept."""
        self.memory.set_place((0, grid.beat_ticks, grid.bar_ticks))
        self.improviser.set_metre(grid.beat_ticks, grid.bar_ticks)

    def forget(self) -> None:
        """Forget all the music so far."""
        self.memory.forget()
        self.touch.forget()
        self.improviser.forget()

    @property
    def begun(self) -> bool:
        """Whether the network has struck a key since its takeover."""
        return self.improviser.begun

    @property
    def midi_keys(self) -> tuple[int, ...]:
        """The network's MIDI keys that sound."""
        return tuple(key + LOW_KEY for key in self.notes.sounding)

    def take_up(self, alone: bool, home: Key | None = None) -> None:
        """Begin to play: alone in and near this key, with a stroke within a beat, or together with the player."""
        if alone:
            self.improviser.begin(home)
        else:
            self.improviser.join()

    def make_ready(self, settings: Config, place: Place, texture: Texture) -> None:
        """Take all earlier frames into the memory, so that the frame at `place` can be chosen."""
        register = settings.sampling.register
        self.improviser.texture = texture
        self.improviser.register = register if isinstance(register, int) else None
        self.memory.make_ready(place, texture)

    def choose(
        self,
        context: TurnContext,
        mode: Mode,
        params: SamplingParams,
        last_key: int | None,
        tick: int,
        cadence: Cadence | None,
    ) -> Frame:
        """Choose the network's frame of the coming tick.

        Args:
            context: The state of the turn.
            mode: The mode of playing.
            params: How to sample.
            last_key: The player's last highest key, 0..87; None before there was one.
            tick: The tick, counted from the first downbeat.
            cadence: The planned cadence, if any.

        Returns:
            The states [88].

        """
        params, given = mode.params(params, context), mode.given(context)
        if cadence is None:
            return self.improviser.draw(given, params, context.sounding, last_key, mode.own(context))
        own, params = cadence.given(tick, context.sounding), cadence.params(params, tick)
        frame = self.improviser.draw(given, params, context.sounding, last_key, own)
        return cadence.completed(frame, tick, context.sounding)

    def sound(
        self, drawn: Frame | None, players_keys: list[int], touch: TickTouch, part_s: float, ahead_s: float = 0.0
    ) -> tuple[Frame, list[Event | Delayed]]:
        """Sound a frame without the keys that the player holds.

        Args:
            drawn: The network's frame [88]; None for silence.
            players_keys: Keys 0..87 that the player holds.
            touch: Velocities, offsets and pedal.
            part_s: The unit of the offsets, in seconds.
            ahead_s: How much before its tick the frame sounds, in seconds.

        Returns:
            The frame that sounds, [88], and its events.

        """
        own = (SILENCE if drawn is None else drawn).copy()
        own[players_keys + self.notes.barred] = OFF
        velocities = {key: sounded.velocity for key, sounded in touch.notes.items()}
        return own, self.touch.events(self.notes.play(own, velocities), touch, part_s, ahead_s)

    def release(self) -> list[Event]:
        """End the network's notes and lift its pedal; return the events."""
        return [*self.notes.release(), *self.touch.lift()]
