"""The touch network at play: predicts velocities, offsets within the tick, and the sustain pedal.

It consists of three small perceptrons over the features of `touch_memory` and `velocity_memory`, in numpy. What the
outputs for a velocity mean is in `velocity_mixture`.
"""

from __future__ import annotations

import copy
import itertools
import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from livebach.music.grid import Place
from livebach.music.touch import LATEST, OFFSETS, Pedal
from livebach.network.touch_checkpoint import TouchCheckpoint, TouchError
from livebach.network.touch_memory import NOTE_FEATURES, OFFSET_FEATURES, OFFSET_ROW, Array, TouchMemory, known_offsets
from livebach.network.touch_shape import HEARD_INPUTS, NEAREST_INPUT, VELOCITY_INPUTS
from livebach.network.velocity_kernels import REFERENCE, VELOCITY_FEATURES
from livebach.network.velocity_memory import VelocityMemory
from livebach.network.velocity_mixture import (
    OF_ALL_NOTES,
    OF_NEW_NOTES,
    OUT_OF_REACH,
    Mixture,
    fast_moments,
    mixture_of,
)

PAIR_TOLERANCE = 2e-3
PRIOR = 8.0
"""How many observations the network's chances of offsets weigh, for each kind that was observed."""
ZERO = np.zeros((), np.float32)
MAY_FOLLOW: NDArray[np.bool_] = np.array(
    [[kind in (Pedal.UP, Pedal.PRESSED) for kind in Pedal], [kind not in (Pedal.UP, Pedal.PRESSED) for kind in Pedal]]
)
"""[down before, PEDALS]: what the pedal can do next."""
_MAY_FOLLOW: list[list[bool]] = MAY_FOLLOW.tolist()
Layers = tuple[Array, Array, tuple[Array, Array]]
"""Weights of the second and the third hidden layer, and those from both to the outputs."""


def quick_rows(n: int) -> int:
    """Return how many rows to compute for n notes: OpenBLAS takes longer for two or three rows than for four."""
    return n if n == 1 else -(-n // 4) * 4


class Perceptron:
    """A perceptron with three hidden layers. The output reads the last two; the first includes the normalisation.

    With so few notes, the number of numpy calls decides how long this takes. So the first two hidden layers have one
    more unit, which is always 1, and the biases are rows of the weights.
    """

    def __init__(self, weights: dict[str, Array], name: str) -> None:
        def layer(part: str) -> tuple[Array, Array]:
            return weights[f"{name}.{part}.weight"].T.copy(), weights[f"{name}.{part}.bias"].copy()

        first, bias = layer("first")
        scale, mean = weights[f"{name}.scale"], weights[f"{name}.mean"]
        first[: len(scale)] *= scale[:, None]
        bias -= mean @ first[: len(mean)]
        hidden = len(bias)
        self.first: Array = np.pad(first, ((0, 0), (0, 1)))
        self.bias: Array = np.append(bias, np.float32(1))
        second = np.pad(np.vstack(layer("second")), ((0, 0), (0, 1)))
        second[hidden, hidden] = 1
        out, out_bias = layer("out")
        of_both = np.vstack([out[:hidden], out_bias]), out[hidden:].copy()
        self.layers: Layers = second, np.vstack(layer("third")), of_both

    def begin(self, features: Array) -> Array:
        """Return the first layer before its ReLU: [n, at most inputs] to [n, hidden + 1]. Missing inputs count as 0."""
        begun: Array = features.dot(self.first[: features.shape[-1]])
        begun += self.bias
        return begun

    def finish(self, begun: Array) -> Array:
        """Return the outputs [n, outputs] from the result of `begin`."""
        to_second, to_third, (of_second, of_third) = self.layers
        second = np.maximum(begun, ZERO).dot(to_second)
        np.maximum(second, ZERO, out=second)
        third = second.dot(to_third)
        np.maximum(third, ZERO, out=third)
        out: Array = second.dot(of_second)
        out += third.dot(of_third)
        return out

    def __call__(self, features: Array) -> Array:
        """Return the outputs [n, outputs] from all features [n, inputs]."""
        return self.finish(self.begin(features))

    def mapped(self, matrix: Array, added: Array) -> Perceptron:
        """Return a perceptron whose outputs are a linear map of these: `outputs @ matrix + added`."""
        mapped, (to_second, to_third, (of_second, of_third)) = copy.copy(self), self.layers
        mapped.layers = to_second, to_third, (of_second @ matrix, of_third @ matrix)
        mapped.layers[2][0][-1] += added  # the row of the biases
        return mapped


def log_softmax(logits: Array) -> Array:
    """Return the log probabilities along the last axis."""
    top = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(top - np.log(np.exp(top).sum(axis=-1, keepdims=True)))


class NextTick(NamedTuple):
    """A tick that is about to be played."""

    struck: Sequence[int]
    """Keys 0..87 to be struck, the highest first."""
    held: Sequence[int]
    """Keys 0..87 that are down from before."""
    place: Place


def drawn(weights: Sequence[float], uniform: float) -> int:
    """Draw an index by a number in [0, 1): what `random.choices` would choose, in half the time."""
    sums = list(itertools.accumulate(weights))
    return bisect(sums, uniform * sums[-1], 0, len(sums) - 1)


def with_habits(chances: Array, habits: Array) -> Array:
    """Return the probabilities [n, OFFSETS] of offsets, from the network's and from counts in the same circumstances.

    The network's are the prior of a Dirichlet distribution, whose weight grows with the number of kinds that were
    played (Witten and Bell, The zero-frequency problem, 1991).
    """
    weight = PRIOR * np.maximum(1, np.count_nonzero(habits, axis=-1, keepdims=True))
    mixed: Array = (habits + weight * chances) / (habits.sum(axis=-1, keepdims=True) + weight)
    return mixed


def _draw_offset(logits: Sequence[float], habits: Sequence[float], usual: Mapping[int, float], uniform: float) -> int:
    """Draw one of the usual offsets, from the logits and counts of all offsets and the shares of the usual ones."""
    top = max(logits)
    chances = [math.exp(logit - top) for logit in logits]
    weight = PRIOR * max(1, sum(map(bool, habits))) / sum(chances)
    weights = [share * (habits[n + LATEST] + weight * chances[n + LATEST]) for n, share in usual.items()]
    if not any(weights):
        return max(usual, key=usual.__getitem__)
    return list(usual)[drawn(weights, uniform)]


class TouchNetwork:
    """A trained touch network. It has no state: a `TouchMemory` and a `VelocityMemory` remember what was played."""

    new_memory = TouchMemory
    """What makes a memory that it can read."""

    def __init__(self, checkpoint: TouchCheckpoint) -> None:
        """Take the weights, and compare the stored output with the network's.

        Raises:
            TouchError: An output differs from the stored one by PAIR_TOLERANCE or more.

        """
        self.meta = checkpoint.meta
        parts = [Perceptron(checkpoint.weights, name) for name in ("velocity", "offset", "pedal")]
        self._velocity, self._offset, self._pedal = parts
        rows = self._offset.first[-OFFSETS - 1 :]
        self._only_known: Array = rows[:-1] + rows[-1]
        self._of_new, self._of_all = self._velocity.mapped(*OF_NEW_NOTES), self._velocity.mapped(*OF_ALL_NOTES)
        for name, part in zip(("velocity", "offset", "pedal"), parts, strict=True):
            with np.errstate(all="ignore"):  # damaged weights may give any numbers
                worst = float(
                    np.abs(part(checkpoint.pair[f"pair.{name}.in"]) - checkpoint.pair[f"pair.{name}.out"]).max()
                )
            if not worst < PAIR_TOLERANCE:  # also true of NaN
                raise TouchError(f"the stored output of its part {name} differs by {worst:.2g}: the file is damaged")

    def velocities(self, features: Array, mean: Array, matched: Array) -> Mixture:
        """Return the distributions of the velocities of n notes.

        Args:
            features: [n, VELOCITY_INPUTS - MATCH_INPUTS]: note features, offsets (one-hot), and those of the heard
                velocities.
            mean: [n] mean of the heard velocities, in units.
            matched: [n, 2] velocities of these notes in an earlier turn, in units; NaN where there is none.

        """
        inputs = np.zeros((len(features), VELOCITY_INPUTS), np.float32)
        inputs[:, : features.shape[1]] = features
        above, known = _write_matches(inputs, matched - mean[:, None])
        inputs[:, -1] = mean
        return mixture_of(self._velocity(inputs), mean, above + mean[:, None], known, inputs[:, NEAREST_INPUT])

    def velocity_moments(self, inputs: Array, mean: float, matched: Array | None) -> tuple[Array, Array]:
        """Return the moments of the velocities of n notes, in units: the fast twin of `velocities`.

        Args:
            inputs: [n or more, VELOCITY_INPUTS] features, with zeros in the last six columns, which are overwritten.
            mean: Mean of the heard velocities, in units.
            matched: As in `velocities`. None means that no note was in an earlier turn, which is usual and faster.

        Returns:
            How far the mean of each velocity's distribution is above `mean`, and its variance, [n or more] each.

        """
        inputs[:, -1] = mean
        if matched is None:
            return fast_moments(self._of_new(inputs), inputs[:, NEAREST_INPUT])
        n = len(matched)
        matches = _write_matches(inputs[:n], matched - np.float32(mean))
        return fast_moments(self._of_all(inputs)[:n], inputs[:n, NEAREST_INPUT], matches)

    def expected(
        self,
        memory: TouchMemory,
        heard: VelocityMemory,
        tick: NextTick,
        offsets: Sequence[int],
        mean: float,
    ) -> tuple[list[float], list[float]]:
        """Return what to expect of the velocities of a tick's n notes, in units, if `mean` were the mean heard so far.

        Returns:
            How far above `mean` each is expected to be, and its variance, [n] each.

        """
        struck, held, place = tick
        n = len(struck)
        inputs = np.zeros((quick_rows(n), VELOCITY_INPUTS), np.float32)
        memory.note_features(struck, held, place, inputs[:n, :NOTE_FEATURES])
        for note, offset in enumerate(offsets):
            inputs[note, NOTE_FEATURES + LATEST + offset] = 1
        heard.features(struck, memory.tick, place, inputs[:n, HEARD_INPUTS : HEARD_INPUTS + VELOCITY_FEATURES])
        inputs[:, HEARD_INPUTS + REFERENCE] = mean
        matched = heard.matched(n, memory.matches(struck))
        if matched is not None:
            matched += np.float32(mean - heard.mean)
        above, variance = self.velocity_moments(inputs, mean, matched)
        return above.tolist()[:n], variance.tolist()[:n]

    def offset_logits(self, shared: Array, rows: Array) -> OffsetLogits:
        """Return the offsets' logits of a tick's notes: the fast twin of `offsets`.

        Args:
            shared: [OFFSET_FEATURES - OFFSET_ROW] the features that all of them have.
            rows: [n or more, OFFSET_ROW] those that differ.

        """
        return OffsetLogits(self._offset, self._only_known, shared, rows)

    def draw_offsets(
        self,
        memory: TouchMemory,
        tick: NextTick,
        given: Sequence[int | None],
        usual: Mapping[int, float],
        uniforms: Sequence[float],
    ) -> list[int]:
        """Draw the offsets of a tick's n notes one after another, each with those known that are given or drawn.

        The chance of an offset is the network's, as habits change it, times its share of the usual ones.

        Args:
            memory: The music so far.
            tick: The tick.
            given: The offset of each note that has one already, and None for each to be drawn.
            usual: The offsets that can be drawn, with their shares.
            uniforms: [n] numbers in [0, 1) that decide.

        Returns:
            [n] offsets.

        """
        rows = np.zeros((quick_rows(len(given)), OFFSET_ROW), np.float32)
        rows[: len(given)] = memory.offset_rows(tick.struck)
        logits = self.offset_logits(memory.shared_offset_features(len(given), tick.place), rows)
        known = [offset for offset in given if offset is not None]
        habits: list[list[float]] = memory.offset_habits(tick.place).tolist()
        out: list[int] = []
        for note, (offset, uniform) in enumerate(zip(given, uniforms, strict=True)):
            if offset is not None:
                out.append(offset)
            else:
                here = habits[out[-1] + LATEST if out else OFFSETS]
                out.append(_draw_offset(logits.of(note, known), here, usual, uniform))
                known.append(out[-1])
        return out

    def offsets(self, features: Array) -> Array:
        """Return log probabilities [n, OFFSETS] of offsets, from [n, OFFSET_INPUTS] with known earlier offsets."""
        return log_softmax(self._offset(features))

    def pedal_chances(self, memory: TouchMemory, tick: NextTick) -> list[float]:
        """Return the chances [PEDALS] of the pedal's move on a tick, up to a factor: the fast twin of `pedals`."""
        logits = self._pedal(memory.pedal_features(*tick)).tolist()
        may_follow = _MAY_FOLLOW[memory.pedal_down]
        top = max(itertools.compress(logits, may_follow))
        return [math.exp(x - top) if may else 0.0 for x, may in zip(logits, may_follow, strict=True)]

    def pedals(self, features: Array, down: NDArray[np.bool_]) -> Array:
        """Return log probabilities [n, PEDALS] of the pedal's next moves on n ticks.

        Args:
            features: [n, PEDAL_FEATURES].
            down: [n] whether the pedal is down before.

        """
        return log_softmax(np.where(MAY_FOLLOW[down.astype(np.int64)], self._pedal(features), OUT_OF_REACH))


class OffsetLogits:
    """The logits of the offsets of a tick's n notes, given those that are known: the fast twin of `offsets`.

    Offsets are chosen one after another, and as a rule all of a tick are the same. So the logits of all notes are
    computed at once when one offset is known.
    """

    def __init__(self, network: Perceptron, only_known: Array, shared: Array, rows: Array) -> None:
        """`only_known` [OFFSETS, hidden + 1] is what each offset adds to the first layer if no other is known."""
        self._network, self._only_known = network, only_known
        self._begun: Array = rows.dot(network.first[len(shared) : OFFSET_FEATURES])
        self._begun += network.begin(shared)
        self._given: dict[int, list[list[float]]] = {}  # offset -> logits of all notes, if no other is known

    def of(self, note: int, known: Sequence[int]) -> list[float]:
        """Return the logits [OFFSETS], up to a constant, of a note 0..n-1, given the known offsets of the tick."""
        finish, begun = self._network.finish, self._begun
        if known and known.count(known[0]) == len(known):
            if known[0] not in self._given:
                self._given[known[0]] = finish(begun + self._only_known[known[0] + LATEST]).tolist()
            return self._given[known[0]][note]
        mine = begun[note]
        if known:
            mine = mine + known_offsets(known).dot(self._network.first[-OFFSETS - 1 :])
        logits: list[float] = finish(mine).tolist()
        return logits


def _write_matches(inputs: Array, above: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Write the features of the velocities in earlier turns: all of the last six inputs but the very last.

    Args:
        inputs: [n, VELOCITY_INPUTS].
        above: [n, 2] these velocities above the heard mean, NaN where unknown.

    Returns:
        The same with 0 where unknown, and whether each is known.

    """
    known = above == above
    above = np.where(known, above, ZERO)
    inputs[:, -6:-4], inputs[:, -4:-2] = above, known
    inputs[:, -2] = np.where(known[:, 0] & known[:, 1], above[:, 0] - above[:, 1], ZERO)
    return above, known
