"""The demo: a phrase comes in, the network continues it, and a MIDI file is written, without any MIDI system."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path

import mido
import pytest

from livebach.cli import main
from livebach.commands import demo
from livebach.commands.demo import PAUSE_BARS
from livebach.config import MODES
from livebach.controls import Command
from livebach.errors import UserError
from livebach.live.hotkeys import NoHotkeys
from livebach.music.events import NoteOn, from_bytes
from livebach.music.phrases import PHRASES
from livebach.music.roll import KEYS
from livebach.sound import fluidsynth
from livebach.sound.loudspeakers import Loudspeakers
from tests.support.stand_in import no_network

pytestmark = pytest.mark.clock

REPO = Path(__file__).parent.parent


def saved(text: str) -> mido.MidiFile:
    """The MIDI file that the last line of the output names."""
    last = text.strip().splitlines()[-1]
    assert last.startswith("Saved as ")
    return mido.MidiFile(last.removeprefix("Saved as "))


def onsets(track: mido.MidiTrack, ppq: int) -> list[float]:
    """When notes begin, in sixteenths."""
    now, found = 0, []
    for message in track:
        now += message.time
        if message.type == "note_on" and message.velocity:
            found.append(now * 4 / ppq)
    return found


@pytest.mark.parametrize("name", PHRASES)
def test_it_plays_the_phrase_and_goes_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The phrase is in the first track; after it, and only then, sixteen bars of the network's in the second."""
    no_network(monkeypatch)
    assert main(["demo", "--fast", "--seed", "5", "--phrase", name, "--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    file = saved(out)
    you, own = file.tracks
    assert [track.name for track in file.tracks] == ["you", "livebach"]
    notes = PHRASES[name].notes()
    late = PHRASES[name].late
    assert onsets(you, file.ticks_per_beat) == [note.start + late[note.start % len(late)] / 6 for note in notes]
    bar = PHRASES[name].metre.bar_ticks(4)
    last = max(note.end for note in notes)
    first, *_, end = onsets(own, file.ticks_per_beat)
    assert last + 4 <= first <= last + 4 + 4
    assert 16 * bar - 4 < end - first < 18 * bar
    assert "--wav FILE.wav" in out
    assert "you" in out


def answer(phrase: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[float]:
    """Where in the beat the notes of an answer of eight bars begin, in 24ths of a quarter note."""
    words = ["--fast", "--seed", "3", "--bars", "8", "--phrase", phrase, "--folder", str(folder)]
    assert main(["demo", *words]) == 0
    file = saved(capsys.readouterr().out)
    return [round(at * 6, 2) % 24 for at in onsets(file.tracks[1], file.ticks_per_beat)]


def test_swing_is_answered_with_swing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Notes that are not on the beat are on its last third, and they are a good part of all notes."""
    found = answer("swing", tmp_path, capsys)
    assert len(found) > 40
    assert {*found} == {0, 16}
    assert found.count(16) > len(found) / 5


def test_triplets_are_answered_with_triplets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Notes that are not on the beat are on its second and its last third, as often as the player's."""
    found = answer("triplets", tmp_path, capsys)
    assert len(found) > 60
    assert {*found} == {0, 8, 16}
    assert found.count(8) + found.count(16) > len(found) / 3


def test_straight_playing_is_answered_exactly_on_the_16ths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every note, without exception."""
    found = answer("little", tmp_path, capsys)
    assert len(found) > 40
    assert {*found} <= {0, 6, 12, 18}


def test_the_seed_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The same seed gives the same notes, another one others."""
    no_network(monkeypatch)
    tracks = []
    for seed in ("1", "1", "2"):
        assert main(["demo", "--fast", "--bars", "2", "--seed", seed, "--folder", str(tmp_path)]) == 0
        tracks.append(saved(capsys.readouterr().out).tracks[1])
    assert tracks[0] == tracks[1]
    assert tracks[0] != tracks[2]


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "continue"])
def test_other_modes_play_along(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The upper voice comes again and again for as many bars as are wanted; who is accompanied pauses in between."""
    no_network(monkeypatch)
    assert main(["demo", "--fast", "--bars", "7", "--mode", mode, "--seed", "1", "--folder", str(tmp_path)]) == 0
    file = saved(capsys.readouterr().out)
    starts = onsets(file.tracks[0], file.ticks_per_beat)
    again = PHRASES["prelude"].bars + (PAUSE_BARS if mode == "accompany" else 0)
    assert starts[48] - starts[0] == again * 16
    assert 7 * 16 - 4 < starts[-1] < 7 * 16 + 1
    assert bool(onsets(file.tracks[1], file.ticks_per_beat)) == (mode != "listen")


def test_in_real_time_the_keys_come_from_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --fast the phrase takes as long as it takes, and the answer is on the grid."""
    no_network(monkeypatch)
    started = time.perf_counter()
    args = ["--bars", "1", "--bpm", "400", "--phrase", "little", "--quiet", "--folder", str(tmp_path)]
    assert main(["demo", *args]) == 0
    assert time.perf_counter() - started > 2.5
    file = saved(capsys.readouterr().out)
    starts = onsets(file.tracks[1], file.ticks_per_beat)
    assert starts
    assert all(abs(start - round(start)) < 0.4 for start in starts)


def test_it_ends_when_nobody_will_ever_play_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While livebach plays on, a hotkey asks for a mode in which it only listens, and the phrase is over."""
    no_network(monkeypatch)
    monkeypatch.setattr(demo, "IDLE_S", 0.4)

    def open_hotkeys(command: Callable[[Command], None]) -> NoHotkeys:
        key.append(threading.Timer(5, command, [Command("mode", "listen")]))
        key[0].start()
        return NoHotkeys()

    key: list[threading.Timer] = []
    monkeypatch.setattr(demo, "open_hotkeys", open_hotkeys)
    args = ["--bars", "1000", "--bpm", "400", "--phrase", "little", "--quiet", "--folder", str(tmp_path)]
    assert main(["demo", *args]) == 0
    key[0].join()
    assert onsets(saved(capsys.readouterr().out).tracks[1], 480)


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["--phrase", "sonata"], "prelude or c-minor"),
        (["--bars", "0"], "1..1000"),
        (["--temperature", "0"], "--temperature"),
        (["--wav", "taken.wav"], "overwritten"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    args: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2, no take begun."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.wav").write_bytes(b"")
    assert main(["demo", "--fast", *args]) == 2
    told = capsys.readouterr().err
    assert part in told
    assert told.count("\n") == 1
    assert not (tmp_path / "takes").exists()


def test_without_rtmidi_and_its_library(tmp_path: Path) -> None:
    """In a fresh interpreter in which rtmidi cannot be imported, the demo plays."""
    code = f"""
        import sys
        sys.modules["rtmidi"] = None
        import pytest
        from livebach.sound import fluidsynth
        from livebach.cli import main
        from tests.support.stand_in import no_network
        no_network(pytest.MonkeyPatch())
        fluidsynth.find = lambda: None
        sys.exit(main(["demo", "--fast", "--bars", "1", "--folder", {str(tmp_path)!r}]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stderr
    assert saved(done.stdout).tracks[1]


def fake_fluidsynth(folder: Path, body: str) -> fluidsynth.FluidSynth:
    """A program that behaves like FluidSynth in one respect."""
    program, soundfont = folder / "fluidsynth", folder / "any.sf2"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    soundfont.write_bytes(b"")
    return fluidsynth.FluidSynth(str(program), soundfont)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for FluidSynth is a shell script")
def test_fluidsynth_is_told_what_to_play(tmp_path: Path) -> None:
    """Messages become its commands, in order."""
    log = tmp_path / "log"
    synth = fake_fluidsynth(tmp_path, f'while read line; do echo "$line" >> {log}; echo "$line"; done').start()
    assert synth is not None
    for text in ("903c50", "803c00", "b0407f", "c105", "e00040"):
        synth.send(bytes.fromhex(text))
    synth.close()
    commands = ["echo ready", "noteon 0 60 80", "noteoff 0 60", "cc 0 64 127", "prog 1 5", "quit"]
    assert log.read_text().splitlines() == commands
    synth.send(bytes.fromhex("903c50"))  # after its end nothing happens


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for FluidSynth is a shell script")
@pytest.mark.parametrize("body", ["exit 255", "exec 1>&-; sleep 0.3; exit 255"])
def test_without_a_sound_card_there_is_no_synth(tmp_path: Path, body: str) -> None:
    """FluidSynth that gives up is no synth, and no error, also where it is slow to end."""
    assert fake_fluidsynth(tmp_path, body).start() is None


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for FluidSynth is a shell script")
def test_a_wav_that_fails_is_told(tmp_path: Path) -> None:
    """What FluidSynth says last is in the message."""
    with pytest.raises(UserError, match="no such luck"):
        fake_fluidsynth(tmp_path, "echo no such luck >&2; exit 1").render(tmp_path / "a.mid", tmp_path / "a.wav")


def loud(wav: Path) -> list[int]:
    """The samples of a WAV file, left and right in turn."""
    with wave.open(str(wav)) as file:
        assert file.getnchannels() == 2
        return list(memoryview(file.readframes(file.getnframes())).cast("h"))


@pytest.mark.usefixtures("sound_cache")
@pytest.mark.parametrize("instrument", ["piano", "harpsichord", "organ"])
def test_a_wav_on_request(instrument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --wav the take is rendered by a built-in instrument, FluidSynth or not, neither silent nor clipped."""
    no_network(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    wav = tmp_path / "out.wav"
    args = ["demo", "--fast", "--bars", "1", "--folder", str(tmp_path), "--wav", str(wav), "--instrument", instrument]
    assert main(args) == 0
    assert 1000 < max(loud(wav)) < 32_000


@pytest.mark.skipif(fluidsynth.find() is None, reason="needs FluidSynth and a soundfont")
def test_a_wav_with_a_soundfont(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --soundfont FluidSynth renders the take."""
    no_network(monkeypatch)
    found, wav = fluidsynth.find(), tmp_path / "out.wav"
    assert found is not None
    args = ["--bars", "1", "--folder", str(tmp_path), "--wav", str(wav), "--soundfont", str(found.soundfont)]
    assert main(["demo", "--fast", *args]) == 0
    assert max(loud(wav)) > 300


@pytest.mark.parametrize(("program", "part"), [(None, "apt install fluidsynth"), ("/bin/true", "no file")])
def test_a_soundfont_that_cannot_be_is_told(
    program: str | None, part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without FluidSynth, or without the file, one line says so before anything is played."""
    no_network(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda _: program)
    assert main(["demo", "--fast", "--soundfont", "nowhere.sf2"]) == 2
    assert part in capsys.readouterr().err


@pytest.mark.usefixtures("sound_cache")
def test_it_sounds_as_it_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is a device, here one that plays nowhere, every event reaches it, and the demo says nothing of it."""
    no_network(monkeypatch)
    sent: list[bytes] = []
    send = Loudspeakers.send
    monkeypatch.setattr(
        Loudspeakers, "send", lambda self, data, due_s=None: (sent.append(data), send(self, data, due_s))
    )
    args = ["--bars", "1", "--bpm", "400", "--folder", str(tmp_path), "--set", "sound.device=silent"]
    assert main(["demo", *args]) == 0
    struck = sum(message.type == "note_on" and message.velocity > 0 for message in saved(capsys.readouterr().out))
    assert sum(data[0] & 0xF0 == 0x90 for data in sent) == struck > 20


@pytest.mark.usefixtures("sound_cache")
def test_without_a_device_everything_else_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One line says that there is no sound; sound libraries write nothing."""
    no_network(monkeypatch)
    args = ["--bars", "1", "--bpm", "400", "--folder", str(tmp_path), "--set", "sound.device=no such device"]
    assert main(["demo", *args]) == 0
    out, err = capfd.readouterr()
    assert saved(out).tracks[1]
    told = [line for line in (out + err).splitlines() if "No sound" in line]
    assert len(told) == 1
    assert "ALSA" not in out + err
    assert "jack" not in (out + err).lower()


def test_soundfonts_are_found_by_name_first(tmp_path: Path) -> None:
    """A General MIDI soundfont comes before any other; without any there is none."""
    assert fluidsynth.find_soundfont([tmp_path, tmp_path / "none"]) is None
    (tmp_path / "aaa.sf2").write_bytes(b"")
    assert fluidsynth.find_soundfont([tmp_path]) == tmp_path / "aaa.sf2"
    (tmp_path / "FluidR3_GM.sf2").write_bytes(b"")
    assert fluidsynth.find_soundfont([tmp_path]) == tmp_path / "FluidR3_GM.sf2"


def test_phrases_are_whole_and_start_on_the_downbeat() -> None:
    """Each phrase has its keys on the keyboard, ends at a bar line, and each key goes up that goes down."""
    for phrase in PHRASES.values():
        notes = phrase.notes()
        assert notes[0].start == 0
        assert max(note.end for note in notes) % phrase.metre.bar_ticks(4) == 0
        assert all(21 <= note.key < 21 + KEYS for note in notes)
        down: set[int] = set()
        for _, data in phrase.score(0.0):
            event = from_bytes(data)
            assert event is not None
            (down.add if isinstance(event, NoteOn) else down.remove)(event.key)  # type: ignore[union-attr]
        assert not down
