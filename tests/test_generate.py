"""`livebach generate --prime`: it takes tempo, metre and bar lines from the prime's file."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path
from random import Random

import mido
import numpy as np
import pytest

from livebach.cli import main
from livebach.config import Config, override
from livebach.live import assembly
from livebach.live.assembly import Loaded
from livebach.music.key import Key
from livebach.music.metre import Metre
from livebach.music.midi_reader import MidiEvents, read_events
from livebach.music.midi_writer import score_to_midi
from livebach.music.prime import prime_of
from livebach.music.roll import LOW_KEY, Note
from livebach.music.score_reader import read_score
from livebach.musician.rollout import music
from livebach.network import touch_checkpoint
from livebach.network.engine import Engine
from livebach.network.reference import random_checkpoint
from livebach.network.touch import TouchNetwork
from tests.support.small_checkpoint import SPEC

COMMON = Metre(4, 4)
SCALE = tuple(Note(60 + t // 4 % 8, t, t + 4) for t in range(0, 96, 4))


@pytest.fixture(autouse=True)
def small_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network of random weights plays."""
    loaded = Loaded(Engine(random_checkpoint(SPEC)), "small", "")
    monkeypatch.setattr(assembly, "load_network", lambda name, fast: loaded)
    monkeypatch.setattr(assembly, "with_touch", lambda network, *_: network)


def goes_on(
    folder: Path,
    *words: str,
    notes: Sequence[Note] = SCALE,
    metres: Sequence[tuple[int, Metre]] = ((0, COMMON),),
    tempos: Sequence[tuple[int, int]] = (),
) -> MidiEvents:
    """Write a prime of these notes, generate two bars after it, and return the events of what was written."""
    prime, out = folder / "prime.mid", folder / "out.mid"
    prime.write_bytes(score_to_midi([("", notes)], metres, tempos, 4))
    assert main(["generate", "--prime", str(prime), "--bars", "2", "--seed", "1", *words, "-o", str(out)]) == 0
    return read_events(out.read_bytes())


def bars(events: MidiEvents) -> list[tuple[float, str]]:
    """Return the metres with the quarter note at which each begins."""
    return [(tick / events.division, f"{over}/{under}") for tick, over, under in events.metres]


def test_the_tempo_of_the_file(tmp_path: Path) -> None:
    """It goes on at 140 quarters a minute, as the prime does, with every change on the way."""
    assert goes_on(tmp_path, tempos=[(0, 428_571)]).tempos == [(0, 428_571)]


def test_tempo_changes_of_the_file(tmp_path: Path) -> None:
    """The changes are where the file has them; the last one before the prime's end stays in force."""
    events = goes_on(tmp_path, tempos=[(0, 600_000), (16, 500_000), (80, 300_000)])
    assert [(tick / events.division, us) for tick, us in events.tempos] == [(0, 600_000), (4, 500_000)]


def test_a_tempo_of_the_command_line(tmp_path: Path) -> None:
    """--bpm, or --set time.bpm, is stronger than the file."""
    for folder, words in (("a", ["--bpm", "60"]), ("b", ["--set", "time.bpm=60"])):
        (tmp_path / folder).mkdir()
        assert goes_on(tmp_path / folder, *words, tempos=[(0, 428_571)]).tempos == [(0, 1_000_000)]


def test_no_tempo_is_what_midi_says(tmp_path: Path) -> None:
    """A file that states no tempo sounds at 120 quarters a minute, and so does what follows."""
    assert goes_on(tmp_path).tempos == [(0, 500_000)]


def test_a_pickup(tmp_path: Path) -> None:
    """A bar of 1/4, then 4/4: four full bars of the prime, then two more, with the file's bar lines."""
    events = goes_on(tmp_path, metres=[(0, Metre(1, 4)), (4, COMMON)])
    assert bars(events) == [(0, "1/4"), (1, "4/4")]
    assert read_score(tmp_path / "out.mid").length <= 4 + 6 * 16


def test_a_metre_that_changes(tmp_path: Path) -> None:
    """The metre in force at the prime's end goes on."""
    assert bars(goes_on(tmp_path, metres=[(0, COMMON), (32, Metre(3, 4))])) == [(0, "4/4"), (8, "3/4")]


def test_a_metre_of_the_command_line(tmp_path: Path) -> None:
    """--metre reads the prime in that metre."""
    assert bars(goes_on(tmp_path, "--metre", "3/4")) == [(0, "3/4")]


def test_a_prime_that_is_silent_at_first(tmp_path: Path) -> None:
    """It begins with the bar of its first note."""
    late = [Note(n.key, n.start + 44, n.end + 44) for n in SCALE]
    events = goes_on(tmp_path, notes=late)
    first = next(message for message in events.messages if message[1] == 0x90)
    assert first[:3] == (3 * events.division, 0x90, 60)


def test_the_prime_is_there_note_for_note(tmp_path: Path) -> None:
    """It stands in a track of its own, and the music follows it."""
    goes_on(tmp_path)
    file = mido.MidiFile(tmp_path / "out.mid")
    assert [t.name for t in file.tracks] == ["prime", "livebach"]
    struck = [m.note for m in file.tracks[0] if m.type == "note_on"]
    assert struck == [n.key for n in SCALE if n.start < 64]


@pytest.mark.usefixtures("sound_cache")
def test_the_music_as_sound(tmp_path: Path) -> None:
    """With --wav the music is also a sound file, as long as the music and a little longer, and not silent."""
    out, wav = tmp_path / "out.mid", tmp_path / "out.wav"
    args = ["--bars", "2", "--bpm", "120", "--seed", "1", "--instrument", "organ", "--wav", str(wav), "-o", str(out)]
    assert main(["generate", *args]) == 0
    with wave.open(str(wav)) as file:
        seconds = file.getnframes() / file.getframerate()
        samples = memoryview(file.readframes(file.getnframes())).cast("h")
    assert 1 < seconds < 8
    assert max(samples) > 500


def test_a_sound_file_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sound file is never overwritten, and that is said before anything is written."""
    out, wav = tmp_path / "out.mid", tmp_path / "out.wav"
    wav.write_bytes(b"mine")
    assert main(["generate", "--bars", "1", "--wav", str(wav), "-o", str(out)]) == 2
    assert "out.wav" in capsys.readouterr().err
    assert wav.read_bytes() == b"mine"
    assert not out.exists()


# --- settings that act ------------------------------------------------------------------------------------------------


def written_keys(folder: Path, *words: str) -> np.ndarray:
    """Write twelve bars with these settings; return the MIDI keys that are struck."""
    out = folder / "out.mid"
    out.unlink(missing_ok=True)
    assert main(["generate", "--bars", "12", "--seed", "3", *words, "-o", str(out)]) == 0
    return np.array(
        [m.note for track in mido.MidiFile(out).tracks for m in track if m.type == "note_on" and m.velocity]
    )


def test_a_key_that_is_set_is_kept_to(tmp_path: Path) -> None:
    """Pitches outside it are rarer than without."""
    scale = np.flatnonzero(Key.parse("F# major").scale) + LOW_KEY
    outside = [
        float(np.mean(~np.isin(written_keys(tmp_path, "--set", f"sampling.key={key}"), scale)))
        for key in ("F# major", "C major")
    ]
    assert outside[0] < 0.5 * outside[1]


def test_a_register_that_is_set_is_played_around(tmp_path: Path) -> None:
    """The notes lie much lower around a low key than around a high one."""
    low, high = (written_keys(tmp_path, "--set", f"sampling.register={key}").mean() for key in (40, 80))
    assert low + 6 < high


# --- touch ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def touch_network(monkeypatch: pytest.MonkeyPatch, small_engine: None) -> None:
    """The touch network that comes with livebach plays too."""
    touch = TouchNetwork(touch_checkpoint.load(touch_checkpoint.default_path()))
    loaded = Loaded(Engine(random_checkpoint(SPEC)), "small", "", touch)
    monkeypatch.setattr(assembly, "load_network", lambda name, fast: loaded)


def swung(folder: Path) -> Path:
    """A prime of four bars of swung eighths, louder and louder, with the pedal down in the first half of each beat."""
    starts = [beat * 24 + part for beat in range(16) for part in (0, 16)]
    notes = [Note(60 + n % 8, start, start + 6, 40 + 2 * n) for n, start in enumerate(starts)]
    pedal = [(beat * 24 + part, down) for beat in range(16) for part, down in ((2, True), (14, False))]
    path = folder / "swing.mid"
    path.write_bytes(score_to_midi([("", notes)], [(0, COMMON)], [(0, 500_000)], 24, {"": pedal}))
    return path


def written(prime: Path, *words: str) -> mido.MidiFile:
    """What is generated after a prime, four bars."""
    out = prime.parent / "out.mid"
    assert main(["generate", "--prime", str(prime), "--bars", "4", "--seed", "1", *words, "-o", str(out)]) == 0
    return mido.MidiFile(out)


def timed(track: mido.MidiTrack, ppq: int) -> list[tuple[float, mido.Message]]:
    """The notes and pedal moves of a track with their times in 24ths of a quarter note."""
    now, found = 0, []
    for message in track:
        now += message.time
        if message.type == "control_change" or (message.type == "note_on" and message.velocity):
            found.append((now * 24 / ppq, message))
    return found


@pytest.mark.usefixtures("touch_network")
def test_a_prime_keeps_its_touch_and_is_answered_with_its_like(tmp_path: Path) -> None:
    """Velocities, swing and pedal of the prime; the answer varies in loudness, swings and pedals; the seed decides."""
    prime = swung(tmp_path)
    file = written(prime)
    theirs, own = (timed(track, file.ticks_per_beat) for track in file.tracks)
    struck = [(at, message.velocity) for at, message in theirs if message.type == "note_on"]
    assert struck == [
        (beat * 24 + part, 40 + 2 * (2 * beat + i)) for beat in range(16) for i, part in enumerate((0, 16))
    ]
    assert {message.value for _, message in theirs if message.type == "control_change"} == {0, 127}
    notes = [(at % 24, message.velocity) for at, message in own if message.type == "note_on"]
    assert len({velocity for _, velocity in notes}) > 5
    assert {at for at, _ in notes} <= {0, 8, 16}
    assert 16 in {at for at, _ in notes}
    assert any(message.type == "control_change" for _, message in own)
    assert [message.value for _, message in own if message.type == "control_change"][-1] == 0  # nothing rings on
    before = (tmp_path / "out.mid").read_bytes()
    (tmp_path / "out.mid").unlink()
    written(prime)
    assert (tmp_path / "out.mid").read_bytes() == before


@pytest.mark.usefixtures("touch_network")
def test_a_single_line_of_triplets_is_answered_with_triplets(tmp_path: Path) -> None:
    """Rounded to 16ths its middle notes are long, but no bar line is there: the bars stay where the file has them."""
    notes = [Note(60 + (5 * n) % 12, 8 * n, 8 * n + 8) for n in range(48)]
    path = tmp_path / "triplets.mid"
    path.write_bytes(score_to_midi([("", notes)], [(0, COMMON)], [(0, 500_000)], 24))
    file = written(path)
    own = {round(at) % 24 for at, message in timed(file.tracks[1], file.ticks_per_beat) if message.type == "note_on"}
    assert own & {8, 16}
    assert signatures(file) == ["4/4"]


def signatures(file: mido.MidiFile) -> list[str]:
    """The time signatures of a file."""
    return [f"{m.numerator}/{m.denominator}" for m in file.tracks[0] if m.type == "time_signature"]


_LATE = Random(1)


@pytest.mark.usefixtures("touch_network")
@pytest.mark.parametrize(
    "notes",
    [
        [Note(60, 3 * n, 3 * n + 2) for n in range(128)],
        [Note(60 + 7 * n % 12, 6 * n + _LATE.choice((1, 2, 2, 3)), 6 * n + 6) for n in range(64)],
        [Note(60, 94, 96)],
    ],
    ids=["32nds of one key", "late throughout", "one note before the second bar"],
)
def test_what_says_nothing_of_the_metre_leaves_the_bars_where_they_are(notes: list[Note], tmp_path: Path) -> None:
    """A file's bar lines count unless many accents on the grid are against them."""
    path = tmp_path / "prime.mid"
    path.write_bytes(score_to_midi([("", notes)], [(0, COMMON)], [(0, 500_000)], 24))
    assert signatures(written(path)) == ["4/4"]


def test_the_music_ends_with_a_bar(tmp_path: Path) -> None:
    """Where the prime breaks off within a bar, that bar is completed first."""
    path = tmp_path / "prime.mid"
    path.write_bytes(score_to_midi([("", SCALE[:6])], [(0, COMMON)], (), 4))
    prime = prime_of(read_score(path), 4)
    frames, primed = music(Engine(random_checkpoint(SPEC)), override(Config(), "sampling.seed=1"), 2, prime)
    assert (primed, len(frames)) == (24, 32 + 2 * 16)


@pytest.mark.usefixtures("touch_network")
def test_touch_by_rule(tmp_path: Path) -> None:
    """A number is the velocity of every note, on the 16ths; with no pedal asked for, it comes up after the prime's."""
    file = written(swung(tmp_path), "--set", "sound.touch=50", "--set", "sound.pedal=off")
    own = timed(file.tracks[1], file.ticks_per_beat)
    assert {message.velocity for _, message in own if message.type == "note_on"} == {50}
    assert {at % 6 for at, message in own if message.type == "note_on"} == {0}
    assert not [message for _, message in own if message.type == "control_change" and message.value]


@pytest.mark.usefixtures("touch_network")
def test_a_key_struck_twice_in_one_16th_is_said_to_be_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the number of them; two voices that strike a key together are one stroke."""
    notes = [Note(60, 24 * n, 24 * n + 12) for n in range(16)]
    notes += [Note(60, 2, 6), Note(60, 48, 60), Note(60, 49, 52)]
    path = tmp_path / "prime.mid"
    path.write_bytes(score_to_midi([("a", notes[:17]), ("b", notes[17:])], [(0, COMMON)], [], 24))
    written(path)
    assert "left out 2 notes whose key is struck twice in one 16th" in capsys.readouterr().out
