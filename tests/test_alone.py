"""`livebach` without arguments: it uses the connected keyboard, and sounds on a built-in instrument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from livebach.cli import main
from livebach.commands import play
from livebach.config import Config, with_value
from livebach.live import assembly, playing
from livebach.live.built_in_sound import FIRST_PAUSE_S, BuiltInSound
from livebach.midi.keyboards import ANY, AnyKeyboard, keyboards, keyboards_here
from livebach.midi.port_names import PortError
from livebach.midi.port_watcher import PortWatcher
from livebach.midi.ports import OutputPort
from livebach.music.events import NoteOff, NoteOn, to_bytes
from livebach.sound.loudspeakers import SoundError
from livebach.system.clock import ManualClock
from livebach.testing import FakeBackend
from tests.support.stand_in import no_network

PIANO, ORGAN = "Digital Piano:Digital Piano MIDI 1 20:0", "Organ:Organ MIDI 1 24:0"
THROUGH = "Midi Through:Midi Through Port-0 14:0"
NOTE = to_bytes(NoteOn(60))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], []),
        ([THROUGH, "livebach-2:livebach out 129:0", "IAC Driver Bus 1", "loopMIDI Port 0", "Network Session 1"], []),
        ([THROUGH, PIANO], [PIANO]),
        ([PIANO, "Digital Piano:Digital Piano MIDI 2 20:1", ORGAN], [PIANO, ORGAN]),
        (["system:midi_capture_1", "a2j:Midi Through (capture): Midi Through Port-0"], ["system:midi_capture_1"]),
    ],
)
def test_which_ports_may_be_keyboards(names: list[str], found: list[str]) -> None:
    """Ports that only connect programs are no keyboards. Several ports of one device are one keyboard."""
    assert keyboards(names) == found


def test_one_back_end_is_enough() -> None:
    """A second back-end may show the same keyboards. A back-end that does not run is ignored."""
    off, alsa, jack = FakeBackend(running=False), FakeBackend(inputs=[PIANO]), FakeBackend(inputs=["system:midi"])
    assert keyboards_here([off, alsa, jack]) == [(alsa, PIANO)]
    alsa.inputs = [THROUGH]
    assert keyboards_here([off, alsa, jack]) == [(jack, "system:midi")]


def test_a_keyboard_that_is_plugged_in_later_is_taken_up() -> None:
    """It waits for a keyboard. After an unplugging it takes the same keyboard again, or else the next one."""
    backend, heard = FakeBackend(inputs=[THROUGH]), []
    port = AnyKeyboard.open_any(None, lambda data, _: heard.append(data), backends=[backend])
    assert (port.connected, port.name, port.check()) == (False, ANY, None)
    backend.inputs.append(ORGAN)
    assert port.check() == f"MIDI input {ORGAN!r} is there"
    backend.connections[ORGAN].send(NOTE)
    backend.inputs.append(PIANO)
    assert port.check() is None
    backend.inputs.remove(ORGAN)
    assert port.check() == f"MIDI input {ORGAN!r} is gone"
    assert heard == [NOTE, to_bytes(NoteOff(60))]
    backend.inputs.append(ORGAN)
    assert port.check() == f"MIDI input {ORGAN!r} is there"
    backend.inputs = [THROUGH, PIANO]
    assert "gone" in str(port.check())
    assert port.check() == f"MIDI input {PIANO!r} is there"
    port.close()
    assert port.check() is None


def with_backends(monkeypatch: pytest.MonkeyPatch, backends: Callable[[Any], Any]) -> list[str | None]:
    """Replace the back-ends, and play nothing; return the inputs that would have been played."""
    played: list[str | None] = []
    monkeypatch.setattr(play, "open_backends", backends)
    no_network(monkeypatch)
    monkeypatch.setattr(playing, "play", lambda config, *_: played.append(config.midi.input))
    return played


def test_one_keyboard_is_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`livebach` alone plays, and so do flags that name no port."""
    played = with_backends(monkeypatch, lambda _: [FakeBackend(inputs=[THROUGH, PIANO])])
    assert main([]) == main(["--bpm", "72"]) == main(["play"]) == 0
    assert played == [None] * 3
    assert capsys.readouterr().out == ""


def test_of_several_keyboards_one_is_to_be_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line lists them, each with the flag that names it."""
    played = with_backends(monkeypatch, lambda _: [FakeBackend(inputs=[PIANO, ORGAN])])
    assert main([]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert '--in "Digital Piano:Digital Piano MIDI 1" or --in "Organ:Organ MIDI 1"' in told
    assert played == []
    assert main(["--in", "Organ"]) == 0
    assert played == ["Organ"]


def test_without_a_keyboard_it_says_so_and_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the commands that need no keyboard."""
    played = with_backends(monkeypatch, lambda _: [FakeBackend(inputs=[THROUGH]), FakeBackend(running=False)])
    assert main([]) == 0
    told = capsys.readouterr().out
    assert "no MIDI keyboard" in told
    assert "livebach web" in told
    assert "livebach demo" in told
    assert played == [None]


def test_without_any_back_end_it_names_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page and the demo need no MIDI library."""

    def none(_api: str | None) -> list[FakeBackend]:
        raise PortError("ALSA's sequencer needs pip install python-rtmidi")

    played = with_backends(monkeypatch, none)
    assert main([]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    for part in ("pip install", "livebach web", "livebach demo"):
        assert part in told
    assert played == []


# --- the sound -------------------------------------------------------------------------------------------------------


class FakeVoice:
    """A voice that keeps its messages."""

    def __init__(self) -> None:
        self.alive = True
        self.sent: list[tuple[bytes, float | None]] = []

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Keep a message."""
        self.sent.append((data, due_s))

    def close(self) -> None:
        """Note the end."""
        self.alive = False


class FakeSource:
    """A sound device that may be missing."""

    title = "the built-in test"

    def __init__(self) -> None:
        self.voices: list[FakeVoice] = []
        self.missing = False
        self.tries = 0

    def start(self, say: Callable[[str], object]) -> FakeVoice:
        """Return a voice if there is a device."""
        self.tries += 1
        if self.missing:
            raise SoundError("there is no audio device here")
        self.voices.append(FakeVoice())
        return self.voices[-1]


def opened() -> tuple[FakeSource, BuiltInSound, OutputPort, ManualClock]:
    """An output on a built-in instrument."""
    source, clock = FakeSource(), ManualClock()
    backend = BuiltInSound(source, pytest.fail, clock.now)  # type: ignore[arg-type]
    return source, backend, OutputPort.open(backend.title, wait=True, backends=[backend]), clock


def test_both_players_share_one_voice() -> None:
    """Thru shares the voice, which ends with its last user. No guard is needed."""
    source, _, output, _ = opened()
    twin = output.twin()
    output.send(NoteOn(60), 1.5)
    twin.send_bytes(NOTE)
    (voice,) = source.voices
    assert voice.sent == [(NOTE, 1.5), (NOTE, None)]
    assert not output.needs_guard
    output.close()
    assert voice.alive
    twin.close()
    assert not voice.alive
    assert [data for data, _ in voice.sent[2:]] == [to_bytes(NoteOff(60))] * 2


def test_a_voice_that_died_is_started_anew() -> None:
    """After the process was killed, both connections use the new one."""
    source, _, output, _ = opened()
    twin = output.twin()
    source.voices[0].alive = False
    for port in (output, twin):
        assert "gone" in str(port.check())
    for port in (output, twin):
        assert "is there" in str(port.check())
    assert len(source.voices) == 2
    twin.send_bytes(NOTE)
    assert source.voices[1].sent[-1] == (NOTE, None)


def test_without_a_device_it_is_tried_again_less_and_less_often() -> None:
    """The pauses between two tries grow. A device that is plugged in is used."""
    source, backend, output, clock = opened()
    source.voices[0].alive = False
    source.missing = True
    output.check()
    source.tries = 0
    assert output.check() is None
    assert (source.tries, backend.trouble) == (1, "there is no audio device here")
    for pause_s in (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S):
        before = source.tries
        clock.sleep_until(clock.now() + pause_s - 0.1)
        output.check()
        assert source.tries == before
        clock.sleep_until(clock.now() + 0.2)
        output.check()
        assert source.tries == before + 1
    source.missing = False
    clock.sleep_until(clock.now() + 1000)
    assert "is there" in str(output.check())
    assert backend.trouble == ""


@pytest.mark.parametrize(
    ("output", "title"),
    [(None, "the built-in organ"), ("piano", "the built-in piano"), ("harpsichord", "the built-in harpsichord")],
)
def test_which_instrument_sounds(output: str | None, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one of --out, or else of the settings. Without a device livebach says so, and plays."""

    def missing(*_: object) -> None:
        raise SoundError("there is no audio device here")

    config = with_value(with_value(Config(), "sound.instrument", "organ"), "midi.output", output)
    source = assembly.sound_source(config, output)
    assert source.title == title
    monkeypatch.setattr(type(source), "start", missing)
    said: list[str] = []
    port = playing._output(config, None, said.append)
    assert (port.connected, port.name) == (False, title)
    port.send(NoteOn(60))
    (line,) = said
    assert line.startswith("No sound: there is no audio device here. All else works;")
    assert "--out NAME" in line


class Failing:
    """A port whose check fails."""

    name = "keys"

    def check(self) -> str | None:
        """Raise the error of a broken driver."""
        raise OSError("broken")


def test_a_port_that_fails_does_not_end_the_watching() -> None:
    """Its error is reported once, and the other ports are still watched."""
    backend, said = FakeBackend(), []
    port = AnyKeyboard.open_any(None, lambda *_: None, backends=[backend])
    watcher = PortWatcher([Failing(), port], said.append)
    watcher.check()
    watcher.check()
    backend.inputs.append(PIANO)
    watcher.check()
    assert said == ["keys: OSError: broken", f"MIDI input {PIANO!r} is there"]
