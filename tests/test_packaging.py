"""The wheel: built, installed in a fresh environment, and used outside the tree."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import mido
import pytest

TOP = Path(__file__).parent.parent
NO_NETWORK = ("No matching distribution found", "Could not find a version", "Temporary failure", "Connection")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def run(*command: str | Path, cwd: Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a command outside the tree, without this interpreter's own settings; its output comes as text."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["TERM"] = "dumb"
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout
    )


def succeed(*command: str | Path, cwd: Path, timeout: float = 600) -> str:
    """Run a command that has to succeed, and give what it printed."""
    done = run(*command, cwd=cwd, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from an sdist: what the sdist lacks, the wheel lacks too."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    succeed(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, TOP, cwd=folder)
    return next(folder.glob("livebach-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment with the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder / "env", with_pip=True)
    commands = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    done = run(commands / "python", "-m", "pip", "install", "-c", TOP / "constraints.txt", wheel, cwd=folder)
    if done.returncode and "CI" not in os.environ and any(sign in done.stderr for sign in NO_NETWORK):
        pytest.skip("the package index cannot be reached, so that the wheel's dependencies cannot be installed")
    assert done.returncode == 0, done.stderr
    return commands


def test_the_wheel_carries_its_data(wheel: Path) -> None:
    """Configuration, checkpoint, model card and licence travel inside; tests and benchmarks do not."""
    names = zipfile.ZipFile(wheel).namelist()
    assert "livebach/_data/config.yaml" in names
    assert "livebach/_data/checkpoints/README.md" in names
    assert any(name.startswith("livebach/_data/checkpoints/") and name.endswith(".safetensors") for name in names)
    assert "livebach/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"livebach"}


def test_the_wheel_matches_the_tree(wheel: Path) -> None:
    """What is inside is byte for byte what the tree has."""
    archive = zipfile.ZipFile(wheel)
    for path in [TOP / "config.yaml", *sorted((TOP / "checkpoints").glob("*.safetensors"))]:
        assert archive.read(f"livebach/_data/{path.relative_to(TOP).as_posix()}") == path.read_bytes()
    modules = {path.relative_to(TOP).as_posix() for path in (TOP / "livebach").rglob("*.py")}
    modules |= {path.relative_to(TOP).as_posix() for path in (TOP / "livebach" / "web" / "static").iterdir()}
    assert modules <= set(archive.namelist())


def test_help(installed: Path, tmp_path: Path) -> None:
    """The command is there, and says what it can do."""
    text = succeed(installed / "livebach", "--help", cwd=tmp_path)
    assert all(word in text for word in ("play", "ports", "demo", "generate", "train", "replay", "panic"))


def test_no_torch_comes_along(installed: Path, tmp_path: Path) -> None:
    """Playing installs no torch, and `train` without it says in one line what to install."""
    assert "torch" not in succeed(installed / "python", "-m", "pip", "list", cwd=tmp_path)
    done = run(installed / "livebach", "train", "--data", tmp_path, cwd=tmp_path)
    assert done.returncode != 0
    assert "livebach[train]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_generate_outside_the_tree(installed: Path, tmp_path: Path) -> None:
    """The installed package finds its own checkpoint and writes music."""
    succeed(installed / "livebach", "generate", "--bars", "2", "--seed", "1", "-o", "out.mid", cwd=tmp_path)
    notes = [message for message in mido.MidiFile(tmp_path / "out.mid") if message.type == "note_on"]
    assert notes


def test_demo_outside_the_tree(installed: Path, tmp_path: Path) -> None:
    """The main job, on the embedded default: a phrase is played, the network goes on, a MIDI file is saved."""
    succeed(installed / "livebach", "demo", "--fast", "--bars", "2", cwd=tmp_path)
    (saved,) = tmp_path.rglob("*.mid")
    you, bach = (track for track in mido.MidiFile(saved).tracks if track.name in ("you", "livebach"))
    assert all(any(message.type == "note_on" for message in track) for track in (you, bach))
