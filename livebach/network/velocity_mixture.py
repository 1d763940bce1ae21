"""The distribution of a velocity: a mixture of discretised logistics (Salimans et al., PixelCNN++, 2017).

Some components have free means. The others are at velocities that were heard: of the same note in an earlier turn, and
of the nearest note. Velocities are in units of VELOCITY_UNIT around VELOCITY_CENTRE.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.network.touch_memory import VELOCITY_CENTRE, VELOCITY_UNIT, Array
from livebach.network.touch_shape import FREE, MIXTURE, NEAREST_SCALE, OUTPUTS, TURN_SCALE

SMALLEST_SCALE, LARGEST_SCALE = -6.5, 2.0
OUT_OF_REACH = -1e4
"""The logit of what cannot be."""
_DEVIATION = np.float32(np.pi / np.sqrt(3))
"""Standard deviation of a logistic distribution of scale 1."""
_SCALE_BIAS: Array = np.array([-1.0] * FREE + [TURN_SCALE] * 2 + [NEAREST_SCALE], np.float32)
MOST_ODDS: Array = np.array(60, np.float32)
"""Largest log odds that count, so that no exponential overflows. Those of a trained network are far smaller."""


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


def mixture_of(out: Array, mean: Array, matched: Array, known: NDArray[np.bool_], nearest: Array) -> Mixture:
    """Return the mixture that the perceptron's outputs [n, 2 * MIXTURE + FREE] describe.

    `matched` has the velocities [n, 2] in earlier turns, and `known` whether each is known.
    """
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


def _moment_map(components: list[int]) -> tuple[Array, Array]:
    """Return the linear map from the outputs to what `fast_moments` reads of k components.

    It is a matrix [outputs, 3 * k] and what is added, [3 * k]. The first FREE components must be the free ones.
    """
    k = len(components)
    matrix, added = np.zeros((OUTPUTS["velocity"], 3 * k), np.float32), np.zeros(3 * k, np.float32)
    for i, component in enumerate(components):
        matrix[component, i] += 1
        matrix[0, i] -= 1
        matrix[MIXTURE + component, k + i] = 2
        added[k + i] = 2 * (_SCALE_BIAS[component] + np.log(_DEVIATION))
    for i in range(FREE):
        matrix[2 * MIXTURE + i, 2 * k + i] = 1
    return matrix, added


_AS_NEAREST, _AS_MATCHED = MIXTURE - 1, [FREE, FREE + 1]
OF_NEW_NOTES = _moment_map([*range(FREE), _AS_NEAREST])
"""The linear map, as a matrix and what is added, to the components of notes that were in no earlier turn."""
OF_ALL_NOTES = _moment_map([*range(FREE), _AS_NEAREST, *_AS_MATCHED])
"""The same, to all components."""
LEAST_VARIANCE, MOST_VARIANCE = (
    np.array(2 * (scale + np.log(_DEVIATION)), np.float32) for scale in (SMALLEST_SCALE, LARGEST_SCALE)
)


def fast_moments(
    out: Array, nearest: Array, matched: tuple[Array, NDArray[np.bool_]] | None = None
) -> tuple[Array, Array]:
    """Return the moments of the mixture: the fast twin of `mixture_of`.

    The components come first in the arrays, so that parts of them lie together in memory, which is faster.

    Args:
        out: [n, 3 * k] log odds against the first component, log variances, and means above the heard mean, from which
            those of the nearest note and of matches are missing. Mapped by OF_NEW_NOTES, or by OF_ALL_NOTES.
        nearest: [n] velocities of the nearest notes, above the heard mean.
        matched: [n, 2] velocities in earlier turns above the heard mean, and whether each is known; for OF_ALL_NOTES.

    Returns:
        The mean above the heard mean, and the variance [n], in units.

    """
    exponents = out.T.copy()
    k = len(exponents) // 3
    weights, variances, means = exponents[:k], exponents[k : 2 * k], exponents[2 * k :]
    means[FREE] = nearest
    if matched is not None:
        above, known = matched
        means[FREE + 1 :] = above.T
        np.copyto(weights[FREE + 1 :], OUT_OF_REACH, where=~known.T)
    np.minimum(weights, MOST_ODDS, out=weights)
    np.maximum(variances, LEAST_VARIANCE, out=variances)
    np.minimum(variances, MOST_VARIANCE, out=variances)
    np.exp(exponents[: 2 * k], out=exponents[: 2 * k])
    total = np.add.reduce(weights)
    mean = np.add.reduce(weights * means) / total
    means -= mean
    means *= means
    means += variances
    means *= weights
    return mean, np.add.reduce(means) / total
