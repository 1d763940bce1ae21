"""Timed events to a MIDI file with named tracks. Knows seconds and bars; not where the events come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mido

from livebach.errors import UserError
from livebach.events import Event, NoteOff, NoteOn, to_bytes
from livebach.roll import Metre

PPQ = 960
_LONGEST_QUARTER_US = 0xFFFFFF  # a tempo has three bytes

Timed = tuple[float, Event]
"""An event and when it was, in seconds."""


@dataclass(frozen=True, slots=True)
class Ruler:
    """How seconds lie on bars: a beat of `metre` lasts 60 / `bpm` seconds, a bar begins at `origin_s`."""

    bpm: float
    metre: Metre
    origin_s: float = 0.0

    @property
    def quarter_us(self) -> int:
        """A quarter note in microseconds, as the file has it."""
        units = 3 if self.metre.compound else 1
        return min(_LONGEST_QUARTER_US, round(60e6 / self.bpm * self.metre.denominator / (4 * units)))

    def from_bar_before(self, first_s: float) -> Ruler:
        """The same bars, counted from the last bar line that is not after `first_s`."""
        bar_s = self.quarter_us / 1e6 * 4 * self.metre.numerator / self.metre.denominator
        bars = math.ceil((self.origin_s - first_s) / bar_s - 1e-9)
        return Ruler(self.bpm, self.metre, self.origin_s - bars * bar_s)

    def tick(self, time_s: float) -> int:
        """The file's tick at a time, 0 where it is before the first bar."""
        return max(0, round((time_s - self.origin_s) * 1e6 / self.quarter_us * PPQ))


def closed(events: Iterable[Timed]) -> list[Timed]:
    """The events in order of time, and at their end a note-off for each note that was left on."""
    ordered = sorted(events, key=lambda timed: timed[0])
    sounding: dict[tuple[int, int], None] = {}
    for _, event in ordered:
        if isinstance(event, NoteOn):
            sounding[event.channel, event.key] = None
        elif isinstance(event, NoteOff):
            sounding.pop((event.channel, event.key), None)
    end_s = ordered[-1][0] if ordered else 0.0
    return ordered + [(end_s, NoteOff(key, 0, channel)) for channel, key in sounding]


def _track(name: str, events: Iterable[Timed], ruler: Ruler) -> mido.MidiTrack:
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name, time=0)])
    now = 0
    for time_s, event in closed(events):
        tick = max(now, ruler.tick(time_s))
        track.append(mido.Message.from_bytes(to_bytes(event), time=tick - now))
        now = tick
    return track


def to_midi(tracks: Sequence[tuple[str, Sequence[Timed]]], ruler: Ruler) -> mido.MidiFile:
    """A MIDI file of these tracks, tempo and metre at the head of the first; the earliest event is in its first bar."""
    ruler = ruler.from_bar_before(min((events[0][0] for _, events in tracks if events), default=ruler.origin_s))
    file = mido.MidiFile(type=1, ticks_per_beat=PPQ, charset="utf-8")
    file.tracks = [_track(name, events, ruler) for name, events in tracks]
    metre = ruler.metre
    file.tracks[0][1:1] = [
        mido.MetaMessage("set_tempo", tempo=ruler.quarter_us, time=0),
        mido.MetaMessage("time_signature", numerator=metre.numerator, denominator=metre.denominator, time=0),
    ]
    return file


def write_new(file: mido.MidiFile, path: Path) -> Path:
    """Save under a name that is not taken yet; UserError where it is, or where it cannot be written."""
    try:
        with path.open("xb") as out:
            file.save(file=out)
    except FileExistsError:
        raise UserError(f"{path}: there is such a file already, and nothing is overwritten") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    return path
