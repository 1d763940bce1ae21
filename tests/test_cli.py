"""The command line: flags become settings, and an invalid request gives one line and starts nothing."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from livebach import cli
from livebach.cli import COMMANDS, main
from livebach.commands import play, ports
from livebach.commands.flags import FLAGS, add_settings, settings
from livebach.config import Config, load
from livebach.errors import UserError
from livebach.live import playing
from livebach.midi.ports import PortError
from livebach.music.metre import Metre
from livebach.testing import FakeBackend

REPO = Path(__file__).parent.parent


def parsed(*argv: str) -> Config:
    """The settings that a command line asks for."""
    parser = argparse.ArgumentParser()
    add_settings(parser)
    return settings(parser.parse_args(argv))


@pytest.mark.parametrize(
    ("argv", "key", "value"),
    [
        (["--in", "USB Keyboard"], "midi.input", "USB Keyboard"),
        (["--in", "14:0"], "midi.input", "14:0"),
        (["--out", "FluidSynth"], "midi.output", "FluidSynth"),
        (["--wait"], "midi.wait", True),
        (["--wait", "off"], "midi.wait", False),
        (["--api", "jack"], "midi.api", "jack"),
        (["--channel", "3"], "midi.input_channel", 3),
        (["--out-channel", "16"], "midi.output_channel", 16),
        (["--program", "7"], "midi.program", 7),
        (["--thru", "off"], "midi.thru", False),
        (["--thru", "on"], "midi.thru", True),
        (["--latency-ms", "12.5"], "midi.latency_ms", 12.5),
        (["--bpm", "72"], "time.bpm", 72.0),
        (["--metre", "3/4"], "time.metre", Metre(3, 4)),
        (["--count-in"], "time.count_in_bars", 1),
        (["--count-in", "2"], "time.count_in_bars", 2),
        (["--click"], "time.click", True),
        (["--checkpoint", "my.safetensors"], "engine.checkpoint", "my.safetensors"),
        (["--temperature", "0.9"], "sampling.temperature", 0.9),
        (["--min-p", "0.1"], "sampling.min_p", 0.1),
        (["--seed", "7"], "sampling.seed", 7),
        (["--save", "off"], "take.save", False),
        (["--set", "turns.silence_ticks=8"], "turns.silence_ticks", 8),
        (["--bpm", "72", "--set", "time.bpm=73"], "time.bpm", 73.0),
    ],
)
def test_flags_are_settings(argv: list[str], key: str, value: object) -> None:
    """Each flag sets its key and nothing else; --set comes last."""
    config = parsed(*argv)
    section, name = key.split(".")
    assert getattr(getattr(config, section), name) == value
    assert sum(getattr(config, s) != getattr(load(), s) for s in ("midi", "time", "turns", "sampling", "engine")) <= 1


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    """The file first, then the flags."""
    path = tmp_path / "my.yaml"
    path.write_text("time: {bpm: 60, metre: 3/4}\n")
    config = parsed("--config", str(path), "--bpm", "61")
    assert (config.time.bpm, config.time.metre) == (61.0, Metre(3, 4))


def test_every_flag_has_its_setting() -> None:
    """No flag stands for a key that is not there."""
    config = load()
    for flag in FLAGS.values():
        section, name = flag.key.split(".")
        assert hasattr(getattr(config, section), name)


@pytest.fixture
def no_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two keyboards, of which none may be opened."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("something was started")

    monkeypatch.setattr(play, "open_backends", lambda api: [FakeBackend(inputs=["Piano", "Organ"])])
    monkeypatch.setattr(playing, "play", refuse)


@pytest.mark.usefixtures("no_ports")
@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["plya"], ["plya", "'play'"]),
        (["--inn", "X"], ["--inn"]),
        (["play", "extra"], ["extra"]),
        (["--out", "Synth"], ["2 keyboards", '--in "Piano"', '--in "Organ"']),
        (["--in", "a", "--out", "b", "--bpm", "fast"], ["--bpm", "time.bpm", "'fast'", "20..400"]),
        (["--in", "a", "--out", "b", "--metre", "4"], ["--metre", "time.metre", "3/4"]),
        (["--in", "a", "--out", "b", "--thru", "perhaps"], ["--thru", "on or off"]),
        (["--in", "a", "--out", "b", "--channel", "0"], ["--channel", "1..16", "0"]),
        (["--in", "a", "--out", "b", "--api", "oss"], ["--api", "alsa or jack"]),
        (["--in", "a", "--out", "b", "--set", "time.bmp=3"], ["time.bmp", "3", "time.bpm"]),
        (["--in", "a", "--out", "b", "--config", "none.yaml"], ["none.yaml", "cannot be read"]),
        (["--in", "a", "--out", "b", "--checkpoint", "none.safetensors"], ["none.safetensors"]),
        (["panic"], ["--out"]),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(
    argv: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr that names what, nothing on stdout, nothing started."""
    try:
        status: object = main(argv)
    except SystemExit as ended:
        status = ended.code
    told = capsys.readouterr()
    assert status == 2
    assert told.err.count("\n") == 1
    assert told.out == ""
    for part in parts:
        assert part in told.err


def test_port_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the ports complain about is shown as it is."""

    def refuse(api: str | None) -> str:
        raise PortError("no MIDI here")

    monkeypatch.setattr(ports, "listing", refuse)
    assert main(["ports"]) == 2
    assert capsys.readouterr().err == "livebach ports: no MIDI here\n"


def test_bugs_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ValueError that is no message to the user is raised."""

    def fail(api: str | None) -> str:
        raise ValueError("a bug")

    monkeypatch.setattr(ports, "listing", fail)
    with pytest.raises(ValueError, match="a bug"):
        main(["ports"])


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted before the loop: no traceback."""

    def interrupt(api: str | None) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(ports, "listing", interrupt)
    assert main(["ports"]) == 130


def test_help_names_every_command_that_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists the commands; each of them helps too, without doing anything."""
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("play", "demo", "ports", "panic", "replay"):
        assert f"  {name} " in shown
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
    capsys.readouterr()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("livebach ")


def test_flags_alone_mean_play(monkeypatch: pytest.MonkeyPatch) -> None:
    """`livebach --in X --out Y` is `livebach play --in X --out Y`, and `livebach` is `livebach play`."""
    seen: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(cli, "_run", lambda name, argv: seen.append((name, argv)) or 0)
    main(["--in", "a", "--out", "b"])
    main(["play", "--in", "a", "--out", "b"])
    main([])
    assert seen == [("play", ["--in", "a", "--out", "b"])] * 2 + [("play", [])]


def test_a_command_is_imported_only_when_asked_for() -> None:
    """The command line itself is light: no numpy, no rich, no torch, no other command."""
    code = "import sys, livebach.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "rich", "torch", "rtmidi", "mido", *(module for module, _ in COMMANDS.values())}


def test_user_errors_are_value_errors() -> None:
    """One class tells the user's errors from ours."""
    assert issubclass(UserError, ValueError)
    assert issubclass(PortError, UserError)


def test_as_a_module() -> None:
    """`python -m livebach` is the same command."""
    command = [sys.executable, "-m", "livebach", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 2
    assert "nothing" in done.stderr


@pytest.mark.parametrize(("where", "new"), sorted(cli.RENAMED_FLAGS.items()))
def test_a_former_flag_is_an_error_that_says_the_new_one(
    where: tuple[str, str], new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No alias stays: one line names today's flag."""
    command, old = where
    assert cli.main([command, old, "x"]) == 2
    assert capsys.readouterr().err == f"livebach {command}: {old} is now called {new}\n"
