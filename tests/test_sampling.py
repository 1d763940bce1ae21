"""Sampling: from logits and random numbers to states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, STATES, UNKNOWN
from livebach.network.sampling import (
    PreparedDraw,
    SamplingParams,
    log_likelihood,
    masked,
    probabilities,
    with_given,
)
from tests.support.slow_sampling import choose, slow_probabilities
from tests.support.small_network import blank, nothing, random_frames, random_given

SEEDS = st.integers(0, 2**32)


def some_logits(seed: int, loud: float = 3.0) -> np.ndarray:
    """Random logits [88, 3]."""
    return (np.random.default_rng(seed).normal(0, loud, (KEYS, STATES))).astype(np.float32)


def some_before(seed: int) -> np.ndarray:
    """A frame with a third of the keys down."""
    return random_frames(1, seed, 0.3)[0]


def some_policy(seed: int) -> SamplingParams:
    """Every setting at once, or some."""
    rng = np.random.default_rng(seed)
    forbidden = rng.random(KEYS) < 0.3 if rng.random() < 0.5 else None
    key_bias = rng.normal(0, 1, KEYS).astype(np.float32) if rng.random() < 0.5 else None
    temperature, min_p = float(rng.choice([1.0, 0.5, 1.3])), float(rng.choice([0, 0.05, 0.5]))
    release_bias = rng.normal(0, 1, KEYS) if rng.random() < 0.5 else None
    biases = rng.normal(0, 1, 2)
    return SamplingParams(temperature, min_p, *biases, forbidden, key_bias, release_bias=release_bias)


@given(SEEDS)
def test_probabilities(seed: int) -> None:
    """They add up to one; HOLD after OFF and strokes of forbidden keys have none, nor what min-p drops."""
    params, before = some_policy(seed), some_before(seed)
    chances = probabilities(some_logits(seed), before, params)
    assert np.allclose(chances.sum(axis=1), 1)
    assert (chances[before == OFF, HOLD] == 0).all()
    assert params.forbidden is None or (chances[params.forbidden, ONSET] == 0).all()
    kept = np.where(chances > 0, chances, 1)
    assert (kept >= params.min_p * chances.max(axis=1, keepdims=True) - 1e-12).all()


def test_plain_probabilities_are_the_softmax() -> None:
    """Without settings, what is drawn from is what the likelihood says."""
    logits, before = some_logits(0), np.full(KEYS, HOLD, np.uint8)
    chances = probabilities(logits, before, SamplingParams())
    for state in range(STATES):
        wanted = log_likelihood(logits, before, np.full(KEYS, state, np.uint8), nothing())
        assert np.allclose(np.log(chances[:, state]), wanted, atol=1e-5)


def test_each_setting_moves_what_it_names() -> None:
    """Biases raise their state, temperature flattens, min-p leaves the likeliest alone."""
    logits, before = some_logits(1), np.full(KEYS, HOLD, np.uint8)
    plain = probabilities(logits, before, SamplingParams())
    assert (probabilities(logits, before, SamplingParams(onset_bias=1.0))[:, ONSET] > plain[:, ONSET]).all()
    assert (probabilities(logits, before, SamplingParams(off_bias=-1.0))[:, OFF] < plain[:, OFF]).all()
    assert (probabilities(logits, before, SamplingParams(temperature=2.0)).max(axis=1) < plain.max(axis=1)).all()
    assert (probabilities(logits, before, SamplingParams(min_p=0.9999)).max(axis=1) == 1).all()
    one = np.zeros(KEYS, np.float32)
    one[40] = 2
    raised = probabilities(logits, before, SamplingParams(key_bias=one))
    assert raised[40, ONSET] > plain[40, ONSET]
    assert np.array_equal(np.delete(raised, 40, 0), np.delete(plain, 40, 0))


def test_choose_draws_as_often_as_the_chances_say() -> None:
    """The states come in the shares that were asked for."""
    chances = np.tile([0.5, 0.2, 0.3], (KEYS, 1))
    rng = np.random.default_rng(0)
    drawn = np.array([choose(chances, rng.random(KEYS)) for _ in range(200)])
    assert np.allclose([(drawn == s).mean() for s in range(STATES)], [0.5, 0.2, 0.3], atol=0.02)


@given(SEEDS)
def test_the_highest_number_draws_nothing_impossible(seed: int) -> None:
    """Rounding may leave the sum of the chances just below one: HOLD from nothing is not drawn for that."""
    uniforms = np.full(KEYS, np.nextafter(1.0, 0.0))
    params = some_policy(seed)
    chances = probabilities(some_logits(seed), blank(), params)
    assert (choose(chances, uniforms) != HOLD).all()
    assert (PreparedDraw.of(blank(), nothing(), uniforms, params).states(some_logits(seed).T) != HOLD).all()


@given(SEEDS)
def test_a_prepared_draw_draws_what_the_slow_twin_draws(seed: int) -> None:
    """Probabilities are equal, and so are the states, but for a number on an edge."""
    logits, before, params = some_logits(seed), some_before(seed), some_policy(seed)
    rng = np.random.default_rng(seed)
    uniforms, frame = rng.random(KEYS), random_frames(1, seed + 1, 0.4)[0]
    frame[before == OFF] = np.minimum(frame[before == OFF], ONSET)
    given_keys = random_given(frame[None], seed)[0]
    chances = slow_probabilities(logits, before, params)
    assert np.allclose(probabilities(logits, before, params), chances, atol=1e-6)
    slow = with_given(choose(chances, uniforms), given_keys)
    fast = PreparedDraw.of(before, given_keys, uniforms, params).states(np.ascontiguousarray(logits.T))
    sure = np.abs(uniforms[:, None] - np.cumsum(chances, axis=1)).min(axis=1) > 1e-6
    assert np.array_equal(slow[sure], fast[sure])
    later = PreparedDraw.of(before, given_keys, uniforms, params).states(np.ascontiguousarray(logits.T[:, 48:]), 48)
    assert np.array_equal(later, fast[48:])


def test_given_keys_are_put_in() -> None:
    """Given OFF is kept as surely as given ONSET; unknown keys are left."""
    states, known = np.full(KEYS, HOLD, np.uint8), nothing()
    known[:3] = OFF, ONSET, HOLD
    assert with_given(states, known).tolist() == [OFF, ONSET, HOLD] + [HOLD] * (KEYS - 3)


def test_likelihood_counts_what_is_not_given() -> None:
    """Given keys are certain, also impossible ones; a HOLD from nothing has no likelihood to speak of."""
    logits, held = some_logits(2), np.full(KEYS, HOLD, np.uint8)
    assert (log_likelihood(logits, blank(), held, held) == 0).all()
    assert (log_likelihood(logits, blank(), held, nothing()) < -1e8).all()
    assert (log_likelihood(logits, held, held, nothing()) < 0).all()
    assert UNKNOWN not in (OFF, ONSET, HOLD)


def test_masking_leaves_the_logits_as_they_were() -> None:
    """It works on a copy."""
    logits = some_logits(3)
    before = logits.copy()
    masked(logits, blank())
    probabilities(logits, blank(), SamplingParams(onset_bias=1, off_bias=1, temperature=0.5))
    assert np.array_equal(logits, before)


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 0.0), ("temperature", 11.0), ("min_p", -0.1), ("min_p", 1.0)]
)
def test_settings_out_of_range(name: str, value: float) -> None:
    """The line names the setting and the value."""
    with pytest.raises(ValueError, match=rf"^{name} must be in .*, got {value}$"):
        SamplingParams(**{name: value})
