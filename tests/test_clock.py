"""The clock, and the requests to the operating system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from livebach.midi import jack_server
from livebach.system import clock, realtime
from livebach.system.clock import Clock, ManualClock
from livebach.system.realtime import make_timely

pytestmark = pytest.mark.clock


def test_it_wakes_after_the_deadline_and_not_before() -> None:
    """A deadline is never cut short; one that is past is no wait."""
    real = Clock()
    deadline_s = real.now() + 0.003
    real.sleep_until(deadline_s)
    assert real.now() >= deadline_s
    real.sleep_until(real.now() - 10)


def test_most_of_the_wait_is_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last half millisecond is spent awake."""
    slept: list[float] = []
    monkeypatch.setattr(clock, "sleep", slept.append)
    real = Clock()
    real.sleep_until(real.now() + 0.0025)
    assert len(slept) == 1
    assert 0.001 < slept[0] < 0.0021


def test_the_manual_clock_moves_when_it_is_told() -> None:
    """Sleeping on it is being there; it never goes back."""
    manual = ManualClock(2.0)
    manual.sleep_until(3.0)
    manual.sleep_until(1.0)
    manual.advance(0.5)
    assert manual.now() == 3.5


@pytest.mark.parametrize(
    ("real_time", "memory", "sentence"),
    [
        (True, True, "The system grants real-time priority and locked memory."),
        (True, False, "The system grants real-time priority, but not locked memory."),
        (False, True, "The system grants locked memory, but not real-time priority."),
        (
            False,
            False,
            "The system grants neither real-time priority nor locked memory: notes may be late when it is busy.",
        ),
    ],
)
def test_what_was_granted_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, real_time: bool, memory: bool, sentence: str
) -> None:
    """The start banner says what the system permits."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    monkeypatch.setattr(realtime, "make_prompt", lambda: real_time)
    monkeypatch.setattr(realtime, "_lock_memory", lambda: memory)
    assert str(make_timely()) == sentence


def test_other_systems_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such thing, that is said."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    assert "not asked for" in str(make_timely())


def test_memory_is_not_locked_below_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a limit, allocation itself would fail: then it is not even tried."""
    monkeypatch.setattr(realtime, "_may_lock_all", lambda: False)
    monkeypatch.setattr(realtime.ctypes, "CDLL", None)
    assert not realtime._lock_memory()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
def test_without_proc_less_is_asked_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a chroot without /proc: memory stays unlocked, helpers stay ordinary, and JACK is not looked at."""
    import resource

    def missing(path: Path, **_: str) -> str:
        raise FileNotFoundError(str(path))

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (0, 0))
    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(Path, "iterdir", missing)
    monkeypatch.setattr(realtime, "_policy", lambda _thread: os.SCHED_FIFO)
    assert not realtime._may_lock_all()
    realtime.lift_helpers()
    assert jack_server.load() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
def test_what_is_asked_of_linux_is_borne() -> None:
    """In a process of its own: granted or not, there is a sentence, memory can be had, and threads run."""
    code = "import threading; from livebach.system.realtime import make_timely, freeze;"
    code += "print(make_timely()); freeze(); x = bytes(10**8);"
    code += "t = threading.Thread(target=print, args=('ran',)); t.start(); t.join()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The system grants")
    assert done.stdout.endswith("ran\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
def test_helpers_are_lifted_with_the_caller_and_not_above_it() -> None:
    """Where real-time priority is granted, other threads get some too, less of it; where it is not, none do."""
    code = (
        "import os, threading; from livebach.system import realtime; hold = threading.Event();"
        "t = threading.Thread(target=hold.wait, daemon=True); t.start(); granted = realtime._real_time();"
        "realtime.lift_helpers(); me, it = (os.sched_getparam(n).sched_priority for n in (0, t.native_id));"
        "new = threading.Thread(target=hold.wait, daemon=True); new.start();"
        "late = os.sched_getparam(new.native_id).sched_priority;"
        "assert (me > it > late == 0) if granted else (me == it == late == 0), (granted, me, it, late)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
