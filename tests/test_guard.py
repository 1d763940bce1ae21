"""The guard process: its record of sounding notes, and its messages after the player's death."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.midi.active_notes import ActiveNotes
from livebach.midi.guard import Guard
from livebach.midi.guard_process import GuardState
from livebach.midi.loopback import FakePort
from livebach.music.events import ControlChange, NoteOff, NoteOn

pytestmark = pytest.mark.clock

GOODBYE = b"\x00\x00\x00"


@pytest.fixture
def port() -> FakePort:
    """An output inside the process: its guard has nothing to silence."""
    return FakePort("synth")


@pytest.fixture
def guard(port: FakePort) -> Iterator[Guard]:
    """A real guard process."""
    guard = Guard(port)
    yield guard
    guard.close()


def test_it_ends_what_sounds_then_all_notes() -> None:
    """Each note, each pedal, then all notes off on the channels that were used."""
    state = GuardState()
    state.update(b"\x91\x3c\x40\xb0\x40\x7f\x92\x3d\x40\x82\x3d\x00")
    assert state.endings() == [
        b"\x81\x3c\x00",
        b"\xb0\x40\x00",
        b"\xb0\x7b\x00",
        b"\xb1\x7b\x00",
        b"\xb2\x7b\x00",
    ]


def test_after_a_goodbye_it_says_nothing() -> None:
    """A player that ended by itself has left silence."""
    state = GuardState()
    state.update(b"\x91\x3c\x40" + GOODBYE)
    assert state.endings() == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 15), st.integers(0, 127)), max_size=50), st.integers(1, 7))
def test_any_pieces_are_put_together(sent: list[tuple[bool, int, int]], size: int) -> None:
    """However the pipe cuts the messages, nothing is left sounding."""
    data = b"".join(bytes((0x90 if on else 0x80 | channel, key, 1)) for on, channel, key in sent)
    state, heard = GuardState(), ActiveNotes()
    for start in range(0, len(data), size):
        state.update(data[start : start + size])
    for start in range(0, len(data), 3):
        heard.update(data[start : start + 3])
    for data in state.endings():
        heard.update(data)
    assert not heard


def test_a_normal_end(port: FakePort, guard: Guard) -> None:
    """Closed, the process is gone, and closing again does nothing."""
    port.send(NoteOn(60))
    port.close()
    guard.close()
    guard.close()
    assert guard.check() is None
    with pytest.raises(ProcessLookupError):
        os.kill(guard.pid, 0)


def test_another_one_takes_over(port: FakePort, guard: Guard) -> None:
    """A guard that died is replaced, and told what sounds."""
    port.send(NoteOn(60))
    first = guard.pid
    os.kill(first, 9)
    while guard.check() is None:
        time.sleep(0.01)
    assert guard.pid != first
    assert guard.check() is None


def test_feeding_a_dead_one_does_no_harm(port: FakePort, guard: Guard) -> None:
    """The music goes on without a guard."""
    os.kill(guard.pid, 9)
    guard._process.wait()
    for key in range(100):
        port.send(NoteOn(key))
        port.send(NoteOff(key))
    assert len(port.sent) == 200


def test_feeding_a_stopped_one_never_waits(port: FakePort, guard: Guard) -> None:
    """A pipe that is full loses what does not fit."""
    os.kill(guard.pid, 19)
    try:
        for _ in range(40_000):
            guard.feed(b"\x90\x3c\x40")
    finally:
        os.kill(guard.pid, 18)


def test_only_what_sounds_is_fed(port: FakePort, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bends, programs and pressure are no business of the guard's."""
    fed: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda _pipe, data: fed.append(data))
    for data in (b"\xe0\x00\x40", b"\xc0\x05", b"\xd0\x05", b"\xa0\x3c\x40", b"\xf8"):
        port.send_bytes(data)
    port.send(ControlChange(64, 127))
    monkeypatch.undo()
    assert fed == [b"\xb0\x40\x7f"]


def test_its_process_loads_next_to_nothing() -> None:
    """It is there all the time: of livebach it has what it learns with, and of Python nothing large."""
    code = "import sys; old = set(sys.modules); import livebach.midi.guard_process; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("livebach.")} == {
        "livebach.midi",
        "livebach.midi.active_notes",
        "livebach.midi.guard_process",
        "livebach.system",
        "livebach.system.ignored_signals",
        "livebach.version",
    }
    assert not {"numpy", "typing", "dataclasses", "pathlib", "subprocess", "ctypes"} & loaded


def test_without_a_port_to_reach_it_says_so() -> None:
    """Where the output cannot be had any more, one line is left behind."""
    done = subprocess.run(
        [sys.executable, "-m", "livebach.midi.guard_process", "synth", "synth"],
        input=b"\x90\x3c\x40",
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1
    assert "synth" in done.stderr.decode()
