"""Velocity, offset and sustain pedal of the network's notes, according to the settings.

The caller reports each tick as played, and asks for the touch of the next one. This module knows no time but ticks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from livebach.config import Config
from livebach.music.events import MAX_DATA, SUSTAIN, ControlChange, Event, NoteOn
from livebach.music.general_midi import instrument_of
from livebach.music.grid import Grid, Place
from livebach.music.roll import HOLD, LOW_KEY, OFF, ONSET, Frame
from livebach.music.touch import Pedal, Sounded, TickTouch
from livebach.musician.expression import velocity
from livebach.musician.outlet import Delayed
from livebach.musician.player_timing import PlayerTiming
from livebach.musician.touch import TouchPlayer
from livebach.network.touch import TouchNetwork

SOON_S = 1e-6
"""A delay up to which a note is sent at once: a rounding error."""
UNTOUCHED = ("harpsichord", "organ")
"""Instruments without dynamics and without a sustain pedal."""
LIFT, PRESS = 0.5, 4.0
"""Offsets at which the pedal comes up and goes down, in 24ths of a quarter note. They are medians of 110,000 moves in
files of piano-midi.de: the pedal comes up just after the notes, and goes down 0.16 quarter notes after them."""


class OwnTouch:
    """Chooses the touch by the touch network, by the player's loudness, or a fixed velocity."""

    def __init__(self, network: TouchNetwork | None, settings: Config, seed: int) -> None:
        """Begin without any music. Without a touch network, `learned` is the same as `follow`."""
        self._settings = settings
        first = settings.midi.output_channel - 1
        self._channels = range(first, first + (settings.sound.voices or 1))
        self._network = None if network is None else TouchPlayer(network, seed, settings.sound.velocity_default)
        self._down = False
        self._shared = settings.midi.thru
        self._lent = False  # whether the player pedals on one of these channels

    @property
    def pedal_down(self) -> bool:
        """Whether the network's pedal is down."""
        return self._down

    def make_way(self, event: Event) -> None:
        """Leave the pedal to the player from now on, if the player uses it on a shared channel."""
        if self._shared and isinstance(event, ControlChange) and event.control == SUSTAIN:
            self._lent |= event.channel in self._channels

    def set(self, settings: Config) -> None:
        """Use other settings from now on."""
        self._settings = settings

    def forget(self) -> None:
        """Forget all the music so far."""
        if self._network is not None:
            self._network.forget()

    @property
    def _learned(self) -> TouchPlayer | None:
        return self._network if self._settings.sound.touch == "learned" else None

    def first(self, usual: Mapping[int, float]) -> int:
        """Return the smallest offset that a note may get where the player's offsets are these; at most 0."""
        return 0 if self._learned is None else min(0, *usual)

    @property
    def _untouched(self) -> bool:
        program = self._settings.midi.program  # from 1
        chosen = None if program is None else instrument_of(program - 1)
        return (chosen or self._settings.sound.instrument) in UNTOUCHED

    def lean(self, timing: PlayerTiming, place: Place) -> float:
        """Return the nats by which the player's triplets or swing make a note at this place likelier."""
        return 0.0 if self._learned is None else timing.lean(place)

    def choose(
        self,
        drawn: Frame,
        player: Mapping[int, Sounded],
        held: Sequence[int],
        grid: Grid,
        tick: int,
        loudness: float,
        usual: Mapping[int, float],
    ) -> TickTouch:
        """Choose the touch of a tick's frame.

        Args:
            drawn: The network's frame, [88].
            player: The player's struck keys (0..87) of the tick.
            held: Keys 0..87 that were down before.
            grid: The grid.
            tick: The tick.
            loudness: The mean of the player's recent velocities.
            usual: The player's offsets at this place of the beat, with their shares.

        """
        struck, sound = np.flatnonzero(drawn == ONSET).tolist(), self._settings.sound
        place, learned = grid.place(tick), self._learned
        if learned is None:
            setting = sound.touch if isinstance(sound.touch, int) else "follow"
            notes = dict.fromkeys(struck, Sounded(velocity(setting, loudness, grid, tick)))
        else:
            notes = learned.play(struck, player, held, place, usual)
        if self._untouched:
            always = sound.touch if isinstance(sound.touch, int) else sound.velocity_default
            notes = {key: sounded._replace(velocity=always) for key, sounded in notes.items()}
        return TickTouch(notes, self._choose_pedal([*struck, *player], held, place))

    def _choose_pedal(self, struck: Sequence[int], held: Sequence[int], place: Place) -> Pedal:
        sound, network = self._settings.sound, self._network
        if network is None or self._untouched or sound.pedal == "off" or self._lent:
            return Pedal.UP
        if sound.pedal == "follow" and not network.pedals:
            return Pedal.UP
        return network.pedal(sorted({*struck}, reverse=True), held, place)

    def events(
        self, notes: Sequence[Event], touch: TickTouch, part_s: float, ahead_s: float = 0.0
    ) -> list[Event | Delayed]:
        """Return the events of a tick, delayed by their offsets, and the pedal's events.

        Args:
            notes: The note events of the tick.
            touch: Velocities, offsets and pedal.
            part_s: The unit of the offsets, in seconds.
            ahead_s: How much before their tick the events are sent, in seconds.

        """
        out: list[Event | Delayed] = []
        for event in notes:
            sounded = touch.notes.get(event.key - LOW_KEY) if isinstance(event, NoteOn) else None
            delay_s = ahead_s + (sounded.offset * part_s if sounded is not None else 0.0)
            out.append(Delayed(event, delay_s) if isinstance(event, NoteOn) and delay_s > SOON_S else event)
        return out + self._pedal_events(touch.pedal, part_s, ahead_s)

    def _pedal_events(self, pedal: Pedal, part_s: float, ahead_s: float) -> list[Event | Delayed]:
        out: list[Event | Delayed] = []
        if self._lent:
            return out
        lift_s, press_s = ahead_s + LIFT * part_s, ahead_s + PRESS * part_s
        if self._down and (pedal is Pedal.CHANGED or not pedal.down):
            out += [Delayed(self._pedal_event(channel, down=False), lift_s) for channel in self._channels]
        if pedal.down and (pedal is Pedal.CHANGED or not self._down):
            out += [Delayed(self._pedal_event(channel, down=True), press_s) for channel in self._channels]
        self._down = pedal.down
        return out

    def lift(self) -> list[Event]:
        """Lift the pedal; return the events to send at once."""
        if not self._down or self._lent:
            return []
        self._down = False
        return [self._pedal_event(channel, down=False) for channel in self._channels]

    @staticmethod
    def _pedal_event(channel: int, down: bool) -> ControlChange:
        return ControlChange(SUSTAIN, MAX_DATA if down else 0, channel)

    def observe(
        self,
        own: Frame,
        touch: TickTouch,
        player: Frame,
        struck: Mapping[int, Sounded],
        place: Place,
        players_pedal: Pedal,
        playing: bool,
    ) -> None:
        """Take in a tick that is over.

        Args:
            own: The network's frame, [88].
            touch: The touch of this frame.
            player: The player's frame, [88].
            struck: The player's struck keys (0..87).
            place: The place of the tick.
            players_pedal: The player's pedal.
            playing: Whether the network played on the tick, and its pedal counts instead of the player's.

        """
        if self._network is None:
            return
        mine = {key: touch.notes.get(key, _PLAIN) for key in np.flatnonzero(own == ONSET).tolist() if key not in struck}
        keys = [
            key for key in np.flatnonzero((own == HOLD) | (player == HOLD)).tolist() if key not in {**mine, **struck}
        ]
        pedal = touch.pedal if playing else players_pedal
        heard = players_pedal if (player != OFF).any() or players_pedal is not Pedal.UP else None
        self._network.observe(struck, mine, keys, place, pedal, heard)


_PLAIN = Sounded(64)
