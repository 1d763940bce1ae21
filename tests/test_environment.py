"""Every command checks its output paths before its work. An invalid path gives one line and exit status 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from livebach.cli import COMMANDS, main
from livebach.errors import UserError
from livebach.live import assembly, take_log
from livebach.music.score_reader import Note
from tests.support.midi_files import write_midi
from tests.support.stand_in import no_network

NEW_FILE = {
    "generate": ["generate", "-o", "{out}", "--checkpoint", "{none}"],
    "generate --wav": ["generate", "-o", "{none}.mid", "--wav", "{out}", "--checkpoint", "{none}"],
    "frames": ["frames", "{none}", "-o", "{out}"],
    "frames --png": ["frames", "{none}", "--png", "{out}"],
    "plot": ["plot", "{none}", "-o", "{out}"],
    "replay": ["replay", "{none}", "-o", "{out}"],
    "demo": ["demo", "--fast", "--wav", "{out}", "--checkpoint", "{none}", "--folder", "{none}"],
}
REPLACED_FILE = {
    "bench": ["bench", "--json", "{out}", "--checkpoint", "{none}"],
    "corpus report": ["corpus", "report", "{none}", "--json", "{out}"],
    "learn": ["learn", "mute", "--in", "nowhere", "--file", "{out}"],
}
NEW_FOLDER = {"evaluate": ["evaluate", "{none}", "--data", "{none}", "--rollouts", "1", "--out", "{out}"]}
FOLDER = {
    "train": ["train", "--data", "{none}", "--out", "{out}"],
    "train --cache": ["train", "--data", "{none}", "--out", "{none}", "--cache", "{out}"],
    "corpus fetch": ["corpus", "fetch", "{none}", "--out", "{out}"],
    "corpus music21": ["corpus", "music21", "--composer", "nobody", "--out", "{out}"],
}
READS_ONLY = {"play", "web", "ports", "panic", "doctor", "styles"}
"""Commands without a file or folder of results; takes are kept by their recorder."""


def refusal(argv: list[str], out: Path | str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command whose result is to go to `out`; the line that it is refused with."""
    none = tmp_path / "none"
    before = sorted(tmp_path.iterdir())
    assert main([word.format(out=out, none=none) for word in argv]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
    return told.err


def refuses(
    cases: dict[str, list[str]],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each command of a table."""
    return pytest.mark.parametrize("argv", cases.values(), ids=cases.keys())


def test_every_command_is_here() -> None:
    """A new command is tried too."""
    tried = {argv[0] for table in (NEW_FILE, REPLACED_FILE, NEW_FOLDER, FOLDER) for argv in table.values()}
    assert tried | READS_ONLY == set(COMMANDS)


@refuses(NEW_FILE | REPLACED_FILE)
def test_a_file_in_a_folder_that_is_not_there(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder is named, before any file is read."""
    assert "there is no folder" in refusal(argv, tmp_path / "missing" / "x", tmp_path, capsys)


@refuses(NEW_FILE | REPLACED_FILE)
def test_a_folder_in_place_of_a_file(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is called a folder, before any file is read."""
    (tmp_path / "folder").mkdir()
    assert "folder" in refusal(argv, tmp_path / "folder", tmp_path, capsys)


@refuses(NEW_FILE | NEW_FOLDER)
def test_nothing_is_overwritten(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file or folder that is there already stays, and no time is lost."""
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "folder").mkdir()
    for taken in ("taken", "folder"):
        assert "exists already" in refusal(argv, tmp_path / taken, tmp_path, capsys)
    assert (tmp_path / "taken").read_text() == "mine"


@refuses(NEW_FOLDER | FOLDER)
def test_a_file_in_place_of_a_folder(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told before anything is read, also when it is further up."""
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        told = refusal(argv, out, tmp_path, capsys)
        assert str(out) in told
        assert "file" in told


@refuses(NEW_FILE | REPLACED_FILE | NEW_FOLDER | FOLDER)
def test_the_folder_of_an_unknown_user(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`~user` of nobody is told, with the flag."""
    told = refusal(argv, "~nobody-of-that-name/x", tmp_path, capsys)
    assert "there is no home folder of '~nobody-of-that-name'" in told
    assert "argument -" in told


@pytest.mark.parametrize(
    "setting", ["engine.checkpoint", "take.folder"], ids=["the network's file", "the folder of takes"]
)
def test_a_setting_with_an_unknown_user(setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path in the settings is told likewise."""
    argv = ["demo", "--fast", "--bars", "1", "--folder", str(tmp_path), "--set", f"{setting}=~nobody-of-that-name/x"]
    assert "no home folder of '~nobody-of-that-name'" in refusal(argv, "", tmp_path, capsys)


NAME_TOO_LONG = "x" * 300


@refuses(NEW_FILE | REPLACED_FILE | NEW_FOLDER | FOLDER)
def test_a_name_that_is_too_long(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What no disk can hold is one line."""
    assert "File name too long" in refusal(argv, tmp_path / NAME_TOO_LONG, tmp_path, capsys)


@pytest.mark.parametrize(
    "argv",
    [
        ["learn", "mute", "--in", "a", "--file", "x", "--seconds", "-1"],
        ["learn", "mute", "--in", "a", "--file", "x", "--seconds", "inf"],
        ["demo", "--bars", "-1"],
        ["demo", "--bars", "1e3"],
        ["generate", "-o", "x", "--bars", "-1"],
        ["generate", "-o", "x", "--bars", "9" * 5000],
        ["generate", "-o", "x", "--prime-bars", "0"],
        ["plot", "take", "-o", "x", "--from", "-1"],
        ["plot", "take", "-o", "x", "--to", "nan"],
        ["evaluate", "x", "--data", "x", "--rollouts", "0"],
        ["evaluate", "x", "--data", "x", "--rollouts", "1", "--jobs", "-1"],
        ["train", "--data", "x", "--minutes", "-1"],
        ["train", "--data", "x", "--minutes", "nan"],
        ["train", "--data", "x", "--updates", "-1"],
        ["train", "--data", "x", "--seed", "-1"],
    ],
    ids=" ".join,
)
def test_a_number_that_cannot_be(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused with its flag, before anything is done."""
    assert main(argv) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert argv[-2].lstrip("-") in told


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")
def test_names_of_files_that_are_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A byte that is no UTF-8 in the name of a score, a picture, a folder of takes: all is done, and shown."""
    pytest.importorskip("matplotlib", reason="draws")
    no_network(monkeypatch)
    name = os.fsdecode(b"b\xffch")
    score, arrays, picture, takes = (tmp_path / f"{name}{end}" for end in (".mid", ".npz", ".png", " takes"))
    write_midi(score, [Note(60, 0, 4)])
    assert main(["frames", str(score), "-o", str(arrays), "--png", str(picture)]) == 0
    assert main(["demo", "--fast", "--bars", "1", "--folder", str(takes)]) == 0
    assert main(["replay", str(next(takes.iterdir()))]) == 0
    assert main(["plot", str(next(takes.iterdir())), "-o", str(tmp_path / f"{name} take.png")]) == 0
    assert len(list(tmp_path.iterdir())) == 5
    capsys.readouterr()


@pytest.mark.parametrize(
    ("argv", "key"),
    [
        (["generate", "-o", "{out}", "--set", "turns.mode=duet"], "turns.mode"),
        (["generate", "-o", "{out}", "--set", "time.clock=external"], "time.clock"),
        (["generate", "-o", "{out}", "--set", "midi.input=keys"], "midi.input"),
        (["demo", "--fast", "--wav", "{out}", "--set", "time.metre=3/4"], "time.metre"),
        (["demo", "--fast", "--wav", "{out}", "--set", "midi.output=synth"], "midi.output"),
    ],
)
def test_a_setting_without_effect_is_refused(
    argv: list[str], key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would be ignored is refused by its name."""
    told = refusal(argv, tmp_path / "out", tmp_path, capsys)
    assert f"--set {key}: this setting has no effect here" in told


def test_the_tempo_of_a_demo_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By --set as by its flag; and `generate` uses the compiled engine when it is asked to."""
    no_network(monkeypatch)
    for number, tempo in enumerate((["--set", "time.bpm=150"], ["--bpm", "150"])):
        folder = tmp_path / str(number)
        assert main(["demo", "--fast", "--bars", "1", "--folder", str(folder), *tempo]) == 0
        assert take_log.read(next(folder.iterdir())).config.time.bpm == 150
    asked: list[bool] = []

    def load(_name: str, fast: bool) -> None:
        asked.append(fast)
        raise UserError("enough")

    monkeypatch.setattr(assembly, "load_network", load)
    assert main(["generate", "-o", str(tmp_path / "x.mid"), "--set", "engine.fast=on"]) == 2
    assert asked == [True]
