"""Reading MIDI files onto the grid, errors for broken files, and the split of pieces."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mido import Message, MetaMessage

from livebach.errors import UserError
from livebach.music.metre import Metre, metre_track
from livebach.music.roll import HOLD, KEYS, ONSET, Note, frames_from_notes, legalise
from livebach.music.score_reader import MAX_TICKS, CorpusError, Piece, Score, piece_of, read_score, upbeat_ticks
from livebach.training.corpus import Corpus, load_corpus, midi_files, split_of, split_pieces
from livebach.training.licence_index import SPLITS, Origin
from livebach.training.near_duplicates import alike, fingerprint

QUARTER = 96
TICK = QUARTER // 4


def on(key: int, time: int = 0, velocity: int = 64, channel: int = 0) -> Message:
    """A note-on, `time` ticks of ours after the message before."""
    return Message("note_on", note=key, velocity=velocity, channel=channel, time=time * TICK)


def off(key: int, time: int = 0, channel: int = 0) -> Message:
    """A note-off, `time` ticks of ours after the message before."""
    return Message("note_off", note=key, channel=channel, time=time * TICK)


def metre(numerator: int, denominator: int, time: int = 0) -> MetaMessage:
    """A time signature."""
    return MetaMessage("time_signature", numerator=numerator, denominator=denominator, time=time * TICK)


def write(path: Path, *tracks: Sequence[Message | MetaMessage], kind: int = 1) -> Path:
    """A MIDI file of these tracks."""
    mido.MidiFile(type=kind, ticks_per_beat=QUARTER, tracks=[mido.MidiTrack(t) for t in tracks]).save(path)
    return path


def raw(events: bytes, kind: int = 0, division: int = QUARTER) -> bytes:
    """A file of one track, byte by byte."""
    body = events + b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">Lhhh", 6, kind, 1, division) + b"MTrk" + struct.pack(">L", len(body)) + body


def keys(path: Path) -> list[tuple[int, int, int]]:
    """The notes of a file as (key, start, end)."""
    return [(n.key, n.start, n.end) for n in read_score(path).notes]


# -- what is read -----------------------------------------------------------------------------------------------------


def test_type_0(tmp_path: Path) -> None:
    """One track with everything in it."""
    path = write(tmp_path / "a.mid", [metre(3, 4), on(60), on(64, 2), off(60, 2), off(64)], kind=0)
    assert keys(path) == [(60, 0, 4), (64, 2, 4)]
    assert read_score(path).metres == ((0, Metre(3, 4)),)


def test_type_1(tmp_path: Path) -> None:
    """Tracks run side by side: metre and tempo in the first hold for all."""
    head = [metre(2, 4), MetaMessage("set_tempo", tempo=400_000), metre(3, 8, time=8)]
    path = write(tmp_path / "a.mid", head, [on(60), off(60, 4)], [on(40, 2, channel=1), off(40, 10, channel=1)])
    score = read_score(path)
    assert keys(path) == [(60, 0, 4), (40, 2, 12)]
    assert score.metres == ((0, Metre(2, 4)), (8, Metre(3, 8)))
    assert score.length == 12


def test_type_2(tmp_path: Path) -> None:
    """Tracks that are pieces of their own follow one another."""
    path = write(tmp_path / "a.mid", [on(60), off(60, 4)], [on(62, 1), off(62, 4)], kind=2)
    assert keys(path) == [(60, 0, 4), (62, 5, 9)]


def test_tempo_changes_move_nothing(tmp_path: Path) -> None:
    """The grid is in quarters, not in seconds."""
    fast = MetaMessage("set_tempo", tempo=100_000)
    path = write(
        tmp_path / "a.mid", [fast, on(60), off(60, 4), MetaMessage("set_tempo", tempo=999_999), on(62), off(62, 4)]
    )
    assert keys(path) == [(60, 0, 4), (62, 4, 8)]


def test_running_status_and_velocity_zero(tmp_path: Path) -> None:
    """One status byte for four messages, note-ons of velocity 0 for the ends."""
    path = tmp_path / "a.mid"
    path.write_bytes(raw(bytes([0, 0x90, 60, 64, 48, 60, 0, 0, 62, 64, 48, 62, 0])))
    assert keys(path) == [(60, 0, 2), (62, 2, 4)]


def test_overlapping_notes_on_one_key(tmp_path: Path) -> None:
    """They are paired first on, first off; the second is struck while the first sounds."""
    path = write(tmp_path / "a.mid", [on(60), on(60, 2, velocity=90), off(60, 2), off(60, 4)])
    assert [(n.start, n.end, n.velocity) for n in read_score(path).notes] == [(0, 4, 64), (2, 8, 90)]


def test_one_key_on_two_channels_is_two_notes(tmp_path: Path) -> None:
    """The end of one voice does not end the other."""
    path = write(tmp_path / "a.mid", [on(60), on(60, channel=1), off(60, 2, channel=1), off(60, 4)])
    assert sorted(keys(path)) == [(60, 0, 2), (60, 0, 6)]


def test_percussion_is_left_out(tmp_path: Path) -> None:
    """Channel 10 is no keyboard."""
    assert keys(write(tmp_path / "a.mid", [on(36, channel=9), on(60), off(60, 4), off(36, channel=9)])) == [(60, 0, 4)]


def test_notes_outside_the_keyboard_are_not_drawn(tmp_path: Path) -> None:
    """They are in the score and not in its frames."""
    path = write(tmp_path / "a.mid", [on(10), on(60), off(60, 4), off(10)])
    assert piece_of("a", read_score(path)).onsets == 1


def test_unclosed_notes_last_to_the_end(tmp_path: Path) -> None:
    """A key that never comes up is down until the file ends; an off without an on is nothing."""
    path = write(
        tmp_path / "a.mid", [off(70), on(60), on(62, 2), off(62, 6), MetaMessage("end_of_track", time=2 * TICK)]
    )
    assert keys(path) == [(60, 0, 10), (62, 2, 8)]


def test_notes_shorter_than_a_tick_fill_one(tmp_path: Path) -> None:
    """Two grace notes on one tick are both there."""
    short = [Message("note_on", note=60), Message("note_off", note=60, time=5), Message("note_on", note=62)]
    path = write(tmp_path / "a.mid", [*short, Message("note_off", note=62, time=5), on(64), off(64, 4)])
    assert keys(path) == [(60, 0, 1), (62, 0, 1), (64, 0, 4)]


def test_without_a_time_signature_it_is_common_time(tmp_path: Path) -> None:
    """Also up to the first one that comes later."""
    path = write(tmp_path / "a.mid", [on(60), off(60, 16), metre(3, 4), on(62), off(62, 12)])
    assert read_score(path).metres == ((0, Metre(4, 4)), (16, Metre(3, 4)))


def test_the_last_of_two_metres_on_one_tick_counts(tmp_path: Path) -> None:
    """Engravers write a metre and its correction at once; one after the end means nothing."""
    path = write(tmp_path / "a.mid", [metre(4, 4), metre(6, 8), on(60), off(60, 12), metre(2, 4, time=1)])
    assert read_score(path).metres == ((0, Metre(6, 8)),)


def test_a_metre_without_a_whole_number_of_ticks_is_left_out(tmp_path: Path) -> None:
    """The one before stays in force; a finer grid knows it."""
    path = write(tmp_path / "a.mid", [metre(3, 4), on(60), off(60, 12), metre(7, 32), on(62), off(62, 14)])
    assert read_score(path).metres == ((0, Metre(3, 4)),)
    assert read_score(path, 8).metres == ((0, Metre(3, 4)), (24, Metre(7, 32)))


@pytest.mark.parametrize("upbeat", [0, 1, 2, 4, 5, 8])
def test_an_upbeat_is_heard(tmp_path: Path, upbeat: int) -> None:
    """The first bar begins with it in the file: long low notes say where the downbeats are."""
    track: list[Message | MetaMessage] = [metre(3, 4)]
    track += [m for length in [upbeat % 4] + [4] * (upbeat // 4) if length for m in (on(72), off(72, length))]
    for _ in range(8):
        track += [on(40), on(72), off(72, 4), on(74), off(74, 4), on(76), off(76, 4), off(40)]
    score = read_score(write(tmp_path / "a.mid", track))
    assert upbeat_ticks(score) == upbeat
    assert piece_of("a", score).places[upbeat].tolist() == [0, 4, 12]


@pytest.mark.parametrize("quarter", [1, 7, 120, 480, 960, 32767])
def test_any_division(tmp_path: Path, quarter: int) -> None:
    """A quarter is four ticks, however the file divides it."""
    track = mido.MidiTrack([Message("note_on", note=60), Message("note_off", note=60, time=quarter)])
    mido.MidiFile(ticks_per_beat=quarter, tracks=[track]).save(tmp_path / "a.mid")
    assert keys(tmp_path / "a.mid") == [(60, 0, 4)]


# -- what cannot be read ----------------------------------------------------------------------------------------------

WHOLE = raw(bytes([0, 0xFF, 0x58, 4, 3, 2, 24, 8, 0, 0x90, 60, 64, 96, 60, 0, 0, 62, 64, 96, 0x80, 62, 0]))
BROKEN = {
    "empty": b"",
    "text": b"this is no MIDI file, it only says so\n",
    "header only": WHOLE[:14],
    "half a header": WHOLE[:9],
    "no track": WHOLE[:14] + b"junk" + WHOLE[18:],
    "half a note": WHOLE[:-8],
    "data without status": raw(bytes([0, 60, 64])),
    "undefined status": raw(bytes([0, 0xF4, 1])),
    "SMPTE": raw(bytes([0, 0x90, 60, 64, 96, 60, 0]), division=-25 * 256 + 40),
    "no division": raw(bytes([0, 0x90, 60, 64, 96, 60, 0]), division=0),
    "no notes": raw(b""),
    "no key of ours": raw(bytes([0, 0x90, 5, 64, 96, 5, 0])),
    "months long": raw(bytes([0, 0x90, 60, 64, 0xFF, 0xFF, 0xFF, 0x7F, 60, 0])),
    "longer than a float": raw(bytes([0, 0x90, 60, 64]) + b"\xff" * 200 + bytes([0x7F, 60, 0])),
    "blank flash memory": WHOLE[:30] + b"\xff" * (1 << 20),
    "zeros": WHOLE[:30] + bytes(1 << 10),
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
}
ODD = {
    "metre over 2**60": raw(bytes([0, 0xFF, 0x58, 4, 3, 60, 24, 8, 0, 0x90, 60, 64, 96, 60, 0])),
    "metre of 0": raw(bytes([0, 0xFF, 0x58, 4, 0, 2, 24, 8, 0, 0x90, 60, 64, 96, 60, 0])),
    "metre cut short": raw(bytes([0, 0xFF, 0x58, 1, 3, 0, 0x90, 60, 64, 96, 60, 0])),
    "key signature": raw(bytes([0, 0xFF, 0x59, 2, 100, 7, 0, 0x90, 60, 64, 96, 60, 0])),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_data_that_no_note_depends_on(tmp_path: Path, kind: str) -> None:
    """The note is read; a metre that the grid does not know leaves common time in force."""
    path = tmp_path / "odd.mid"
    path.write_bytes(ODD[kind])
    assert keys(path) == [(60, 0, 4)]
    assert read_score(path).metres == ((0, Metre(4, 4)),)


CASES = Path(__file__).parent.parent.parent / "shared" / "cases"
ONSETS = {
    "ok.mid": 32,
    "key8sharps.mid": 32,
    "tempo_short.mid": 32,
    "alien.mid": 32,
    "lenlong.mid": 64,
    "rmid.rmi": 32,
    "hands_ntrk1.mid": 64,
    "tempo140.mid": 64,
    "pickup.mid": 65,
}
"""The notes of each of the small inputs that stand for faults of other programs."""


@pytest.mark.parametrize("name", ONSETS)
def test_small_inputs_of_known_faults(name: str) -> None:
    """Each is read with all its notes."""
    if not (CASES / name).exists():
        pytest.skip(f"{CASES / name} is not here")
    assert len(read_score(CASES / name).notes) == ONSETS[name]


def test_percussion_only_is_said(tmp_path: Path) -> None:
    """A file with nothing but drums is refused with that reason."""
    with pytest.raises(CorpusError, match="percussion only"):
        read_score(write(tmp_path / "drums.mid", [on(36, channel=9), off(36, 4, channel=9)]))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A FIFO or a device in place of a file is one line at once."""
    os.mkfifo(tmp_path / "pipe.mid")
    for path in (tmp_path / "pipe.mid", Path(os.devnull)):
        with pytest.raises(CorpusError, match="a pipe or a device"):
            read_score(path)


def test_a_late_end_of_track_lengthens_little(tmp_path: Path) -> None:
    """The notes count; a key that never comes up lasts a whole note longer than the last event of a note at most."""
    late = MetaMessage("end_of_track", time=100_000 * QUARTER)
    score = read_score(write(tmp_path / "a.mid", [on(60), on(62, 2), off(62, 6), late]))
    assert [(n.key, n.start, n.end) for n in score.notes] == [(60, 0, 24), (62, 2, 8)]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    """The line begins with the file, says why, and the error is ours."""
    path = tmp_path / "broken.mid"
    path.write_bytes(BROKEN[kind])
    with pytest.raises(CorpusError) as caught:
        read_score(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert not line.endswith(": ")
    assert "\n" not in line


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_truncated_file_is_never_half_read(tmp_path: Path, size: int) -> None:
    """Wherever it is cut."""
    path = tmp_path / "cut.mid"
    path.write_bytes(WHOLE[:size])
    with pytest.raises(CorpusError):
        read_score(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    """Both are told like a broken file."""
    for path in (tmp_path / "none.mid", tmp_path):
        with pytest.raises(CorpusError, match=str(path)):
            read_score(path)


def mutated(changes: list[tuple[int, int]], cut: int, repeat: bytes, at: int) -> bytes:
    """A whole file with bytes changed, put in and cut off."""
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place % len(data)] = value
    data[at % len(data) : at % len(data)] = repeat
    return bytes(data[: len(data) - cut])


BYTE = st.integers(0, 255)
MUTATED = st.builds(
    mutated,
    st.lists(st.tuples(st.integers(14, 99), BYTE), max_size=4),
    st.sampled_from([0, 0, 0, 1, 7]),
    st.one_of(st.just(b""), st.binary(max_size=6), st.just(b"\xff" * 40)),
    st.integers(0, 99),
)


@given(st.one_of(MUTATED, st.binary(max_size=60), st.builds(raw, st.binary(max_size=60))))
def test_any_bytes_are_a_score_or_a_corpus_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Nothing else is raised, nothing hangs, and a score is small enough to draw."""
    path = tmp_path_factory.getbasetemp() / "fuzz.mid"
    path.write_bytes(data)
    score = score_or_none(path)
    if score is not None:
        piece = piece_of("fuzz", score)
        assert len(piece.frames) == len(piece.places) == score.length <= MAX_TICKS + 1
        assert np.array_equal(legalise(piece.frames), piece.frames)
        assert (piece.places[:, 0] < piece.places[:, 2]).all()


def score_or_none(path: Path) -> Score | None:
    """A score, or None where it is refused in one line."""
    try:
        return read_score(path)
    except CorpusError as error:
        if "\n" in str(error):
            raise
        return None


# -- a folder ---------------------------------------------------------------------------------------------------------


def melody(seed: int, length: int = 120) -> list[Note]:
    """A random walk over the keys: no two are alike."""
    steps = np.random.default_rng(seed).integers(-4, 5, (2, length)).cumsum(axis=1) % 24
    upper = [Note(60 + int(k), 2 * i, 2 * i + 2) for i, k in enumerate(steps[0])]
    return upper + [Note(30 + int(k), 4 * i, 4 * i + 4) for i, k in enumerate(steps[1][: length // 2])]


def piece(name: str, notes: Sequence[Note]) -> Piece:
    """Notes as a piece in common time."""
    frames = frames_from_notes(notes)
    return Piece(name, frames, metre_track(len(frames), [(0, Metre())], 4))


def moved(notes: Sequence[Note], by: int) -> list[Note]:
    """The notes some semitones higher."""
    return [Note(n.key + by, n.start, n.end) for n in notes]


def names(corpus: Corpus) -> dict[str, list[str]]:
    """The pieces of each split by name."""
    return {split: [p.name for p in pieces] for split, pieces in corpus.splits.items()}


@pytest.mark.parametrize("kind", ["p", "f"])
@pytest.mark.parametrize("book", [1, 2])
def test_the_well_tempered_clavier_is_split_by_number(book: int, kind: str) -> None:
    """Numbers 6, 13 and 20 validate, 3, 10 and 17 test, preludes and fugues of both books."""
    sides = [split_of(f"wtc/WTC{book}{kind}{n:02}.mid") for n in range(1, 25)]
    assert [i + 1 for i, side in enumerate(sides) if side == "valid"] == [6, 13, 20]
    assert [i + 1 for i, side in enumerate(sides) if side == "test"] == [3, 10, 17]


def test_other_names_are_split_by_lot() -> None:
    """About a tenth validates and a tenth tests; the folder does not matter, the same name always falls the same."""
    sides = [split_of(f"folder{i}/piece{i}.mid") for i in range(1000)]
    assert sides == [split_of(f"piece{i}.mid") for i in range(1000)]
    assert 70 < sides.count("valid") < 130
    assert 70 < sides.count("test") < 130


def test_beside_the_well_tempered_clavier_all_else_trains() -> None:
    """So that what validates is always the same."""
    others = [piece(f"other{i}.mid", melody(i)) for i in range(20)]
    corpus = split_pieces([*others, piece("wtc1p06.mid", melody(98)), piece("wtc2f03.mid", melody(99))])
    assert names(corpus) == {"train": sorted(p.name for p in others), "valid": ["wtc1p06.mid"], "test": ["wtc2f03.mid"]}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_small_folder_still_validates(count: int) -> None:
    """Where the lot leaves training or validation empty, one piece is moved."""
    for first in range(0, 50, count):
        found = names(split_pieces([piece(f"{i}.mid", melody(i)) for i in range(first, first + count)]))
        assert found["train"]
        assert found["valid"]


def ornamented(notes: Sequence[Note]) -> list[Note]:
    """Another edition: every 40th note is another one, and all is written twice as slow."""
    return [Note(n.key + (i % 40 == 39), 2 * n.start, 2 * n.end) for i, n in enumerate(notes)]


@pytest.mark.parametrize(
    "copy",
    [
        lambda notes: moved(notes, 3),
        lambda notes: moved(notes, -7),
        ornamented,
        lambda notes: notes[20:100],
        lambda notes: notes + [Note(n.key, n.start + 240, n.end + 240) for n in notes],
        lambda notes: [n for n in notes if n.key >= 60],
    ],
    ids=["higher", "lower", "other edition", "a part", "with its repeat", "one hand"],
)
def test_a_near_duplicate_is_never_on_two_sides(copy: object) -> None:
    """The copy that would train is left out and said to be."""
    assert callable(copy)
    original, unlike = melody(1), melody(2)
    corpus = split_pieces([piece("wtc1p06.mid", original), piece("a.mid", copy(original)), piece("b.mid", unlike)])
    assert names(corpus) == {"train": ["b.mid"], "valid": ["wtc1p06.mid"], "test": []}
    assert corpus.left_out == [("a.mid", "near-duplicate of wtc1p06.mid (valid)")]


def test_near_duplicates_on_one_side_both_stay() -> None:
    """Two editions may train together; of validation and test, the test keeps it."""
    same = [piece("a.mid", melody(1)), piece("b.mid", moved(melody(1), 2))]
    corpus = split_pieces([*same, piece("wtc1p03.mid", melody(5)), piece("wtc2p06.mid", moved(melody(5), 1))])
    assert names(corpus) == {"train": ["a.mid", "b.mid"], "valid": [], "test": ["wtc1p03.mid"]}


def test_short_pieces_have_fingerprints() -> None:
    """A copy of five notes is known too, and pieces without notes are like nothing."""
    short = melody(3)[:5]
    assert alike(fingerprint(frames_from_notes(short)), fingerprint(frames_from_notes(moved(short, 5))))
    blank = fingerprint(np.zeros((4, KEYS), np.uint8))
    assert not alike(blank, blank)


def test_a_folder_is_read_and_what_is_broken_is_reported(tmp_path: Path) -> None:
    """Files of any depth and ending in .mid or .midi, in any case; the rest is not looked at."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for seed, name in enumerate(["a.mid", "deep/b.MIDI", "deep/er/c.Mid"]):
        walk = [m for n in melody(seed)[:100] for m in (on(n.key), off(n.key, 2))]
        write(tmp_path / name, walk)
    (tmp_path / "deep" / "bad.mid").write_bytes(BROKEN["text"])
    (tmp_path / "readme.txt").write_text("no MIDI", encoding="utf-8")
    said: list[str] = []
    corpus = load_corpus(tmp_path, report=said.append)
    found = sorted(name for split in names(corpus).values() for name in split)
    assert found == [str(Path(name)) for name in ("a.mid", "deep/b.MIDI", "deep/er/c.Mid")]
    assert len(said) == 1
    assert said[0].startswith("left out deep/bad.mid: ")
    assert corpus.left_out[0][0] == str(Path("deep/bad.mid"))
    summary = corpus.summary().splitlines()
    assert [line.split()[0] for line in summary[:3]] == list(SPLITS)
    assert "100 onsets" in summary[1]
    assert summary[3] == said[0]


def test_every_kind_of_midi_file_is_read_and_what_is_not_is_named(tmp_path: Path) -> None:
    """Karaoke, RIFF and .smf files are pieces; archives and scores in other formats are named with the reason."""
    for seed, name in enumerate(["a.mid", "b.KAR", "c.rmi", "d.smf"]):
        write(tmp_path / name, [m for n in melody(seed)[:100] for m in (on(n.key), off(n.key, 2))])
    for name in ("e.mid.gz", "f.zip", "g.mxl", "h.txt"):
        (tmp_path / name).write_bytes(b"?")
    corpus = load_corpus(tmp_path)
    assert sum(map(len, corpus.splits.values())) == 4
    assert corpus.left_out == [
        ("e.mid.gz", "is compressed: unpack it first"),
        ("f.zip", "is compressed: unpack it first"),
        ("g.mxl", "is a score in another format: export it as MIDI"),
    ]


INDEX = "file,work,split\na.mid,first,test\nb.mid,first,test\nc.mid,,\nd.mid,second,valid\n"


def four(folder: Path) -> Path:
    """Write a folder of four pieces and their index, with a byte-order mark."""
    for seed, name in enumerate("abcd"):
        write(folder / f"{name}.mid", [m for n in melody(seed)[:100] for m in (on(n.key), off(n.key, 2))])
    (folder / "INDEX.csv").write_text(INDEX, encoding="utf-8-sig")
    return folder


def test_an_index_of_other_files_is_named(tmp_path: Path) -> None:
    """Its paths begin in the folder of data; the files themselves are whole."""
    (tmp_path / "music").mkdir()
    four(tmp_path / "music")
    (tmp_path / "mine.csv").write_text("file\nmusic/one.mid\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"mine\.csv: none of its 1 files is in .*music, where their paths begin"):
        load_corpus(tmp_path / "music", index=tmp_path / "mine.csv")
    with pytest.raises(UserError, match=r"none\.csv: cannot be read: No such file"):
        load_corpus(tmp_path / "music", index=tmp_path / "none.csv")


def test_an_index_states_works_and_splits(tmp_path: Path) -> None:
    """The files of a work are on its side; a file without a split is where its name puts it."""
    assert names(load_corpus(four(tmp_path))) == {"train": ["c.mid"], "valid": ["d.mid"], "test": ["a.mid", "b.mid"]}


def test_the_name_of_the_work_decides(tmp_path: Path) -> None:
    """Without a split, all files of a work are on the side that the hash of the work's name decides."""
    pieces = [piece(f"{seed}.mid", melody(seed)) for seed in range(40)]
    works = {p.name: Origin("", "", f"work {i // 4}") for i, p in enumerate(pieces)}
    found = names(split_pieces(pieces, works))
    sides = {name: side for side, members in found.items() for name in members}
    assert all(len({sides[f"{4 * work + i}.mid"] for i in range(4)}) == 1 for work in range(10))
    assert found["train"]
    assert found["valid"]


def test_a_list_selects(tmp_path: Path) -> None:
    """With a list of one's own, the files that it names are read, and no other; a missing one is named."""
    four(tmp_path)
    (tmp_path / "mine.csv").write_text("file\na.mid\nb.mid\nno.mid\n", encoding="utf-8")
    corpus = load_corpus(tmp_path, index=tmp_path / "mine.csv")
    assert sorted(name for members in names(corpus).values() for name in members) == ["a.mid", "b.mid"]
    assert [name for name, _ in corpus.left_out] == ["no.mid"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name\na.mid\n", "must have the column file"),
        ("file,split\na.mid,training\n", "line 2: split must be one of train, valid, test or empty"),
        ("file,work,split\na.mid,x,train\nb.mid,x,test\n", "the files of the work 'x' must all have the same split"),
    ],
)
def test_a_damaged_list(tmp_path: Path, text: str, said: str) -> None:
    """One line names the file, the row and what is allowed."""
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        load_corpus(four(tmp_path), index=tmp_path / "list.csv")


def test_folders_without_music(tmp_path: Path) -> None:
    """Missing, empty, and with nothing but broken files: each in one line."""
    with pytest.raises(CorpusError, match="no such folder"):
        midi_files(tmp_path / "none")
    with pytest.raises(CorpusError, match="no MIDI file below it"):
        midi_files(tmp_path)
    (tmp_path / "bad.mid").write_bytes(b"")
    with pytest.raises(CorpusError, match="none of the 1 MIDI files can be read"):
        load_corpus(tmp_path)


# -- the scores that the default is trained on ------------------------------------------------------------------------


def scores() -> Path:
    """Where the training scores are, or a skip."""
    beside = Path(__file__).parent.parent.parent / "shared" / "corpus"
    folder = Path(os.environ.get("LIVEBACH_CORPUS", beside))
    if not folder.is_dir():
        pytest.skip(f"no scores in {folder}: set LIVEBACH_CORPUS to a folder of them")
    return folder


@pytest.mark.slow
def test_the_training_scores() -> None:
    """Every file is read, the split is the stated one, and nothing held out resembles what is trained on."""
    corpus = load_corpus(scores())
    assert corpus.left_out == []
    assert {split: len(pieces) for split, pieces in corpus.splits.items()} == {"train": 223, "valid": 10, "test": 9}
    assert all(Path(p.name).stem[5:] in {"06", "13", "20"} for p in corpus.splits["valid"])
    assert all(Path(p.name).stem[5:] in {"03", "10", "17"} for p in corpus.splits["test"])
    prints = {split: [fingerprint(p.frames) for p in pieces] for split, pieces in corpus.splits.items()}
    for a, b in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not any(alike(x, y) for x in prints[a] for y in prints[b])
    for p in (p for pieces in corpus.splits.values() for p in pieces):
        held = p.frames[1:] == HOLD
        assert not (held & (p.frames[:-1] == 0)).any()
        assert (p.frames[0] != HOLD).all()
        assert (p.frames == ONSET).any()
