"""The bytes of a MIDI file -> its channel messages, tempos and metres.

The reader is tolerant: it refuses a file only where the notes are ambiguous. Everything else that is odd in a file
(wrappers, unknown chunks, wrong lengths, unknown or damaged meta events, a wrong number of tracks) costs nothing.
The format is that of the Standard MIDI File 1.0 (MIDI Manufacturers Association, 1996). Knows no file system.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter

HEADER, TRACK = b"MThd", b"MTrk"
META, END_OF_TRACK, TEMPO, METRE = 0xFF, 0x2F, 0x51, 0x58
SYSTEM_EXCLUSIVE = (0xF0, 0xF7)
_SYSTEM_SIZES = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, **dict.fromkeys(range(0xF8, 0xFF), 0)}
"""Data bytes of the system messages. They have no place in a file, and they are no notes."""
_NOTE_OFF, _NOTE_ON = 0x80, 0x90
_HIGHEST = 0x7F

_OTHER_FORMATS = (
    (b"\x1f\x8b", "is compressed with gzip: unpack it first"),
    (b"PK\x03\x04", "is a zip archive: unpack it first"),
    (b"BZh", "is compressed with bzip2: unpack it first"),
    (b"\xfd7zXZ\x00", "is compressed with xz: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it first"),
    (b"Rar!", "is a RAR archive: unpack it first"),
    (b"<?xml", "is an XML file, not MIDI: export the score as MIDI"),
    (b"%PDF", "is a PDF, not MIDI"),
    (b"OggS", "is a sound recording (Ogg), not MIDI"),
    (b"fLaC", "is a sound recording (FLAC), not MIDI"),
    (b"ID3", "is a sound recording (MP3), not MIDI"),
)
"""How files begin that people take for MIDI files."""

Message = tuple[int, int, int, int]
"""A channel message: time in ticks of the file, status byte, two data bytes (the second 0 where there is one)."""


class MidiFormatError(ValueError):
    """The bytes are no MIDI file, or the notes in them are ambiguous: one line for a musician."""


@dataclass(slots=True)
class MidiEvents:
    """The contents of a MIDI file, in order of time."""

    division: int
    """Ticks of a quarter note."""
    messages: list[Message] = field(default_factory=list)
    tempos: list[tuple[int, int]] = field(default_factory=list)
    """(tick, microseconds of a quarter note)."""
    metres: list[tuple[int, int, int]] = field(default_factory=list)
    """(tick, numerator, denominator), as the file states them: they may make no sense."""
    end: int = 0
    """The tick at which the last track ends."""

    def add(self, track: MidiEvents, end: int) -> None:
        """Append the events of a track that ends at a tick."""
        self.messages += track.messages
        self.tempos += track.tempos
        self.metres += track.metres
        self.end = max(self.end, end)


def read_events(data: bytes) -> MidiEvents:
    """Return the events of a MIDI file.

    The tracks of type 2 follow one another; all others run side by side. Every track chunk is read, whatever number of
    tracks the header states.

    Raises:
        MidiFormatError: the data are no MIDI, their times are not in beats, or a track breaks off.

    """
    kind, division, at = _header(data)
    events = MidiEvents(division)
    start = 0
    tracks = 0
    while (at := _next_track(data, at)) >= 0:
        tracks += 1
        track = _Track(data, at, tracks, start)
        at = track.read()
        events.add(track.events, track.tick)
        start = track.tick if kind == 2 else 0
    if not tracks:
        raise MidiFormatError("has no track: there is no music in it")
    for each in (events.messages, events.tempos, events.metres):
        each.sort(key=itemgetter(0))
    return events


def _header(data: bytes) -> tuple[int, int, int]:
    """Return type, division and the position after the header chunk; what precedes the header is a wrapper."""
    for mark, reason in _OTHER_FORMATS:
        if data.startswith(mark):
            raise MidiFormatError(reason)
    if data[8:12] == b"WAVE":
        raise MidiFormatError("is a sound recording (WAV), not MIDI")
    at = data.find(HEADER)
    if at < 0:
        raise MidiFormatError("is empty" if not data.strip(b"\0") else "is not a MIDI file: it has no MIDI header")
    if len(data) < at + 14:
        raise MidiFormatError("ends in its header: there is no music in it")
    kind, division = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (8, 12))
    if division >= 0x8000:
        raise MidiFormatError("counts time in seconds (SMPTE), not in beats: save it with ticks per quarter note")
    if not division:
        raise MidiFormatError("does not say how long a quarter note is (its division is 0)")
    after = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
    return kind, division, after if after >= at + 14 and _is_chunk(data, after) else at + 14


def _is_chunk(data: bytes, at: int) -> bool:
    """Whether a chunk begins there, or the data end there."""
    name = data[at : at + 4]
    return at == len(data) or (len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name))


def _next_track(data: bytes, at: int) -> int:
    """Return the position of the next track chunk from `at` on, past chunks of other kinds; -1: there is none."""
    while at < len(data) and data[at : at + 4] != TRACK:
        if data[at : at + 4] == HEADER:
            raise MidiFormatError("holds two MIDI files, one after the other: save them as two files")
        after = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        at = after if _is_chunk(data, at) and _is_chunk(data, after) else data.find(TRACK, at + 1)
        if at < 0:
            return -1
    return at if at < len(data) else -1


class _Track:
    """One track chunk as it is read."""

    def __init__(self, data: bytes, at: int, number: int, start: int) -> None:
        """Take the chunk at a position; `start` is the tick at which the track begins."""
        self._data, self._number, self._start = data, number, start
        self._body = at + 8
        self._stated = self._body + int.from_bytes(data[at + 4 : at + 8], "big")
        self._rewind(self._stated)

    def _rewind(self, limit: int) -> None:
        """Begin to read, up to a position that the track does not go beyond."""
        self._at, self._limit, self._running, self._ended = self._body, limit, 0, False
        self.tick, self.events = self._start, MidiEvents(0)

    def read(self) -> int:
        """Read all events; return the position after the track.

        The stated length counts where another chunk or the end of the data follows, and no event reaches beyond it.
        Elsewhere the track goes on to its end-of-track event, which must come before the next track.
        """
        if _is_chunk(self._data, self._stated) and self._read_to_limit():
            inside = self._data.find(TRACK, self._at, self._stated)
            return self._stated if inside < 0 else inside
        following = self._data.find(TRACK, self._body)
        self._rewind(following if following >= 0 else len(self._data))
        if not self._read_to_limit():
            raise self._broken("breaks off in the middle of an event: notes are missing")
        if not self._ended:
            raise self._broken("has no end: notes may be missing")
        return self._at

    def _read_to_limit(self) -> bool:
        """Read up to the end-of-track event or the limit; return False where an event reaches beyond the limit."""
        try:
            while self._at < self._limit and not self._ended:
                self._event()
        except IndexError:
            return False
        return True

    def _broken(self, reason: str) -> MidiFormatError:
        return MidiFormatError(f"track {self._number} {reason} (byte {self._at})")

    def _event(self) -> None:
        self.tick += self._number_of_bytes()
        status = self._data[self._at]
        if status < 0x80:
            status = self._running
            if not status:
                raise self._broken("has data without a message that they belong to")
        else:
            self._at += 1
        if status < 0xF0:
            self._running = status
            self._channel_message(status)
        elif status == META:
            self._meta()
        elif status in SYSTEM_EXCLUSIVE:
            self._skip(self._number_of_bytes())
        elif status in _SYSTEM_SIZES:
            self._skip(_SYSTEM_SIZES[status])
        else:
            raise self._broken(f"has a message of unknown length (status {status})")

    def _channel_message(self, status: int) -> None:
        first = self._data[self._at]
        second = 0 if 0xC0 <= status < 0xE0 else self._data[self._at + 1]
        if first > _HIGHEST and status & 0xF0 in (_NOTE_OFF, _NOTE_ON):
            raise self._broken(f"has a note of number {first}: only 0..127 are keys")
        self._skip(1 if 0xC0 <= status < 0xE0 else 2)
        self.events.messages.append((self.tick, status, min(first, _HIGHEST), min(second, _HIGHEST)))

    def _meta(self) -> None:
        kind = self._data[self._at]
        self._at += 1
        size = self._number_of_bytes()
        body = self._data[self._at : self._at + size]
        self._skip(size)
        if kind == END_OF_TRACK:
            self._ended = True
        elif kind == TEMPO and size >= 3 and (tempo := int.from_bytes(body[:3], "big")):
            self.events.tempos.append((self.tick, tempo))
        elif kind == METRE and size >= 2:
            self.events.metres.append((self.tick, body[0], 1 << min(body[1], 62)))

    def _number_of_bytes(self) -> int:
        """Read a number of variable length: seven bits a byte, at most four bytes."""
        number = 0
        for _ in range(4):
            byte = self._data[self._at]
            self._at += 1
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number
        raise self._broken("has a time or a length of more than four bytes")

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > self._limit:
            raise IndexError
