"""Ports on a real ALSA sequencer: names that change, virtual ports, hot-plug, raw bytes, a killed player."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from livebach.midi.active_notes import is_channel_message
from livebach.midi.backends import BACKENDS
from livebach.midi.port_list import listing
from livebach.midi.ports import InputPort, OutputPort, PortError, Thru, list_inputs, list_outputs
from livebach.music.events import NoteOn
from tests.support.alsa_rig import FluidSynth, Keyboard, Raw, plug_card, until, watched
from tests.support.waiting import Heard

MESSAGES = [b"\x93\x3c\x40", b"\x93\x3e\x41", b"\x93\x3c\x00", b"\xb3\x40\x7f"]
OPENINGS = int(os.environ.get("LIVEBACH_ALSA_OPENINGS", "8"))
"""How often an input is opened while notes pour in; some hundreds take minutes in the virtual machine."""
CLOSING_S = 0.03
NUMBERED = re.compile(r" \d+:\d+$")
IN_A_PROCESS = ("test_a_killed_player_leaves_silence", "test_panic")


@pytest.fixture(params=["rtmidi", "rtmidi2"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the two MIDI libraries in turn, where it is installed."""
    pytest.importorskip(request.param)
    if request.param == "rtmidi2" and request.node.originalname in IN_A_PROCESS and find_spec("rtmidi"):
        pytest.skip("the process of this test takes the first library that is installed")
    rows = [row for row in BACKENDS if row.requires in ("", request.param)]
    monkeypatch.setattr("livebach.midi.backends.BACKENDS", rows)
    return str(request.param)


def test_the_ports_are_listed() -> None:
    """ALSA is what is asked first; our own ends of connections are no ports for anyone."""
    before = listing()
    with closing(InputPort.open("VirMIDI 0-0", None, Heard())), closing(OutputPort.open("VirMIDI 0-1")) as output:
        assert output.name == "Virtual Raw MIDI 0-1:VirMIDI 0-1 17:0"
        assert listing() == before
    assert all(NUMBERED.search(name) for name in list_inputs("alsa"))


def test_two_matches_are_told() -> None:
    """Four clients fit: all of them are named, and each can be meant by more of its name or by its number."""
    with pytest.raises(PortError, match=r"may be '.*0-0 16:0' or '.*0-1 17:0' or '.*18:0' or '.*19:0'; give more"):
        OutputPort.open("virmidi", "alsa")
    with closing(OutputPort.open("18:0", "alsa")) as output:
        assert "VirMIDI 0-2" in output.name


def test_virtual_ports() -> None:
    """A port of ours can be connected by others; a port of theirs is heard."""
    heard = Heard()
    with closing(InputPort.open("virtual", "alsa", heard)):
        with closing(OutputPort.open("livebach in", "alsa")) as output:
            assert any("livebach in" in name for name in list_outputs("alsa"))
            output.send(NoteOn(60))
        until(lambda: len(heard) == 2, "a note and its end")
    until(lambda: not any("livebach" in name for name in list_outputs("alsa")), "no port of ours")
    assert heard.data == [b"\x90\x3c\x40", b"\x80\x3c\x00"]
    with (
        closing(OutputPort.open("virtual", "alsa")) as output,
        closing(InputPort.open("livebach out", "alsa", heard)),
    ):
        output.send(NoteOn(61))
        until(lambda: len(heard) == 3, "a note")


def test_raw_bytes_become_messages() -> None:
    """Running status, real-time bytes in between, velocity 0: messages come whole, and go on as they came."""
    heard = Heard()
    with Raw(0) as source, Raw(1) as sink:
        with closing(Thru(OutputPort.open(sink.port, "alsa"))) as thru:

            def received(data: bytes, time_s: float) -> None:
                thru(data)
                heard(data, time_s)

            with closing(InputPort.open(source.port, "alsa", received)):
                source.write(b"\x93\x3c\x40\x3e\xf8\x41\x3c\x00\xfe\xf0\x01\x02\xf7\xb3\x40\x7f")
                until(lambda: len(heard) == 5, "five messages")
        until(lambda: sink.read().endswith(b"\x40\x00"), "the pedal up")
        assert sink.heard == b"\x93\x3c\x40\x3e\x41\x3c\x00\xb3\x40\x7f\x83\x3e\x00\xb3\x40\x00"
    assert [data for data in heard.data if data != b"\xf8"] == MESSAGES
    assert b"\xf8" in heard.data


def test_noise_is_borne() -> None:
    """Random bytes on the cable: whole messages or nothing come of them, and after closing nothing sounds."""
    heard = Heard()
    with Raw(0) as source, Raw(1) as sink:
        output = OutputPort.open(sink.port, "alsa")
        with closing(Thru(output)) as thru:

            def received(data: bytes, time_s: float) -> None:
                thru(data)
                heard(data, time_s)

            with closing(InputPort.open(source.port, "alsa", received)):
                for seed in range(60):
                    source.write(random.Random(seed).randbytes(100) + b"\xf7")
                    sink.read()
                    time.sleep(0.02)  # the machine is slow: a flood is another test

                def last() -> bool:
                    source.write(b"\x90\x01\x02")
                    return heard.data[-1:] == [b"\x90\x01\x02"]

                until(last, "the last message")
        assert not output.sounding
    assert all(is_channel_message(data) or data[0] >= 0xF1 for data in heard.data)


@pytest.mark.parametrize("pause_s", [0, 0.001, CLOSING_S])
def test_opening_and_closing_while_notes_pour_in(pause_s: float) -> None:
    """An input opens and closes while it is played, without a crash or a wait for itself; then nothing is heard.

    The last pause is that after which a closing input no longer waits for a message.
    """
    keyboard = Keyboard("Hammered")
    keyboard.hammer(pause_s)
    for number in range(OPENINGS):
        heard = Heard()
        port = InputPort.open("hammered", "alsa", heard)
        if number % 4:  # else it closes as soon as it is open
            until(lambda heard=heard: len(heard) > 3, "notes")  # type: ignore[misc]
        port.close()
        count = len(heard)
        time.sleep(0.02)
        assert len(heard) == count
    keyboard.unplug()


def test_a_keyboard_unplugged_and_plugged_in_again() -> None:
    """Its keys come up; back under another number it is found by its name."""
    keyboard, heard = Keyboard("USB Piano"), Heard()
    port = InputPort.open("usb-piano", "alsa", heard)
    first = port.name
    with watched(port) as said:
        keyboard.play(b"\x90\x3c\x40")
        until(lambda: heard, "a note")
        keyboard.unplug()
        until(lambda: len(said) == 1, "a word about it")
        other = Keyboard("Another Thing")  # takes the number that has become free
        again = Keyboard("USB Piano")
        until(lambda: len(said) == 2, "a word about it")
        again.play(b"\x90\x3d\x40")
        until(lambda: len(heard) == 3, "a note")
        assert port.name != first
    assert heard.data == [b"\x90\x3c\x40", b"\x80\x3c\x00", b"\x90\x3d\x40"]
    other.unplug()
    again.unplug()


def test_a_whole_sound_card_unplugged() -> None:
    """The card of an output goes and comes back: what sounded is ended, and it plays on."""
    output = OutputPort.open("VirMIDI 0-2", "alsa")
    with ExitStack() as stack:  # a device that stays open would keep the card from being unplugged again
        with watched(output, output.twin()) as said:
            output.send(NoteOn(60))
            plug_card(False)
            until(lambda: said, "a word about it")
            output.send(NoteOn(61))
            plug_card(True)
            until(lambda: len(said) == 2, "a word about it")
            sink = stack.enter_context(Raw(2))
            output.send(NoteOn(62))
            until(lambda: b"\x3e\x40" in sink.read(), "a note")
        until(lambda: b"\x3e\x00" in sink.read(), "its end")


def test_fluidsynth_by_its_alsa_name(tmp_path: Path) -> None:
    """Called "FLUID Synth (PID)", it is found as FluidSynth, sounds, and is found again under another PID."""
    synth = FluidSynth(tmp_path / "one.raw")
    output = OutputPort.open("FluidSynth", "alsa", wait=True)
    with watched(output) as said:
        until(lambda: output.connected, "FluidSynth")
        first = output.name
        assert re.match(r"FLUID Synth \(\d+\):", first)
        output.send(NoteOn(60, 120))
        until(lambda: synth.loudest() > 0.01, "sound")
        synth.unplug()
        until(lambda: len(said) == 2, "a word about it")
        synth = FluidSynth(tmp_path / "two.raw")
        until(lambda: output.connected, "FluidSynth")
        assert output.name != first
        output.send(NoteOn(60, 120))
        until(lambda: synth.loudest() > 0.01, "sound")
    synth.unplug()


PLAYER = """
import time
from livebach.music.events import NoteOn
from livebach.midi.guard import Guard
from livebach.midi.ports import OutputPort
output = OutputPort.open("VirMIDI 0-3", "alsa")
guard = Guard(output)
output.send(NoteOn(60, 64, 1))
print("ready", flush=True)
time.sleep(600)
"""


def test_a_killed_player_leaves_silence() -> None:
    """After SIGKILL the guard ends the note, then all of them."""
    with Raw(3) as sink:
        player = subprocess.Popen([sys.executable, "-c", PLAYER], stdout=subprocess.PIPE)
        assert player.stdout is not None
        assert player.stdout.readline() == b"ready\n"
        until(lambda: sink.read() == b"\x91\x3c\x40", "a note")
        player.kill()
        player.wait()
        player.stdout.close()
        until(lambda: sink.read().endswith(b"\xb1\x7b\x00"), "all notes off")
        assert sink.heard == b"\x91\x3c\x40\x81\x3c\x00\xb1\x7b\x00"


def test_panic() -> None:
    """Every key of every channel is let go, and none of it is lost on the way."""
    with Raw(1) as sink:
        panicked = subprocess.Popen([sys.executable, "-c", f"from livebach.midi.ports import *; panic({sink.port!r})"])
        until(lambda: (sink.read(), panicked.poll() is not None)[1], "an end")
        until(lambda: sink.read().endswith(b"\x7f\x00"), "the last key")
        offs = [sink.heard.count(bytes((key, 0))) for key in range(1, 120)]
        assert min(offs) >= 16
