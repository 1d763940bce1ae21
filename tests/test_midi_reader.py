"""The reader of MIDI files: it reads every note in spite of oddities, and refuses ambiguous files with a reason."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.midi_reader import MidiEvents, MidiFormatError, read_events

DIVISION = 96
END = b"\x00\xff\x2f\x00"
TUNE = bytes([0, 0x90, 60, 64, 96, 60, 0, 0, 62, 64, 96, 0x80, 62, 0])
NOTES = [(0, 0x90, 60, 64), (96, 0x90, 60, 0), (96, 0x90, 62, 64), (192, 0x80, 62, 0)]


def header(tracks: int = 1, kind: int = 1, division: int = DIVISION, extra: bytes = b"") -> bytes:
    """Return a header chunk, with `extra` bytes behind its three numbers."""
    return b"MThd" + struct.pack(">IHHH", 6 + len(extra), kind, tracks, division & 0xFFFF) + extra


def chunk(body: bytes, name: bytes = b"MTrk", stated: int | None = None) -> bytes:
    """Return a chunk; `stated` is the length that it states."""
    return name + struct.pack(">I", len(body) if stated is None else stated) + body


def meta(kind: int, body: bytes = b"", delta: int = 0) -> bytes:
    """Return a meta event of at most 127 bytes."""
    return bytes([delta, 0xFF, kind, len(body)]) + body


def track(events: bytes = TUNE) -> bytes:
    """Return a whole track chunk."""
    return chunk(events + END)


PLAIN = header() + track()
RIFF = b"RIFF" + struct.pack("<I", len(PLAIN) + 12) + b"RMIDdata" + struct.pack("<I", len(PLAIN)) + PLAIN
MAC_BINARY = b"\0\x05a.mid" + bytes(58) + b"MidiMidi" + bytes(55) + PLAIN + bytes(-len(PLAIN) % 128) + b"resource fork"

ONCE = {
    "plain": PLAIN,
    "RIFF wrapper": RIFF,
    "RIFF wrapper with a list behind": RIFF + b"LIST" + struct.pack("<I", 4) + b"INFO",
    "MacBinary wrapper": MAC_BINARY,
    "a header of eight bytes": header(extra=b"\0\0") + track(),
    "a header whose length is wrong": header()[:7] + b"\x60" + header()[8:] + track(),
    "a header that counts no track": header(tracks=0) + track(),
    "a header that counts nine tracks": header(tracks=9) + track(),
    "an unknown type": header(kind=7) + track(),
    "an unknown chunk before the track": header() + chunk(b"whatever", b"XFIH") + track(),
    "an unknown chunk that holds a track's name": header() + chunk(b"..MTrk..", b"XFIH") + track(),
    "an unknown chunk of a wrong length": header() + chunk(b"whatever", b"XFIH", 9999) + track(),
    "an unknown chunk after the track": header() + track() + chunk(b"whatever", b"XFKM"),
    "a track that states too much": header() + chunk(TUNE + END, stated=999),
    "a track that states too little": header() + chunk(TUNE + END, stated=5),
    "a track that states nothing": header() + chunk(TUNE + END, stated=0),
    "no end of track": header() + chunk(TUNE),
    "padded with zeros": PLAIN + bytes(512),
    "padded inside the track": header() + chunk(TUNE + END + bytes(20)),
    "an end of track hours later": header() + chunk(TUNE + b"\xff\xff\xff\x7f\xff\x2f\x00"),
    "a key signature of eight sharps": header() + track(meta(0x59, b"\x08\x00") + TUNE),
    "a key signature of one byte": header() + track(meta(0x59, b"\x08") + TUNE),
    "a tempo of two bytes": header() + track(meta(0x51, b"\x07\xa1") + TUNE),
    "a tempo of nothing": header() + track(meta(0x51, b"\0\0\0") + TUNE),
    "a metre of one byte": header() + track(meta(0x58, b"\x03") + TUNE),
    "an unknown meta event": header() + track(meta(0x77, b"abc") + TUNE),
    "text that is no text": header() + track(meta(0x01, b"\xff\x00\x80") + TUNE),
    "system exclusive": header() + track(b"\x00\xf0\x03\x7e\x09\xf7" + TUNE),
    "system exclusive in two parts": header() + track(b"\x00\xf0\x02\x7e\x09\x00\xf7\x01\xf7" + TUNE),
    "clock and active sensing": header() + track(b"\x00\xf8\x00\xfe" + TUNE),
    "running status across a meta event": header() + track(TUNE[:4] + meta(0x05, b"la") + TUNE[4:]),
}


def notes(data: bytes) -> list[tuple[int, int, int, int]]:
    """Return the note messages of a file."""
    return [m for m in read_events(data).messages if m[1] & 0xE0 == 0x80]


@pytest.mark.parametrize("kind", ONCE)
def test_odd_data_costs_no_note(kind: str) -> None:
    """A file with the tune and something odd that no note depends on is read as the plain file is."""
    assert notes(ONCE[kind]) == NOTES


def test_tracks_that_the_header_does_not_count_are_read() -> None:
    """The right hand's track is there although the header counts one track."""
    assert sorted(notes(header(tracks=1) + track() + track())) == sorted(NOTES * 2)


def test_a_track_that_states_more_than_it_has_before_another() -> None:
    """The end-of-track event ends it: the next track is read whole."""
    for stated in (len(TUNE) + 5, len(TUNE) + 20, 1 << 30):
        assert sorted(notes(header(2) + chunk(TUNE + END, stated=stated) + track())) == sorted(NOTES * 2)


def test_tracks_of_type_2_follow_one_another() -> None:
    """The second one begins where the first one ends."""
    assert notes(header(2, kind=2) + track() + track()) == NOTES + [(t + 192, *rest) for t, *rest in NOTES]


def test_tempo_and_metre() -> None:
    """They are given with their times; a metre is as the file states it."""
    body = meta(0x51, b"\x07\xa1\x20") + meta(0x58, b"\x06\x03\x24\x08") + TUNE + meta(0x58, b"\x00\x02\x18\x08")
    events = read_events(header() + track(body))
    assert events.tempos == [(0, 500_000)]
    assert events.metres == [(0, 6, 8), (192, 0, 4)]
    assert events.end == 192


REFUSED = {
    "empty": (b"", "is empty"),
    "zeros": (bytes(100), "is empty"),
    "text": (b"this is no MIDI file\n" * 3, "not a MIDI file"),
    "gzip": (b"\x1f\x8b\x08" + PLAIN, "gzip: unpack"),
    "a zip archive with a MIDI file stored in it": (b"PK\x03\x04" + PLAIN, "zip archive: unpack"),
    "a recording": (b"RIFF\0\0\0\0WAVEfmt ", "WAV"),
    "MusicXML": (b"<?xml version='1.0'?><score-partwise/>", "export the score as MIDI"),
    "half a header": (PLAIN[:9], "ends in its header"),
    "no track": (header() + chunk(b"abcd", b"XFIH"), "has no track"),
    "seconds": (header(division=-25 * 256 + 40) + track(), "in seconds"),
    "no division": (header(division=0) + track(), "quarter note"),
    "data without a message": (header() + track(bytes([0, 60, 64])), "data without a message"),
    "a key that is none": (header() + track(bytes([0, 0x90, 200, 64])), "note of number 200"),
    "an undefined status": (header() + track(bytes([0, 0xF4, 1])), "unknown length"),
    "a time of five bytes": (header() + track(b"\x81\x80\x80\x80\x00" + TUNE[1:]), "more than four bytes"),
    "two files": (PLAIN + PLAIN, "two MIDI files"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_ambiguous_is_refused_with_a_reason(kind: str) -> None:
    """The reason is one line that a musician understands."""
    data, reason = REFUSED[kind]
    with pytest.raises(MidiFormatError, match=reason) as caught:
        read_events(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", range(len(PLAIN)))
def test_a_file_that_is_cut_off_is_refused(size: int) -> None:
    """Wherever it is cut: notes would be missing without a word."""
    with pytest.raises(MidiFormatError):
        read_events(PLAIN[:size])


# -- fuzzed with real structure ---------------------------------------------------------------------------------------

BYTE, DATA = st.integers(0, 255), st.integers(0, 127)
CHANNEL_MESSAGES = st.builds(lambda s, a, b: bytes([s, a, b]), st.integers(0x80, 0xBF), DATA, DATA) | st.builds(
    lambda s, a: bytes([s, a]), st.integers(0xC0, 0xDF), DATA
)
BODIES = st.binary(max_size=9).filter(lambda body: b"MTrk" not in body)
ODDITIES = st.one_of(
    st.builds(
        lambda kind, body: meta(kind, body)[1:],
        st.integers(0, 127).filter(lambda kind: kind not in (0x2F, 0x51, 0x58)),
        BODIES,
    ),
    st.builds(lambda body: bytes([0xF0, len(body)]) + body, BODIES),
    st.sampled_from([b"\xf8", b"\xfe", b"\xff\x51\x01\x09", b"\xff\x58\x00", b"\xff\x59\x02\x63\x07"]),
)
EVENTS = st.lists(st.tuples(st.integers(0, 127), CHANNEL_MESSAGES, st.none() | ODDITIES), max_size=12)


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw a clean file, and the same with oddities that no note depends on."""
    tracks = draw(st.lists(EVENTS, min_size=1, max_size=4))
    clean = [b"".join(bytes([delta]) + message for delta, message, _ in track_) for track_ in tracks]
    odd = [b"".join(bytes([d]) + m + (b"\0" + o if o else b"") for d, m, o in track_) for track_ in tracks]
    wrong = draw(st.integers(-9, 40))
    chunks = [chunk(body + END, stated=max(0, len(body) + 4 + wrong)) for body in odd]
    foreign = draw(st.sampled_from([b"", chunk(b"12345", b"XFIH"), chunk(b"", b"\xa9cpy")]))
    wrapped = header(draw(st.integers(0, 40)), division=480) + foreign + foreign.join(chunks)
    prefix = draw(st.sampled_from([b"", RIFF[:20], bytes(128)]))
    return header(len(clean), division=480) + b"".join(chunk(body + END) for body in clean), prefix + wrapped


@given(files())
def test_any_oddities_cost_no_message(pair: tuple[bytes, bytes]) -> None:
    """Wrappers, foreign chunks, wrong lengths and counts, unknown meta events: the messages stay the same."""
    clean, odd = (read_events(data) for data in pair)
    assert odd.messages == clean.messages
    assert odd.division == clean.division


def mutated(data: bytes, changes: Sequence[tuple[int, int]], cut: int) -> bytes:
    """Return the data with bytes changed, and cut off at the end."""
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(changed)] = value
    return bytes(changed[: len(changed) - cut])


@given(st.builds(mutated, files().map(lambda p: p[1]), st.lists(st.tuples(st.integers(0, 999), BYTE)), DATA))
def test_any_damage_is_read_or_refused(data: bytes) -> None:
    """Nothing but MidiFormatError is raised, and what is read is in order and in range."""
    try:
        events = read_events(data)
    except MidiFormatError:
        return
    assert isinstance(events, MidiEvents)
    assert events.messages == sorted(events.messages, key=lambda message: message[0])
    assert all(0x80 <= m[1] < 0xF0 and max(m[2:]) < 128 for m in events.messages)
