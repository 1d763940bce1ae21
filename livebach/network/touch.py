"""The touch network at play: predicts velocities, offsets within the tick, and the sustain pedal.

It consists of three small perceptrons over the features of `touch_memory` and `velocity_memory`, in numpy. The
distribution of a velocity is a mixture of discretised logistics (Salimans et al., PixelCNN++, 2017). Some components
have free means. The others are at velocities that were heard: of the same note in an earlier turn, and of the nearest
note.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.touch import LATEST, OFFSETS, PEDALS, Pedal
from livebach.network.touch_checkpoint import TouchCheckpoint, TouchError
from livebach.network.touch_memory import NOTE_FEATURES, VELOCITY_CENTRE, VELOCITY_UNIT, Array, known_offsets
from livebach.network.touch_shape import FREE, MIXTURE, NEAREST_SCALE, OUTPUTS, TURN_SCALE, VELOCITY_INPUTS
from livebach.network.velocity_kernels import NEAREST_VELOCITY

PAIR_TOLERANCE = 2e-3
SMALLEST_SCALE, LARGEST_SCALE = -6.5, 2.0
ZERO = np.zeros((), np.float32)
_DEVIATION = np.float32(np.pi / np.sqrt(3))
"""Standard deviation of a logistic distribution of scale 1."""
_OUT_OF_REACH = np.float32(-1e4)
_SCALE_BIAS: Array = np.array([-1.0] * FREE + [TURN_SCALE] * 2 + [NEAREST_SCALE], np.float32)
_NEW = FREE + 1
"""Components that count where no note was in an earlier turn: the free ones and that of the nearest note."""
_MOST_ODDS: Array = np.array(60, np.float32)
"""Largest log odds that count, so that no exponential overflows. Those of a trained network are far smaller."""
_NEAREST = NOTE_FEATURES + OFFSETS + NEAREST_VELOCITY
MAY_FOLLOW: NDArray[np.bool_] = np.array(
    [[kind in (Pedal.UP, Pedal.PRESSED) for kind in Pedal], [kind not in (Pedal.UP, Pedal.PRESSED) for kind in Pedal]]
)
"""[down before, PEDALS]: what the pedal can do next."""
_MAY_FOLLOW: list[list[bool]] = MAY_FOLLOW.tolist()


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
        self._second: Array = np.pad(np.vstack(layer("second")), ((0, 0), (0, 1)))
        self._second[hidden, hidden] = 1
        self._third: Array = np.vstack(layer("third"))
        out, out_bias = layer("out")
        self._out: tuple[Array, Array] = np.vstack([out[:hidden], out_bias]), out[hidden:].copy()

    def begin(self, features: Array) -> Array:
        """Return the first layer before its ReLU: [n, at most inputs] to [n, hidden + 1]. Missing inputs count as 0."""
        begun: Array = np.dot(features, self.first[: features.shape[-1]])
        begun += self.bias
        return begun

    def finish(self, begun: Array) -> Array:
        """Return the outputs [n, outputs] from the result of `begin`."""
        second = np.dot(np.maximum(begun, ZERO), self._second)
        np.maximum(second, ZERO, out=second)
        third = np.dot(second, self._third)
        np.maximum(third, ZERO, out=third)
        out: Array = np.dot(second, self._out[0])
        out += np.dot(third, self._out[1])
        return out

    def __call__(self, features: Array) -> Array:
        """Return the outputs [n, outputs] from all features [n, inputs]."""
        return self.finish(self.begin(features))

    def mapped(self, matrix: Array, added: Array) -> Perceptron:
        """Return a perceptron whose outputs are a linear map of these: `outputs @ matrix + added`."""
        mapped, (second, third) = copy.copy(self), self._out
        mapped._out = second @ matrix, third @ matrix
        mapped._out[0][-1] += added  # the row of the biases
        return mapped


@dataclass(frozen=True, slots=True)
class Mixture:
    """Distributions of the velocities of n notes, in units of VELOCITY_UNIT around VELOCITY_CENTRE.

    Attributes:
        weight: [n, MIXTURE] weights of the components, with a sum of 1.
        mean: [n, MIXTURE] means.
        log_scale: [n, MIXTURE] log scales.

    """

    weight: Array
    mean: Array
    log_scale: Array

    def moments(self) -> tuple[Array, Array]:
        """Return the mean and the variance [n], in units."""
        mean: Array = np.add.reduce(self.weight * self.mean, axis=-1)
        scale = np.exp(self.log_scale) * _DEVIATION
        apart = self.mean - mean[:, None]
        return mean, np.add.reduce(self.weight * (scale * scale + apart * apart), axis=-1)

    def nats(self, velocity: NDArray[np.integer]) -> Array:
        """Return -log P [n] of n MIDI velocities 1..127. The velocities 1 and 127 include the tails."""
        x, half = ((velocity - VELOCITY_CENTRE) / VELOCITY_UNIT)[:, None], 0.5 / VELOCITY_UNIT
        narrow = np.exp(-self.log_scale)
        high = np.where(velocity[:, None] >= 127, 1, _sigmoid((x + half - self.mean) * narrow))
        low = np.where(velocity[:, None] <= 1, 0, _sigmoid((x - half - self.mean) * narrow))
        return np.asarray(-np.log((self.weight * np.maximum(high - low, 1e-9)).sum(axis=-1)))


def _sigmoid(x: Array) -> Array:
    out: Array = 0.5 * (1 + np.tanh(0.5 * x))
    return out


def log_softmax(logits: Array) -> Array:
    """Return the log probabilities along the last axis."""
    top = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(top - np.log(np.exp(top).sum(axis=-1, keepdims=True)))


class TouchNetwork:
    """A trained touch network. It has no state: a `TouchMemory` remembers what was played."""

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
        self._new_velocity = self._velocity.mapped(*_OF_NEW_NOTES)
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
            features: [n, VELOCITY_INPUTS - 6]: note features, offsets (one-hot), and features of the heard velocities.
            mean: [n] mean of the heard velocities, in units.
            matched: [n, 2] velocities of these notes in an earlier turn, in units; NaN where there is none.

        """
        inputs = np.zeros((len(features), VELOCITY_INPUTS), np.float32)
        inputs[:, : features.shape[1]] = features
        return self._mixture(inputs, mean, matched)

    def _mixture(self, inputs: Array, mean: Array, matched: Array) -> Mixture:
        known = ~np.isnan(matched)
        filled = np.where(known, matched, 0)
        write_matches(inputs, mean, filled, known)
        return mixture_of(self._velocity(inputs), mean, filled, known, inputs[:, _NEAREST])

    def velocity_moments(self, inputs: Array, mean: float, matched: Array | None) -> tuple[Array, Array]:
        """Return the moments of the velocities of n notes, in units: the fast twin of `velocities`.

        Args:
            inputs: [n, VELOCITY_INPUTS] the features, with zeros in the last six columns, which are overwritten.
            mean: Mean of the heard velocities, in units.
            matched: As in `velocities`. None means that no note was in an earlier turn, which is usual and faster.

        Returns:
            How far the mean of each velocity's distribution is above `mean`, and its variance, [n] each.

        """
        if matched is not None:
            expected, variance = self._mixture(inputs, np.full(len(inputs), mean, np.float32), matched).moments()
            return expected - np.float32(mean), variance
        inputs[:, -1] = mean
        return moments_of_new(self._new_velocity(inputs), inputs[:, _NEAREST])

    def offset_logits(self, features: Array) -> OffsetLogits:
        """Return the offsets' logits of a tick's n notes, from features [n, OFFSET_FEATURES]: the twin of `offsets`."""
        return OffsetLogits(self._offset, self._only_known, features)

    def offsets(self, features: Array) -> Array:
        """Return log probabilities [n, OFFSETS] of offsets, from [n, OFFSET_INPUTS] with known earlier offsets."""
        return log_softmax(self._offset(features))

    def pedal_chances(self, features: Array, down: bool) -> list[float]:
        """Return the probabilities [PEDALS] of the pedal's next move, up to a factor: the fast twin of `pedals`."""
        logits, may_follow = self._pedal(features).tolist(), _MAY_FOLLOW[down]
        top = max(itertools.compress(logits, may_follow))
        return [math.exp(x - top) if may else 0.0 for x, may in zip(logits, may_follow, strict=True)]

    def pedals(self, features: Array, down: NDArray[np.bool_]) -> Array:
        """Return log probabilities [n, PEDALS] of the pedal's next moves on n ticks.

        Args:
            features: [n, PEDAL_FEATURES].
            down: [n] whether the pedal is down before.

        """
        return log_softmax(np.where(MAY_FOLLOW[down.astype(np.int64)], self._pedal(features), _OUT_OF_REACH))


class OffsetLogits:
    """The logits of the offsets of a tick's n notes, given those that are known: the fast twin of `offsets`.

    Offsets are chosen one after another, and as a rule all of a tick are the same. So the logits of all the notes left
    are computed at once when one offset is known.
    """

    def __init__(self, network: Perceptron, only_known: Array, features: Array) -> None:
        """`only_known` [OFFSETS, hidden] is what each offset adds to the first layer if it is the only known one."""
        self._network, self._only_known, self._begun = network, only_known, network.begin(features)
        self._given: dict[int, list[list[float]]] = {}  # offset -> logits of the last notes, if no other is known

    def of(self, note: int, known: Sequence[int]) -> list[float]:
        """Return the logits [OFFSETS], up to a constant, of a note 0..n-1, given the known offsets of the tick."""
        finish, begun = self._network.finish, self._begun
        if known and known.count(known[0]) == len(known):
            if known[0] not in self._given:
                self._given[known[0]] = finish(begun[note:] + self._only_known[known[0] + LATEST]).tolist()
            return self._given[known[0]][note - len(begun)]
        mine = begun[note]
        if known:
            mine = mine + np.dot(known_offsets(known), self._network.first[-OFFSETS - 1 :])
        logits: list[float] = finish(mine).tolist()
        return logits


def write_matches(inputs: Array, mean: Array, matched: Array, known: NDArray[np.bool_]) -> None:
    """Fill the last six of the inputs [n, VELOCITY_INPUTS]; `matched` [n, 2] counts where `known`."""
    above = (matched - mean[:, None]) * known
    inputs[:, -6:-4], inputs[:, -4:-2] = above, known
    inputs[:, -2] = (above[:, 0] - above[:, 1]) * known[:, 0] * known[:, 1]
    inputs[:, -1] = mean


def mixture_of(out: Array, mean: Array, matched: Array, known: NDArray[np.bool_], nearest: Array) -> Mixture:
    """Return the mixture that the perceptron's outputs [n, 2 * MIXTURE + FREE] describe.

    `matched` has the velocities [n, 2] in earlier turns, and `known` whether each is known.
    """
    weights = out[:, :MIXTURE].copy()
    np.copyto(weights[:, FREE : FREE + 2], _OUT_OF_REACH, where=~known)
    weights -= np.maximum.reduce(weights, axis=1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= np.add.reduce(weights, axis=1, keepdims=True)
    scale = np.minimum(np.maximum(out[:, MIXTURE : 2 * MIXTURE] + _SCALE_BIAS, SMALLEST_SCALE), LARGEST_SCALE)
    means = np.empty((len(out), MIXTURE), np.float32)
    means[:, :FREE] = out[:, 2 * MIXTURE :] + mean[:, None]
    means[:, FREE : FREE + 2] = matched
    means[:, FREE + 2] = nearest + mean
    return Mixture(weights, means, scale)


def _of_new_notes() -> tuple[Array, Array]:
    """Return the linear map from the outputs [2 * MIXTURE + FREE] to those that `moments_of_new` reads [3 * _NEW]."""
    matrix, added = np.zeros((OUTPUTS["velocity"], 3 * _NEW), np.float32), np.zeros(3 * _NEW, np.float32)
    for i, component in enumerate([*range(FREE), MIXTURE - 1]):
        matrix[component, i] += 1
        matrix[0, i] -= 1
        matrix[MIXTURE + component, _NEW + i] = 2
        added[_NEW + i] = 2 * (_SCALE_BIAS[component] + np.log(_DEVIATION))
    for i in range(FREE):
        matrix[2 * MIXTURE + i, 2 * _NEW + i] = 1
    return matrix, added


_OF_NEW_NOTES = _of_new_notes()
_LEAST_VARIANCE, _MOST_VARIANCE = (
    np.array(2 * (scale + np.log(_DEVIATION)), np.float32) for scale in (SMALLEST_SCALE, LARGEST_SCALE)
)


def moments_of_new(out: Array, nearest: Array) -> tuple[Array, Array]:
    """Return the moments of the mixture where no note was in an earlier turn: the fast twin of `mixture_of`.

    The components come first in the arrays, so that parts of them lie together in memory, which is faster.

    Args:
        out: [n, 3 * _NEW] log odds against the first component, log variances, and means above the heard mean, all but
            the last, which is `nearest`.
        nearest: [n] velocities of the nearest notes, above the heard mean.

    Returns:
        The mean above the heard mean, and the variance [n], in units.

    """
    exponents = out.T.copy()
    weights, variances, means = exponents[:_NEW], exponents[_NEW : 2 * _NEW], exponents[2 * _NEW :]
    means[FREE] = nearest
    np.minimum(weights, _MOST_ODDS, out=weights)
    np.maximum(variances, _LEAST_VARIANCE, out=variances)
    np.minimum(variances, _MOST_VARIANCE, out=variances)
    np.exp(exponents[: 2 * _NEW], out=exponents[: 2 * _NEW])
    total = np.add.reduce(weights)
    mean = np.add.reduce(weights * means) / total
    means -= mean
    means *= means
    means += variances
    means *= weights
    return mean, np.add.reduce(means) / total


__all__ = ["PEDALS", "Mixture", "Perceptron", "TouchNetwork", "log_softmax", "mixture_of", "moments_of_new"]
