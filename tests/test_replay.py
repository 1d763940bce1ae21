"""Replay: equal notes, byte for byte, and reports of differences and of damaged takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mido
import pytest

from livebach.cli import main
from livebach.config import MODES
from livebach.live import assembly, take_log
from livebach.network import touch_checkpoint
from livebach.sound import fluidsynth
from livebach.testing import ScriptedEngine
from tests.support.stand_in import no_network


@pytest.fixture
def played(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """A take of the demo's, in the mode that a test asks for."""
    no_network(monkeypatch)
    monkeypatch.setattr(fluidsynth, "find", lambda: None)
    wanted = ["--bars", "3", "--seed", "4", "--mode", getattr(request, "param", "continue")]
    assert main(["demo", "--fast", *wanted, "--folder", str(tmp_path / "takes")]) == 0
    capsys.readouterr()
    return next((tmp_path / "takes").iterdir())


@pytest.mark.parametrize("played", MODES, indirect=True)
def test_the_same_notes(played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A take replays without a difference, and its MIDI file is the same to the last byte."""
    out = tmp_path / "again.mid"
    assert main(["replay", str(played), "-o", str(out)]) == 0
    assert "the same in" in capsys.readouterr().out
    assert out.read_bytes() == (played / take_log.MIDI).read_bytes()


def test_a_log_that_was_cut_off(played: Path, tmp_path: Path) -> None:
    """As after SIGKILL: what there is replays, and a MIDI file can be had in which all notes end."""
    log = played / take_log.LOG
    data = log.read_bytes()
    log.write_bytes(data[: len(data) * 2 // 3])
    out = tmp_path / "again.mid"
    assert main(["replay", str(log), "-o", str(out)]) == 0
    for track in mido.MidiFile(out).tracks:
        kinds = [message.type for message in track]
        assert kinds.count("note_on") == kinds.count("note_off")


def test_a_difference_is_told(played: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A note that was another one then: which call, exit 1."""
    log = played / take_log.LOG
    lines = log.read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if '"out"' in line and '"91' in line)
    note = lines[at][lines[at].index('"91') + 1 :][:6]
    lines[at] = lines[at].replace(note, f"91{21:02x}50")
    log.write_text("".join(lines))
    assert main(["replay", str(played)]) == 1
    out = capsys.readouterr().out
    assert "1 of" in out
    assert "advance at" in out


def test_another_network_is_refused(
    played: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint that has changed is named with both hashes; nothing is played."""
    other = assembly.Loaded(ScriptedEngine(), "other", "0" * 64)
    monkeypatch.setattr(assembly, "load_network", lambda name, fast: other)
    assert main(["replay", str(played)]) == 2
    told = capsys.readouterr().err
    assert "SHA-256" in told
    assert told.count("\n") == 1


def test_another_touch_network_is_refused_and_the_right_one_can_be_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the take's own lies in another place by now."""
    no_network(monkeypatch, with_touch=True)
    before, after, other = (tmp_path / f"{name}.safetensors" for name in ("before", "after", "other"))
    shipped = touch_checkpoint.load(touch_checkpoint.default_path())
    for file in (before, other):
        touch_checkpoint.save(file, replace(shipped, meta={"name": file.stem}))
    takes = ["--folder", str(tmp_path / "takes")]
    assert main(["demo", "--fast", "--bars", "1", *takes, "--set", f"engine.touch_checkpoint={before}"]) == 0
    replay = ["replay", str(next((tmp_path / "takes").iterdir()))]
    assert main(replay) == 0
    before.rename(after)
    capsys.readouterr()
    for arguments, told in (
        ([], "is not there; --touch names another file"),
        (["--touch", str(other)], "--touch names another file"),
    ):
        assert main([*replay, *arguments]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    assert main([*replay, "--touch", str(after)]) == 0


def test_a_touch_network_for_a_take_without_one_is_refused(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be ignored."""
    assert main(["replay", str(played), "--touch", str(touch_checkpoint.default_path())]) == 2
    assert "was played without a touch network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda text: "", "line 1"),
        (lambda text: "MThd" + text, "line 1"),
        (lambda text: text.replace('"do":"feed"', '"do":"sing"'), "no such call"),
        (lambda text: text.replace('"in":"90', '"in":"f0'), "not a MIDI message"),
        (lambda text: text.replace('"bpm"', '"bmp"'), "time.bpm"),
        (lambda text: text.replace('"format": 2', '"format": 9'), "the take has format 9"),
        (lambda text: text.replace('"t":', '"tt":'), "'t' is missing"),
    ],
)
def test_damage_is_named_in_one_line(
    played: Path, damage: object, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong, in which line of which file; exit 2."""
    assert callable(damage)
    log = played / take_log.LOG
    log.write_text(damage(log.read_text()))
    assert main(["replay", str(played)]) == 2
    told = capsys.readouterr().err
    assert part in told
    assert str(log) in told
    assert told.count("\n") == 1


def test_no_such_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a take."""
    assert main(["replay", str(tmp_path)]) == 2
    assert "cannot be read" in capsys.readouterr().err
