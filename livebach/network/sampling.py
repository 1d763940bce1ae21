"""Logits and draws -> states: temperature, min-p, biases and keys that must not be struck. Pure numpy, no generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, STATES, UNKNOWN, Frame

IMPOSSIBLE = np.float32(-1e9)


@dataclass(frozen=True, slots=True, eq=False)
class SamplingParams:
    """How states are drawn from logits.

    `temperature` divides the logits of whether a key is struck and of whether it is held on. `min_p` drops states whose
    probability is below that share of the likeliest state's (Nguyen et al. 2024). `onset_bias`, `hold_bias` and
    `off_bias` are added to the logits of ONSET, HOLD and OFF in nats; `key_bias` float32[88] to ONSET key by key;
    `forbidden` bool[88] keys are not struck.
    """

    temperature: float = 1.0
    min_p: float = 0.0
    onset_bias: float = 0.0
    off_bias: float = 0.0
    forbidden: NDArray[np.bool_] | None = None
    key_bias: NDArray[np.float32] | None = None
    hold_bias: float = 0.0

    def __post_init__(self) -> None:
        if not 0.05 <= self.temperature <= 10:
            raise ValueError(f"temperature must be in 0.05..10, got {self.temperature}")
        if not 0 <= self.min_p < 1:
            raise ValueError(f"min_p must be in 0..1, below 1, got {self.min_p}")


def masked(logits: NDArray[np.float32], before: Frame) -> NDArray[np.float32]:
    """Logits [88, 3] in which HOLD is impossible for keys that were OFF in the frame before."""
    out = logits.copy()
    out[before == OFF, HOLD] = IMPOSSIBLE
    return out


def probabilities(logits: NDArray[np.float32], before: Frame, params: SamplingParams) -> NDArray[np.float64]:
    """What is drawn from: float64 [88, 3], rows sum to 1."""
    scores = masked(logits, before).astype(np.float64)
    scores[:, OFF] += params.off_bias
    scores[:, ONSET] += params.onset_bias
    scores[:, HOLD] += params.hold_bias
    if params.key_bias is not None:
        scores[:, ONSET] += params.key_bias
    if params.forbidden is not None:
        scores[params.forbidden, ONSET] = IMPOSSIBLE
    scores /= params.temperature
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    odds[odds < params.min_p] = 0.0  # the likeliest state's odds are 1
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def choose(chances: NDArray[np.float64], uniforms: NDArray[np.float64]) -> Frame:
    """The state of each key that its uniform number in [0, 1) falls on: OFF first, then ONSET, then HOLD."""
    edges = np.cumsum(chances[:, : STATES - 1], axis=1)
    edges[chances[:, HOLD] == 0, ONSET] = 1  # rounding may leave the sum just below: HOLD stays impossible
    return np.asarray((uniforms[:, None] >= edges).sum(axis=1), np.uint8)


def with_given(states: Frame, given: Frame) -> Frame:
    """`states` with the given keys put in."""
    return np.where(given == UNKNOWN, states, given).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDraw:
    """The draw of one frame made ready, for as many looks at the logits as it takes.

    Says what `probabilities`, `choose` and `with_given` say, with a third of the work; channels first.
    """

    added: NDArray[np.float64]  # [3, 88], to the logits: biases, and IMPOSSIBLE
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
        """For the frame after `before`, with these keys given; `shift` [3, 88] is added to the logits."""
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

    def states(self, logits: NDArray[np.float32], first: int = 0) -> Frame:
        """Logits [3, n] of the keys from `first` up -> their states [n]."""
        scores = logits + self.added[:, first:]
        if self.temperature != 1:
            scores /= self.temperature
        scores -= np.maximum(np.maximum(scores[OFF], scores[ONSET]), scores[HOLD])
        odds = np.exp(scores, out=scores)
        odds *= odds >= self.min_p  # the likeliest state's odds are 1
        until_hold = odds[OFF] + odds[ONSET]
        marks = self.uniforms[first:] * (until_hold + odds[HOLD])
        held = (marks >= until_hold) & (odds[HOLD] > 0)  # rounding may bring a mark up to the sum
        return np.asarray(np.add(marks >= odds[OFF], held, dtype=np.uint8))


def log_likelihood(logits: NDArray[np.float32], before: Frame, coming: Frame, given: Frame) -> NDArray[np.float64]:
    """The log P in nats of each key of `coming` that is not given, zero for the others: float64 [88]."""
    scores = masked(logits, before).astype(np.float64)
    top = scores.max(axis=1)
    total = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return np.asarray((scores[np.arange(KEYS), coming] - total) * (given == UNKNOWN))
