"""Training in two processes on the processor, with gloo and torchrun."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from livebach.cli import main
from tests.support.midi_files import write_midi
from tests.support.pieces import OPENINGS, transposed
from tests.support.small_training import SMALL_SETTINGS

torch = pytest.importorskip("torch", reason="training needs the extra `train`")

from safetensors.torch import load_file

from livebach.network.reference import REFERENCE, multiply_adds
from livebach.training.devices import matmul_peak, training_flops
from livebach.training.distributed import Ranks
from livebach.training.run_files import LOG_FILE, STATE_FILE, TrainConfig, TrainingError, read_state_header

TOP = Path(__file__).parent.parent
LIMIT_S = 400
"""Three interpreters load torch; a busy machine takes minutes for it."""
posix = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds a process by its environment")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of openings in several keys."""
    folder = tmp_path_factory.mktemp("data")
    for number, notes in enumerate(OPENINGS.values()):
        for by in (0, 5):
            write_midi(folder / f"{number}-{by}.mid", transposed(notes, by))
    return folder


def arguments(data: Path, out: Path, updates: int) -> list[str]:
    """Of a small run without dropout and forgetting: their draws are each process's own."""
    words = [
        word for pair in (*SMALL_SETTINGS, "dropout=0.0", "input_dropout=0.0", "batch=4") for word in ("--set", pair)
    ]
    return ["train", "--data", str(data), "--out", str(out), "--device", "cpu", "--updates", str(updates), *words]


@contextmanager
def torchrun(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Two processes of a command; nothing of them is left at the end."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "livebach"]
    pipes = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen([*start, *command], cwd=TOP, env=environment, start_new_session=True, **pipes) as joint:
        try:
            yield joint
        finally:
            with suppress(ProcessLookupError):
                os.killpg(joint.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_are_one_with_the_joint_batch(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights, their average, the validation and the log are those of a single process, up to rounding."""
    with torchrun(arguments(data, tmp_path / "two", 4)) as joint:
        said, _ = joint.communicate(timeout=LIMIT_S)
    assert joint.returncode == 0, said
    assert main(arguments(data, tmp_path / "one", 4)) == 0
    assert (
        re.search(r"update 4 of 4; .*", said).group()
        == re.search(  # type: ignore[union-attr]
            r"update 4 of 4; .*", capsys.readouterr().out.replace("/one/", "/two/")
        ).group()
    )  # type: ignore[union-attr]
    one, two = (load_file(tmp_path / name / STATE_FILE) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value.double(), two[name].double(), rtol=1e-4, atol=1e-5), name
    logs = [[json.loads(row) for row in (tmp_path / n / LOG_FILE).read_text().splitlines()] for n in ("one", "two")]
    assert [row["devices"] for row in logs[1]] == [2, 2]
    for a, b in zip(*logs, strict=True):
        assert (a["update"], a["loss"], a["valid"]) == pytest.approx((b["update"], b["loss"], b["valid"]), abs=1e-3)


def process_of(rank: int, out: Path) -> int:
    """The process that is this rank of the run in a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words, variables = (process.joinpath(n).read_bytes().split(b"\0") for n in ("cmdline", "environ"))
        except OSError:
            continue
        if str(out).encode() in words and b"RANK=%d" % rank in variables and b"WORLD_SIZE=2" in variables:
            return int(process.name)
    raise LookupError(f"no process {rank} of the run in {out}")


def wait_for_updates(out: Path, joint: subprocess.Popen[str]) -> None:
    """Until the run has validated, and so saved, once."""
    end = time.monotonic() + LIMIT_S
    while not (out / LOG_FILE).exists():
        assert joint.poll() is None, joint.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)


@posix
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_and_it_resumes(
    data: Path, tmp_path: Path, rank: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for it; what was saved goes on, here in one process instead of two."""
    out = tmp_path / "run"
    with torchrun(arguments(data, out, 10**6)) as joint:
        wait_for_updates(out, joint)
        os.kill(process_of(rank, out), signal.SIGKILL)
        said, _ = joint.communicate(timeout=LIMIT_S)
    assert joint.returncode == 1, said
    reached = read_state_header(out / STATE_FILE)["update"]
    assert reached >= 2
    if rank == 1:
        assert f"saved at update {reached}" in said
    command = ["train", "--data", str(data), "--out", str(out), "--resume", "--updates", str(reached + 2)]
    assert main(command) == 0
    assert f"update {reached + 2} of {reached + 2}" in capsys.readouterr().out


def test_shares_are_the_whole() -> None:
    """Every crop is one process's; alone, all are."""
    crops = list(range(12))
    assert [i for rank in range(3) for i in crops[Ranks(rank, 3).share(12)]] == crops
    assert crops[Ranks().share(12)] == crops


def test_a_batch_that_does_not_divide(tmp_path: Path) -> None:
    """One line, before anything is done."""
    from livebach.training.loop import Trainer
    from tests.support.small_network import SMALL as SPEC
    from tests.support.small_network import corpus

    with pytest.raises(TrainingError, match="batch must be a multiple of the 3 processes, got 4"):
        Trainer(SPEC, TrainConfig(batch=4, device="cpu"), corpus(), tmp_path, Ranks(0, 3))


def test_the_arithmetic_is_counted() -> None:
    """Six operations for each multiply-add of a frame; a device does at least a million a second."""
    assert training_flops(REFERENCE) == 6 * multiply_adds(REFERENCE)
    assert 1e6 < matmul_peak(torch.device("cpu"), torch.float32, seconds=0.01) < 1e15
