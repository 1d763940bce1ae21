"""The touch network, compiled by numba (the extra `fast`): it differs from `touch` by rounding.

For so few notes, calls of numpy and loops in Python take most of the time. So one compiled call each leads from the
music so far to the offsets drawn, to the moments of the velocities, and to the chances of the pedal's moves. This
module is imported only where the settings ask for the fast engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.music.grid import Place
from livebach.music.roll import KEYS
from livebach.music.touch import LATEST, OFFSETS
from livebach.network.numba_compiler import compiled
from livebach.network.numba_touch_features import (
    NEVER,
    Array,
    Integers,
    write_heard,
    write_notes,
    write_offset_rows,
    write_pedal,
    write_shared_offsets,
)
from livebach.network.touch import MAY_FOLLOW, PRIOR, NextTick, Perceptron, TouchNetwork
from livebach.network.touch_checkpoint import TouchCheckpoint
from livebach.network.touch_memory import (
    NOTE_FEATURES,
    OFFSET_FEATURES,
    OFFSET_ROW,
    PEDAL_FEATURES,
    TouchMemory,
    place_of_notes,
    place_of_pedal,
    tick_in_beat,
)
from livebach.network.touch_shape import HEARD_INPUTS, MATCH_INPUTS, VELOCITY_INPUTS
from livebach.network.velocity_kernels import REFERENCE, VELOCITY_FEATURES, place_codes
from livebach.network.velocity_memory import VelocityMemory
from livebach.network.velocity_mixture import deviation

_ZERO = np.float32(0)
_NO_MATCHES: Array = np.zeros((0, 2), np.float32)


# --- the perceptrons -------------------------------------------------------------------------------------------------


@compiled
def _product(x: Array, weights: Array, out: Array) -> None:
    """Add x [n, inputs] times the rows of `weights` [width, inputs or more] to `out` [n, width], four at once."""
    width = out.shape[1]
    for j in range(0, width - 3, 4):
        row0, row1, row2, row3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        for c in range(len(x)):
            values, sum0, sum1, sum2, sum3 = x[c], _ZERO, _ZERO, _ZERO, _ZERO
            for i in range(len(values)):
                sum0 += values[i] * row0[i]
                sum1 += values[i] * row1[i]
                sum2 += values[i] * row2[i]
                sum3 += values[i] * row3[i]
            out[c, j] += sum0
            out[c, j + 1] += sum1
            out[c, j + 2] += sum2
            out[c, j + 3] += sum3
    for j in range(width - width % 4, width):
        for c in range(len(x)):
            total = _ZERO
            for i in range(x.shape[1]):
                total += x[c, i] * weights[j, i]
            out[c, j] += total


@compiled
def _relu(x: Array) -> None:
    """Replace negative numbers by 0 in x [n, width]."""
    for c in range(len(x)):
        for j in range(x.shape[1]):
            x[c, j] = max(x[c, j], _ZERO)


@compiled
def _begin(x: Array, first: Array, bias: Array) -> Array:
    """Return the first layer [n, hidden + 1] of features [n, at most inputs], before its ReLU."""
    out = np.empty((len(x), len(bias)), np.float32)
    for c in range(len(x)):
        for j in range(len(bias)):
            out[c, j] = bias[j]
    _product(x, first, out)
    return out


@compiled
def _finish(begun: Array, layers: Any) -> Array:
    """Return the outputs [n, outputs] from the first layer before its ReLU, which is overwritten."""
    to_second, to_out = layers
    n = len(begun)
    second, out = np.zeros((n, len(to_second)), np.float32), np.zeros((n, len(to_out)), np.float32)
    _relu(begun)
    _product(begun, to_second, second)
    _relu(second)
    _product(second, to_out, out)
    return out


@compiled
def _drawn(logits: Array, habits: Array, usual: Any, uniform: float) -> int:
    """Draw one of the usual offsets, by its number, from the logits of all and the counts of habits, [OFFSETS] each."""
    numbers, shares = usual
    top, of_all, kinds = logits.max(), 0.0, 0
    for i in range(OFFSETS):
        of_all += math.exp(logits[i] - top)
        kinds += habits[i] > 0
    weight, total = PRIOR * max(1, kinds) / of_all, 0.0
    sums = np.empty(len(numbers))
    for i in range(len(numbers)):
        total += shares[i] * (habits[numbers[i]] + weight * math.exp(logits[numbers[i]] - top))
        sums[i] = total
    if total == 0:
        return int(numbers[shares.argmax()])
    chosen = 0
    while chosen < len(numbers) - 1 and uniform * total >= sums[chosen]:
        chosen += 1
    return int(numbers[chosen])


@compiled
def _draw_offsets(struck: Any, notes: Any, network: Any, usual: Any, uniforms: Array, out: Any) -> None:
    """Draw the numbers of n offsets to `out` [n], which holds those given, and -1 for those to be drawn.

    Args:
        struck: [n] keys, the highest first.
        notes: What the features need to know of the music so far and of the place.
        network: The first layer's weights for the features that the keys share and for those that differ, and its bias;
            the other layers; what a note's offset owes to that of the next higher note.
        usual: Numbers of the offsets that can be drawn, and their shares.
        uniforms: [n] numbers in [0, 1).
        out: [n].

    """
    ((of_shared, of_rows, bias), layers, pairs), (now, place, before, keys_before, habits) = network, notes
    shared = np.zeros((1, OFFSET_FEATURES - OFFSET_ROW), np.float32)
    write_shared_offsets(len(struck), now, place, before, shared[0])
    rows = np.zeros((len(struck), OFFSET_ROW), np.float32)
    write_offset_rows(struck, now, keys_before, rows)
    begun = np.empty((len(struck), len(bias)), np.float32)
    begun[:] = _begin(shared, of_shared, bias)[0]
    _product(rows, of_rows, begun)
    logits, above = _finish(begun, layers), OFFSETS
    for offset in out[::-1]:
        if offset >= 0:
            above = offset
    for note in range(len(out)):
        if out[note] < 0:
            out[note] = _drawn(logits[note] + pairs[above], habits[above], usual, uniforms[note])
        above = out[note]


# --- velocities ------------------------------------------------------------------------------------------------------


@compiled
def _write_matches(above: Array, inputs: Array) -> None:
    """Write the features of the velocities in earlier turns; `above` [n, 2] is above the heard mean, NaN if unknown."""
    for i in range(len(above)):
        row = inputs[i, VELOCITY_INPUTS - MATCH_INPUTS :]
        for j in range(2):
            if not np.isnan(above[i, j]):
                row[j], row[2 + j] = above[i, j], 1
        if row[2] and row[3]:
            row[4] = row[0] - row[1]


@compiled
def _expect(struck: Any, offsets: Any, notes: Any, heard: Any, mean: float, network: Any) -> Array:
    """Return what to expect of n velocities, [n, MOMENTS]: how far above `mean`, and the log variance.

    Args:
        struck: [n] keys, the highest first.
        offsets: [n] their offsets.
        notes: What `write_notes` needs to know of the music so far and of the place.
        heard: The codes of the place, the arrays of the heard notes, the shared features of the heard velocities, and
            the velocities of these notes in an earlier turn [n, 2]; [0, 2] if there are none.
        mean: What the network is told as the mean of the heard velocities.
        network: Weights and bias of the first layer, and the other layers.

    """
    (held, before, now, place), (codes, newest, shared, matched) = notes, heard
    (first, bias, layers), n = network, len(struck)
    inputs = np.zeros((n, VELOCITY_INPUTS), np.float32)
    write_notes(struck, held, before, now, place, inputs)
    write_heard(struck, now[0], codes, newest, inputs[:, HEARD_INPUTS:])
    for i in range(n):
        row = inputs[i]
        row[NOTE_FEATURES + LATEST + offsets[i]] = 1
        row[HEARD_INPUTS + REFERENCE : HEARD_INPUTS + VELOCITY_FEATURES] = shared
        row[HEARD_INPUTS + REFERENCE] = mean
    if len(matched):
        _write_matches(matched - np.float32(shared[0]), inputs)
    return _finish(_begin(inputs, first, bias), layers)


# --- the pedal -------------------------------------------------------------------------------------------------------


@compiled
def _pedal_chances(struck: Any, memory: Any, network: Any, may_follow: Any) -> Any:
    """Return the probabilities [PEDALS] of the pedal's move, up to a factor.

    `memory` is what `write_pedal` needs to know of the music so far and of the place.
    """
    (states, numbers, place, sounding), (first, bias, layers) = memory, network
    features = np.zeros((1, PEDAL_FEATURES), np.float32)
    write_pedal(struck, states, numbers, place, sounding, features[0])
    logits, top = _finish(_begin(features, first, bias), layers)[0], -np.inf
    for move in range(len(logits)):
        if may_follow[move]:
            top = max(top, logits[move])
    chances = np.zeros(len(logits))
    for move in range(len(logits)):
        if may_follow[move]:
            chances[move] = math.exp(logits[move] - top)
    return chances


# --- what play uses --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _place_of_notes(place: Place) -> NDArray[np.float64]:
    return np.array(place_of_notes(place), np.float64)


@lru_cache(maxsize=256)
def _place_of_pedal(place: Place) -> NDArray[np.float64]:
    return np.array(place_of_pedal(place), np.float64)


class FastTouchMemory(TouchMemory):
    """The memory of touch, also in the form that the compiled functions read."""

    def __init__(self) -> None:
        super().__init__()
        self._ticks: Integers = np.full(KEYS, NEVER, np.int64)  # of the last stroke of each key
        self._key_offsets: Integers = np.zeros(KEYS, np.int64)  # numbers of their offsets
        self._last_keys: Integers = np.zeros(0, np.int64)

    def for_notes(self, tick: NextTick) -> Any:
        """Return what `write_notes` needs besides the struck keys."""
        _, held, place = tick
        around = len(held), int(max(held, default=-1)), int(min(held, default=KEYS))
        now = self.tick, self._last_tick, tuple(self._struck.sums)
        return around, (self._last_keys, self._ticks), now, _place_of_notes(place)

    def for_offsets(self, place: Place) -> Any:
        """Return what the features of the offsets need besides the struck keys."""
        here = tick_in_beat(place), place[1], self._offset_here(place)
        before = self._offsets.array, np.array(self._offset_shares)
        keys_before, habits = (self._last_keys, self._ticks, self._key_offsets), self.offset_habits(place)
        return (self.tick, self._last_tick), here, before, keys_before, habits

    def for_pedal(self, tick: NextTick) -> Any:
        """Return what `write_pedal` needs besides the struck keys."""
        struck, held, place = tick
        earlier = np.array(self._pedals_before(struck, place), np.int64)
        states = self._newest_pedals.array, earlier, tick_in_beat(place)
        sums = tuple(self._struck.sums), self._pedalled_ticks.sums[0], self._pedal_moves.sums[0]
        numbers = (self.pedal_down, self._pedal_ticks, len(held)), (self.tick, self._last_tick), sums
        return states, numbers, _place_of_pedal(place), (np.array(self._pitches), self._bass, self._pedal_bass)

    def _commit_notes(self, struck: Sequence[int], place: Place, offsets: Sequence[int]) -> None:
        super()._commit_notes(struck, place, offsets)
        self._last_keys = np.array(struck, np.int64)
        for key, offset in zip(struck, offsets, strict=True):
            self._ticks[key], self._key_offsets[key] = self.tick, offset + LATEST


class FastTouchNetwork(TouchNetwork):
    """The compiled touch network. The first one on a machine is compiled, which takes 10 to 25 s."""

    new_memory = FastTouchMemory

    def __init__(self, checkpoint: TouchCheckpoint) -> None:
        """Do what `TouchNetwork` does, and compile. Raises TouchError as `TouchNetwork` does."""
        super().__init__(checkpoint)
        self._for_velocities, self._for_pedal = _transposed(self._moments), _transposed(self._pedal)
        first, bias, layers = _transposed(self._offset)
        of_shared, of_rows = map(np.ascontiguousarray, np.split(first, [OFFSET_FEATURES - OFFSET_ROW], axis=1))
        self._for_offsets = (of_shared, of_rows, bias), layers, self._pairs
        self._compile()

    def expected(
        self,
        memory: TouchMemory,
        heard: VelocityMemory,
        tick: NextTick,
        offsets: Sequence[int],
        mean: float,
    ) -> tuple[list[float], list[float]]:
        """Do what `TouchNetwork.expected` does."""
        assert isinstance(memory, FastTouchMemory)
        struck = np.array(tick.struck, np.int64)
        matched = heard.matched(len(struck), memory.matches(tick.struck))
        matches = _NO_MATCHES if matched is None else np.ascontiguousarray(matched)
        past = place_codes(tick.place), heard.notes.newest(), np.array(heard.shared_features()), matches
        notes, network = memory.for_notes(tick), self._for_velocities
        found = _expect(struck, np.array(offsets, np.int64), notes, past, float(mean), network)
        above, log_variances = found.T.tolist()
        return above, [deviation(log_variance) for log_variance in log_variances]

    def draw_offsets(
        self,
        memory: TouchMemory,
        tick: NextTick,
        given: Sequence[int | None],
        usual: Mapping[int, float],
        uniforms: Sequence[float],
    ) -> list[int]:
        """Do what `TouchNetwork.draw_offsets` does."""
        assert isinstance(memory, FastTouchMemory)
        out = np.array([-1 if offset is None else offset + LATEST for offset in given], np.int64)
        can_be = np.array(list(usual), np.int64) + LATEST, np.array(list(usual.values()), np.float64)
        notes, struck = memory.for_offsets(tick.place), np.array(tick.struck, np.int64)
        _draw_offsets(struck, notes, self._for_offsets, can_be, np.array(uniforms, np.float64), out)
        offsets: list[int] = (out - LATEST).tolist()
        return offsets

    def pedal_chances(self, memory: TouchMemory, tick: NextTick) -> list[float]:
        """Do what `TouchNetwork.pedal_chances` does."""
        assert isinstance(memory, FastTouchMemory)
        struck, may_follow = np.array(tick.struck, np.int64), MAY_FOLLOW[int(memory.pedal_down)]
        chances: list[float] = _pedal_chances(struck, memory.for_pedal(tick), self._for_pedal, may_follow).tolist()
        return chances

    def _compile(self) -> None:
        """Call everything compiled, with each kind of argument that play has."""
        memory, heard = self.new_memory(), VelocityMemory()
        for time, struck in enumerate(([60, 57, 53, 48], [], [62], [60, 57, 53, 48], [])):
            tick = NextTick(struck, [40], (time, 4, 16))
            self.pedal_chances(memory, tick)
            offsets: list[int] = []
            if struck:
                offsets = self.draw_offsets(memory, tick, [None] * len(struck), {0: 0.5, 2: 0.5}, [0.5] * len(struck))
                self.expected(memory, heard, tick, offsets, 0.0)
            matches = memory.matches(struck)
            heard.commit(struck, [64.0] * len(struck), time, tick.place, memory.notes, matches)
            memory.commit(struck, [40], tick.place, offsets, 0)


def _transposed(part: Perceptron) -> Any:
    """Return the first layer's weights and bias, and the other layers: each row of weights belongs to one output."""
    return part.first.T.copy(), part.bias, (part.second.T.copy(), part.out.T.copy())
