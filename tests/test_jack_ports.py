"""Ports on a real JACK server: messages arrive, sounding notes end, and lost ports return."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from livebach.midi.port_list import listing
from livebach.midi.ports import InputPort, OutputPort, PortError, Thru, list_inputs, list_outputs, panic
from livebach.music.events import ControlChange, NoteOff, NoteOn
from tests.support.jack_rig import LONG_PERIOD, Jack, Listener, Synth, levels
from tests.support.waiting import Heard, until, watched

pytestmark = [pytest.mark.jack, pytest.mark.parametrize("jack", [LONG_PERIOD], indirect=True)]


def test_the_ports_are_listed(jack: Jack) -> None:
    """Ports are told by direction, and our own ends of connections are no ports for anyone."""
    player, listener = jack.player(), jack.listener()
    with closing(OutputPort.open(listener.port, "jack")), closing(InputPort.open(player.port, "jack", Heard())):
        assert list_inputs("jack") == [player.port]
        assert list_outputs("jack") == [listener.port]
        assert player.port in listing("jack")
        assert "livebach" not in listing("jack")


def test_what_is_sent_arrives(jack: Jack) -> None:
    """Events go out as bytes, in their order."""
    listener = jack.listener()
    with closing(OutputPort.open("LISTENER", "jack")) as output:
        for event in (NoteOn(60, 64), ControlChange(64, 127, 3), NoteOff(60)):
            output.send(event)
        assert [data.hex() for _, data in listener.wait(3)] == ["903c40", "b3407f", "803c00"]


def test_what_is_played_is_heard(jack: Jack) -> None:
    """Each message reaches the callback with its time; clock comes through."""
    player, heard = jack.player(), Heard()
    with closing(InputPort.open("key board", "jack", heard)):
        sent_s = player.send(b"\x90\x3c\x40")
        player.send(b"\xf8")
        until(lambda: len(heard) >= 2, "two messages")
    assert heard.data == [b"\x90\x3c\x40", b"\xf8"]
    assert -0.001 < heard[0][1] - sent_s < 0.5


def test_a_closed_output_is_silent(jack: Jack) -> None:
    """Closing ends what sounds, also the pedal, and every one of the endings arrives."""
    listener = jack.listener()
    with closing(OutputPort.open(listener.port, "jack")) as output:
        for key in range(40, 90):
            output.send(NoteOn(key))
        output.send(ControlChange(64, 127))
    heard = listener.wait(102)
    assert len(heard) == 102
    assert not listener.sounding()
    assert heard[-1][1] == b"\xb0\x40\x00"


def test_closing_while_the_keyboard_is_hammered(jack: Jack) -> None:
    """An input closes under a flood of events, without waiting for itself for ever."""
    player = jack.player()
    for _ in range(3):
        heard = Heard()
        player.play([(i / 4000, bytes((0x90, i % 128, 1 + i % 100))) for i in range(2000)])
        port = InputPort.open(player.port, "jack", heard)
        until(lambda heard=heard: len(heard) > 100, "a flood")  # type: ignore[misc]
        began_s = time.perf_counter()
        port.close()
        assert time.perf_counter() - began_s < 2
        player.sent(2000)


def test_virtual_ports(jack: Jack) -> None:
    """Ports of our own can be connected by others, and are seen under our name."""
    player, listener, heard = jack.player(), jack.listener(), Heard()
    with closing(InputPort.open("virtual", "jack", heard)), closing(OutputPort.open("virtual", "jack")) as output:
        jack.connect(player.port, jack.port("livebach in"))
        jack.connect(jack.port("livebach out"), listener.port)
        player.send(b"\x90\x3c\x40")
        output.send(NoteOn(61))
        listener.wait(1)
        until(lambda: heard, "a note")
    assert heard.data == [b"\x90\x3c\x40"]
    assert not listener.sounding()


def test_thru_is_byte_for_byte_and_lets_go(jack: Jack) -> None:
    """What is played goes through, over the client that is there already; held keys end when it closes."""
    player, listener = jack.player(), jack.listener()
    output = OutputPort.open(listener.port, "jack")
    twin = output.twin()
    assert twin is not output
    assert len(jack.connections(listener.port)) == 1
    thru = Thru(twin)
    played = [
        b"\x93\x3c\x01",
        b"\xe3\x00\x40",
        b"\xc3\x05",
        b"\xd3\x11",
        b"\xb3\x40\x7f",
        b"\x93\x90"[:1] + b"\x00\x07",
    ]
    with closing(InputPort.open(player.port, "jack", lambda data, _: thru(data))):
        for data in (*played, b"\xf8"):
            player.send(data)
        listener.wait(len(played))
    thru.close()
    output.close()
    heard = [data for _, data in listener.wait(len(played) + 3)]
    assert heard[: len(played)] == played
    assert sorted(heard[len(played) :]) == [b"\x83\x00\x00", b"\x83\x3c\x00", b"\xb3\x40\x00"]


def test_panic(jack: Jack) -> None:
    """All keys of all channels get a note-off, and the three controllers that end sound."""
    listener = jack.listener()
    assert panic("listener", "jack") == listener.port
    heard = [data for _, data in listener.wait(16 * 131)]
    assert len({data for data in heard if data[0] & 0xF0 == 0x80}) == 16 * 128
    assert {data[1] for data in heard if data[0] & 0xF0 == 0xB0} == {64, 120, 123}


def test_a_keyboard_unplugged_and_plugged_in_again(jack: Jack) -> None:
    """It says so, lets go of the keys that were down, and goes on when the name is back."""
    player, heard = jack.player("piano"), Heard()
    port = InputPort.open("Piano", "jack", heard)
    with watched(port) as said:
        player.send(b"\x90\x3c\x40")
        until(lambda: heard, "a note")
        player.close()
        until(lambda: said, "a word about it")
        until(lambda: len(heard) == 2, "the key let go")
        again = jack.player("piano")
        until(lambda: len(said) == 2, "a word about it")
        again.send(b"\x90\x3d\x40")
        until(lambda: len(heard) == 3, "a note")
    assert said == ["MIDI input 'piano:out' is gone", "MIDI input 'piano:out' is there"]
    assert heard.data == [b"\x90\x3c\x40", b"\x80\x3c\x00", b"\x90\x3d\x40"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_the_server_dies_and_returns(jack: Jack, number: signal.Signals) -> None:
    """Sending goes on without waiting while no server runs; afterwards it plays again, and ends what sounded."""
    first = jack.listener("synth")
    output = OutputPort.open("synth", "jack")
    with watched(output, output.twin()) as said:
        output.send(NoteOn(60))
        jack.stop(number)
        first.close()  # it would wake up in place of the next client of its name
        until(lambda: said, "a word about it")
        for _ in range(5000):  # more than rtmidi's buffer holds
            output.send(NoteOn(61))
        jack.start()
        listener = jack.listener("synth")
        until(lambda: output.connected, "a connection")
        play_until_heard(jack, output, listener)
        assert (0, 60) not in listener.sounding()
    assert said == ["MIDI output 'synth:in' is gone", "MIDI output 'synth:in' is there"]
    until(lambda: not listener.sounding(), "silence")


def play_until_heard(jack: Jack, output: OutputPort, listener: Listener) -> None:
    """Play a note again and again. One restarted JACK in fifteen stands still until one more client comes; let it."""
    for attempt in range(8):
        output.send(NoteOn(62))
        time.sleep(0.5)
        if (0, 62) in listener.sounding():
            return
        if attempt == 3:
            jack.connect(jack.player("another").port, listener.port)
    pytest.fail(f"nothing but {listener.heard()}")


def test_waiting_for_a_port(jack: Jack) -> None:
    """A port that is not there is an error that lists what is, or is waited for."""
    other = jack.listener("other")
    with pytest.raises(PortError, match=f"no MIDI output matches 'synth'; there are '{other.port}'"):
        OutputPort.open("synth", "jack")
    output = OutputPort.open("synth", "jack", wait=True)
    with watched(output):
        listener = jack.listener("synth")
        until(lambda: output.connected, "a connection")
        output.send(NoteOn(60))
        listener.wait(1)


def test_fluidsynth_sounds_and_falls_silent(jack: Jack, synth: Synth) -> None:
    """FluidSynth is found by its name, sounds when played, and is silent after the port is closed."""
    with synth.recorded(3) as path:
        with closing(OutputPort.open("FluidSynth", "jack")) as output:
            output.send(NoteOn(60, 110))
            time.sleep(1)
        time.sleep(0.1)
    sound = levels(path)
    assert max(sound) > 0.01
    assert sound[-1] < 0.001 < max(sound) / 5


PLAYER = """
import os, time
from livebach.music.events import *
from livebach.midi.guard import Guard
from livebach.midi.ports import OutputPort
output = OutputPort.open("synth", "jack")
thru = output.twin()
guard = Guard(output, thru)
output.send(NoteOn(60, 64, 1)); output.send(NoteOn(64, 64, 1)); output.send(NoteOff(64, 0, 1))
thru.send(NoteOn(67)); thru.send(ControlChange(64, 127))
print(guard.pid, flush=True)
"""


def player_process(end: str, before: Callable[[], None] = lambda: None) -> int:
    """A player that ends so; returns the guard's process number."""
    process = subprocess.Popen([sys.executable, "-c", PLAYER + end], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    guard = int(process.stdout.readline())
    before()
    process.kill()
    process.wait()
    process.stdout.close()
    return guard


def test_a_killed_player_leaves_silence(jack: Jack) -> None:
    """After SIGKILL the guard ends each note, the pedal, and turns all notes off on the channels used."""
    listener = jack.listener("synth")
    player_process("time.sleep(60)", before=lambda: listener.wait(5) and None)
    heard = [data for _, data in listener.wait(10)]
    assert heard[5:] == [b"\x81\x3c\x00", b"\x80\x43\x00", b"\xb0\x40\x00", b"\xb0\x7b\x00", b"\xb1\x7b\x00"]


def test_a_synth_that_came_back_is_silenced(jack: Jack) -> None:
    """The guard finds the port anew when it has to."""
    later: list[Listener] = []

    def replug() -> None:
        first.wait(5)
        first.close()
        until(lambda: not jack.ports(inputs=True), "no synth")
        later.append(jack.listener("synth"))

    first = jack.listener("synth")
    player_process("time.sleep(60)", before=replug)
    assert len(later[0].wait(5)) == 5
