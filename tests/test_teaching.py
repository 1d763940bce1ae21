"""Learning from other networks: the targets, the weights of a crop, and the command's flags."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from livebach.music.score_reader import Piece
from livebach.network import checkpoint
from livebach.training.batches import Augment, Batch, Sampler
from tests.support.midi_files import write_midi
from tests.support.small_network import SMALL, WITH_FRAMES, corpus, melody, network, piece
from tests.support.small_training import train

torch = pytest.importorskip("torch", reason="training needs the extra `train`")

from livebach.music.roll import HOLD, OFF, UNKNOWN
from livebach.training.distillation import Teachers, wanted
from livebach.training.loop import STATE_FILE, TrainConfig, Trainer, TrainingError, run
from livebach.training.model import log_odds, to_checkpoint
from livebach.training.run_files import read_state_header
from livebach.training.validation import on_device
from tests.support.small_training import CONFIG, quiet

TWO = [to_checkpoint(network(spec, seed, loud=1.5), {}) for seed, spec in ((3, SMALL), (4, WITH_FRAMES))]
PLAYED = [piece("p", melody(7, 40)), piece("q", melody(8, 40))]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def batch(seed: int = 0, share: float = 0.5) -> Batch:
    """Crops of scores and of music that networks played."""
    sampler = Sampler(corpus().splits["train"], 24, 8, Augment(), PLAYED, share)
    return sampler.draw(np.random.default_rng(seed))


def student(folder: Path, config: TrainConfig = CONFIG, played: list[Piece] = PLAYED) -> Trainer:
    """A run that is taught by two networks of different shape."""
    folder.mkdir(exist_ok=True)
    return Trainer(SMALL, config, corpus(), folder, teachers=TWO, played=played)


def test_what_teachers_say_is_the_mean_of_their_probabilities() -> None:
    """Key by key, of rows that sum to one, nothing on a HOLD that cannot be; and no weight of theirs is trained."""
    inputs = on_device(batch(), torch.device("cpu"))
    teachers = Teachers(TWO)
    said = teachers(*inputs)
    models = [network(spec, seed, loud=1.5) for seed, spec in ((3, SMALL), (4, WITH_FRAMES))]
    with torch.no_grad():
        each = [log_odds(m.logits(m.context(*inputs[:2]), *inputs[2:]), inputs[0]).exp() for m in models]
    assert torch.allclose(said, sum(each) / 2, atol=1e-6)
    assert torch.allclose(said.sum(dim=-1), torch.ones(said.shape[:-1]), atol=1e-5)
    assert (said[..., HOLD][inputs[0] == OFF] == 0).all()
    assert not any(weight.requires_grad for weight in teachers.parameters())


def test_what_is_wanted_of_each_crop() -> None:
    """All of what is written, nothing of it, and a half: each row a distribution."""
    coming = torch.tensor([[[0, 1, 2]]], dtype=torch.uint8).expand(3, 1, 3)
    said = torch.full((3, 1, 3, 3), 1 / 3)
    found = wanted(said, coming, torch.tensor([1.0, 0.0, 0.5]))
    assert torch.equal(found[0, 0], torch.eye(3))
    assert torch.equal(found[1], said[1])
    assert torch.allclose(found[2, 0], (torch.eye(3) + 1 / 3) / 2)


def test_the_loss_is_the_cross_entropy(tmp_path: Path) -> None:
    """To probabilities that are certain it is the likelihood; to others what a loop over the states gives."""
    model, inputs = network(seed=9), on_device(batch(), torch.device("cpu"))
    certain = torch.nn.functional.one_hot(inputs[2].long(), 3).float()
    assert torch.allclose(model(*inputs, wanted=certain), model(*inputs), atol=1e-5)
    said = Teachers(TWO)(*inputs)
    odds = log_odds(model.logits(model.context(*inputs[:2]), *inputs[2:]), inputs[0])
    slow = sum(-said[..., s] * odds[..., s] for s in range(3)) * (inputs[3] == UNKNOWN)
    assert torch.allclose(model(*inputs, wanted=said), slow, atol=1e-5)


def test_played_music_is_drawn_as_often_as_asked() -> None:
    """And marked; without any, or with no share of it, all is written."""
    marks = np.concatenate([batch(seed, 0.3).played for seed in range(100)])
    assert 0.22 < marks.mean() < 0.38
    assert not any(batch(seed, 0.0).played.any() for seed in range(5))
    plain = Sampler(corpus().splits["train"], 24, 8, Augment())
    assert not plain.draw(np.random.default_rng(0)).played.any()


def test_a_student_comes_to_say_what_its_teachers_say(tmp_path: Path) -> None:
    """On music that it has not seen, where it began far from them."""
    config = replace(
        CONFIG,
        updates=60,
        learning_rate=2e-2,
        dropout=0.0,
        input_dropout=0.0,
        ema_decay=0.8,
        label_weight=0.0,
        validate_every=60,
    )
    taught = student(tmp_path, config)
    inputs = on_device(batch(99), torch.device("cpu"))
    said = Teachers(TWO)(*inputs)

    def distance() -> float:
        """Kullback-Leibler, summed."""
        taught.model.eval()
        with torch.no_grad():
            costs = taught.model(*inputs, wanted=said)
            least = -(said * said.clamp(min=1e-30).log()).sum(dim=-1) * (inputs[3] == UNKNOWN)
        return float((costs - least).sum())

    before = distance()
    run(taught, quiet)
    assert distance() < 0.25 * before


def test_resuming_is_exact_and_asks_for_the_teachers(tmp_path: Path) -> None:
    """Three updates and three of another process are six; without the teachers it is another run."""
    straight = student(tmp_path / "a")
    run(straight, quiet)
    first = student(tmp_path / "b")
    run(first, quiet, stop=lambda: first.update >= 3)
    assert len(read_state_header(tmp_path / "b" / STATE_FILE)["--teacher"]) == 2
    second = student(tmp_path / "b")
    second.resume()
    run(second, quiet)
    pairs = zip(straight.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)
    same, others = {"teachers": TWO, "played": PLAYED}, {"teachers": TWO[:1] * 2, "played": PLAYED}
    for flag, sources in (("--teacher", {}), ("--teacher", others), ("--played", same | {"played": []})):
        with pytest.raises(TrainingError, match=f"generated music: give the same {flag}"):
            Trainer(SMALL, CONFIG, corpus(), tmp_path / "b", **sources).resume()


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of melodies."""
    folder = tmp_path_factory.mktemp("data")
    for seed in range(4):
        write_midi(folder / f"{seed}.mid", melody(seed))
    return folder


def test_the_command_takes_teachers_and_what_they_played(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run taught by another's checkpoint, on its own music too; the checkpoint names it."""
    assert train(data, tmp_path / "a", "--updates", "1") == 0
    teacher, played = str(tmp_path / "a" / "checkpoint.safetensors"), tmp_path / "played"
    played.mkdir()
    assert main_generate(teacher, played / "one.mid") == 0
    assert train(data, tmp_path / "b", "--updates", "2", "--teacher", teacher, "--played", str(played)) == 0
    assert "played by networks: 1 pieces" in capsys.readouterr().out
    meta = checkpoint.load(tmp_path / "b" / "checkpoint.safetensors").meta
    assert meta["teachers"] == ["checkpoint.safetensors"]
    assert json.loads((tmp_path / "b" / "log.jsonl").read_text().splitlines()[-1])["update"] == 2


def main_generate(teacher: str, out: Path) -> int:
    """Have the network play."""
    from livebach.cli import main

    return main(["generate", "--checkpoint", teacher, "--bars", "4", "--seed", "1", "-o", str(out)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--played", "."], "--played needs a --teacher"),
        (["--teacher", "/nonexistent.safetensors"], "cannot be read"),
        (["--set", "label_weight=1.5"], "label_weight must be 0..1, got 1.5"),
        (["--set", "synthetic_share=1"], "synthetic_share must be 0..0.99, got 1"),
    ],
)
def test_bad_input(words: list[str], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit 2, nothing written."""
    assert train(data, tmp_path / "run", *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
