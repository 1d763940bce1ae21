"""Ctrl-Z ends the sound and restores the terminal. After `fg` livebach plays and obeys its keys."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import until

if sys.platform != "win32":
    from tests.support.suspended_process import SuspendedProcess

pytestmark = [
    pytest.mark.clock,
    pytest.mark.skipif(not hasattr(signal, "SIGTSTP"), reason="this system has no job control"),
]
OWN = 1


@pytest.fixture
def program(tmp_path: Path) -> Iterator[SuspendedProcess]:
    """A program that plays, on a terminal of its own."""
    program = SuspendedProcess(tmp_path)
    try:
        until(lambda: any(channel == OWN for channel, _ in program.sounding()), "music of its own", 60)
        yield program
    finally:
        program.close()


@pytest.mark.parametrize("how", ["key", "signal"])
def test_ctrl_z_leaves_silence_and_the_terminal_as_it_was(program: SuspendedProcess, how: str) -> None:
    """Half a second after it, nothing sounds, the modes of the terminal are the old ones and the cursor is shown."""
    assert termios.tcgetattr(program.line) != program.modes
    if how == "key":
        program.press("\x1a")
    else:
        program.process.send_signal(signal.SIGTSTP)
    until(program.stopped, "a stop", 5)
    assert not program.sounding()
    assert termios.tcgetattr(program.line) == program.modes
    until(lambda: program.printed.rfind(b"\x1b[?25h") > program.printed.rfind(b"\x1b[?25l"), "a cursor", 5)
    before = program.sent()
    time.sleep(0.3)
    assert program.sent() == before


def test_continued_it_plays_and_obeys_its_keys(program: SuspendedProcess) -> None:
    """After SIGCONT the keyboard is heard, its music goes on, a key acts, and it can be stopped again."""
    for _ in range(2):
        program.process.send_signal(signal.SIGTSTP)
        until(program.stopped, "a stop", 5)
        before = len(program.sent())
        time.sleep(1.0)
        program.process.send_signal(signal.SIGCONT)
        until(lambda before=before: any(data[0] == 0x90 for data in program.sent()[before:]), "the player", 20)  # type: ignore[misc]
        until(lambda before=before: any(data[0] == 0x91 for data in program.sent()[before:]), "its music", 20)  # type: ignore[misc]
        assert termios.tcgetattr(program.line) != program.modes
    before = len(program.sent())
    program.press("p")
    until(lambda: b"\xb0\x78\x00" in program.sent()[before:], "a panic", 20)
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(20) == 0
    assert not program.sounding()
    assert termios.tcgetattr(program.line) == program.modes


def test_nothing_is_caught_up(program: SuspendedProcess) -> None:
    """What would have been played while it was stopped is left out: no burst follows."""
    program.process.send_signal(signal.SIGTSTP)
    until(program.stopped, "a stop", 5)
    time.sleep(2.0)
    before = len(program.sent())
    program.process.send_signal(signal.SIGCONT)
    time.sleep(0.3)
    assert len([data for data in program.sent()[before:] if data[0] & 0xF0 == 0x90]) <= 3


def test_the_guard_is_not_stopped() -> None:
    """The guard's process ignores SIGTSTP: it ends the notes of a player that dies while it is stopped."""
    guard = subprocess.Popen(
        [sys.executable, "-m", "livebach.midi.guard_process", "synth", "synth"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert guard.stdin is not None
    assert guard.stderr is not None
    until(lambda: _ignores(guard.pid, signal.SIGTSTP), "a guard that is ready", 20)
    os.kill(guard.pid, signal.SIGTSTP)
    guard.stdin.write(b"\x90\x3c\x40")
    guard.stdin.close()
    assert guard.wait(20) == 1
    assert b"synth" in guard.stderr.read()
    guard.stderr.close()


def _ignores(pid: int, number: signal.Signals) -> bool:
    """Whether a process ignores a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(ignored >> (number - 1) & 1)
