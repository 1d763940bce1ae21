"""The touch network at play: predicts velocities, offsets within the tick, and the sustain pedal.

It consists of three small perceptrons over the features of `touch_memory` and `velocity_memory`, in numpy. The
distribution of a velocity is a mixture of discretised logistics (Salimans et al., PixelCNN++, 2017). Some components
have free means. The others are at velocities that were heard: of the same note in an earlier turn, and of the nearest
note.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.touch import OFFSETS, PEDALS, Pedal
from livebach.network.touch_checkpoint import TouchCheckpoint, TouchError
from livebach.network.touch_memory import NOTE_FEATURES, VELOCITY_CENTRE, VELOCITY_UNIT, Array
from livebach.network.touch_shape import FREE, MIXTURE, NEAREST_SCALE, TURN_SCALE
from livebach.network.velocity_memory import NEAREST_VELOCITY

PAIR_TOLERANCE = 2e-3
SMALLEST_SCALE, LARGEST_SCALE = -6.5, 2.0
ZERO = np.zeros((), np.float32)
_DEVIATION = np.float32(np.pi / np.sqrt(3))
"""Standard deviation of a logistic distribution of scale 1."""
_OUT_OF_REACH = np.float32(-1e4)
_SCALE_BIAS: Array = np.array([-1.0] * FREE + [TURN_SCALE] * 2 + [NEAREST_SCALE], np.float32)
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
        return features @ self.first[: features.shape[-1]] + self.bias

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
        """Return the mean and the standard deviation [n], as MIDI velocities."""
        mean: Array = np.add.reduce(self.weight * self.mean, axis=-1)
        scale = np.exp(self.log_scale) * _DEVIATION
        apart = self.mean - mean[:, None]
        variance = np.add.reduce(self.weight * (scale * scale + apart * apart), axis=-1)
        return VELOCITY_CENTRE + VELOCITY_UNIT * mean, np.float32(VELOCITY_UNIT) * np.sqrt(variance)

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
        self._after = self._offset.first[-OFFSETS - 1 :]  # the rows of the known offsets
        for name, part in zip(("velocity", "offset", "pedal"), parts, strict=True):
            with np.errstate(all="ignore"):  # damaged weights may give any numbers
                worst = float(
                    np.abs(part(checkpoint.pair[f"pair.{name}.in"]) - checkpoint.pair[f"pair.{name}.out"]).max()
                )
            if not worst < PAIR_TOLERANCE:  # also true of NaN
                raise TouchError(f"the stored output of its part {name} differs by {worst:.2g}: the file is damaged")

    def velocities(self, features: Array, mean: Array, matched: Array | None) -> Mixture:
        """Return the distributions of the velocities of n notes.

        Args:
            features: [n, VELOCITY_INPUTS - 6]: note features, offsets (one-hot), and features of the heard velocities.
            mean: [n] mean of the heard velocities, in units.
            matched: [n, 2] velocities of these notes in an earlier turn, in units; NaN where there is none. None means
                that there is none at all, which is the usual case and faster.

        """
        nearest = features[:, _NEAREST]
        if matched is None:
            return mixture_of(self._velocity(without_matches(features, mean)), mean, None, nearest)
        known = ~np.isnan(matched)
        filled = np.where(known, matched, 0)
        out = self._velocity(with_matches(features, mean, filled, known))
        return mixture_of(out, mean, (filled, known), nearest)

    def offset_logits(self, begun: Array, before: Array | None) -> Array:
        """Return the logits [n, OFFSETS] of the offsets of n notes.

        Args:
            begun: [n, hidden] rows of `begin_offsets`.
            before: [OFFSETS + 1] the known offsets of this tick, as `touch_memory.known_offsets` gives them, or None.

        """
        if before is not None:
            begun = begun + np.dot(before, self._after)
        return self._offset.finish(begun)

    def offsets(self, features: Array) -> Array:
        """Return log probabilities [n, OFFSETS] of offsets, from [n, OFFSET_INPUTS] with known earlier offsets."""
        return log_softmax(self._offset(features))

    def begin_offsets(self, features: Array) -> Array:
        """Return the part of the first layer that needs no other offset: [n, OFFSET_FEATURES] to [n, hidden]."""
        return self._offset.begin(features)

    def pedal_chances(self, features: Array, down: bool) -> list[float]:
        """Return the probabilities [PEDALS] of the pedal's next move, up to a factor: the fast twin of `pedals`."""
        logits, may_follow = self._pedal(features[None])[0].tolist(), _MAY_FOLLOW[down]
        top = max(itertools.compress(logits, may_follow))
        return [math.exp(x - top) if may else 0.0 for x, may in zip(logits, may_follow, strict=True)]

    def pedals(self, features: Array, down: NDArray[np.bool_]) -> Array:
        """Return log probabilities [n, PEDALS] of the pedal's next moves on n ticks.

        Args:
            features: [n, PEDAL_FEATURES].
            down: [n] whether the pedal is down before.

        """
        return log_softmax(np.where(MAY_FOLLOW[down.astype(np.int64)], self._pedal(features), _OUT_OF_REACH))


def with_matches(features: Array, mean: Array, matched: Array, known: NDArray[np.bool_]) -> Array:
    """Return the inputs [n, VELOCITY_INPUTS] of the velocity's perceptron; `matched` [n, 2] counts where `known`."""
    wide = features.shape[1]
    out = np.empty((len(features), wide + 6), np.float32)
    out[:, :wide] = features
    above = (matched - mean[:, None]) * known
    out[:, wide : wide + 2], out[:, wide + 2 : wide + 4] = above, known
    out[:, wide + 4] = (above[:, 0] - above[:, 1]) * known[:, 0] * known[:, 1]
    out[:, wide + 5] = mean
    return out


def without_matches(features: Array, mean: Array) -> Array:
    """Return the same inputs where no note was in an earlier turn."""
    wide = features.shape[1]
    out = np.zeros((len(features), wide + 6), np.float32)
    out[:, :wide], out[:, wide + 5] = features, mean
    return out


def mixture_of(out: Array, mean: Array, matched: tuple[Array, NDArray[np.bool_]] | None, nearest: Array) -> Mixture:
    """Return the mixture that the perceptron's outputs [n, 2 * MIXTURE + FREE] describe.

    `matched` has the velocities [n, 2] in earlier turns and whether each is known, or is None if none is.
    """
    weights = out[:, :MIXTURE].copy()
    if matched is None:
        weights[:, FREE : FREE + 2] = _OUT_OF_REACH
    else:
        np.copyto(weights[:, FREE : FREE + 2], _OUT_OF_REACH, where=~matched[1])
    weights -= np.maximum.reduce(weights, axis=1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= np.add.reduce(weights, axis=1, keepdims=True)
    scale = np.minimum(np.maximum(out[:, MIXTURE : 2 * MIXTURE] + _SCALE_BIAS, SMALLEST_SCALE), LARGEST_SCALE)
    means = np.empty((len(out), MIXTURE), np.float32)
    means[:, :FREE] = out[:, 2 * MIXTURE :] + mean[:, None]
    means[:, FREE : FREE + 2] = 0 if matched is None else matched[0]
    means[:, FREE + 2] = nearest + mean
    return Mixture(weights, means, scale)


__all__ = ["PEDALS", "Mixture", "Perceptron", "TouchNetwork", "log_softmax", "mixture_of", "with_matches"]
