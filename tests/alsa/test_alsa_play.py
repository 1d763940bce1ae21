"""The main job on ALSA: raw bytes from a cable in, livebach between, raw bytes out. What happens, not how fast."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alsarig import Raw, until

BEAT_S = 60 / 40
READY = "Play, and pause"


class Livebach:
    """`livebach` as a process, between two raw devices, and what it prints."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "printed.txt"
        command = [sys.executable, "-m", "livebach", "--in", "VirMIDI 0-0", "--out", "VirMIDI 0-1"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--bpm", "40", "--seed", "1"],
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
    """The program, ready to listen."""
    program = Livebach(tmp_path)
    try:
        until(program.ready, "ready")
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


def test_killed_in_the_middle_of_a_note(livebach: Livebach, cables: tuple[Raw, Raw]) -> None:
    """SIGKILL while the player's key is down: the guard ends it."""
    source, sink = cables
    source.write(b"\x90\x3c\x50")
    until(lambda: sounding(sink.read()), "a note")
    livebach.process.kill()
    until(lambda: not sounding(sink.read()), "silence")
    until(lambda: b"\x7b\x00" in sink.read(), "all notes off")
