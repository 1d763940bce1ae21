"""livebach as a process between a player and a listener on JACK, and what its process tree takes."""

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
    """The program in a terminal of its own, so that the display runs too."""

    def __init__(self, folder: Path, *settings: str) -> None:
        command = [sys.executable, "-m", "livebach", "--in", KEYBOARD, "--out", WIRE, "--api", "jack", *settings]
        environment = {**os.environ, "PYTHONPATH": str(TOP), "TERM": "xterm"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as with anybody, it is compiled once, not at every start
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
        """Whether it runs no more."""
        return self.process.poll() is not None

    def close(self) -> None:
        """End it as Ctrl-C does, and wait."""
        if not self.ended:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)

    def tree(self) -> list[int]:
        """Its process and all below it."""
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
        """Resident memory of all its processes, in MB.

        `rss`: as each counts it; `player`: of that, the process that plays. `pss`: a page that several processes share
        is parted among them. All without the server's memory, which JACK maps into every client: `jack` is that, as
        each client counts it.
        """
        each = [_memory_kb(pid) for pid in self.tree()]
        sums = {"rss": ("RssAnon", "RssFile"), "pss": ("Pss_Anon", "Pss_File"), "jack": ("RssShmem",)}
        found = {name: sum(kb[part] for kb in each for part in parts) for name, parts in sums.items()}
        found["player"] = sum(each[0][part] for part in sums["rss"])
        return {name: round(kb / 1024, 2) for name, kb in found.items()}

    def share(self, seconds: float) -> float:
        """What its processes together take of one core, over some seconds."""
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
    """What Linux says of a process's memory."""
    lines = [
        line for file in ("status", "smaps_rollup") for line in Path(f"/proc/{pid}/{file}").read_text().splitlines()
    ]
    parts = (line.partition(":") for line in lines)
    return {name: int(rest.split()[0]) for name, _, rest in parts if rest.endswith(" kB")}


def _as_urgent_as_we_are(pid: int) -> None:
    """A session of its own is a group of its own to Linux's scheduler: give it the nice value of ours."""
    with contextlib.suppress(OSError):
        nice = Path("/proc/self/autogroup").read_text().rpartition(" ")[2]
        Path(f"/proc/{pid}/autogroup").write_text(nice)


PING = bytes((0xBF, 3, 0))
"""A controller without a meaning."""
TRIES = 8


class Rig:
    """A JACK server with a keyboard and a listener."""

    def __init__(self, jack: Jack, folder: Path, settings: Sequence[str]) -> None:
        self.jack, self.folder, self.settings = jack, folder, settings
        self.keyboard: Player = jack.player(KEYBOARD)
        self.wire: Listener = jack.listener(WIRE)

    def passes(self, listener: Listener | None = None) -> bool:
        """Whether what the keyboard sends arrives at the listener, whatever is between them."""
        listener = listener or self.wire
        before = len(listener.heard())
        for _ in range(10):
            self.keyboard.send(PING)
            time.sleep(0.1)
        return len(listener.heard()) > before

    def whole(self) -> bool:
        """Whether the server serves both: on a busy machine JACK now and then never wakes a new client."""
        self.jack.connect(self.keyboard.port, self.wire.port)
        passes = self.passes()
        self.jack.disconnect(self.keyboard.port, self.wire.port)
        return passes

    @contextlib.contextmanager
    def livebach(self, *settings: str) -> Iterator[Livebach]:
        """The program, connected to both, and served by JACK."""
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
    """Everything started, and ended afterwards; `period` in frames of 1/48 ms."""
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
