"""Run livebach as a process between a player and a listener on JACK, and measure its process tree."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.jack_rig import PERIOD, Jack, Listener, Player, server_name
from tests.support.waiting import until

TOP = Path(__file__).parent.parent
KEYBOARD, WIRE = "keyboard", "wire"
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Livebach:
    """livebach in its own terminal, so that the display runs too."""

    def __init__(self, folder: Path, *settings: str) -> None:
        command = [sys.executable, "-m", "livebach", "--in", KEYBOARD, "--out", WIRE, "--api", "jack", *settings]
        environment = {**os.environ, "PYTHONPATH": str(TOP), "TERM": "xterm"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compile once, as for every user, not at each start
        self._terminal, theirs = pty.openpty()
        self.started_s = time.perf_counter()
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        _as_urgent_as_we_are(self.process.pid)
        self.printed = bytearray()
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._terminal, 65536):
                self.printed += data

    @property
    def ended(self) -> bool:
        """Whether livebach has ended."""
        return self.process.poll() is not None

    def close(self) -> None:
        """End livebach as Ctrl-C does, and wait."""
        if not self.ended:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)

    def tree(self) -> list[int]:
        """Return the ids of livebach's process and all its descendants."""
        parents = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                parents[int(path.parent.name)] = int(fields[1])
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def memory_mb(self) -> dict[str, float]:
        """Return the resident memory of all processes, in MB.

        `rss`: the sum over the processes; `player`: the part of the process that plays; `pss`: shared pages divided by
        the number of processes that share them. JACK maps the server's memory into every client. These figures exclude
        that memory; `jack` is its size, as each client counts it.
        """
        each = [_memory_kb(pid) for pid in self.tree()]
        sums = {"rss": ("RssAnon", "RssFile"), "pss": ("Pss_Anon", "Pss_File"), "jack": ("RssShmem",)}
        found = {name: sum(kb[part] for kb in each for part in parts) for name, parts in sums.items()}
        found["player"] = sum(each[0][part] for part in sums["rss"])
        return {name: round(kb / 1024, 2) for name, kb in found.items()}

    def share(self, seconds: float) -> float:
        """Return the share of one core that all processes together take during some seconds."""
        start_s, used = time.perf_counter(), self._used_s()
        time.sleep(seconds)
        return (self._used_s() - used) / (time.perf_counter() - start_s)

    def _used_s(self) -> float:
        used = 0
        for pid in self.tree():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
        return used / TICKS_A_SECOND


def _memory_kb(pid: int) -> dict[str, int]:
    """Return the memory of a process from /proc, in kB."""
    lines = [
        line for file in ("status", "smaps_rollup") for line in Path(f"/proc/{pid}/{file}").read_text().splitlines()
    ]
    parts = (line.partition(":") for line in lines)
    return {name: int(rest.split()[0]) for name, _, rest in parts if rest.endswith(" kB")}


def _as_urgent_as_we_are(pid: int) -> None:
    """Give the new session our nice value: for Linux's scheduler a session is a group."""
    with contextlib.suppress(OSError):
        nice = Path("/proc/self/autogroup").read_text().rpartition(" ")[2]
        Path(f"/proc/{pid}/autogroup").write_text(nice)


PING = bytes((0xBF, 3, 0))
"""A controller without a defined meaning."""
TRIES = 8


class Rig:
    """A JACK server with a keyboard and a listener."""

    def __init__(self, jack: Jack, folder: Path, settings: Sequence[str]) -> None:
        self.jack, self.folder, self.settings = jack, folder, settings
        self.keyboard: Player = jack.player(KEYBOARD)
        self.wire: Listener = jack.listener(WIRE)

    def passes(self, listener: Listener | None = None) -> bool:
        """Return whether the keyboard's messages arrive at the listener."""
        listener = listener or self.wire
        before = len(listener.heard())
        for _ in range(10):
            self.keyboard.send(PING)
            time.sleep(0.1)
        return len(listener.heard()) > before

    def whole(self) -> bool:
        """Return whether JACK serves both clients. On a busy machine JACK sometimes never wakes a new client."""
        self.jack.connect(self.keyboard.port, self.wire.port)
        passes = self.passes()
        self.jack.disconnect(self.keyboard.port, self.wire.port)
        return passes

    @contextlib.contextmanager
    def livebach(self, *settings: str) -> Iterator[Livebach]:
        """Run livebach, connected to keyboard and listener and served by JACK."""
        for _ in range(TRIES):
            with contextlib.closing(Livebach(self.folder, *self.settings, *settings)) as program:
                until(lambda: program.ended or b"Ctrl-C" in program.printed, "livebach in the terminal", 60)
                if program.ended:
                    raise SystemExit(program.printed.decode(errors="replace"))
                time.sleep(1)
                if self.passes():
                    yield program
                    return
        raise SystemExit("JACK does not serve livebach")


@contextlib.contextmanager
def rig(*settings: str, period: int = PERIOD) -> Iterator[Rig]:
    """Start a rig, and end it afterwards. `period` is in frames of 1/48 ms."""
    with tempfile.TemporaryDirectory() as folder, server_name() as name:
        os.environ |= {"JACK_DEFAULT_SERVER": name, "JACK_NO_START_SERVER": "1"}
        for _ in range(TRIES):
            with contextlib.closing(Jack(Path(folder), name, period)) as jack:
                jack.start()
                here = Rig(jack, Path(folder), settings)
                if here.whole():
                    yield here
                    return
        raise SystemExit("JACK does not serve its clients")
