"""Calibration: overconfidence is measured and removed from the weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.small_network import corpus, network

torch = pytest.importorskip("torch", reason="training needs the extra `train`")

from livebach.music.roll import HOLD, OFF
from livebach.training.calibration import Calibration, CalibrationData
from livebach.training.distributed import Ranks
from livebach.training.validation import evidence, likelihood
from tests.support.small_training import trainer

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def drawn(scale: torch.Tensor, offset: torch.Tensor, count: int = 40_000) -> CalibrationData:
    """What a network says that is off by a known calibration, and states drawn as they truly come."""
    rng = torch.Generator().manual_seed(0)
    true = torch.randn(1, count, 1, 3, generator=rng) * 2
    before = (torch.rand(1, count, 1, generator=rng) < 0.5).to(torch.uint8)
    true[..., HOLD][before == OFF] = -1e9
    coming = torch.multinomial(true.softmax(dim=-1).reshape(-1, 3), 1, generator=rng).reshape(1, count, 1)
    found = CalibrationData()
    found.add((true - offset) / scale, before, coming)
    return found


def test_it_finds_what_is_off() -> None:
    """Scales and offsets, to within what so many draws can tell; only differences of offsets mean anything."""
    scale, offset = torch.tensor([0.7, 0.9, 1.2]), torch.tensor([0.3, -0.2, 0.1])
    found = drawn(scale, offset).fit(Ranks(), CPU)
    assert torch.allclose(found.scale, scale, atol=0.04)
    assert torch.allclose(found.offset - found.offset[0], offset - offset[0], atol=0.06)


def test_what_is_right_is_left_alone() -> None:
    """And so it is where there is nothing to go by."""
    found = drawn(torch.ones(3), torch.zeros(3)).fit(Ranks(), CPU)
    assert torch.allclose(found.scale, torch.ones(3), atol=0.04)
    nothing = CalibrationData().fit(Ranks(), CPU)
    assert torch.equal(nothing.scale, torch.ones(3))
    assert torch.equal(nothing.offset, torch.zeros(3))


def test_a_few_frames_change_little() -> None:
    """Of a piece of a few frames nothing can be learnt that holds for others."""
    few = drawn(torch.tensor([0.2, 3.0, 1.0]), torch.tensor([2.0, 0.0, -2.0]), count=40).fit(Ranks(), CPU)
    assert (few.scale - 1).abs().max() < 0.5
    assert few.offset.abs().max() < 0.3


def test_it_becomes_part_of_the_weights() -> None:
    """The logits afterwards are those before, scaled and moved."""
    model = network(seed=2, loud=1.5)
    pieces = corpus().splits["valid"]
    before = evidence(model, pieces, CPU, Ranks())
    Calibration(torch.tensor([0.5, 2.0, 1.0]), torch.tensor([1.0, 0.0, -1.0])).apply(model)
    after = evidence(model, pieces, CPU, Ranks())
    possible = before._logits[0][:, HOLD] > -1e8
    wanted = before._logits[0] * torch.tensor([0.5, 2.0, 1.0]) + torch.tensor([1.0, 0.0, -1.0])
    assert torch.allclose(after._logits[0][possible], wanted[possible], atol=1e-4)


def test_a_loud_network_is_brought_down(tmp_path: Path) -> None:
    """What a run keeps as best is calibrated, and likelier than the averaged weights as they are."""
    run = trainer(tmp_path)
    with torch.no_grad():
        run.averaged.to_logits.weight.mul_(20)
    plain = likelihood(run.averaged, run.held_out, run.device)
    assert run.validate() < 0.8 * plain
    assert likelihood(run.best_model(), run.held_out, run.device) == pytest.approx(run.best, rel=1e-5)
    assert likelihood(run.averaged, run.held_out, run.device) == pytest.approx(plain)
