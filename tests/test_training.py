"""The training loop: exact resumption, saving, bounds, and agreement with the step engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from livebach.music.roll import KEYS, Note
from livebach.music.score_reader import Piece
from livebach.music.texture import Texture
from livebach.network.engine import Engine
from livebach.network.sampling import log_likelihood
from livebach.training.corpus import Corpus
from tests.support.small_network import SMALL, corpus, network, nothing, piece
from tests.support.small_training import CONFIG, quiet, trainer

torch = pytest.importorskip("torch", reason="training needs the extra `train`")

from safetensors.torch import load_file, save_file

from livebach.training import devices
from livebach.training.devices import pick_device
from livebach.training.loop import (
    BEST_FILE,
    LOG_FILE,
    STATE_FILE,
    Progress,
    TrainConfig,
    Trainer,
    TrainingError,
    read_state_header,
    run,
)
from livebach.training.model import to_checkpoint
from livebach.training.validation import likelihood


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def same(a: Trainer, b: Trainer) -> bool:
    """Whether two runs are at the same point, to the bit."""
    pairs = zip(
        [*a.model.parameters(), *a.average.parameters()], [*b.model.parameters(), *b.average.parameters()], strict=True
    )
    numbers = (f"{x.update} {x.best} {x.valid}" for x in (a, b))  # as text: nan is nan
    return len(set(numbers)) == 1 and all(torch.equal(x, y) for x, y in pairs)


def test_resuming_is_exact(tmp_path: Path) -> None:
    """Six updates are three, a save, another process's three: weights, averages and best, to the bit."""
    straight = trainer(tmp_path / "a")
    run(straight, quiet)
    first = trainer(tmp_path / "b")
    run(first, quiet, stop=lambda: first.update >= 3)
    assert first.update == 3
    torch.manual_seed(99)
    second = trainer(tmp_path / "b", replace(CONFIG, seed=1))
    torch.rand(7)
    second.resume()
    assert same(second, first)
    run(second, quiet)
    assert second.finished
    assert same(second, straight)
    for name in (BEST_FILE, STATE_FILE):
        a, b = load_file(tmp_path / "a" / name), load_file(tmp_path / "b" / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a)


def test_the_same_seed_is_the_same_run(tmp_path: Path) -> None:
    """And another one another."""
    losses = []
    for seed in (1, 1, 2):
        begun = trainer(tmp_path, replace(CONFIG, seed=seed))
        losses.append([begun.step(), begun.step()])
    assert losses[0] == losses[1] != losses[2]


def test_it_learns(tmp_path: Path) -> None:
    """The validation falls, the best is kept, the log has a line for each validation."""
    shown: list[Progress] = []
    learner = trainer(tmp_path, replace(CONFIG, updates=30, learning_rate=2e-2, validate_every=10, ema_decay=0.8))
    before, calibrated = likelihood(learner.averaged, learner.held_out, learner.device), learner.validate()
    run(learner, shown.append)
    rows = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text(encoding="utf-8").splitlines()]
    assert [row["update"] for row in rows] == [10, 20, 30]
    assert likelihood(learner.averaged, learner.held_out, learner.device) < 0.2 * before
    assert rows[-1]["valid"] < calibrated
    assert learner.best == min(learner.best, learner.valid)
    assert [p.update for p in shown] == list(range(1, 31))
    assert shown[-1].seconds_left == 0
    assert shown[-1].loss < shown[0].loss
    assert all(p.frames_per_s > 0 for p in shown)
    best = likelihood(learner.best_model(), learner.held_out, learner.device)
    assert best == pytest.approx(learner.best, abs=1e-5)


def test_stopping_saves(tmp_path: Path) -> None:
    """Ctrl-C is `stop`: what was done is on disk, however little."""
    stopped = trainer(tmp_path)
    run(stopped, quiet, stop=lambda: stopped.update >= 1)
    assert read_state_header(tmp_path / STATE_FILE)["update"] == 1


def test_minutes_bound_a_run(tmp_path: Path) -> None:
    """No time is no update; a fraction of a second ends a run that would last, and says what is left of it."""
    bounded = trainer(tmp_path, replace(CONFIG, updates=10**6, validate_every=10**6))
    run(bounded, quiet, minutes=0)
    assert bounded.update == 0
    shown: list[Progress] = []
    run(bounded, shown.append, minutes=0.005)
    assert 0 < bounded.update < 10**4
    assert all(p.seconds_left <= 0.3 for p in shown)
    assert read_state_header(tmp_path / STATE_FILE)["update"] == bounded.update


def test_the_rate_rises_then_falls() -> None:
    """Linearly in the warm-up, then by a cosine to nothing."""
    config = TrainConfig(updates=100, warmup=10, learning_rate=1.0)
    rates = [config.rate_at(i) for i in range(101)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)
    assert sorted(rates[10:], reverse=True) == rates[10:]


def test_a_missing_state(tmp_path: Path) -> None:
    """There is nothing to resume, in one line."""
    with pytest.raises(TrainingError, match="no saved run to resume"):
        trainer(tmp_path).resume()


DAMAGE = ["empty", "cut in the header", "cut", "text", "foreign", "metadata", "another config", "a weight missing"]
DAMAGE += ["an optimizer's part missing", "another shape"]


def damaged(path: Path, kind: str) -> None:
    """A saved run, damaged."""
    data, tensors = path.read_bytes(), load_file(path)
    header = {"state": json.dumps(read_state_header(path))}
    first = next(k for k in tensors if k.startswith("model."))
    if kind in ("empty", "cut in the header", "cut"):
        path.write_bytes(data[: {"empty": 0, "cut in the header": 90, "cut": len(data) - 3}[kind]])
    elif kind == "text":
        path.write_text("no run\n", encoding="utf-8")
    elif kind == "foreign":
        save_file({"x": torch.zeros(2)}, path)
    elif kind == "metadata":
        save_file(tensors, path, {"state": "[1]"})
    elif kind == "another config":
        save_file(tensors, path, {"state": json.dumps(read_state_header(path) | {"config": {"speed": 3}})})
    elif kind in ("a weight missing", "an optimizer's part missing"):
        names = {"a weight missing": first, "no random state": "random.torch"}
        del tensors[names.get(kind, next(k for k in tensors if k.startswith("optimizer.")))]
        save_file(tensors, path, header)
    else:
        save_file(tensors | {first: torch.zeros(3)}, path, header)


@pytest.mark.parametrize(
    "kind",
    DAMAGE,
)
def test_a_damaged_state_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    """The line begins with the file."""
    begun = trainer(tmp_path)
    begun.step()
    begun.save()
    damaged(tmp_path / STATE_FILE, kind)
    with pytest.raises(TrainingError) as caught:
        trainer(tmp_path).resume()
    assert str(caught.value).startswith(f"{tmp_path / STATE_FILE}: ")
    assert "\n" not in str(caught.value)


def test_a_state_of_another_network(tmp_path: Path) -> None:
    """It is not taken up."""
    trainer(tmp_path).save()
    other = Trainer(replace(SMALL, key_channels=7), CONFIG, corpus(), tmp_path)
    with pytest.raises(TrainingError, match="of another shape"):
        other.resume()


def test_a_state_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writing fails, the state before stays."""
    begun = trainer(tmp_path)
    begun.save()
    begun.step()

    def fail(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("livebach.training.run_files.os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        begun.save()
    assert read_state_header(tmp_path / STATE_FILE)["update"] == 0


def test_devices() -> None:
    """Named, chosen, or refused in one line."""
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}
    with pytest.raises(TrainingError, match="device must be one of auto, cpu, cuda, mps, got 'tpu'"):
        pick_device("tpu")
    missing = [name for name in ("cuda", "mps") if not getattr(torch, name).is_available()]
    for name in missing:
        with pytest.raises(TrainingError, match=f"device {name} is not available"):
            pick_device(name)


def test_nothing_to_validate_on(tmp_path: Path) -> None:
    """Validation is then unknown, no weights are the best, and the averaged ones are taken."""
    alone = trainer(
        tmp_path, replace(CONFIG, updates=2), Corpus({"train": corpus().splits["train"], "valid": [], "test": []})
    )
    run(alone, quiet)
    assert np.isnan(alone.valid)
    assert alone.best == float("inf")
    (tmp_path / BEST_FILE).write_bytes(b"of another run")
    assert all(
        torch.equal(a, b) for a, b in zip(alone.best_model().parameters(), alone.averaged.parameters(), strict=True)
    )


def test_starting_from_a_checkpoint(tmp_path: Path) -> None:
    """The run begins with its weights, in the average too."""
    source = network(seed=5)
    begun = trainer(tmp_path)
    begun.start_from(to_checkpoint(source, {}), "source")
    for model in (begun.model, begun.averaged):
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), source.parameters(), strict=True))


def streamed(engine: Engine, played: Piece) -> float:
    """Nats of a piece, frame by frame from the step engine."""
    where = [(a, b, c) for a, b, c in played.places.tolist()]
    state, before, total = engine.new_state(where[0]), np.zeros(KEYS, np.uint8), 0.0
    for t, frame in enumerate(played.frames):
        if t:
            engine.push(state, before, where[t - 1], where[t], Texture())
        total -= log_likelihood(engine.logits(state, frame, nothing()), before, frame, nothing()).sum()
        before = frame
    return total


def test_validation_is_what_the_step_engine_says(tmp_path: Path) -> None:
    """The streaming likelihood equals the parallel one, pooled over the frames of all pieces."""
    learner = trainer(tmp_path)
    for _ in range(3):
        learner.step()
    pieces = [*learner.held_out, piece("upbeat", [Note(60, 1, 3), Note(60, 3, 4), Note(64, 3, 9)])]
    engine = Engine(to_checkpoint(learner.averaged, {}))
    frames = sum(len(p.frames) for p in pieces)
    wanted = sum(streamed(engine, p) for p in pieces) / frames
    assert likelihood(learner.averaged, pieces, learner.device) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:torch")
def test_compiled_and_in_half_precision(tmp_path: Path) -> None:
    """The way a real run goes: about the same loss as the plain one, and its state can be taken up."""
    one_layer = replace(SMALL, time_dilations=(1,), mixing_layers=(0,), key_dilations=(1,), given_dilations=(1,))
    plain, fast = replace(CONFIG, dropout=0.0), replace(CONFIG, dropout=0.0, bf16=True, compile=True)
    slow, compiled, again = (Trainer(one_layer, c, corpus(), tmp_path) for c in (plain, fast, fast))
    losses = [slow.step() for _ in range(3)]
    torch.manual_seed(1)
    assert [compiled.step() for _ in range(3)] == pytest.approx(losses, rel=0.05)
    compiled.save()
    again.resume()
    assert same(again, compiled)


@pytest.mark.parametrize(
    ("compiler", "width", "expected"),
    [
        (True, "AVX512", (True, True)),
        (True, "AVX2", (True, False)),
        (False, "AVX512", (False, True)),
    ],
)
def test_what_the_machine_gains_by(
    compiler: bool, width: str, expected: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling needs a compiler, bf16 a processor that has it; neither is done where it was not asked for."""
    monkeypatch.setattr(devices.shutil, "which", lambda name: name if compiler else None)
    monkeypatch.setattr(devices.torch.backends.cpu, "get_cpu_capability", lambda: width)
    monkeypatch.setattr(devices.Path, "exists", lambda path: True)
    wanted = replace(CONFIG, compile=True, bf16=True)
    assert devices.worthwhile(wanted, torch.device("cpu")) == expected
    assert devices.worthwhile(CONFIG, torch.device("cpu")) == (False, False)
    assert devices.worthwhile(wanted, torch.device("mps")) == (False, False)


def test_a_run_bound_by_minutes_validates_what_it_has(tmp_path: Path) -> None:
    """The updates since the last validation are not lost for the checkpoint."""
    trainer = Trainer(SMALL, replace(CONFIG, updates=10**6, validate_every=10**5), corpus(), tmp_path)
    run(trainer, lambda progress: None, minutes=0.01)
    assert trainer.update > 0
    assert trainer.best < float("inf")
    assert (tmp_path / "best.safetensors").exists()


def test_training_goes_on_where_the_compiler_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interrupted run may have left broken files in the compiler's cache: that is one line, said once."""
    from torch._dynamo.exc import BackendCompilerFailed

    asked: list[object] = []

    def broken(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def fail(*inputs: object) -> torch.Tensor:
            asked.append(inputs)
            raise BackendCompilerFailed(function, OSError("main.so: file too short"), None)

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    twice = devices.compiled(lambda x: 2 * x)
    assert [float(twice(torch.tensor(x))) for x in (1.0, 2.0, 3.0)] == [2, 4, 6]
    assert len(asked) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "file too short" in said[0]
