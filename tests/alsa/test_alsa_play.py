"""The main job on ALSA: raw bytes from a cable in, livebach between, raw bytes out. What happens, not how fast."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from livebach.midi.ports import InputPort, OutputPort
from livebach.music.events import NoteOff, NoteOn
from livebach.network.checkpoint import save
from tests.support.alsa_rig import Raw, until
from tests.support.noise import both, cut
from tests.support.small_checkpoint import plain
from tests.support.waiting import Heard

BPM = 24
"""Slow, as the emulated machine is."""
BEAT_S = 60 / BPM
READY = "Play, and pause"
START_S = 240.0
BYTES = int(os.environ.get("LIVEBACH_FUZZ_BYTES", "20000"))
"""How many are tried: a million takes half an hour in the virtual machine."""


class Livebach:
    """`livebach` as a process, between two raw devices, and what it prints."""

    def __init__(self, folder: Path, source: str = "VirMIDI 0-0", sink: str = "VirMIDI 0-1") -> None:
        self.log, network = folder / "printed.txt", folder / "plain.safetensors"
        save(network, plain())  # an emulated machine is too slow for the shipped network
        command = [sys.executable, "-m", "livebach", "--in", source, "--out", sink, "--checkpoint", str(network)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--bpm", str(BPM), "--seed", "1"],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ready(self) -> bool:
        """Whether it listens; fails where it has ended instead."""
        if self.process.poll() is not None:
            pytest.fail(self.log.read_text())
        return READY in self.log.read_text()


@pytest.fixture
def cables() -> Iterator[tuple[Raw, Raw]]:
    """A cable from the keyboard, and one to the synth."""
    with Raw(0) as source, Raw(1) as sink:
        yield source, sink


@pytest.fixture
def livebach(tmp_path: Path, cables: tuple[Raw, Raw]) -> Iterator[Livebach]:
    """The program between the cables, ready to listen."""
    yield from running(Livebach(tmp_path))


@pytest.fixture
def through(tmp_path: Path) -> Iterator[Livebach]:
    """The program with Midi Through at either side: what it sends there, it hears."""
    yield from running(Livebach(tmp_path, "Midi Through", "Midi Through"))


def running(program: Livebach) -> Iterator[Livebach]:
    """A program that has started, until it is not needed any more."""
    try:
        until(program.ready, "ready", limit_s=START_S)
        yield program
    finally:
        if program.process.poll() is None:
            program.process.kill()
        program.process.wait()


def messages(data: bytes) -> list[bytes]:
    """Note-ons and note-offs of a raw stream, running status undone."""
    found: list[bytes] = []
    status, rest = 0, b""
    for byte in data:
        if byte & 0x80:
            status, rest = byte, b""
        else:
            rest += bytes((byte,))
        if len(rest) == 2:
            found.append(bytes((status,)) + rest)
            rest = b""
    return found


def sounding(data: bytes) -> set[tuple[int, int]]:
    """The (channel, key) pairs of a raw stream that have not ended."""
    down: set[tuple[int, int]] = set()
    for status, key, velocity in messages(data):
        if status & 0xF0 == 0x90 and velocity:
            down.add((status & 0x0F, key))
        elif status & 0xE0 == 0x80:
            down.discard((status & 0x0F, key))
    return down


def own(data: bytes) -> list[bytes]:
    """Its own note-ons: channel 2."""
    return [message for message in messages(data) if message[0] == 0x91 and message[2]]


def phrase(source: Raw) -> None:
    """Play four notes of a chord, one after another."""
    for key in (0x3C, 0x40, 0x43, 0x48):
        source.write(bytes((0x90, key, 0x50)))
        time.sleep(BEAT_S / 4)
        source.write(bytes((0x80, key, 0x00)))


def test_it_goes_on_yields_and_ends(livebach: Livebach, cables: tuple[Raw, Raw]) -> None:
    """It goes on after the silence; a key ends its notes; after SIGTERM nothing sounds, and the take is kept."""
    source, sink = cables
    phrase(source)
    assert not own(sink.read())
    until(lambda: len(own(sink.read())) >= 4, "notes of its own")
    source.write(b"\x90\x3c\x50")
    until(lambda: b"\x3c\x50" in sink.read()[-40:], "the player's note")
    until(lambda: sounding(sink.read()) == {(0, 0x3C)}, "the player alone")
    source.write(b"\x80\x3c\x00")
    until(lambda: not sounding(sink.read()), "silence")
    livebach.process.send_signal(signal.SIGTERM)
    livebach.process.wait(60)
    assert not sounding(sink.read())
    assert "The take is in" in livebach.log.read_text()


def test_noise_on_the_cable(livebach: Livebach, cables: tuple[Raw, Raw]) -> None:
    """Random bytes and damaged messages down a cable: it lives, plays a note on afterwards, and ends in silence."""
    source, sink = cables
    for number, data in enumerate(cut(both(random.Random(1)), BYTES)):
        source.write(data)
        if number % 64 == 0:
            sink.read()
    source.write(b"\xf7" + b"".join(bytes((0xB0 | channel, 123, 0)) for channel in range(16)))

    def passed_on() -> bool:
        source.write(b"\x9f\x01\x02\x8f\x01\x00")
        return b"\x9f\x01\x02" in sink.read()[-200:]

    until(passed_on, "a note of the player's")
    livebach.process.send_signal(signal.SIGTERM)
    until(lambda: (sink.read(), livebach.process.poll() is not None)[1], "an end")
    assert livebach.process.returncode == 0, livebach.log.read_text()[-2000:]
    until(lambda: not sounding(sink.read()), "silence")


def test_killed_in_the_middle_of_a_note(livebach: Livebach, cables: tuple[Raw, Raw]) -> None:
    """SIGKILL while the player's key is down: the guard ends it."""
    source, sink = cables
    source.write(b"\x90\x3c\x50")
    until(lambda: sounding(sink.read()), "a note")
    livebach.process.kill()
    until(lambda: not sounding(sink.read()), "silence")
    until(lambda: b"\x7b\x00" in sink.read(), "all notes off")


def test_what_comes_back_through_midi_through(through: Livebach) -> None:
    """All it sends it hears: that is told, the player's notes do not go round for ever, and in the end all is silent.

    That it plays on over them is tested on JACK: here what comes back may take too long to be told from a player.
    """
    heard = Heard()
    with (
        closing(OutputPort.open("Midi Through", "alsa")) as keyboard,
        closing(InputPort.open("Midi Through", "alsa", heard)),
    ):
        for key in (60, 64, 67, 72):
            keyboard.send(NoteOn(key, 80))
            time.sleep(BEAT_S / 4)
            keyboard.send(NoteOff(key))
        until(lambda: "comes back in" in through.log.read_text(), "a word about it")
        until(lambda: unchanged_for_a_beat(heard), "an end of the player's notes")
        through.process.send_signal(signal.SIGTERM)
        until(lambda: through.process.poll() is not None, "an end")
        until(lambda: not sounding(b"".join(heard.data)), "silence")
    assert through.process.returncode == 0


def unchanged_for_a_beat(heard: Heard) -> bool:
    """Whether none of the player's notes, those on channel 1, begins or ends."""
    before = [data for data in heard.data if data[0] in (0x80, 0x90)]
    time.sleep(BEAT_S)
    return before == [data for data in heard.data if data[0] in (0x80, 0x90)]
