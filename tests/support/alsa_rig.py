"""Keyboards, synths and cables on ALSA, for tests in the virtual machine, which is slow. So waits are long."""

from __future__ import annotations

import array
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.support import waiting

CARD = Path("/sys/bus/platform/drivers/snd_virmidi")
SOUNDFONTS = [Path("/usr/share/sounds/sf2") / name for name in ("TimGM6mb.sf2", "default-GM.sf2", "FluidR3_GM.sf2")]
KEYBOARD = """
import itertools, sys, time
try:
    import rtmidi
    port = rtmidi.MidiOut(rtmidi.API_LINUX_ALSA, name=sys.argv[1])
except ImportError:  # Python 3.13 and newer
    import rtmidi2
    port = rtmidi2.MidiOut(sys.argv[1], rtmidi2.API_LINUX_ALSA)
port.open_virtual_port("MIDI 1")
print("ready", flush=True)
for line in sys.stdin:
    pause_s, *messages = line.split()
    endless = float(pause_s) >= 0
    for data in itertools.cycle(messages) if endless else messages:
        for _ in range(1000):  # ALSA's buffers may be full
            try:
                port.send_message(list(bytes.fromhex(data)))
                break
            except Exception:
                time.sleep(0.001)
        time.sleep(float(pause_s) if endless else 0)
"""


# All of it is slow in the virtual machine: there is more to wait for, and less often.
until = partial(waiting.until, limit_s=180.0, pause_s=0.02)
watched = partial(waiting.watched, period_s=0.2)


class Keyboard:
    """A program with an output port, which can be unplugged by ending it."""

    def __init__(self, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", KEYBOARD, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def play(self, *messages: bytes) -> None:
        """Play messages."""
        self._write(-1, messages)

    def hammer(self, pause_s: float) -> None:
        """Strike keys without end, with a pause after each."""
        self._write(pause_s, [bytes((0x90, key, 64)) for key in range(100)])

    def _write(self, pause_s: float, messages: Sequence[bytes]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{pause_s:g} {' '.join(data.hex() for data in messages)}\n")
        self._process.stdin.flush()

    def unplug(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Raw:
    """A raw MIDI device: bytes as on a cable. Bytes that are written come in at the port of its name."""

    def __init__(self, number: int) -> None:
        self.port = f"VirMIDI 0-{number}"
        self._device = os.open(f"/dev/snd/midiC0D{number}", os.O_RDWR | os.O_NONBLOCK)
        self.heard = b""
        self.read()  # it listens only from the first reading on

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Write bytes as fast as they are taken."""
        end_s = time.perf_counter() + 30
        while data:
            try:
                data = data[os.write(self._device, data) :]
            except BlockingIOError:
                time.sleep(0.005)
            if time.perf_counter() > end_s:
                pytest.fail(f"{len(data)} bytes were not taken")

    def read(self) -> bytes:
        """Return all bytes that have come out so far."""
        with suppress(OSError):  # nothing there, or unplugged
            while data := os.read(self._device, 4096):
                self.heard += data
        return self.heard

    def close(self) -> None:
        """Close it."""
        os.close(self._device)


class FluidSynth:
    """FluidSynth on ALSA, with its sound in a file of 16-bit samples."""

    def __init__(self, sound: Path) -> None:
        self.sound = sound
        settings = {"audio.file.name": sound, "audio.file.type": "raw", "audio.file.format": "s16"}
        settings |= {"synth.dynamic-sample-loading": 1, "synth.reverb.active": 0, "synth.chorus.active": 0}
        command = ["fluidsynth", "-q", "-m", "alsa_seq", "-a", "file", "-r", "22050", "-g", "2"]
        for name, value in settings.items():
            command += ["-o", f"{name}={value}"]
        soundfont = next(path for path in SOUNDFONTS if path.exists())
        self._process = subprocess.Popen(
            [*command, str(soundfont)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def loudest(self) -> float:
        """Return the largest root mean square of any tenth of a second, 0 to 1."""
        if not self.sound.exists():  # it has not begun to write
            return 0.0
        samples = array.array("h", self.sound.read_bytes()[: self.sound.stat().st_size // 2 * 2])
        windows = [samples[at : at + 4410] for at in range(0, len(samples) - 4410, 4410)]
        return max((math.sqrt(sum(s * s for s in w) / len(w)) / 32768 for w in windows), default=0.0)

    def unplug(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def plug_card(plugged: bool) -> None:
    """Unplug the virtual sound card, or plug it in again."""
    (CARD / ("bind" if plugged else "unbind")).write_text("snd_virmidi.0")
