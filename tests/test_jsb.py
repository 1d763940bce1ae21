"""`bench/jsb.py` states an exact likelihood of 88 binary keys."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livebach.music.roll import KEYS, ONSET, UNKNOWN
from tests.support.small_network import SMALL, random_frames

torch = pytest.importorskip("torch", reason="the benchmark needs the extra `train`")
pytest.importorskip("scipy", reason="the benchmark reads its data with scipy")
from livebach.training.model import nats

LOW, HIGH = 30, 36


@pytest.fixture(scope="module")
def jsb() -> Any:
    """The benchmark as a module."""
    from bench import jsb as module

    return module


@pytest.fixture(scope="module")
def network(jsb: Any) -> Any:
    """Random weights for six keys."""
    torch.manual_seed(0)
    return jsb.TwoAxisWaveNet(SMALL, HIGH - LOW).eval()


def chords(length: int, seed: int = 0) -> np.ndarray:
    """Binary frames within the six keys."""
    frames = np.where(random_frames(length, seed, 0.3) > 0, ONSET, 0).astype(np.uint8)
    frames[:, :LOW], frames[:, HIGH:] = 0, 0
    return frames


def test_the_probabilities_of_all_frames_are_one(jsb: Any, network: Any) -> None:
    """After the same past, over each of the 64 frames that could come."""
    keyboard, past = jsb.Keyboard(LOW, HIGH, 1e-6), chords(5)
    total = 0.0
    for keys in product((0, ONSET), repeat=HIGH - LOW):
        piece = np.concatenate([past, np.zeros((1, KEYS), np.uint8)])
        piece[-1, LOW:HIGH] = keys
        row = jsb.rows([(piece, 0, 6)], 6, keyboard)
        total += float(torch.exp(-jsb.key_nats(jsb.log_odds(network, row), row.coming)[0, -1].sum()).detach())
    assert total == pytest.approx(1, abs=1e-4)


def test_it_is_the_models_own_likelihood(jsb: Any, network: Any) -> None:
    """Of the three states, where the key is told to have been silent: HOLD is impossible then."""
    row = jsb.rows([(chords(9), 0, 9)], 9, jsb.Keyboard(LOW, HIGH, 1e-6))
    unknown, silence = torch.full_like(row.coming, UNKNOWN), torch.zeros_like(row.coming)
    logits = network.logits(network.context(row.before, row.condition), row.coming, unknown)
    wanted = nats(logits, silence, row.coming, unknown)
    assert torch.allclose(jsb.key_nats(jsb.log_odds(network, row), row.coming), wanted, atol=1e-5)


def even(jsb: Any, networks: int) -> Any:
    """Networks that count alike, and nothing added."""
    return jsb.Pool(torch.full((networks,), 1 / networks).double(), torch.zeros(2).double())


def test_what_is_filled_up_does_not_count(jsb: Any, network: Any) -> None:
    """Pieces of several lengths pooled are the sum of each alone, over all their frames."""
    pieces, keyboard = [chords(n, n) for n in (3, 17, 8)], jsb.Keyboard(LOW, HIGH, 1e-6)
    pool = even(jsb, 1)

    def cost(pieces: list[np.ndarray]) -> float:
        found: float = jsb.likelihood(jsb.Said.of([network], pieces, keyboard), pool, pieces, keyboard)
        return found

    alone = sum(cost([piece]) * len(piece) for piece in pieces)
    assert cost(pieces) == pytest.approx(alone / 28, rel=1e-5)


def test_the_first_frame_follows_an_empty_one(jsb: Any) -> None:
    """And a stretch from within a piece the frame that is there."""
    piece, keyboard = chords(9), jsb.Keyboard(LOW, HIGH, 1e-6)
    row = jsb.rows([(piece, 0, 4), (piece, 4, 9)], 6, keyboard)
    assert not row.before[0, 0].any()
    assert np.array_equal(row.before[1, 0], piece[3, LOW:HIGH])
    assert np.array_equal(row.coming[1, :5], piece[4:, LOW:HIGH])
    assert row.counted.tolist() == [[True] * 4 + [False] * 2, [True] * 5 + [False]]


def test_keys_without_a_network_are_counted(jsb: Any) -> None:
    """By the rule of succession: little where they stay up, much for one that is down; all 88 keys in all."""
    train = [chords(50)]
    train[0][0, [LOW, HIGH - 1]] = ONSET
    keyboard = jsb.Keyboard.of(train)
    cells = 50 * (KEYS - 6)
    assert (keyboard.low, keyboard.high, keyboard.odd) == (LOW, HIGH, 1 / (cells + 2))
    piece = chords(10)
    quiet = keyboard.outside(piece)
    assert quiet == pytest.approx(-10 * (KEYS - 6) * np.log1p(-keyboard.odd))
    piece[3, 80] = ONSET
    assert keyboard.outside(piece) - quiet == pytest.approx(np.log(cells + 1))


@pytest.fixture(scope="module")
def other(jsb: Any) -> Any:
    """A second network."""
    torch.manual_seed(5)
    return jsb.TwoAxisWaveNet(SMALL, HIGH - LOW).eval()


def test_a_pool_of_the_same_says_the_same(jsb: Any, network: Any) -> None:
    """Twice a network, each counting half."""
    pieces, keyboard = [chords(20)], jsb.Keyboard(LOW, HIGH, 1e-6)
    once, twice = (jsb.Said.of([network] * n, pieces, keyboard) for n in (1, 2))
    assert torch.allclose(even(jsb, 1).odds(once), even(jsb, 2).odds(twice))


def test_a_pool_is_fitted(jsb: Any, network: Any, other: Any) -> None:
    """No scale, weight or offset near the fitted ones costs less, and both networks cost less than one."""
    pieces, keyboard = [chords(60, seed) for seed in range(3)], jsb.Keyboard(LOW, HIGH, 1e-6)
    said = jsb.Said.of([network, other], pieces, keyboard)
    pool = jsb.Pool.fit(said)
    best = jsb.likelihood(said, pool, pieces, keyboard)
    for network_or_offset in range(4):
        for by in (-0.05, 0.05):
            numbers = torch.cat([pool.weights, pool.offsets])
            numbers[network_or_offset] += by
            assert best < jsb.likelihood(said, jsb.Pool(numbers[:2], numbers[2:]), pieces, keyboard)
    for i in range(2):
        assert best < jsb.likelihood(said.only(i), jsb.Pool.fit(said.only(i)), pieces, keyboard)


def test_what_was_before_counts(jsb: Any, network: Any) -> None:
    """The second offset is for the keys that were down."""
    said = jsb.Said.of([network], [chords(20)], jsb.Keyboard(LOW, HIGH, 1e-6))
    assert 0 < said.before.sum() < len(said.before)
    shifted = jsb.Pool(torch.ones(1).double(), torch.tensor([0.0, 0.7]).double()).odds(said)
    assert torch.allclose(shifted, said.odds[:, 0] + 0.7 * said.before)


def test_the_rate_falls_to_nothing_in_the_time_given(jsb: Any) -> None:
    """By the updates, or by the time, whichever is further."""
    config = jsb.Config(updates=1000, warmup=50, learning_rate=0.01)
    assert config.rate_at(25, 0.0) < config.rate_at(60, 0.0) > config.rate_at(60, 0.5) > config.rate_at(60, 0.9)
    assert config.rate_at(500, 0.1) == config.rate_at(100, 0.5)
    assert config.rate_at(10, 1.0) == pytest.approx(0)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [("foo=1", "no setting 'foo'"), ("updates=3.5", "updates must be int"), ("key_dilations=3", "must be list")],
)
def test_a_wrong_setting_is_named(jsb: Any, assignment: str, said: str) -> None:
    """And what is allowed."""
    with pytest.raises(ValueError, match=said):
        jsb.settled(jsb.SPEC, jsb.Config(), [assignment], {"seed": 1})


def test_settings_are_the_networks_or_the_trainings(jsb: Any) -> None:
    """Each where it belongs; a whole number will do for a rate."""
    given = ["time_channels=32", "dropout=0", "time_dilations=[1,2,4,1,1]"]
    spec, config = jsb.settled(jsb.SPEC, jsb.Config(), given, {"seed": 7})
    assert (spec.time_channels, spec.time_dilations, config.dropout, config.seed) == (32, (1, 2, 4, 1, 1), 0, 7)


def test_kept_weights_are_read_again(jsb: Any, network: Any, tmp_path: Path) -> None:
    """As they were, but for half precision."""
    keyboard, pieces = jsb.Keyboard(LOW, HIGH, 1e-6), [chords(20)]
    jsb.save(tmp_path, network, keyboard)
    loaded, same = jsb.load(tmp_path / "best.safetensors")
    assert same == keyboard
    said, again = (jsb.Said.of([n], pieces, keyboard).odds for n in (network, loaded))
    assert torch.allclose(said, again, atol=0.02)
