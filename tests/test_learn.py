"""`livebach learn`, and the keys of the terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

from livebach.cli import main
from livebach.commands import learn
from livebach.config import ConfigError, load
from livebach.controls import CONTROLS, Command, Step
from livebach.errors import UserError
from livebach.files import data_path
from livebach.live.hotkeys import HELP, KEYS, NoHotkeys, open_hotkeys
from livebach.music.events import ControlChange, Event, NoteOff, NoteOn, ProgramChange, to_bytes

pytestmark = pytest.mark.clock


@pytest.mark.parametrize(
    ("event", "bound"),
    [
        (ControlChange(21, 3, 0), "cc 21 channel 1"),
        (NoteOn(36, 64, 9), "note 36 channel 10"),
        (ProgramChange(4, 0), "program 5 channel 1"),
        (NoteOff(36), ""),
        *((ControlChange(number, 1, 0), "") for number in (0, 32, 6, 38, 88, *range(96, 102), *range(120, 128))),
    ],
)
def test_an_event_as_a_binding(event: Event, bound: str) -> None:
    """With its channel, counted from 1 as programs are."""
    assert learn.binding(event) == bound


@pytest.mark.parametrize("name", learn.NAMES)
def test_a_new_file_begins_as_the_packaged_one(tmp_path: Path, name: str) -> None:
    """Of which one line differs; the next binding changes one more."""
    path = tmp_path / "mine.yaml"
    learn.write(path, name, "cc 21 channel 1")
    learn.write(path, name, "note 36")
    before, after = data_path("config.yaml").read_text("utf-8").splitlines(), path.read_text("utf-8").splitlines()
    assert len(before) == len(after)
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
    assert load(path).control.bindings[name] == "note 36"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "time:\n  bpm: 60\n",
        "control:\n    hold: cc 1\n",
        "control: # mine\n",
        "control:\n  mute: cc 7 # x\nturns:\n",
    ],
)
def test_any_file_keeps_the_rest(tmp_path: Path, text: str) -> None:
    """With the section or without."""
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    learn.write(path, "mute", "program 5 = on")
    assert load(path).control.bindings["mute"] == "program 5 = on"
    assert all(
        line.split("#")[0].strip() in path.read_text("utf-8") for line in text.splitlines() if "mute" not in line
    )


def test_a_file_that_cannot_be_changed_stays(tmp_path: Path) -> None:
    """It says what to write."""
    path = tmp_path / "mine.yaml"
    path.write_text("control: {mute: cc 7}\n", "utf-8")
    with pytest.raises((UserError, ConfigError)):
        learn.write(path, "mute", "cc 8")
    assert path.read_text("utf-8") == "control: {mute: cc 7}\n"
    assert list(tmp_path.iterdir()) == [path]


def test_no_other_file_is_touched(tmp_path: Path) -> None:
    """A file of the user's whose name is like the settings' stays as it is."""
    path, other = tmp_path / "mine.yaml", tmp_path / "mine.yaml.new"
    other.write_text("my own", "utf-8")
    learn.write(path, "mute", "cc 7")
    assert other.read_text("utf-8") == "my own"
    assert sorted(tmp_path.iterdir()) == [path, other]


def test_line_ends_stay(tmp_path: Path) -> None:
    """A file written on Windows keeps its line ends."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"time:\r\n  bpm: 60\r\ncontrol:\r\n  mute: cc 7\r\n")
    learn.write(path, "mute", "cc 8")
    assert path.read_bytes() == b"time:\r\n  bpm: 60\r\ncontrol:\r\n  mute: cc 8\r\n"


@pytest.mark.parametrize(
    ("events", "bound"),
    [
        ([ControlChange(0, 1, 0), ControlChange(32, 2, 0), ProgramChange(4, 0)], "program 5 channel 1"),
        ([ControlChange(88, 3, 0), NoteOn(36, 64, 0)], "note 36 channel 1"),
        ([ControlChange(53, 3, 0), ControlChange(21, 9, 0)], "cc 21 channel 1"),
        ([ControlChange(99, 1, 0), ControlChange(98, 2, 0), ControlChange(6, 3, 0), ControlChange(38, 4, 0)], None),
        ([ControlChange(123, 0, 0)], None),
        ([], None),
    ],
)
def test_a_gesture_of_several_messages(events: list[Event], bound: str | None) -> None:
    """A bank with its program is the program; what cannot be bound is named when nothing else comes."""
    heard: SimpleQueue[Event] = SimpleQueue()
    for event in events:
        heard.put(event)
    if bound is not None:
        assert learn.binding(learn.first_gesture(heard, 5, "keys")) == bound
        return
    with pytest.raises(UserError, match="nothing that can be bound" if not events else "cannot be bound"):
        learn.first_gesture(heard, 0.05, "keys")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--seconds", "-1"], "--seconds must be 0.1..3600, got -1"),
        (["--seconds", "nan"], "--seconds must be 0.1..3600, got nan"),
        (["--file", "."], "folder"),
        (["--file", "none/mine.yaml"], "there is no folder "),
        (["--file", "/dev/null"], "device"),
        (["--file", "~nobody-of-that-name/x"], "no home folder"),
        (["--value", "duo"], "duo"),
    ],
)
def test_it_does_not_listen_in_vain(
    argv: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done is one line and exit 2 before the port is opened."""
    monkeypatch.setattr(learn, "InputPort", None)
    try:
        status: object = main(["learn", "mode", "--in", "keys", "--file", "mine.yaml", *argv])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


class Port:
    """A port on which a release, a clock and a controller come in."""

    @classmethod
    def open(cls, name: str, api: str | None, receive: Callable[[bytes, float], None]) -> Port:
        """Have three messages come in."""
        for data in (to_bytes(NoteOff(60)), b"\xf8", to_bytes(ControlChange(22, 5, 3))):
            receive(data, 0.0)
        return cls()

    def close(self) -> None:
        """Nothing to close."""


def test_the_command_learns_what_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first message that can be bound."""
    monkeypatch.setattr(learn, "InputPort", Port)
    path = tmp_path / "mine.yaml"
    assert main(["learn", "mode", "--value", "duet", "--in", "keys", "--file", str(path)]) == 0
    assert load(path).control.bindings["mode"] == "cc 22 channel 4 = duet"
    assert "control.mode: cc 22 channel 4 = duet" in capsys.readouterr().out
    assert main(["learn", "mode", "--value", "duo", "--in", "keys", "--file", str(path)]) == 2


def test_every_key_is_a_command_that_there_is() -> None:
    """And the line of help names them all."""
    for key, command in KEYS.items():
        assert CONTROLS[command.name].kind.parse(command.value) == command.argument
        assert key == " " or key in HELP


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of this kind")
def test_the_terminals_keys_are_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, without Return; afterwards the terminal is as it was."""
    termios = pytest.importorskip("termios")
    ours, theirs = os.openpty()
    before = termios.tcgetattr(theirs)
    monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp())
    commands: list[Command] = []
    with os.fdopen(theirs) as stream:
        hotkeys = open_hotkeys(commands.append, stream)
        os.write(ours, b"m?+")
        until = time.monotonic() + 5
        while len(commands) < 2 and time.monotonic() < until:
            time.sleep(0.005)
        hotkeys.close()
        hotkeys.close()
        assert termios.tcgetattr(theirs) == before
    os.close(ours)
    assert commands == [Command("mute"), Command("temperature", Step.UP)]


def test_where_there_is_no_terminal_there_are_no_keys(tmp_path: Path) -> None:
    """A file is none."""
    with (tmp_path / "x").open("w+") as stream:
        assert isinstance(open_hotkeys(lambda command: None, stream), NoHotkeys)
