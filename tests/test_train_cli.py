"""The commands `livebach train` and `livebach generate`, on small pieces and a small network."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest

from livebach.cli import main
from livebach.music.score_reader import read_score
from livebach.network import checkpoint
from livebach.network.engine import Engine
from livebach.network.theme_evidence import FEATURES, ThemeWeights
from tests.support.midi_files import write_midi
from tests.support.pieces import OPENINGS, transposed
from tests.support.small_network import melody
from tests.support.small_training import SMALL_SETTINGS, train

torch = pytest.importorskip("torch", reason="training needs the extra `train`")

from livebach.training.run_files import FINE_TUNING, RENAMED, TrainConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of openings in several keys, and a broken file."""
    folder = tmp_path_factory.mktemp("data")
    for number, (name, notes) in enumerate(OPENINGS.items()):
        for by in (0, 5):
            write_midi(folder / f"{number}-{by}.mid", transposed(notes, by))
        assert name
    (folder / "broken.mid").write_bytes(b"MThd\x00\x00")
    return folder


def test_train_writes_a_checkpoint(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run ends with a checkpoint that loads, says the counts of each split and names the broken file."""
    assert train(data, tmp_path, "--updates", "4", "--licence", "CC0-1.0") == 0
    out = capsys.readouterr().out
    assert "left out broken.mid" in out
    assert "train" in out
    assert "onsets" in out
    saved = checkpoint.load(tmp_path / "checkpoint.safetensors")
    assert saved.spec.time_channels == 8
    assert saved.meta["licence"] == "CC0-1.0"
    assert saved.meta["config"]["updates"] == 4
    rows = [json.loads(row) for row in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows] == [2, 4]
    assert all(0 < row["share_of_peak"] < 1 < row["frames_per_s_and_device"] for row in rows)
    assert re.search(r"\d+ frames/s on each cpu of 1, \d+\.\d% of its peak", out)


def test_a_second_run_needs_resume(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that holds a run is not started over; --resume goes on with it, with its own settings."""
    assert train(data, tmp_path, "--updates", "2") == 0
    assert train(data, tmp_path, "--updates", "4") == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "--data", str(data), "--out", str(tmp_path), "--resume", "--updates", "4"]) == 0
    assert "update 4 of 4" in capsys.readouterr().out


def test_minutes_bound_a_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--minutes ends a run early, saved."""
    assert train(data, tmp_path, "--updates", "1000000", "--minutes", "0.02") == 0
    assert (tmp_path / "state.safetensors").exists()
    assert "of 1000000" in capsys.readouterr().out


def test_from_starts_with_a_checkpoint(data: Path, tmp_path: Path) -> None:
    """--init-from takes the weights and the shape of another run's checkpoint."""
    assert train(data, tmp_path / "a", "--updates", "2") == 0
    start = tmp_path / "a" / "checkpoint.safetensors"
    rest = [word for pair in SMALL_SETTINGS[10:] for word in ("--set", pair)]
    command = ["train", "--data", str(data), "--out", str(tmp_path / "b"), "--init-from", str(start), "--updates", "1"]
    assert main([*command, *rest]) == 0
    found = checkpoint.load(tmp_path / "b" / "checkpoint.safetensors")
    assert found.spec == checkpoint.load(start).spec
    assert found.meta["config"]["learning_rate"] == FINE_TUNING["learning_rate"]


def test_from_keeps_what_must_not_be_quoted(tmp_path: Path) -> None:
    """What the first network learnt from is not forgotten, nor whose weights they were; also where it is resumed."""
    for seed in range(8):
        write_midi(tmp_path / ("old", "new")[seed % 2] / f"{seed}.mid", melody(seed))
    assert train(tmp_path / "old", tmp_path / "a", "--updates", "1") == 0
    start, known = tmp_path / "a" / "checkpoint.safetensors", {}
    assert train(tmp_path / "new", tmp_path / "b", "--updates", "1") == 0
    assert train(tmp_path / "new", tmp_path / "c", "--init-from", str(start), "--updates", "1") == 0
    assert train(tmp_path / "new", tmp_path / "c", "--resume", "--updates", "2") == 0
    for name in "abc":
        found = checkpoint.load(tmp_path / name / "checkpoint.safetensors")
        known[name] = set(found.quotes.notes.tolist())
    assert found.meta["started_from"] == "checkpoint.safetensors"
    assert known["a"]
    assert known["c"] == known["a"] | known["b"]


def test_nothing_to_validate_on_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One piece is for training; the checkpoint says nothing of a validation."""
    write_midi(tmp_path / "data" / "only.mid", melody(1))
    assert train(tmp_path / "data", tmp_path / "run", "--updates", "1") == 0
    said = capsys.readouterr().out
    assert "no piece is for validation" in said
    assert "no validation yet" in said
    metrics = checkpoint.load(tmp_path / "run" / "checkpoint.safetensors").meta["metrics"]
    assert metrics["valid_nats_per_frame"] is None


def test_resuming_with_other_music_is_said(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run goes on, and a line says that the pieces have changed; the same pieces need no word."""
    music, run = Path(shutil.copytree(data, tmp_path / "music")), tmp_path / "run"
    assert train(music, run, "--updates", "1") == 0
    assert train(music, run, "--resume", "--updates", "2") == 0
    assert "note:" not in capsys.readouterr().out
    write_midi(music / "more.mid", OPENINGS["prelude in C (BWV 846)"][:9])
    assert train(music, run, "--resume", "--updates", "3") == 0
    assert "note: the pieces differ from those of the saved run (" in capsys.readouterr().out


def test_a_resumed_run_may_be_stopped_at_once(data: Path, tmp_path: Path) -> None:
    """Between two validations, before its first update."""
    assert train(data, tmp_path, "--updates", "3") == 0
    odd = ["--resume", "--updates", "100", "--minutes", "1e-9"]
    assert main(["train", "--data", str(data), "--out", str(tmp_path), *odd, "--set", "validate_every=77"]) == 0


def test_from_may_grow(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--set with --init-from makes the network larger; smaller is refused in one line."""
    assert train(data, tmp_path / "a", "--updates", "1") == 0
    start = tmp_path / "a" / "checkpoint.safetensors"
    command = ["train", "--data", str(data), "--out", str(tmp_path / "b"), "--init-from", str(start), "--updates", "1"]
    rest = [word for pair in SMALL_SETTINGS[10:] for word in ("--set", pair)]
    assert main([*command, *rest, "--set", "key_channels=9"]) == 0
    assert checkpoint.load(tmp_path / "b" / "checkpoint.safetensors").spec.key_channels == 9
    capsys.readouterr()
    command[4] = str(tmp_path / "c")
    assert main([*command, *rest, "--set", "key_channels=1"]) == 2
    assert "key_channels cannot shrink" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "chanels=3"], "chanels"),
        (["--set", "batch=many"], "batch must be int"),
        (["--set", "batch=0"], "batch must be 1..65536, got 0"),
        (["--set", "learning_rate=.nan"], "learning_rate must be 0..1, got nan"),
        (["--updates", "-1"], "updates must be 1..1e+07, got -1"),
        (["--set", "time_dilations=[1,"], "--set time_dilations: not a value"),
        (["--set", "time_channels=9"], "mixing_heads must divide"),
        (["--set", "time_channels"], "KEY=VALUE"),
        (["--minutes", "0"], "--minutes"),
        (["--data", "/nonexistent"], "no such folder"),
        (["--resume"], "no saved run"),
        (["--init-from", "/nonexistent.safetensors"], "cannot be read"),
    ],
)
def test_bad_input(words: list[str], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be done is one line on stderr and exit 2, and nothing is written."""
    assert main(["train", "--data", str(data), "--out", str(tmp_path / "run"), *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_generate(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A piece of so many bars, the same for the same seed, and never over an existing file."""
    assert train(data, tmp_path / "run", "--updates", "1") == 0
    network = str(tmp_path / "run" / "checkpoint.safetensors")
    first, second = tmp_path / "a.mid", tmp_path / "b.mid"
    for path in (first, second):
        assert main(["generate", "--checkpoint", network, "--bars", "3", "--seed", "5", "-o", str(path)]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert 0 < read_score(first).length <= 3 * 16
    capsys.readouterr()
    assert main(["generate", "--checkpoint", network, "-o", str(first)]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err


def test_generate_goes_on_from_a_prime(data: Path, tmp_path: Path) -> None:
    """The prime stands in a track of its own, note for note, and the music follows it."""
    assert train(data, tmp_path / "run", "--updates", "1") == 0
    network, out = str(tmp_path / "run" / "checkpoint.safetensors"), tmp_path / "out.mid"
    prime = data / "0-0.mid"
    what = ["--bars", "2", "--seed", "1", "--prime", str(prime)]
    assert main(["generate", "--checkpoint", network, *what, "-o", str(out)]) == 0
    tracks = {t.name: [m.note for m in t if m.type == "note_on"] for t in mido.MidiFile(out).tracks}
    assert sorted(tracks["prime"]) == sorted(n.key for n in OPENINGS["prelude in C (BWV 846)"])
    assert "livebach" in tracks


def test_half_precision_and_what_it_starts_from(data: Path, tmp_path: Path) -> None:
    """The file is smaller and plays the same; the theme memory of the network it starts from is kept."""
    assert train(data, tmp_path / "a", "--updates", "1") == 0
    themes = ThemeWeights(np.ones((2, len(FEATURES) + 1), np.float32), np.ones((3, 3), np.float32))
    whole = checkpoint.load(tmp_path / "a" / "checkpoint.safetensors")
    checkpoint.save(tmp_path / "start.safetensors", replace(whole, themes=themes))
    start = ["--init-from", str(tmp_path / "start.safetensors"), "--quotes", str(tmp_path / "start.safetensors")]
    assert train(data, tmp_path / "b", "--updates", "1", "--half", *start) == 0
    assert train(data, tmp_path / "b", "--updates", "2", "--half", "--resume") == 0
    path = tmp_path / "b" / "checkpoint.safetensors"
    half = checkpoint.load(path)
    assert path.stat().st_size < (tmp_path / "a" / "checkpoint.safetensors").stat().st_size
    assert half.themes is not None
    assert np.array_equal(half.themes.hidden, themes.hidden)
    Engine(half)  # its stored pair is what its weights say


@pytest.mark.parametrize("former", RENAMED)
def test_a_former_name_says_the_new_one(
    data: Path, tmp_path: Path, former: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting's former name is an error that says today's, and today's is a setting."""
    assert main(["train", "--data", str(data), "--out", str(tmp_path / "run"), "--set", f"{former}=0.1"]) == 2
    assert f"{former!r} is now called {RENAMED[former]!r}" in capsys.readouterr().err
    assert hasattr(TrainConfig(), RENAMED[former])
    assert former != RENAMED[former]
