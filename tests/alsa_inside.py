"""Ports, a keyboard and the main job on a real ALSA sequencer. Run by `test_alsa.py`, where there is one.

Emulation is ten to thirty times slower than the machine it runs on: what happens is checked here, not how fast.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import rtmidi

from livebach.events import NoteOff, NoteOn
from livebach.ports import InputPort, OutputPort, PortError, list_inputs, list_outputs
from livebach.watcher import Watcher

TOP = Path(__file__).parent.parent
API = rtmidi.API_LINUX_ALSA
LONG_S = 60.0


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something to be so."""
    end_s = time.monotonic() + LONG_S
    while not condition():
        if time.monotonic() > end_s:
            pytest.fail(f"after {LONG_S:g} s: not {what}")
        time.sleep(0.05)


class Ear:
    """A synth's input port that keeps what it hears."""

    def __init__(self, client: str) -> None:
        self.heard: list[bytes] = []
        self.port = rtmidi.MidiIn(API, name=client)
        self.port.set_callback(lambda message, _data: self.heard.append(bytes(message[0])))
        self.port.open_virtual_port("in")

    def sounding(self) -> set[tuple[int, int]]:
        """The (channel, key) pairs whose last message was a note-on."""
        down: set[tuple[int, int]] = set()
        for data in self.heard:
            if data[0] & 0xF0 == 0x90 and data[2]:
                down.add((data[0] & 15, data[1]))
            elif data[0] & 0xE0 == 0x80:
                down.discard((data[0] & 15, data[1]))
        return down

    def close(self) -> None:
        """Switch it off."""
        self.port.cancel_callback()
        self.port.delete()


class Keyboard:
    """A keyboard's output port."""

    def __init__(self, client: str) -> None:
        self.port = rtmidi.MidiOut(API, name=client)
        self.port.open_virtual_port("out")

    def send(self, *data: int) -> None:
        """Send a message."""
        self.port.send_message(data)

    def close(self) -> None:
        """Unplug it."""
        self.port.delete()


@pytest.fixture
def ear() -> Iterator[Ear]:
    """A synth by FluidSynth's name on ALSA, with a process number in it."""
    with closing(Ear("FLUID Synth (4711)")) as ear:
        yield ear


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    """A keyboard."""
    with closing(Keyboard("USB Keyboard")) as keyboard:
        yield keyboard


def test_names_are_found_without_their_numbers(ear: Ear, keyboard: Keyboard) -> None:
    """A part of the name is enough, spaces and case do not count; a client with several ports is its first port."""
    assert any("USB Keyboard" in name for name in list_inputs("alsa"))
    assert any("FLUID Synth" in name for name in list_outputs("alsa"))
    with closing(OutputPort.open("FluidSynth", "alsa")) as port:
        port.send(NoteOn(60, 70))
        port.send(NoteOff(60))
        until(lambda: ear.heard == [bytes((0x90, 60, 70)), bytes((0x80, 60, 0))], "a note that arrives")
    with pytest.raises(PortError, match=r"VirMIDI|Midi Through|USB Keyboard"):
        InputPort.open("no such port", "alsa", lambda data, time_s: None)


def test_fluidsynth_by_its_name(tmp_path: Path) -> None:
    """The real one: its client's name has its process number in it, and «fluidsynth» finds it."""
    settings = ["-o", "audio.file.name=/dev/null", "-o", "synth.sample-rate=8000", "-o", "synth.polyphony=8"]
    soundfont = min(Path("/usr/share/sounds/sf2").glob("*.sf2"), key=lambda path: path.resolve().stat().st_size)
    command = ["fluidsynth", "-q", "-i", "-s", "-m", "alsa_seq", "-a", "file", *settings, str(soundfont)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: any(f"FLUID Synth ({process.pid})" in name for name in list_outputs("alsa")), "FluidSynth's port")
        with closing(OutputPort.open("fluidsynth", "alsa")) as port:
            assert f"FLUID Synth ({process.pid})" in port.name
            port.send(NoteOn(60, 70))
            assert port.connected
    finally:
        process.kill()
        process.wait()


def test_a_keyboard_that_is_unplugged_comes_back(ear: Ear) -> None:
    """Its client number is another one, its name is the same: it is connected again and goes on."""
    heard: list[bytes] = []
    said: list[str] = []
    keyboard = Keyboard("USB Keyboard")
    with closing(InputPort.open("usb keyboard", "alsa", lambda data, time_s: heard.append(data))) as port:
        watcher = Watcher([port], said.append, period_s=0.2)
        watcher.start()
        try:
            keyboard.send(0x90, 60, 64)
            until(lambda: heard == [bytes((0x90, 60, 64))], "a note that is heard")
            keyboard.close()
            until(lambda: not port.connected, "a port that is missed")
            other = Keyboard("Something in between")
            keyboard = Keyboard("USB Keyboard")
            until(lambda: port.connected, "a port that is back")
            keyboard.send(0x90, 62, 64)
            until(lambda: heard[-1] == bytes((0x90, 62, 64)), "a note after coming back")
            other.close()
        finally:
            watcher.close()
            keyboard.close()
    assert len(said) >= 2


def test_a_raw_device_is_heard() -> None:
    """Bytes with running status, velocity 0 and a split in the middle of a message, through the kernel's own parser."""
    heard: list[bytes] = []
    name = next(name for name in list_inputs("alsa") if "VirMIDI" in name)
    card = min(Path("/dev/snd").glob("midiC*D0"))
    with closing(InputPort.open(name, "alsa", lambda data, time_s: heard.append(data))):
        device = os.open(card, os.O_WRONLY)
        try:
            for part in (b"\x90\x3c\x40\x3e", b"\x41\x3c\x00", b"\xf8\x3e\x00"):
                os.write(device, part)
            notes = [(0x90, 60, 64), (0x90, 62, 65), 60, 62]
            until(lambda: len([d for d in heard if d[0] & 0xE0 == 0x80]) == len(notes), "four notes")
        finally:
            os.close(device)
    events = [data for data in heard if data[0] & 0xE0 == 0x80]
    assert [data[1] for data in events] == [60, 62, 60, 62]
    assert [data[0] & 0xF0 == 0x90 and data[2] > 0 for data in events] == [True, True, False, False]


def test_virtual_ports() -> None:
    """`virtual` opens a port of its own, which others see by its name and can be connected to."""
    heard: list[bytes] = []
    program = rtmidi.MidiOut(API, name="sequencer program")
    with closing(InputPort.open("virtual", "alsa", lambda data, time_s: heard.append(data))):
        names = program.get_ports()
        mine = [i for i, name in enumerate(names) if "livebach" in name.lower()]
        assert mine, names
        program.open_port(mine[0])
        program.send_message((0x90, 64, 50))
        until(lambda: heard == [bytes((0x90, 64, 50))], "a note at the virtual port")
        program.delete()


def test_it_plays_on(ear: Ear, keyboard: Keyboard, tmp_path: Path) -> None:
    """The main job: a few keys are played, then it goes on by itself; a signal ends it in silence; the take is kept."""
    command = [sys.executable, "-m", "livebach", "--in", "USB Keyboard", "--out", "FluidSynth", "--api", "alsa"]
    more = ["--bpm", "30", "--seed", "1", "--folder", "takes"]  # slow, as the machine is
    environment = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONUNBUFFERED": "1"}
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [*command, *more], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    try:
        until(lambda: b"Play, and pause" in (tmp_path / "log").read_bytes(), "ready")
        for key in (60, 64, 67, 72, 67, 64):
            keyboard.send(0x90, key, 70)
            time.sleep(0.4)
            keyboard.send(0x80, key, 0)
        until(lambda: len([d for d in ear.heard if d[0] == 0x91]) > 4, "music of its own")
        process.send_signal(signal.SIGTERM)
        process.wait(LONG_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        log.close()
    assert [data[1] for data in ear.heard if data[0] == 0x90 and data[2]] == [60, 64, 67, 72, 67, 64]
    until(lambda: not ear.sounding(), f"silence, but {ear.sounding()} sounds")
    (take,) = (tmp_path / "takes").iterdir()
    assert (take / "session.mid").stat().st_size > 100
