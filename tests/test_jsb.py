"""bench/jsb.py: what it states is an exact likelihood of 88 binary keys."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import SMALL, random_frames

from livebach.roll import KEYS, ONSET

torch = pytest.importorskip("torch", reason="the benchmark needs the extra `train`")
pytest.importorskip("scipy", reason="the benchmark reads its data with scipy")

LOW, HIGH = 30, 36


@pytest.fixture(scope="module")
def jsb() -> Any:
    """The benchmark as a module."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))
    try:
        import jsb as found
    finally:
        sys.path.pop(0)
    return found


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
        total += float(torch.exp(-jsb.key_nats(network, row)[0, -1].sum()).detach())
    assert total == pytest.approx(1, abs=1e-4)


def test_it_is_the_sum_of_binary_losses(jsb: Any, network: Any) -> None:
    """Of each key the binary cross-entropy with the difference of two logits."""
    row = jsb.rows([(chords(9), 0, 9)], 9, jsb.Keyboard(LOW, HIGH, 1e-6))
    unknown = torch.full_like(row.coming, 3)
    logits = network.logits(network.context(row.before, row.condition), row.coming, unknown)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[..., 1] - logits[..., 0], row.coming.float(), reduction="none"
    )
    assert torch.allclose(jsb.key_nats(network, row), wanted, atol=1e-5)


def test_what_is_filled_up_does_not_count(jsb: Any, network: Any) -> None:
    """Pieces of several lengths pooled are the sum of each alone, over all their frames."""
    pieces, keyboard = [chords(n, n) for n in (3, 17, 8)], jsb.Keyboard(LOW, HIGH, 1e-6)
    alone = sum(jsb.likelihood([network], [piece], keyboard) * len(piece) for piece in pieces)
    assert jsb.likelihood([network], pieces, keyboard) == pytest.approx(alone / 28, rel=1e-5)


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


def test_several_networks_are_averaged(jsb: Any, network: Any) -> None:
    """Twice the same network says what it says once, and another one between the two."""
    torch.manual_seed(5)
    other = jsb.TwoAxisWaveNet(SMALL, HIGH - LOW).eval()
    pieces, keyboard = [chords(20)], jsb.Keyboard(LOW, HIGH, 1e-6)
    one, two = (jsb.likelihood([n], pieces, keyboard) for n in (network, other))
    assert jsb.likelihood([network, network], pieces, keyboard) == pytest.approx(one)
    assert jsb.likelihood([network, other], pieces, keyboard) < max(one, two)
