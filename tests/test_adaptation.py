"""Adaptation: each step follows the gradient, and the piece that is heard becomes likelier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.evaluation.likelihood import key_nats
from livebach.music.roll import HOLD, KEYS, OFF, STATES, UNKNOWN, Note
from livebach.music.texture import Texture
from livebach.network.adaptation import ALONE, CAUTION, KEPT, RATE, Adaptation
from livebach.network.engine import Engine
from livebach.network.reference import random_checkpoint
from livebach.network.sampling import SamplingParams, probabilities
from tests.support.driven import ONE_NOTE, Take, taken_over
from tests.support.small_network import SMALL, piece, random_frames

FEATURES = 7
NOTHING = np.full(KEYS, UNKNOWN, np.uint8)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """A small network of random weights."""
    return Engine(random_checkpoint(SMALL, 3))


def chances(seed: int) -> np.ndarray:
    """Some odds [3, 88]."""
    odds = np.random.default_rng(seed).random((STATES, KEYS)).astype(np.float32) + 0.01
    return odds / odds.sum(axis=0)


def looking(seed: int) -> Adaptation:
    """Nothing learnt yet, and something to predict from."""
    adaptation = Adaptation.blank(FEATURES)
    adaptation.look(np.random.default_rng(seed).normal(size=(FEATURES, KEYS)).astype(np.float32))
    return adaptation


def twin(steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """The weights [3, F] after these features, odds and frames: number by number, in float64."""
    weights, squares = np.zeros((STATES, FEATURES)), np.full((STATES, FEATURES), float(CAUTION))
    for features, odds, frame in steps:
        for s in range(STATES):
            for f in range(FEATURES):
                error = odds[s].astype(float) - (frame == s)
                slope = float((error * features[f]).sum())
                squares[s, f] += slope**2 - (squares[s, f] - float(CAUTION)) * (1 - float(KEPT))
                weights[s, f] = weights[s, f] * float(KEPT) - float(RATE) * slope / squares[s, f] ** 0.5
    return weights


def test_every_step_is_that_of_the_slow_twin() -> None:
    """Over some frames, each with features and odds of its own."""
    adaptation, steps = Adaptation.blank(FEATURES), []
    for t in range(12):
        features = np.random.default_rng(t).normal(size=(FEATURES, KEYS)).astype(np.float32)
        frame = random_frames(1, t)[0]
        steps.append((features, chances(t), frame))
        adaptation.look(features)
        adaptation.learn(chances(t), frame)
    assert adaptation.weights == pytest.approx(twin(steps), abs=1e-6)


def test_the_step_goes_down_the_gradient_that_torch_finds(engine: Engine) -> None:
    """Of the nats that the frame costs, with respect to the added layer's weights, at weights that are not zero."""
    torch = pytest.importorskip("torch", reason="needs the extra train")
    from livebach.training.model import nats

    state = engine.new_state()
    for t, frame in enumerate(random_frames(6, 1)):
        engine.push(state, frame, (t, 4, 16), (t + 1, 4, 16), Texture(), adapt=True)
    coming, learnt = random_frames(1, 2)[0], state.adaptation.copy()
    weights = torch.tensor(learnt.weights, requires_grad=True)
    bare = engine.logits(state, coming, NOTHING) - learnt.shift.T
    logits = torch.tensor(bare) + (weights @ torch.tensor(learnt.features)).T
    rows = [torch.from_numpy(a.copy()) for a in (state.frame, coming, NOTHING)]
    nats(logits, *rows).sum().backward()
    odds = probabilities(engine.logits(state, coming, NOTHING), state.frame, SamplingParams())
    learnt.learn(odds.T, coming)
    found = (state.adaptation.weights * KEPT - learnt.weights) * np.sqrt(learnt.squares) / RATE
    assert found == pytest.approx(weights.grad.numpy(), abs=1e-3)


@given(st.lists(st.integers(0, 2**16), min_size=1, max_size=8), st.floats(0, 1e4))
def test_no_weight_moves_further_than_the_rate(seeds: list[int], loud: float) -> None:
    """Whatever comes: the step is bounded, and all stays finite."""
    adaptation = Adaptation.blank(FEATURES)
    for seed in seeds:
        adaptation.look(np.random.default_rng(seed).normal(size=(FEATURES, KEYS)).astype(np.float32) * loud)
        before = adaptation.weights.copy()
        adaptation.learn(chances(seed), random_frames(1, seed)[0])
        assert np.isfinite(adaptation.weights).all()
        assert np.abs(adaptation.weights - before * KEPT).max() <= RATE * 1.001


def test_a_frame_that_was_expected_teaches_nothing() -> None:
    """No error, no step; what was learnt fades, and the caution of the beginning returns."""
    adaptation = looking(1)
    adaptation.learn(chances(1), random_frames(1, 1)[0])
    before = adaptation.copy()
    certain = np.zeros((STATES, KEYS))
    certain[OFF] = 1
    adaptation.learn(certain, np.zeros(KEYS, np.uint8))
    assert np.array_equal(adaptation.weights, before.weights * KEPT)
    assert (adaptation.squares <= before.squares).all()


def test_a_frame_is_predicted_before_it_is_learnt_from(engine: Engine) -> None:
    """Two pieces that differ in their last frame only cost the same up to it."""
    one, other = (piece("x", [Note(60, 0, 4), Note(62, 4, 8), Note(last, 8, 9)]) for last in (64, 77))
    same = key_nats(engine, one)[:8], key_nats(engine, other)[:8]
    assert np.array_equal(*same)


def test_what_comes_again_becomes_likelier(engine: Engine) -> None:
    """A bar that is played over and over costs ever less, though the network has never been trained."""
    bar = [Note(60, 0, 2), Note(64, 2, 4), Note(67, 4, 8), Note(48, 0, 8)]
    notes = [Note(n.key, n.start + 12 * i, n.end + 12 * i) for i in range(20) for n in bar]
    one = piece("x", notes)
    learning, fixed = (key_nats(engine, one, adapt=a).sum(axis=1) for a in (True, False))
    assert learning[0] == fixed[0]
    assert learning[-48:].mean() < 0.7 * fixed[-48:].mean()
    assert learning[-48:].mean() < 0.9 * learning[24:72].mean()


def test_what_cannot_be_stays_impossible(engine: Engine) -> None:
    """However much was learnt, no key is held that was not down, and a given key is what it was given as."""
    state = engine.new_state()
    for t, frame in enumerate(random_frames(20, 4)):
        engine.push(state, frame, (t % 16, 4, 16), ((t + 1) % 16, 4, 16), Texture(), adapt=True)
    state.adaptation.shift[HOLD] += 50
    known = NOTHING.copy()
    known[30:40] = OFF
    drawn = engine.draw(state, known, np.random.default_rng(0).random(KEYS), SamplingParams())
    assert not ((drawn == HOLD) & (state.frame == OFF)).any()
    assert not drawn[30:40].any()


def test_alone_it_goes_back_to_what_it_was(engine: Engine) -> None:
    """What it learnt loses its say while frames come that it does not learn from; the next lesson brings it back."""
    state = engine.new_state()
    frames = random_frames(20 + 512 + 1, 5)
    for t, frame in enumerate(frames):
        engine.push(state, frame, (t % 16, 4, 16), ((t + 1) % 16, 4, 16), Texture(), adapt=t < 20 or t == 532)
        if t in (19, 531):
            kept = state.adaptation.weights.copy()
            full = np.abs(state.adaptation.shift).max()
            assert np.abs(kept @ state.adaptation.features).max() == pytest.approx(full / ALONE ** (t - 19), rel=1e-3)
    assert state.adaptation.say == 1.0
    assert full < 0.2 * np.abs(kept @ state.adaptation.features).max()
    assert np.abs(state.adaptation.weights - kept).max() > 0


# -- live -------------------------------------------------------------------------------------------------------------


def test_it_learns_from_the_player_alone() -> None:
    """The four frames that the player played, and none of the network's own."""
    take = taken_over(ONE_NOTE).run(8 + 16)
    assert len(take.engine.adapted) > 8
    assert take.engine.adapted == [True] * 4 + [False] * (len(take.engine.adapted) - 4)


def test_rests_before_a_phrase_teach_nothing() -> None:
    """The player stops for a while and goes on, before anything takes over: the frames between are not learnt from."""
    take = Take(ONE_NOTE, "turns.mode=listen").play([60]).play([62, 64], at=4).run(6)
    assert take.engine.adapted == [True, False, False, False, True]


def test_it_can_be_told_to_stay_as_it_is() -> None:
    """With the setting off nothing is ever learnt."""
    take = taken_over(ONE_NOTE, "engine.adapt=off").run(8 + 16)
    assert take.engine.adapted
    assert not any(take.engine.adapted)
    assert take.engine.kept == [True] * 4 + [False] * (len(take.engine.kept) - 4)
