"""Write MIDI files with named tracks: from events timed in seconds, or from notes on the grid."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from operator import itemgetter
from types import MappingProxyType
from typing import BinaryIO

from livebach.music.events import MAX_DATA, SUSTAIN, ControlChange, Event, NoteOff, NoteOn, to_bytes
from livebach.music.metre import Metre
from livebach.music.roll import Note

PPQ = 960
LONGEST_QUARTER_US = 0xFFFFFF
"""The slowest tempo that three bytes can state."""
LONGEST_PAUSE = 0x0FFFFFFF
"""The most ticks between two events that a file can state. A longer pause is shortened."""

Timed = tuple[float, Event]
"""The time of an event in seconds, and the event."""


@dataclass(frozen=True, slots=True)
class Ruler:
    """Seconds to ticks of a file: a beat of `metre` lasts 60 / `bpm` seconds, and a bar begins at `origin_s`."""

    bpm: float
    metre: Metre
    origin_s: float = 0.0

    @property
    def quarter_us(self) -> int:
        """The length of a quarter note in microseconds, as the file states it."""
        units = 3 if self.metre.compound else 1
        return min(LONGEST_QUARTER_US, round(60e6 / self.bpm * self.metre.denominator / (4 * units)))

    def from_bar_before(self, first_s: float) -> Ruler:
        """Return the same bars, counted from the last bar line at or before `first_s`."""
        bar_s = self.quarter_us / 1e6 * 4 * self.metre.numerator / self.metre.denominator
        bars = math.ceil((self.origin_s - first_s) / bar_s - 1e-9)
        return Ruler(self.bpm, self.metre, self.origin_s - bars * bar_s)

    def tick(self, time_s: float) -> int:
        """Return the tick of the file at a time; 0 before the first bar."""
        return max(0, round((time_s - self.origin_s) * 1e6 / self.quarter_us * PPQ))


class Track:
    """A named track that is written as its events come. An event with an earlier tick gets the latest tick so far."""

    def __init__(self, out: BinaryIO, name: str) -> None:
        self._out = out
        self._tick = 0
        self._sounding: dict[tuple[int, int], None] = {}
        out.write(_meta(0, 0x03, name.encode()))

    def add(self, tick: int, event: Event) -> None:
        """Write one event."""
        if isinstance(event, NoteOn):
            self._sounding[event.channel, event.key] = None
        elif isinstance(event, NoteOff):
            self._sounding.pop((event.channel, event.key), None)
        self._out.write(_varlen(self._since(tick)) + to_bytes(event))

    def tempo(self, tick: int, quarter_us: int) -> None:
        """Write a tempo, in microseconds a quarter note."""
        self._out.write(_meta(self._since(tick), 0x51, quarter_us.to_bytes(3, "big")))

    def signature(self, tick: int, numerator: int, denominator: int) -> None:
        """Write a time signature."""
        data = bytes((numerator, denominator.bit_length() - 1, 24, 8))
        self._out.write(_meta(self._since(tick), 0x58, data))

    def close(self, tick: int = 0) -> None:
        """Write a note-off at a tick for each note that still sounds, and the end of the track."""
        for channel, key in self._sounding:
            self._out.write(_varlen(self._since(tick)) + to_bytes(NoteOff(key, 0, channel)))
        self._out.write(_meta(0, 0x2F, b""))

    def _since(self, tick: int) -> int:
        """Return the ticks since the event before."""
        before, self._tick = self._tick, max(self._tick, tick)
        return min(self._tick - before, LONGEST_PAUSE)


def _varlen(number: int) -> bytes:
    """Return a number of variable length: seven bits a byte."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(0x80 | number & 0x7F)
    return bytes(reversed(groups))


def _meta(since: int, kind: int, data: bytes) -> bytes:
    return _varlen(since) + bytes((0xFF, kind)) + _varlen(len(data)) + data


def joined(tracks: Sequence[bytes]) -> bytes:
    """Return a MIDI file of closed tracks."""
    head = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), PPQ)
    return head + b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)


def to_midi(tracks: Sequence[tuple[str, Sequence[Timed]]], ruler: Ruler) -> bytes:
    """Return a MIDI file of timed events; the first track states tempo and metre, and bar 1 has the first event."""
    ordered = [(name, sorted(events, key=lambda timed: timed[0])) for name, events in tracks]
    ruler = ruler.from_bar_before(min((events[0][0] for _, events in ordered if events), default=ruler.origin_s))
    written = []
    for number, (name, events) in enumerate(ordered):
        out = BytesIO()
        track = Track(out, name)
        if number == 0:
            track.tempo(0, ruler.quarter_us)
            track.signature(0, ruler.metre.numerator, ruler.metre.denominator)
        for time_s, event in events:
            track.add(ruler.tick(time_s), event)
        track.close()
        written.append(out.getvalue())
    return joined(written)


def score_to_midi(
    tracks: Sequence[tuple[str, Sequence[Note]]],
    metres: Sequence[tuple[int, Metre]],
    tempos: Sequence[tuple[int, int]],
    steps_per_quarter: int,
    pedals: Mapping[str, Sequence[tuple[int, bool]]] = MappingProxyType({}),
) -> bytes:
    """Return a MIDI file of notes on the grid; the first track states the metres and tempos with their ticks.

    Args:
        tracks: The notes of each track, with its name.
        metres: The metres, each with the tick at which it begins.
        tempos: The tempos in microseconds of a quarter note, each with its tick.
        steps_per_quarter: Number of ticks of a quarter note.
        pedals: Moves of the sustain pedal by the name of a track: the tick, and whether it is down from then on.

    """
    written = []
    for number, (name, notes) in enumerate(tracks):
        out = BytesIO()
        track = Track(out, name)
        events: list[tuple[int, int, Callable[[int], None]]] = []  # at one tick: tempo and metre, then offs, then ons
        if number == 0:
            events += [(t, 0, partial(_tempo, track, quarter_us)) for t, quarter_us in tempos]
            events += [(t, 0, partial(_signature, track, metre)) for t, metre in metres]
        events += [(t, 1, partial(_note, track, _pedal(down))) for t, down in pedals.get(name, ())]
        events += [(n.end, 1, partial(_note, track, NoteOff(n.key))) for n in notes]
        events += [(n.start, 2, partial(_note, track, NoteOn(n.key, n.velocity))) for n in notes]
        for tick, _, write in sorted(events, key=itemgetter(0, 1)):
            write(round(tick * PPQ / steps_per_quarter))
        track.close()
        written.append(out.getvalue())
    return joined(written)


def _tempo(track: Track, quarter_us: int, tick: int) -> None:
    track.tempo(tick, quarter_us)


def _signature(track: Track, metre: Metre, tick: int) -> None:
    track.signature(tick, metre.numerator, metre.denominator)


def _pedal(down: bool) -> Event:
    return ControlChange(SUSTAIN, MAX_DATA if down else 0)


def _note(track: Track, event: Event, tick: int) -> None:
    track.add(tick, event)
