"""The recorder: a take is saved while it is played, under its own name, and survives in parts."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.config import Config, TimeSettings, with_value
from livebach.errors import UserError
from livebach.files import write_new
from livebach.live import recorder, take_log, take_midi
from livebach.live.take_log import Call, Log
from livebach.music.events import ControlChange, Event, NoteOff, NoteOn, ProgramChange, from_bytes, to_bytes
from livebach.music.metre import Metre
from livebach.music.midi_writer import LONGEST_PAUSE, PPQ, Ruler, to_midi
from tests.support.recorders import header

pytestmark = pytest.mark.clock

BYTE = st.integers(0, 127)
CHANNEL = st.integers(0, 15)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(NoteOn, BYTE, st.integers(1, 127), CHANNEL),
    st.builds(NoteOff, BYTE, BYTE, CHANNEL),
    st.builds(ControlChange, BYTE, BYTE, CHANNEL),
    st.builds(ProgramChange, BYTE, CHANNEL),
)
TIMES = st.floats(0, 1e6)
OUT = st.lists(EVENTS, max_size=4).map(tuple)
CALLS = st.one_of(
    st.builds(Call, st.just("feed"), TIMES, OUT, EVENTS),
    st.builds(Call, st.just("advance"), TIMES, OUT, st.none(), st.none() | TIMES),
    st.builds(Call, st.just("stop"), TIMES, OUT),
)


def parsed(data: bytes) -> mido.MidiFile:
    """A MIDI file as others read it."""
    return mido.MidiFile(file=BytesIO(data), charset="utf-8")


def write(folder: Path, calls: list[Call]) -> Path:
    """Record these calls; the folder of the take."""
    rec = recorder.TakeRecorder(folder, header(), pytest.fail)
    for call in calls:
        rec.call(call)
    rec.close()
    return rec.folder


@given(st.lists(CALLS, max_size=8))
def test_log_lines_round_trip(calls: list[Call]) -> None:
    """Every call is read back as it was, times to the last bit."""
    text = "\n".join([take_log.header_line(header()), *map(take_log.call_line, calls), ""])
    log = take_log.read_text(text)
    assert log.header == header()
    assert log.calls == calls


def test_take_is_kept_with_its_midi_file(tmp_path: Path) -> None:
    """The folder holds the log and a MIDI file with two named tracks, the first onset on a bar line."""
    on, off = NoteOn(60, 80, 0), NoteOff(60, 0, 0)
    own_on, own_off = NoteOn(64, 70, 1), NoteOff(64, 0, 1)
    quarter = 60 / 90
    calls = [
        Call("feed", 2.0, (), ControlChange(64, 127, 0)),
        Call("feed", 2.5, (), on),
        Call("feed", 2.5 + quarter, (), off),
        Call("advance", 2.5 + 2 * quarter, (own_on,), None, 2.5 + 2 * quarter),
        Call("stop", 2.5 + 3 * quarter, (own_off,)),
    ]
    file = mido.MidiFile(write(tmp_path, calls) / take_log.MIDI)
    assert [track.name for track in file.tracks] == ["you", "livebach"]
    starts = []
    for track in file.tracks:
        now = 0
        for message in track:
            now += message.time
            if message.type == "note_on":
                starts.append((message.note, message.channel, now))
    assert starts == [(60, 0, 4 * PPQ), (64, 1, 6 * PPQ)]


def test_a_key_that_is_still_down_sounds_to_the_end_of_the_take(tmp_path: Path) -> None:
    """The player's note-off comes too late, or the process was killed."""
    quarter = 60 / 90
    calls = [
        Call("feed", 2.5, (), NoteOn(60, 80, 0)),
        Call("advance", 2.5 + quarter, (NoteOn(64, 70, 1),), None, 2.5 + quarter),
        Call("stop", 2.5 + 3 * quarter),
    ]
    file = mido.MidiFile(write(tmp_path, calls) / take_log.MIDI)
    lengths = [m.time for track in file.tracks for m in track if m.type == "note_off"]
    assert lengths == [3 * PPQ, 2 * PPQ]


def test_takes_never_share_a_folder(tmp_path: Path) -> None:
    """Two takes in the same second have two names."""
    when = datetime(2026, 1, 2, 3, 4, 5)
    names = {recorder.new_folder(tmp_path, when).name for _ in range(3)}
    assert names == {"2026-01-02_03-04-05", "2026-01-02_03-04-05_2", "2026-01-02_03-04-05_3"}


def test_lines_reach_the_disk_while_playing(tmp_path: Path) -> None:
    """A call can be read by others within a second, without the take being closed."""
    rec = recorder.TakeRecorder(tmp_path, header(), pytest.fail)
    for n in range(3):
        rec.call(Call("advance", float(n)))
    limit = time.monotonic() + 1
    while len(take_log.read(rec.folder).calls) < 3 and time.monotonic() < limit:
        time.sleep(0.01)
    assert len(take_log.read(rec.folder).calls) == 3
    rec.close()


def test_killed_take_can_be_read(tmp_path: Path) -> None:
    """After SIGKILL the log holds what was played, but for a line cut off, and the MIDI file can be made."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from livebach.live import recorder; from livebach.live.take_log import *\n"
        "from livebach.music.events import NoteOn; from livebach.config import Config, SamplingSettings, to_dict\n"
        "h = Header(to_dict(Config(sampling=SamplingSettings(seed=1))), 1, 0.0, '', '')\n"
        "r = recorder.TakeRecorder(Path(sys.argv[1]), h, print)\n"
        "r.call(Call('feed', 1.0, (), NoteOn(60, 64, 0))); time.sleep(0.6); print(r.folder, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    folder = Path(child.stdout.readline().strip())
    assert folder.is_absolute(), "the child did not come up"
    child.kill()
    child.communicate()
    with (folder / take_log.LOG).open("a") as log:
        log.write('{"do":"feed","t":1.')
    found = take_log.read(folder)
    assert [call.event for call in found.calls] == [NoteOn(60, 64, 0)]
    messages = mido.MidiFile(take_midi.write_midi(found, tmp_path / "out.mid")).tracks[0]
    assert [message.type for message in messages if message.type.startswith("note")] == ["note_on", "note_off"]


def test_full_disk_stops_the_recording_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails is told once, and calls go on without harm."""
    told: list[str] = []
    rec = recorder.TakeRecorder(tmp_path, header(), told.append)

    def full(lines: list[str]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(rec, "_put", full)
    rec.call(Call("advance", 1.0))
    limit = time.monotonic() + 2
    while not told and time.monotonic() < limit:
        time.sleep(0.01)
    rec.call(Call("advance", 2.0))
    rec.close()
    assert len(told) == 1
    assert "No space left" in told[0]


def test_disk_full_from_the_start_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told, and there is a recorder that keeps nothing; a forbidden folder is an error."""

    def refuse(number: int) -> Any:
        def make(*_: Any, **__: Any) -> None:
            raise OSError(number, os.strerror(number))

        return make

    told: list[str] = []
    monkeypatch.setattr(recorder, "new_folder", refuse(errno.ENOSPC))
    assert recorder.open_recorder(True, tmp_path, header(), told.append).close() is None
    assert len(told) == 1
    monkeypatch.setattr(recorder, "new_folder", refuse(errno.EACCES))
    with pytest.raises(UserError, match=r"take\.folder"):
        recorder.open_recorder(True, tmp_path, header(), told.append)


def test_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    """A folder of takes whose name is a file's is told in one line."""
    (tmp_path / "takes").write_text("")
    with pytest.raises(UserError, match=r"take\.folder"):
        recorder.open_recorder(True, tmp_path / "takes", header(), pytest.fail)


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    """A second close gives the folder again."""
    rec = recorder.TakeRecorder(tmp_path, header(), pytest.fail)
    assert rec.close() == rec.close() == rec.folder


@given(st.integers(0, 400), BYTE)
def test_damaged_log_is_named_in_one_line(at: int, byte: int) -> None:
    """Wherever a byte is damaged, the log is read or refused in one line with its line number."""
    calls = [Call("feed", 1.0, (), NoteOn(60)), Call("advance", 2.0, (NoteOn(62),)), Call("stop", 3.0)]
    text = "\n".join([take_log.header_line(header()), *map(take_log.call_line, calls), ""])
    at %= len(text)
    message = "line 1"
    try:
        take_log.read_text(text[:at] + chr(byte) + text[at + 1 :])
    except UserError as error:
        message = str(error)
    assert "line" in message
    assert "\n" not in message


@given(st.lists(st.tuples(st.floats(0, 1e5), EVENTS), max_size=12))
def test_midi_file_holds_what_was_played_and_leaves_no_note_on(events: list[tuple[float, Event]]) -> None:
    """Whatever the events and wherever they were cut off: all are there, in order, and each note ends."""
    messages = list(parsed(to_midi([("Jürg", events)], Ruler(90, Metre()))).tracks[0])
    assert messages[0].name == "Jürg"
    assert messages[-1].type == "end_of_track"
    played = [bytes(message.bytes()) for message in messages if not message.is_meta]
    wanted = [to_bytes(event) for _, event in sorted(events, key=lambda timed: timed[0])]
    assert played[: len(wanted)] == wanted
    sounding = set()
    for event in map(from_bytes, played):
        if isinstance(event, NoteOn):
            sounding.add((event.channel, event.key))
        elif isinstance(event, NoteOff):
            sounding.discard((event.channel, event.key))
    assert not sounding


@given(st.lists(CALLS, max_size=12), st.booleans())
def test_midi_file_is_the_same_when_made_later(calls: list[Call], click: bool) -> None:
    """Written call by call or all at once from the log: the same bytes."""
    head = header(Config(time=TimeSettings(click=click)))
    score = take_midi.Score(head, BytesIO(), BytesIO())
    for call in calls:
        score.add(call)
    with tempfile.TemporaryDirectory() as folder:
        path = take_midi.write_midi(Log(head, calls), Path(folder) / "a.mid")
        assert path.read_bytes() == score.midi()


@pytest.mark.parametrize(("metre", "quarter_s"), [("4/4", 1), ("6/8", 2 / 3), ("3/8", 2), ("2/2", 0.5), ("1/32", 8)])
def test_ruler_knows_the_beat(metre: str, quarter_s: float) -> None:
    """A beat a second is a quarter of so many seconds."""
    assert Ruler(60, Metre.parse(metre)).quarter_us == round(quarter_s * 1e6)


def test_slow_tempo_keeps_its_times() -> None:
    """A quarter longer than MIDI can write keeps the seconds right."""
    ruler = Ruler(20, Metre(1, 32))
    file = parsed(to_midi([("you", [(0.0, NoteOn(60)), (3.0, NoteOff(60))])], ruler))
    assert file.length == pytest.approx(3.0, abs=0.02)


def test_a_pause_of_days_is_shortened() -> None:
    """A file's deltas end at 28 bits: what comes after a longer pause is still there, and the file can be read."""
    events = [(0.0, NoteOn(60)), (1.0, NoteOff(60)), (1e8, NoteOn(62)), (1e8 + 1, NoteOff(62))]
    file = mido.MidiFile(file=BytesIO(to_midi([("you", events)], Ruler(120, Metre(4, 4)))))
    notes = [m for m in file.tracks[0] if not m.is_meta]
    assert [m.note for m in notes] == [60, 60, 62, 62]
    assert [m.time for m in notes] == [0, 2 * PPQ, LONGEST_PAUSE, 2 * PPQ]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A name that is taken is refused."""
    path = tmp_path / "a.mid"
    write_new(path, to_midi([("you", [])], Ruler(60, Metre())))
    with pytest.raises(UserError, match="nothing is overwritten"):
        write_new(path, to_midi([("you", [])], Ruler(60, Metre())))


def test_config_travels_with_the_take(tmp_path: Path) -> None:
    """The settings of the take can be had from its log."""
    config = Config(time=TimeSettings(bpm=61.5, metre=Metre(6, 8)))
    rec = recorder.TakeRecorder(tmp_path, header(config), pytest.fail)
    rec.close()
    assert take_log.read(rec.folder).config == with_value(config, "sampling.seed", 7)


@pytest.mark.parametrize("part", ["log", "track"])
def test_a_disk_that_is_full_at_the_start_leaves_no_folder(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When there is room for the folder's name alone, it is removed again, and a warning says so."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if part == "log":
        monkeypatch.setattr(recorder.TakeRecorder, "_put", full)
    else:
        monkeypatch.setattr(recorder, "nameless", full)
    told: list[str] = []
    kept = recorder.open_recorder(True, tmp_path, header(), told.append)
    assert kept.close() is None
    assert list(tmp_path.iterdir()) == []
    assert len(told) == 1


def test_a_midi_file_that_cannot_be_written_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up at the end: the log is kept, the command that makes the MIDI file later is told."""

    def full(*_: Any) -> None:
        raise UserError("No space left on device")

    told: list[str] = []
    rec = recorder.TakeRecorder(tmp_path, header(), told.append)
    monkeypatch.setattr(recorder, "write_new", full)
    assert rec.close() == rec.folder
    assert rec.midi is None
    assert f"livebach replay {rec.folder}" in told[0]
    assert [path.name for path in rec.folder.iterdir()] == [take_log.LOG]


def test_any_error_of_the_recording_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the disk's: else the thread that writes would end unnoticed."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    told: list[str] = []
    rec = recorder.TakeRecorder(tmp_path, header(), told.append)
    monkeypatch.setattr(rec._score, "add", fail)
    rec.call(Call("advance", 1.0))
    rec.close()
    assert [line for line in told if "the recording has stopped" in line and "ZeroDivisionError: a bug" in line]


def test_names_of_files_that_are_no_text(tmp_path: Path) -> None:
    """A checkpoint or a port whose name is not UTF-8 is kept as it is."""
    name = os.fsdecode(b"net\xff.safetensors")
    rec = recorder.TakeRecorder(tmp_path, replace(header(), checkpoint=name), pytest.fail)
    rec.remark(f"{name} is gone", 1.0)
    rec.close()
    log = take_log.read(rec.folder)
    assert log.header.checkpoint == name
    assert log.remarks == [f"{name} is gone"]
