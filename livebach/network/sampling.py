"""From logits and uniform numbers to states: temperature, min-p, biases, forbidden keys. Draws no numbers itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, STATES, UNKNOWN, Frame

IMPOSSIBLE = np.float32(-1e9)


@dataclass(frozen=True, slots=True, eq=False)
class SamplingParams:
    """How states are drawn from logits.

    Attributes:
        temperature: Divides the logits of every key.
        min_p: States less likely than this share of the likeliest one are dropped (Nguyen et al. 2024).
        onset_bias: Nats, added to the logit of ONSET.
        off_bias: Nats, added to the logit of OFF.
        forbidden: bool [88], keys that must not be struck.
        key_bias: float32 [88], nats, added to the logit of ONSET of each key.
        hold_bias: Nats, added to the logit of HOLD.
        recall: How far the theme memory is trusted: what it adds for keys that a source strikes is multiplied by this.

    """

    temperature: float = 1.0
    min_p: float = 0.0
    onset_bias: float = 0.0
    off_bias: float = 0.0
    forbidden: NDArray[np.bool_] | None = None
    key_bias: NDArray[np.float32] | None = None
    hold_bias: float = 0.0
    recall: float = 1.0

    def __post_init__(self) -> None:
        if not 0.05 <= self.temperature <= 10:
            raise ValueError(f"temperature must be in 0.05..10, got {self.temperature}")
        if not 0 <= self.min_p < 1:
            raise ValueError(f"min_p must be in 0..1, below 1, got {self.min_p}")
        if not 0 <= self.recall <= 100:
            raise ValueError(f"recall must be in 0..100, got {self.recall}")


def masked(logits: NDArray[np.float32], before: Frame) -> NDArray[np.float32]:
    """Return logits [88, 3] in which HOLD is impossible for keys that were OFF in the frame before."""
    out = logits.copy()
    out[before == OFF, HOLD] = IMPOSSIBLE
    return out


def with_given(states: Frame, given: Frame) -> Frame:
    """Return `states` with the given keys put in."""
    return np.where(given == UNKNOWN, states, given).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDraw:
    """The draw of one frame, prepared once for all passes over the keys. The rule of sampling is here.

    `numba_engine` has the same rule, compiled; a test holds the two equal.

    Attributes:
        added: [3, 88] biases to add to the logits; IMPOSSIBLE for states that cannot be.
        uniforms: [88] numbers in [0, 1), one for each key.
        temperature: as in `SamplingParams`.
        min_p: as in `SamplingParams`.

    """

    added: NDArray[np.float64]
    uniforms: NDArray[np.float64]
    temperature: float
    min_p: float

    @classmethod
    def of(
        cls,
        before: Frame,
        given: Frame,
        uniforms: NDArray[np.float64],
        params: SamplingParams,
        shift: NDArray[np.float32] | None = None,
    ) -> PreparedDraw:
        """Prepare the draw of the frame after `before`.

        Args:
            before: [88] the last frame.
            given: [88] states of the coming frame that are given, UNKNOWN for the others.
            uniforms: [88] numbers in [0, 1).
            params: How to sample.
            shift: [3, 88] added to the logits.

        """
        added = np.zeros((STATES, KEYS)) if shift is None else shift.astype(np.float64)
        added[OFF] += params.off_bias
        added[ONSET] += params.onset_bias if params.key_bias is None else params.key_bias + params.onset_bias
        if params.forbidden is not None:
            added[ONSET, params.forbidden] = IMPOSSIBLE
        added[HOLD] = np.where(before == OFF, IMPOSSIBLE, added[HOLD] + params.hold_bias)
        known = np.flatnonzero(given != UNKNOWN)
        added[:, known] = IMPOSSIBLE
        added[given[known], known] = 0
        return cls(added, uniforms, params.temperature, params.min_p)

    def odds(self, logits: NDArray[np.float32], first: int = 0) -> NDArray[np.float64]:
        """Return the odds of the states, 1 for the likeliest: [3, n] for logits [3, n] of the keys from `first` up."""
        scores = logits + self.added[:, first:]
        if self.temperature != 1:
            scores /= self.temperature
        scores -= np.maximum(np.maximum(scores[OFF], scores[ONSET]), scores[HOLD])
        odds = np.exp(scores, out=scores)
        odds *= odds >= self.min_p
        return np.asarray(odds)

    def states(self, logits: NDArray[np.float32], first: int = 0) -> Frame:
        """Return the states [n] that the uniform numbers fall on: OFF first, then ONSET, then HOLD."""
        odds = self.odds(logits, first)
        until_hold = odds[OFF] + odds[ONSET]
        marks = self.uniforms[first:] * (until_hold + odds[HOLD])
        held = (marks >= until_hold) & (odds[HOLD] > 0)  # rounding may bring a mark up to the sum
        return np.asarray(np.add(marks >= odds[OFF], held, dtype=np.uint8))


_NO_NUMBERS = np.zeros(KEYS)
_NOTHING_GIVEN = np.full(KEYS, UNKNOWN, np.uint8)


def probabilities(logits: NDArray[np.float32], before: Frame, params: SamplingParams) -> NDArray[np.float64]:
    """Return the probabilities that states are drawn with: [88, 3] for logits [88, 3], rows sum to 1."""
    odds = PreparedDraw.of(before, _NOTHING_GIVEN, _NO_NUMBERS, params).odds(logits.T)
    return np.asarray((odds / odds.sum(axis=0)).T)


def log_likelihood(logits: NDArray[np.float32], before: Frame, coming: Frame, given: Frame) -> NDArray[np.float64]:
    """Return the log likelihood in nats of each key of `coming`, zero for given keys: float64 [88]."""
    scores = masked(logits, before).astype(np.float64)
    top = scores.max(axis=1)
    total = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return np.asarray((scores[np.arange(KEYS), coming] - total) * (given == UNKNOWN))
