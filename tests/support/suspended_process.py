"""`livebach play` on a terminal of its own, with ports inside the process: what it sends is written to a file."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path

PLAY = """
import sys, threading, time
from livebach import cli
from livebach.live import assembly, playing
from livebach.midi import ports
from livebach.music.events import NoteOff, NoteOn, to_bytes
from livebach.music.roll import HOLD, ONSET
from livebach.testing import FakeBackend, ScriptedEngine

log = open(sys.argv[1], "a", buffering=1)
class Told(list):
    def append(self, item): log.write(f"{time.monotonic():.6f} {item[1].hex()}\\n")
backend = FakeBackend(inputs=["keys"], outputs=["synth"])
backend.needs_guard, backend.sent = False, Told()
ports.open_backends = lambda api=None: [backend]
engine = ScriptedEngine([{72: ONSET}, *[{72: HOLD}] * 63])
assembly.load_network = lambda name, fast=False: assembly.Loaded(engine, name, "00")
assembly.with_touch = lambda network, *_: network

def hands():
    while "keys" not in backend.connections: time.sleep(0.01)
    time.sleep(0.5)
    while True:
        for event in (NoteOn(60), NoteOff(60), NoteOn(15)):  # a low key that stays down
            backend.connections["keys"].send(to_bytes(event)); time.sleep(0.05)
        time.sleep(1.5)
        backend.connections["keys"].send(to_bytes(NoteOff(15)))
threading.Thread(target=hands, daemon=True).start()
sys.exit(cli.main(["--in", "keys", "--out", "synth", "--bpm", "200", "--save", "off"]))
"""


class SuspendedProcess:
    """A program that is the foreground of a terminal, as from a shell."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "sent"
        self.log.touch()
        self.printed = b""
        self.terminal, line = pty.openpty()
        self.modes = termios.tcgetattr(line)

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, "-c", PLAY, str(self.log)],
            stdin=line,
            stdout=line,
            stderr=line,
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "PYTHONPATH": str(Path(__file__).parents[2])},
            preexec_fn=take_terminal,  # noqa: PLW1509 - nothing else runs in this process yet
        )
        self.line = line
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):
            while data := os.read(self.terminal, 65536):
                self.printed += data

    def sent(self) -> list[bytes]:
        """Every message that was sent so far."""
        return [bytes.fromhex(line.split()[1]) for line in self.log.read_text().splitlines() if " " in line]

    def sounding(self) -> set[tuple[int, int]]:
        """The (channel, key) pairs that sound."""
        on: set[tuple[int, int]] = set()
        for data in self.sent():
            if data[0] & 0xF0 == 0x90 and data[2]:
                on.add((data[0] & 0x0F, data[1]))
            elif data[0] & 0xE0 == 0x80:
                on.discard((data[0] & 0x0F, data[1]))
        return on

    def stopped(self) -> bool:
        """Whether the process is stopped."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1][0] == "T"

    def press(self, keys: str) -> None:
        """Type on the terminal."""
        os.write(self.terminal, keys.encode())

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        os.close(self.line)  # the reader ends by it, before the number of its file is another file's
        self._reader.join()
        os.close(self.terminal)
