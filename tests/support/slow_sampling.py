"""The slow twin of the sampling rule: key by key, by its definition."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, STATES, Frame
from livebach.network.sampling import SamplingParams


def slow_probabilities(logits: NDArray[np.float32], before: Frame, params: SamplingParams) -> NDArray[np.float64]:
    """Probabilities [88, 3] of the states of each key, from logits [88, 3]."""
    out = np.zeros((KEYS, STATES))
    for key in range(KEYS):
        raised = 0.0 if params.key_bias is None else float(params.key_bias[key])
        released = 0.0 if params.release_bias is None else float(params.release_bias[key])
        scores = {
            OFF: float(logits[key, OFF]) + params.off_bias + released,
            ONSET: float(logits[key, ONSET]) + params.onset_bias + raised,
            HOLD: float(logits[key, HOLD]) + params.hold_bias,
        }
        if params.forbidden is not None and params.forbidden[key]:
            del scores[ONSET]
        if before[key] == OFF:
            del scores[HOLD]
        top = max(scores.values())
        odds = {state: math.exp((score - top) / params.temperature) for state, score in scores.items()}
        kept = {state: odd for state, odd in odds.items() if odd >= params.min_p}
        for state, odd in kept.items():
            out[key, state] = odd / sum(kept.values())
    return out


def choose(chances: NDArray[np.float64], uniforms: NDArray[np.float64]) -> Frame:
    """The state of each key that its uniform number in [0, 1) falls on: OFF first, then ONSET, then HOLD."""
    edges = np.cumsum(chances[:, : STATES - 1], axis=1)
    edges[chances[:, HOLD] == 0, ONSET] = 1  # rounding may leave the sum just below: HOLD stays impossible
    return np.asarray((uniforms[:, None] >= edges).sum(axis=1), np.uint8)
