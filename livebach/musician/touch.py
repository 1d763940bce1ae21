"""The touch of the network's own notes: velocity, offset and pedal, predicted from what both players played before.

Call `play` for the velocities and offsets of a tick's own keys, then `pedal`, and `observe` at the end of the tick. One
seeded generator supplies all random numbers, so equal calls give equal touch. This module knows no time but ticks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from random import Random

import numpy as np

from livebach.music.events import MAX_DATA
from livebach.music.grid import Place
from livebach.music.touch import LATEST, OFFSETS, PEDAL_MOVES, Pedal, Sounded
from livebach.musician.player_timing import STRAIGHT
from livebach.network.touch import TouchNetwork
from livebach.network.touch_memory import VELOCITY_CENTRE, VELOCITY_UNIT, Array, TouchMemory, known_offsets
from livebach.network.velocity_memory import REFERENCE, VelocityMemory

STRETCH, SURE = 0.4, 6.0
"""Largest factor by which velocities are moved further from the mean, because expected values vary less than playing,
and the uncertainty at which half of this applies."""
CHANCE = 0.35
"""Random variation of a velocity, as a part of its standard deviation."""
SLOWNESS, SHARED = 0.9, 0.8
"""Autocorrelation of the random variation from tick to tick, and the part that all notes of a tick share."""
USUAL = -0.3
"""The most frequent mean velocity in training, in the network's units: 58 of 127."""
PEDALS_AT = 0.02
"""Smallest share of ticks with moves of the player's pedal from which the network uses the pedal too."""
_PEDAL_TICKS = 128
_ONE_HOT: Array = np.eye(OFFSETS, dtype=np.float32)


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
        self._memory, self._velocities = TouchMemory(), VelocityMemory()
        self._pedals: deque[bool] = deque(maxlen=_PEDAL_TICKS)  # whether the player's moved

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
        struck = sorted({*own, *player}, reverse=True)
        notes = self._memory.note_features(struck, held, place)
        offsets = self._choose_offsets(struck, player, place, usual)
        timing = _ONE_HOT[[offset + LATEST for offset in offsets]]
        matches = self._memory.matches(struck)
        heard, mean, matched = self._velocities.features(struck, self._memory.tick, place, matches)
        level = float(mean[0]) - USUAL  # the network would return to the usual loudness, so it gets that as the mean
        heard[:, REFERENCE] -= level
        features = np.concatenate([notes, timing, heard], axis=1)
        known = None if matches == (None, None) else matched - level
        expected, deviation = self._network.velocities(features, mean - level, known).moments()
        chosen = self._choose_velocities(float(mean[0]), expected + VELOCITY_UNIT * level, deviation)
        sounded = zip(struck, chosen, offsets, strict=True)
        mine = set(own)
        return {key: Sounded(velocity, offset) for key, velocity, offset in sounded if key in mine}

    def _choose_offsets(
        self, struck: Sequence[int], player: Mapping[int, Sounded], place: Place, usual: Mapping[int, float]
    ) -> list[int]:
        """Draw an offset for each key, the highest first, given the known ones. The player's offsets are known.

        The chance of an offset is the network's times its share among the player's strokes at this place of the beat.
        So straight playing gets a straight answer, and swing or triplets get their like.
        """
        if len(usual) == 1:
            (only,) = usual
            return [player[key].offset if key in player else only for key in struck]
        begun = self._network.begin_offsets(self._memory.offset_features(struck, place))
        known = [sounded.offset for key, sounded in player.items() if key in struck]
        out: list[int] = []
        logits: list[list[float]] = []  # of the keys left, given the known offsets; none once these have changed
        for i, key in enumerate(struck):
            if key in player:
                out.append(player[key].offset)
                continue
            if not logits:
                logits = self._network.offset_logits(begun[i:], known_offsets(known) if known else None).tolist()
            mine = logits[i - len(struck)]
            top = max(mine)
            weights = [share * math.exp(mine[offset + LATEST] - top) for offset, share in usual.items()]
            out.append(
                self._random.choices(list(usual), weights)[0] if any(weights) else max(usual, key=usual.__getitem__)
            )
            if set(known) != {out[-1]}:
                logits = []
            known.append(out[-1])
        return out

    def _choose_velocities(self, heard: float, expected: Array, deviation: Array) -> list[int]:
        """Draw velocities: the expected ones, stretched where uncertain, with a random variation.

        `heard` is the mean of the heard velocities, in units.
        """
        few, out = (self._default - VELOCITY_CENTRE) / (1 + self._velocities.count), []
        centre = VELOCITY_CENTRE + VELOCITY_UNIT * heard
        for value, spread in zip(expected.tolist(), deviation.tolist(), strict=True):
            stretch = 1 + STRETCH * spread / (spread + SURE)
            chance = SHARED**0.5 * self._slow + (1 - SHARED) ** 0.5 * self._random.gauss(0, 1)
            velocity = centre + stretch * (value - centre) + CHANCE * spread * chance + few
            out.append(max(1, min(MAX_DATA, round(velocity))))
        return out

    def pedal(self, struck: Sequence[int], held: Sequence[int], place: Place) -> Pedal:
        """Choose the move of the network's pedal on the coming tick, with these struck and held keys.

        After a beat without pedal, the pedal goes down on the next beat, as the model tends to stay without pedal.
        """
        down, on_beat = self._memory.pedal_down, place[0] % place[1] == 0
        if struck and on_beat and self._memory.pedal_up_for(place[1]):
            return Pedal.PRESSED
        weights = self._network.pedal_chances(self._memory.pedal_features(struck, held, place), down)
        return Pedal(self._random.choices(range(len(weights)), weights)[0])

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
        velocities = [player[key].velocity if key in player else float("nan") for key in struck]
        matches = self._memory.matches(struck)
        self._velocities.commit(struck, velocities, self._memory.tick, place, self._memory.notes, matches)
        self._memory.commit(struck, held, place, [both[key].offset for key in struck], pedal)
        if players_pedal is not None:
            self._pedals.append(players_pedal in PEDAL_MOVES)
