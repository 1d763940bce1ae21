"""What runs at start gets the answers of other systems: what they lack, and the errors that they raise.

A stand-in for those systems, not one of them: it shows that nothing is asked for that is not there.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from livebach.files import data_path

# What Windows and macOS lack is taken away after the standard library has been loaded, before livebach is.
STAND_IN = """
import asyncio, ctypes, ctypes.util, multiprocessing, os, platform, select, shutil, signal, socket, subprocess, sys
import tempfile, threading, urllib.request, uuid, webbrowser
import websockets.sync.client
import numpy, mido, yaml, rich.progress
from importlib.abc import MetaPathFinder

system = sys.argv.pop(1)
sys.platform = system
webbrowser.WindowsDefault = webbrowser.MacOSXOSAScript = lambda *_: None  # classes of those systems alone

def lack(place, *names):
    for name in names:
        if hasattr(place, name): delattr(place, name)

class Lacking(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in MODULES: raise ImportError(f"No module named {name!r} on {system}")

lack(os, "sched_setscheduler", "sched_getscheduler", "sched_getaffinity", "sched_param", "SCHED_FIFO", "SCHED_OTHER")
if system == "win32":
    MODULES = {"resource", "termios", "tty", "fcntl", "pwd", "grp"}
    lack(os, "getuid", "geteuid", "nice", "getloadavg", "set_blocking", "tcgetpgrp", "getpgrp", "O_NONBLOCK", "fork")
    lack(os, "mkfifo", "killpg", "setsid", "getpgid", "uname")
    lack(signal, "SIGHUP", "SIGUSR1", "SIGTSTP", "SIGCONT", "SIGSTOP", "SIGKILL", "SIGALRM", "pthread_sigmask")
    def library(name, *_, **__):
        if name is None: raise TypeError("argument of type 'NoneType' is not iterable")
        raise OSError(name)
else:
    MODULES = set()
    class library:
        def __init__(self, name, *_, **__): pass
        def __getattr__(self, name): raise AttributeError(f"dlsym: symbol not found: {name}")
ctypes.CDLL = library
for name in MODULES: sys.modules.pop(name, None)
sys.meta_path.insert(0, Lacking())
"""

COMMANDS = {
    "demo": "cli.main(['demo', '--fast', '--quiet', '--bars', '1', '--folder', 'takes'])",
    "doctor": "doctor.WAKES = doctor.FRAMES = 5; cli.main(['doctor'])",
    "bench": "bench_process.run = None; cli.main(['bench', '--quick', '--hot-only'])",
    "ports": "cli.main(['ports']) * 0",
    "corpus": "cli.main(['corpus', 'report', '.']) * 0",
    "play": "play()",
}
PLAY = """
def play():
    from livebach.live import playing
    from livebach.midi import ports
    from livebach.testing import FakeBackend
    backend = FakeBackend(inputs=["keys"], outputs=["synth"])
    backend.needs_guard = False
    ports.open_backends = lambda api=None: [backend]
    run = playing.Daemon.run
    def soon(daemon):
        threading.Timer(1.0, daemon.end).start()
        run(daemon)
    playing.Daemon.run = soon
    return cli.main(["--in", "keys", "--out", "synth", "--save", "off"])
"""
RUN = """
from livebach import cli
from livebach.commands import bench_process, doctor
{play}
sys.exit({command})
"""


@pytest.mark.parametrize("system", ["win32", "darwin"])
@pytest.mark.parametrize("name", COMMANDS)
def test_it_starts_on_another_system(name: str, system: str, tmp_path: Path) -> None:
    """Each command that a player starts with does its work, or says in one line what is missing; no traceback."""
    if name == "bench" and system != "win32":
        pytest.skip("it takes half a minute, and what it asks for is what doctor asks for")
    if not data_path("checkpoints").exists():
        pytest.skip("no checkpoint to play")
    *before, last = COMMANDS[name].split("; ")
    code = STAND_IN + RUN.format(play=PLAY + "\n".join(before), command=last)
    done = subprocess.run(
        [sys.executable, "-c", code, system], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_a_guard_starts_on_another_system(system: str, tmp_path: Path) -> None:
    """The guard is fed and says goodbye where pipes cannot be told not to wait."""
    code = STAND_IN + (
        "from livebach.midi.guard import Guard; from livebach.midi.loopback import FakePort\n"
        "from livebach.music.events import NoteOn\n"
        "port = FakePort(); guard = Guard(port); port.send(NoteOn(60)); port.close(); guard.close(); print('ended')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, system], capture_output=True, text=True, timeout=60)
    assert done.stdout == "ended\n", done.stderr


def test_training_prepares_on_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """The allocator's options are left alone where the C library has none."""
    pytest.importorskip("torch")
    import ctypes

    from livebach.training import devices

    def none(_name: object) -> object:
        raise TypeError("argument of type 'NoneType' is not iterable")

    monkeypatch.setattr(ctypes, "CDLL", none)
    devices.reuse_freed_memory()
