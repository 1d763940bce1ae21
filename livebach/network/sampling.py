"""Sampling: from logits and uniform random numbers to states, with temperature, min-p, biases and forbidden keys.

The caller supplies the random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, STATES, UNKNOWN, Frame

IMPOSSIBLE = np.float32(-1e9)


@dataclass(frozen=True, slots=True, eq=False)
class SamplingParams:
    """Parameters of the draw of a frame.

    Attributes:
        temperature: Divides the logits of every key.
        min_p: States less likely than this share of the likeliest one are dropped (Nguyen et al. 2024).
        onset_bias: Nats, added to the logit of ONSET.
        off_bias: Nats, added to the logit of OFF.
        forbidden: bool [88], keys that must not be struck.
        key_bias: float32 [88], nats, added to the logit of ONSET of each key.
        hold_bias: Nats, added to the logit of HOLD.
        release_bias: float64 [88], nats, added to the logit of OFF of each key.
        recall: Factor of the theme memory's evidence that the player's own music returns; 0 without, at most 100.
        again: Factor of the theme memory's evidence that any earlier music returns; 0 without, at most 100.
        tonal: intp [88], the key of the scale that stands for each key, itself for keys of the scale. Evidence for
            keys outside the scale counts less, and the player's music returns in the scale, as in a tonal answer.

    Raises:
        ValueError: A temperature outside 0.05..10, a `min_p` outside [0, 1), or a `recall` or `again` outside 0..100.

    """

    temperature: float = 1.0
    min_p: float = 0.0
    onset_bias: float = 0.0
    off_bias: float = 0.0
    forbidden: NDArray[np.bool_] | None = None
    key_bias: NDArray[np.float32] | None = None
    hold_bias: float = 0.0
    release_bias: NDArray[np.float64] | None = None
    recall: float = 0.0
    again: float = 0.0
    tonal: NDArray[np.intp] | None = None

    def __post_init__(self) -> None:
        if not 0.05 <= self.temperature <= 10:
            raise ValueError(f"temperature must be in 0.05..10, got {self.temperature}")
        if not 0 <= self.min_p < 1:
            raise ValueError(f"min_p must be in 0..1, below 1, got {self.min_p}")
        for name in ("recall", "again"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} must be in 0..100, got {getattr(self, name)}")

    def forbidding(self, keys: NDArray[np.bool_]) -> SamplingParams:
        """Return the same parameters with more forbidden keys, bool [88]."""
        return replace(self, forbidden=keys if self.forbidden is None else self.forbidden | keys)


def masked(logits: NDArray[np.float32], before: Frame) -> NDArray[np.float32]:
    """Return logits [88, 3] in which HOLD is impossible for keys that are OFF in `before` [88]."""
    out = logits.copy()
    out[before == OFF, HOLD] = IMPOSSIBLE
    return out


def with_given(states: Frame, given: Frame) -> Frame:
    """Return `states` [88], replaced by `given` [88] where that is not UNKNOWN."""
    return np.where(given == UNKNOWN, states, given).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDraw:
    """The draw of one frame, prepared once for all passes over the keys. This class holds the sampling rule.

    `numba_engine` has the same rule, compiled. A test holds the two equal.

    Attributes:
        added: [3, 88] biases to add to the logits; IMPOSSIBLE for excluded states.
        uniforms: [88] random numbers in [0, 1), one for each key.
        temperature: As in `SamplingParams`.
        min_p: As in `SamplingParams`.

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
            given: [88] states of the coming frame that are given, UNKNOWN for other keys.
            uniforms: [88] random numbers in [0, 1).
            params: How to sample.
            shift: [3, 88] nats to add to the logits; none where None.

        """
        added = np.zeros((STATES, KEYS)) if shift is None else shift.astype(np.float64)
        added[OFF] += params.off_bias if params.release_bias is None else params.release_bias + params.off_bias
        added[ONSET] += params.onset_bias if params.key_bias is None else params.key_bias + params.onset_bias
        if params.forbidden is not None:
            added[ONSET, params.forbidden] = IMPOSSIBLE
        added[HOLD] = np.where(before == OFF, IMPOSSIBLE, added[HOLD] + params.hold_bias)
        known = np.flatnonzero(given != UNKNOWN)
        added[:, known] = IMPOSSIBLE
        added[given[known], known] = 0
        return cls(added, uniforms, params.temperature, params.min_p)

    def odds(self, logits: NDArray[np.float32], first: int = 0) -> NDArray[np.float64]:
        """Return the odds of the states, 1 for the likeliest: [3, n] for logits [3, n] of the keys from `first` up.

        States below `min_p` have odds 0.
        """
        scores = logits + self.added[:, first:]
        if self.temperature != 1:
            scores /= self.temperature
        scores -= np.maximum(np.maximum(scores[OFF], scores[ONSET]), scores[HOLD])
        odds = np.exp(scores, out=scores)
        odds *= odds >= self.min_p
        return np.asarray(odds)

    def states(self, logits: NDArray[np.float32], first: int = 0) -> Frame:
        """Return the states [n] that the random numbers select, in the order OFF, ONSET, HOLD.

        Args:
            logits: [3, n] of the keys from `first` up.
            first: The lowest key.

        """
        odds = self.odds(logits, first)
        until_hold = odds[OFF] + odds[ONSET]
        marks = self.uniforms[first:] * (until_hold + odds[HOLD])
        held = (marks >= until_hold) & (odds[HOLD] > 0)  # rounding may bring a mark up to the sum
        return np.asarray(np.add(marks >= odds[OFF], held, dtype=np.uint8))


_NO_NUMBERS = np.zeros(KEYS)
_NOTHING_GIVEN = np.full(KEYS, UNKNOWN, np.uint8)


def probabilities(logits: NDArray[np.float32], before: Frame, params: SamplingParams) -> NDArray[np.float64]:
    """Return the probabilities of the states under the sampling rule.

    Args:
        logits: [88, 3].
        before: [88] the last frame.
        params: How to sample.

    Returns:
        float64 [88, 3]; every row sums to 1.

    """
    odds = PreparedDraw.of(before, _NOTHING_GIVEN, _NO_NUMBERS, params).odds(logits.T)
    return np.asarray((odds / odds.sum(axis=0)).T)


def log_likelihood(logits: NDArray[np.float32], before: Frame, coming: Frame, given: Frame) -> NDArray[np.float64]:
    """Return the log likelihood of each key of a frame.

    Args:
        logits: [88, 3], teacher forced with `coming`.
        before: [88] the last frame.
        coming: [88] the frame to judge.
        given: [88] states that were given, UNKNOWN for other keys.

    Returns:
        float64 [88] in nats, 0 for given keys.

    """
    scores = masked(logits, before).astype(np.float64)
    top = scores.max(axis=1)
    total = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return np.asarray((scores[np.arange(KEYS), coming] - total) * (given == UNKNOWN))
