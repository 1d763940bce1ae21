"""The distribution of a velocity: a mixture of discretised logistics (Salimans et al., PixelCNN++, 2017).

Some components have free means. The others are at velocities that were heard: of the same note in an earlier turn, and
of the nearest note. Two more outputs are the mean and the variance, which play uses. Velocities are in units of
VELOCITY_UNIT around VELOCITY_CENTRE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.network.touch_memory import VELOCITY_CENTRE, VELOCITY_UNIT, Array
from livebach.network.touch_shape import FREE, MIXTURE, MOMENTS, NEAREST_SCALE, TURN_SCALE

SMALLEST_SCALE, LARGEST_SCALE = -6.5, 2.0
LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -6.0, 3.0
"""Bounds of the log variance, in units: of .05 and of 4.5 units."""
OUT_OF_REACH = -1e4
"""The logit of what cannot be."""
_SCALE_BIAS: Array = np.array([-1.0] * FREE + [TURN_SCALE] * 2 + [NEAREST_SCALE], np.float32)


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


@dataclass(frozen=True, slots=True)
class Velocities:
    """What the network says of the velocities of n notes, in units.

    Attributes:
        mixture: Their distributions.
        mean: [n] the velocities that are expected.
        deviation: [n] standard deviations around these.

    """

    mixture: Mixture
    mean: Array
    deviation: Array


def velocities_of(out: Array, mean: Array, matched: Array, known: NDArray[np.bool_], nearest: Array) -> Velocities:
    """Return what the perceptron's outputs [n, OUTPUTS["velocity"]] describe.

    `matched` has the velocities [n, 2] in earlier turns, and `known` whether each is known.
    """
    mixture = _mixture_of(out[:, :-MOMENTS], mean, matched, known, nearest)
    above, log_variance = out[:, -MOMENTS:].T
    deviations = np.exp(np.clip(log_variance, LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE) / 2)
    return Velocities(mixture, mean + above, deviations)


def deviation(log_variance: float) -> float:
    """Return a standard deviation from the network's log variance."""
    return math.exp(max(LEAST_LOG_VARIANCE, min(log_variance, MOST_LOG_VARIANCE)) / 2)


def _mixture_of(out: Array, mean: Array, matched: Array, known: NDArray[np.bool_], nearest: Array) -> Mixture:
    """Return the mixture that the outputs [n, 2 * MIXTURE + FREE] describe."""
    weights = out[:, :MIXTURE].copy()
    np.copyto(weights[:, FREE : FREE + 2], OUT_OF_REACH, where=~known)
    weights -= np.maximum.reduce(weights, axis=1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= np.add.reduce(weights, axis=1, keepdims=True)
    scale = np.minimum(np.maximum(out[:, MIXTURE : 2 * MIXTURE] + _SCALE_BIAS, SMALLEST_SCALE), LARGEST_SCALE)
    means = np.empty((len(out), MIXTURE), np.float32)
    means[:, :FREE] = out[:, 2 * MIXTURE :] + mean[:, None]
    means[:, FREE : FREE + 2] = matched
    means[:, FREE + 2] = nearest + mean
    return Mixture(weights, means, scale)
