"""The touch network at play: predicts velocities, offsets within the tick, and the sustain pedal.

It consists of three small perceptrons over the features of `touch_memory` and `velocity_memory`, in numpy. The
distribution of a velocity is a mixture of discretised logistics (Salimans et al., PixelCNN++, 2017). Some components
have free means. The others are at velocities that were heard: of the same note in an earlier turn, and of the nearest
note.
"""

from __future__ import annotations

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


class Perceptron:
    """A perceptron with three hidden layers. The output reads the last two; the first includes the normalisation."""

    def __init__(self, weights: dict[str, Array], name: str) -> None:
        def layer(part: str) -> tuple[Array, Array]:
            return weights[f"{name}.{part}.weight"].T.copy(), weights[f"{name}.{part}.bias"].copy()

        first, bias = layer("first")
        scale, mean = weights[f"{name}.scale"], weights[f"{name}.mean"]
        first[: len(scale)] *= scale[:, None]
        self.first, self.bias = first, bias - mean @ first[: len(mean)]
        self.second, self.third, out = layer("second"), layer("third"), layer("out")
        wide = len(self.second[1])
        self.out = out[0][:wide].copy(), out[0][wide:].copy(), out[1]

    def begin(self, features: Array) -> Array:
        """Return the first layer before its ReLU, from the first features only: [n, at most inputs] to [n, hidden]."""
        return features @ self.first[: features.shape[-1]] + self.bias

    def finish(self, begun: Array) -> Array:
        """Return the outputs [n, outputs] from the result of `begin`."""
        second = np.dot(np.maximum(begun, ZERO), self.second[0])
        second += self.second[1]
        np.maximum(second, ZERO, out=second)
        third = np.dot(second, self.third[0])
        third += self.third[1]
        np.maximum(third, ZERO, out=third)
        out: Array = np.dot(second, self.out[0])
        out += np.dot(third, self.out[1])
        out += self.out[2]
        return out

    def __call__(self, features: Array) -> Array:
        """Return the outputs [n, outputs] from all features [n, inputs]."""
        return self.finish(self.begin(features))


@dataclass(frozen=True, slots=True)
class Mixture:
    """Distributions of the velocities of n notes, in units of VELOCITY_UNIT around VELOCITY_CENTRE.

    Attributes:
        log_weight: [n, MIXTURE] log weights of the components.
        mean: [n, MIXTURE] means.
        log_scale: [n, MIXTURE] log scales.

    """

    log_weight: Array
    mean: Array
    log_scale: Array

    def moments(self) -> tuple[Array, Array]:
        """Return the mean and the standard deviation [n], as MIDI velocities."""
        weight = np.exp(self.log_weight)
        mean = (weight * self.mean).sum(axis=-1)
        scale = np.exp(self.log_scale) * _DEVIATION
        variance = (weight * (scale**2 + (self.mean - mean[:, None]) ** 2)).sum(axis=-1)
        return VELOCITY_CENTRE + VELOCITY_UNIT * mean, VELOCITY_UNIT * np.sqrt(variance)

    def nats(self, velocity: NDArray[np.integer]) -> Array:
        """Return -log P [n] of n MIDI velocities 1..127. The velocities 1 and 127 include the tails."""
        x, half = ((velocity - VELOCITY_CENTRE) / VELOCITY_UNIT)[:, None], 0.5 / VELOCITY_UNIT
        narrow = np.exp(-self.log_scale)
        high = np.where(velocity[:, None] >= 127, 1, _sigmoid((x + half - self.mean) * narrow))
        low = np.where(velocity[:, None] <= 1, 0, _sigmoid((x - half - self.mean) * narrow))
        return np.asarray(-np.log((np.exp(self.log_weight) * np.maximum(high - low, 1e-9)).sum(axis=-1)))


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
        known = ~np.isnan(matched)
        filled = np.where(known, matched, 0)
        out = self._velocity(with_matches(features, mean, filled, known))
        return mixture_of(out, mean, filled, known, features[:, _NEAREST])

    def offset(self, begun: Array, before: Array) -> Array:
        """Return the probabilities [OFFSETS] of one note's offset, up to a factor.

        Args:
            begun: [hidden] the note's row of `begin_offsets`.
            before: [OFFSETS + 1] the known offsets of this tick, as `touch_memory.known_offsets` gives them.

        """
        out = self._offset.finish(begun + before @ self._offset.first[-len(before) :])
        chances: Array = np.exp(out - out.max())
        return chances

    def offsets(self, features: Array) -> Array:
        """Return log probabilities [n, OFFSETS] of offsets, from [n, OFFSET_INPUTS] with known earlier offsets."""
        return log_softmax(self._offset(features))

    def begin_offsets(self, features: Array) -> Array:
        """Return the part of the first layer that needs no other offset: [n, OFFSET_FEATURES] to [n, hidden]."""
        return self._offset.begin(features)

    def pedal(self, features: Array, down: bool) -> Array:
        """Return log probabilities [PEDALS] of the pedal's next move; `down` is whether it is down before."""
        out: Array = self.pedals(features[None], np.array([down]))[0]
        return out

    def pedals(self, features: Array, down: NDArray[np.bool_]) -> Array:
        """Return the same for many ticks: [n, PEDAL_FEATURES] and [n] to [n, PEDALS]."""
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


def mixture_of(out: Array, mean: Array, matched: Array, known: NDArray[np.bool_], nearest: Array) -> Mixture:
    """Return the mixture that the perceptron's outputs [n, 2 * MIXTURE + FREE] describe."""
    weights = out[:, :MIXTURE].copy()
    weights[:, FREE : FREE + 2][~known] = _OUT_OF_REACH
    scale = np.minimum(np.maximum(out[:, MIXTURE : 2 * MIXTURE] + _SCALE_BIAS, SMALLEST_SCALE), LARGEST_SCALE)
    means = np.empty((len(out), MIXTURE), np.float32)
    means[:, :FREE] = out[:, 2 * MIXTURE :] + mean[:, None]
    means[:, FREE : FREE + 2] = matched
    means[:, FREE + 2] = nearest + mean
    return Mixture(log_softmax(weights), means, scale)


__all__ = ["PEDALS", "Mixture", "Perceptron", "TouchNetwork", "log_softmax", "mixture_of", "with_matches"]
