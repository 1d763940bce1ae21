"""The touch of the network's own notes: velocity, offset and pedal, predicted from what both players played before.

Call `play` for the velocities and offsets of a tick's own keys, then `pedal`, and `observe` at the end of the tick. One
seeded generator supplies all random numbers, so equal calls give equal touch. This module knows no time but ticks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from random import Random

from livebach.music.events import MAX_DATA
from livebach.music.grid import Place
from livebach.music.touch import PEDAL_MOVES, Pedal, Sounded
from livebach.musician.player_timing import STRAIGHT
from livebach.network.touch import NextTick, TouchNetwork, drawn
from livebach.network.touch_memory import VELOCITY_CENTRE, VELOCITY_UNIT
from livebach.network.velocity_memory import VelocityMemory

STRETCH, SURE = 0.4, 6.0
"""Largest factor by which velocities are moved further from the mean, because expected values vary less than playing,
and the uncertainty at which half of this applies."""
CHANCE = 0.35
"""Random variation of a velocity, as a part of its standard deviation."""
SLOWNESS, SHARED = 0.9, 0.8
"""Autocorrelation of the random variation from tick to tick, and the part that all notes of a tick share."""
USUAL = -0.3
"""The most frequent mean velocity in training, in the network's units: 58 of 127."""
UNHEARD = -0.85
"""What the network expects above the heard mean before anything was heard, in units: it is used to soft beginnings."""
OWN_NOTES, FEW_NOTES = 32.0, 16.0
"""Own notes over which the expected velocities are averaged, and number of heard notes from which this average counts
half. What is taken from the expected velocities keeps livebach as loud as the player, who has played little so far."""
PEDALS_AT = 0.02
"""Smallest share of ticks with moves of the player's pedal from which the network uses the pedal too."""
_PEDAL_TICKS = 128
_PEDALS = tuple(Pedal)


class TouchPlayer:
    """Chooses velocities, offsets and pedal by the touch network."""

    def __init__(self, network: TouchNetwork, seed: int, velocity: float = VELOCITY_CENTRE) -> None:
        """Begin without any music. `velocity` is the loudness before the player has been heard."""
        self._network = network
        self._random = Random(f"{seed} touch")  # nosec B311: chance for music
        self._default = velocity
        self._slow = 0.0
        self.forget()

    def forget(self) -> None:
        """Forget all the music so far."""
        self._memory, self._velocities = self._network.new_memory(), VelocityMemory()
        self._pedals: deque[bool] = deque(maxlen=_PEDAL_TICKS)  # whether the player's moved
        self._usually: float | None = None  # mean of the velocities expected above the heard mean; None before any

    def play(
        self,
        own: Sequence[int],
        player: Mapping[int, Sounded],
        held: Sequence[int],
        place: Place,
        usual: Mapping[int, float] = STRAIGHT,
    ) -> dict[int, Sounded]:
        """Choose velocity and offset of the network's keys on the coming tick.

        Args:
            own: The network's struck keys, 0..87.
            player: The player's struck keys on the tick, with their velocities and offsets.
            held: Keys 0..87 that are down from before.
            place: The place of the tick.
            usual: The player's offsets at this place of the beat, with their shares.

        Returns:
            Velocity and offset by key.

        """
        self._slow = SLOWNESS * self._slow + (1 - SLOWNESS**2) ** 0.5 * self._random.gauss(0, 1)
        if not own:
            return {}
        struck, mine = sorted({*own, *player}, reverse=True), set(own)
        tick = NextTick(struck, held, place)
        offsets = self._choose_offsets(tick, player, usual)
        velocities = self._choose_velocities(tick, offsets)
        sounded = zip(struck, velocities, offsets, strict=True)
        return {key: Sounded(velocity, offset) for key, velocity, offset in sounded if key in mine}

    def _choose_offsets(self, tick: NextTick, player: Mapping[int, Sounded], usual: Mapping[int, float]) -> list[int]:
        """Draw an offset for each key, the highest first, given the known ones. The player's offsets are known.

        The chance of an offset is the network's times its share among the player's strokes at this place of the beat.
        So straight playing gets a straight answer, and swing or triplets get their like.
        """
        if len(usual) == 1:
            (only,) = usual
            return [player[key].offset if key in player else only for key in tick.struck]
        given = [player[key].offset if key in player else None for key in tick.struck]
        uniforms = [self._random.random() if offset is None else 0.0 for offset in given]
        return self._network.draw_offsets(self._memory, tick, given, usual, uniforms)

    def _choose_velocities(self, tick: NextTick, offsets: Sequence[int]) -> list[int]:
        """Draw velocities: the expected ones, stretched where uncertain, with a random variation."""
        # The network would return to the usual loudness, so it is told that as the mean of what it heard.
        louder, deviations = self._network.expected(self._memory, self._velocities, tick, offsets, USUAL)
        few, out = (self._default - VELOCITY_CENTRE) / (1 + self._velocities.count), []
        usually = self._usually_above(louder)
        centre = VELOCITY_CENTRE + VELOCITY_UNIT * self._velocities.mean + few
        slow, quick, gauss = SHARED**0.5 * self._slow, (1 - SHARED) ** 0.5, self._random.gauss
        for above, deviation in zip(louder, deviations, strict=True):
            spread = VELOCITY_UNIT * deviation
            stretch = 1 + STRETCH * spread / (spread + SURE)
            chance = slow + quick * gauss(0, 1)
            velocity = centre + stretch * VELOCITY_UNIT * (above - usually) + CHANCE * spread * chance
            out.append(max(1, min(MAX_DATA, round(velocity))))
        return out

    def _usually_above(self, louder: Sequence[float]) -> float:
        """Return by how much the network's velocities differ from the player's on the average, while few were heard."""
        count = self._velocities.count
        if self._usually is None:
            self._usually = UNHEARD / (1 + count)
        usually = self._usually
        for above in louder:
            self._usually += (above - self._usually) / OWN_NOTES
        return usually / (1 + count / FEW_NOTES)

    def pedal(self, struck: Sequence[int], held: Sequence[int], place: Place) -> Pedal:
        """Choose the move of the network's pedal on the coming tick, with these struck and held keys.

        After a beat without pedal, the pedal goes down on the next beat, as the model tends to stay without pedal.
        """
        if struck and place[0] % place[1] == 0 and self._memory.pedal_up_for(place[1]):
            return Pedal.PRESSED
        chances = self._network.pedal_chances(self._memory, NextTick(struck, held, place))
        return _PEDALS[drawn(chances, self._random.random())]

    @property
    def pedals(self) -> bool:
        """Whether the player uses the pedal."""
        return sum(self._pedals) > PEDALS_AT * _PEDAL_TICKS

    def observe(
        self,
        player: Mapping[int, Sounded],
        own: Mapping[int, Sounded],
        held: Sequence[int],
        place: Place,
        pedal: Pedal,
        players_pedal: Pedal | None = None,
    ) -> None:
        """Take in a tick that is over.

        Args:
            player: The player's struck keys (0..87), with velocities and offsets.
            own: The network's struck keys.
            held: Keys 0..87 that were down before.
            place: The place of the tick.
            pedal: The move of the pedal that counts.
            players_pedal: The move of the player's pedal; None while the player does not play.

        """
        both = {**own, **player}
        struck = sorted(both, reverse=True)
        velocities = [player[key].velocity if key in player else math.nan for key in struck]
        matches = self._memory.matches(struck)
        self._velocities.commit(struck, velocities, self._memory.tick, place, self._memory.notes, matches)
        self._memory.commit(struck, held, place, [both[key].offset for key in struck], pedal)
        if players_pedal is not None:
            self._pedals.append(players_pedal in PEDAL_MOVES)
