"""The touch of the network's own notes: velocity, offset and pedal, predicted from what both players played before.

Call `play` for the velocities and offsets of a tick's own keys, then `pedal`, and `observe` at the end of the tick. One
seeded generator supplies all random numbers, so equal calls give equal touch. This module knows no time but ticks.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from random import Random

import numpy as np

from livebach.music.events import MAX_DATA
from livebach.music.grid import Place
from livebach.music.touch import OFFSETS, PEDAL_MOVES, Pedal, Sounded
from livebach.network.touch import TouchNetwork
from livebach.network.touch_memory import VELOCITY_CENTRE, VELOCITY_UNIT, Array, TouchMemory, known_offsets
from livebach.network.velocity_memory import HEARD, REFERENCE, VelocityMemory

STRETCH, SURE = 0.5, 6.0
"""How far a velocity is moved from the mean, and by what uncertainty: what is expected varies less than playing."""
CHANCE = 0.35
"""The part of its uncertainty by which a velocity varies by chance."""
SLOWNESS, SHARED = 0.9, 0.8
"""How much of that chance lasts from tick to tick, and how much of it all notes of a tick have in common."""
RARE_OFFSET = 0.05
"""Offsets that are less likely are not used, nor those that the player uses for a smaller part of the notes."""
USUAL = -0.3
"""A mean velocity as the network has heard it most, in its units: 58 of 127."""
PEDALS_AT = 0.02
"""Where the pedal follows the player, the share of ticks on which the player's moved at least."""
_PEDAL_TICKS = 128


class TouchPlayer:
    """Plays keys by the touch network."""

    def __init__(self, network: TouchNetwork, seed: int, velocity: float = VELOCITY_CENTRE) -> None:
        """Begin with nothing heard; until then notes are as loud as `velocity`."""
        self._network = network
        self._random = Random(f"{seed} touch")  # nosec B311: chance for music
        self._default = velocity
        self._slow = 0.0
        self.forget()

    def forget(self) -> None:
        """Begin as if nothing had been played."""
        self._memory, self._velocities = TouchMemory(), VelocityMemory()
        self._offsets: deque[int] = deque(maxlen=HEARD)  # the player's
        self._pedals: deque[bool] = deque(maxlen=_PEDAL_TICKS)  # whether the player's moved

    def play(
        self, own: Sequence[int], player: Mapping[int, Sounded], held: Sequence[int], place: Place
    ) -> dict[int, Sounded]:
        """Choose how its own keys (0..87) sound that are struck on the coming tick.

        `player` are the keys that the player has struck on it, `held` those that are down from before.
        """
        self._slow = SLOWNESS * self._slow + (1 - SLOWNESS**2) ** 0.5 * self._random.gauss(0, 1)
        if not own:
            return {}
        struck = sorted({*own, *player}, reverse=True)
        notes = self._memory.note_features(struck, held, place)
        offsets = self._choose_offsets(struck, player, place)
        timing = np.zeros((len(struck), OFFSETS), np.float32)
        timing[np.arange(len(struck)), offsets] = 1
        matches = self._memory.matches(struck)
        heard, mean, matched = self._velocities.features(struck, self._memory.tick, place, matches)
        level = float(mean[0]) - USUAL  # told how loud the player is, the network would come back to what is usual
        heard[:, REFERENCE] -= level
        features = np.concatenate([notes, timing, heard], axis=1)
        expected, deviation = self._network.velocities(features, mean - level, matched - level).moments()
        chosen = self._choose_velocities(mean, expected + VELOCITY_UNIT * level, deviation)
        sounded = zip(struck, chosen, offsets, strict=True)
        mine = set(own)
        return {key: Sounded(velocity, offset) for key, velocity, offset in sounded if key in mine}

    def _choose_offsets(self, struck: Sequence[int], player: Mapping[int, Sounded], place: Place) -> list[int]:
        """Draw an offset for each key, the highest first, in view of those that are known; the player's are given.

        Only offsets that the player uses may be used: straight playing is answered straight.
        """
        uses = Counter(self._offsets)
        may = [offset for offset in range(OFFSETS) if not offset or uses[offset] > RARE_OFFSET * len(self._offsets)]
        if may == [0]:
            return [player[key].offset if key in player else 0 for key in struck]
        begun = self._network.begin_offsets(self._memory.offset_features(struck, place))
        known = [sounded.offset for key, sounded in player.items() if key in struck]
        out = []
        for i, key in enumerate(struck):
            if key in player:
                out.append(player[key].offset)
                continue
            chances = self._network.offset(begun[i], known_offsets(known)).tolist()
            weights = [chances[offset] if offset in may else 0.0 for offset in range(OFFSETS)]
            weights = [weight if weight >= RARE_OFFSET * max(weights) else 0.0 for weight in weights]
            out.append(self._random.choices(range(OFFSETS), weights)[0] if any(weights) else 0)
            known.append(out[-1])
        return out

    def _choose_velocities(self, heard: Array, expected: Array, deviation: Array) -> list[int]:
        """Draw velocities: what is expected, more pronounced where it is uncertain, and a little by chance."""
        few, out = (self._default - VELOCITY_CENTRE) / (1 + self._velocities.count), []
        for mean, value, spread in zip(heard.tolist(), expected.tolist(), deviation.tolist(), strict=True):
            centre = VELOCITY_CENTRE + VELOCITY_UNIT * mean
            stretch = 1 + STRETCH * spread / (spread + SURE)
            chance = SHARED**0.5 * self._slow + (1 - SHARED) ** 0.5 * self._random.gauss(0, 1)
            velocity = centre + stretch * (value - centre) + CHANCE * spread * chance + few
            out.append(max(1, min(MAX_DATA, round(velocity))))
        return out

    def pedal(self, struck: Sequence[int], held: Sequence[int], place: Place) -> Pedal:
        """Choose what its pedal does on the coming tick, on which these keys are struck and those held.

        It begins on the first beat after a beat without pedal: what has no pedal tends to stay so.
        """
        down, on_beat = self._memory.pedal_down, place[0] % place[1] == 0
        if struck and on_beat and self._memory.pedal_up_for(place[1]):
            return Pedal.PRESSED
        chances = self._network.pedal(self._memory.pedal_features(struck, held, place), down)
        weights = [float(weight) for weight in np.exp(chances)]
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
        """Take a tick that is over: the keys that both struck, the keys that were down before, and the pedal.

        `players_pedal` is what the player's pedal did, None while the player does not play.
        """
        both = {**own, **player}
        struck = sorted(both, reverse=True)
        velocities = [player[key].velocity if key in player else float("nan") for key in struck]
        matches = self._memory.matches(struck)
        self._velocities.commit(struck, velocities, self._memory.tick, place, self._memory.notes, matches)
        self._memory.commit(struck, held, place, [both[key].offset for key in struck], pedal)
        self._offsets.extend(sounded.offset for sounded in player.values())
        if players_pedal is not None:
            self._pedals.append(players_pedal in PEDAL_MOVES)
