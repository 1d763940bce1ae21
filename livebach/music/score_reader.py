"""Read a MIDI file as a score on the grid: notes, metres and pick-up bar."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from operator import itemgetter
from pathlib import Path

import mido
import numpy as np
from mido.midifiles.meta import KeySignatureError
from numpy.typing import NDArray

from livebach.music.events import PEDAL_DOWN, SUSTAIN
from livebach.music.metre import Metre, metre_track
from livebach.music.roll import HIGH_KEY, LOW_KEY, ONSET, Frames, Note, frames_from_notes

PERCUSSION_CHANNEL = 9


MAX_TICKS = 200_000
"""A longer piece (14 hours at 60 quarters a minute) is a broken file."""


MAX_BYTES = 16 << 20


_BROKEN = (OSError, EOFError, ValueError, LookupError, TypeError, OverflowError, struct.error, KeySignatureError)
"""What mido raises on files that are not what they should be."""


class CorpusError(ValueError):
    """A file or folder that cannot be read, in one line."""


@dataclass(frozen=True, slots=True)
class Score:
    """A MIDI file on the grid: notes, the metres with the tick where each starts, ticks in all, the pedal's moves."""

    notes: tuple[Note, ...]
    metres: tuple[tuple[int, Metre], ...]
    length: int
    steps_per_quarter: int
    pedal: tuple[tuple[int, bool], ...] = ()
    """The tick of each, and whether the sustain pedal is down from then on."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What the network is trained on: `frames` uint8[T, 88] and `places` int16[T, 3] (tick in bar, beat, bar)."""

    name: str
    frames: Frames
    places: NDArray[np.int16]

    @property
    def onsets(self) -> int:
        """How many notes are struck."""
        return int((self.frames == ONSET).sum())


def read_score(path: Path, steps_per_quarter: int = 4) -> Score:
    """Read a MIDI file onto the grid.

    Note times are rounded to ticks; overlapping notes on one key are paired first on, first off; percussion is left
    out. Raises CorpusError with the file's name.
    """
    try:
        midi = mido.MidiFile(file=BytesIO(_bytes_of(path)), clip=True)
    except _BROKEN as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise CorpusError(f"{path}: not a MIDI file that can be read: {why}") from error
    if midi.ticks_per_beat <= 0:
        raise CorpusError(f"{path}: its division is {midi.ticks_per_beat}: only files in ticks per quarter can be read")
    return _score_of(path, _timed(midi), steps_per_quarter / midi.ticks_per_beat, steps_per_quarter)


def _bytes_of(path: Path) -> bytes:
    """A file's contents, unless reading them as MIDI would take forever: delta times have no end of their own."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    data = path.read_bytes()
    if re.search(rb"[\x80-\xff]{65536}", data):
        raise ValueError("a run of 64 KiB in it is no MIDI")
    return data


def _timed(midi: mido.MidiFile) -> list[tuple[int, mido.Message]]:
    """All messages with their times, in order; the tracks of type 2 one after the other."""
    clock, timed = 0, []
    for track in midi.tracks:
        clock = clock if midi.type == 2 else 0
        for message in track:
            clock += message.time
            timed.append((clock, message))
    return sorted(timed, key=itemgetter(0))


def _score_of(path: Path, timed: Iterable[tuple[int, mido.Message]], scale: float, steps_per_quarter: int) -> Score:
    open_notes: dict[tuple[int, int], list[tuple[int, int]]] = {}
    notes: list[Note] = []
    metres: dict[int, Metre] = {}
    pedal: list[tuple[int, bool]] = []
    clock, last = 0, MAX_TICKS / scale
    for clock, message in timed:
        if clock > last:
            raise CorpusError(f"{path}: more than {MAX_TICKS} ticks long")
        tick = round(clock * scale)
        if message.type == "time_signature":
            metres[tick] = _metre_of(path, message.numerator, message.denominator)
        elif message.type == "control_change" and message.control == SUSTAIN:
            pedal.append((tick, message.value >= PEDAL_DOWN))
        elif message.type in ("note_on", "note_off") and message.channel != PERCUSSION_CHANNEL:
            sounding = open_notes.setdefault((message.channel, message.note), [])
            if message.type == "note_on" and message.velocity > 0:
                sounding.append((tick, message.velocity))
            elif sounding:
                start, velocity = sounding.pop(0)
                notes.append(Note(message.note, start, max(tick, start + 1), velocity))
    end = round(clock * scale)
    notes += [Note(key, s, max(end, s + 1), v) for (_, key), rest in open_notes.items() for s, v in rest]
    return _checked(path, notes, metres, steps_per_quarter, tuple(pedal))


def _metre_of(path: Path, numerator: int, denominator: int) -> Metre:
    try:
        return Metre(numerator, denominator)
    except ValueError as error:
        raise CorpusError(f"{path}: {error}") from error


def _checked(
    path: Path, notes: list[Note], metres: dict[int, Metre], steps_per_quarter: int, pedal: tuple[tuple[int, bool], ...]
) -> Score:
    if not any(LOW_KEY <= n.key <= HIGH_KEY for n in notes):
        raise CorpusError(f"{path}: no note between {LOW_KEY} and {HIGH_KEY}")
    length = max(n.end for n in notes)
    changes = sorted((t, m) for t, m in metres.items() if t < length)
    if not changes or changes[0][0] > 0:
        changes.insert(0, (0, Metre(4, 4)))
    notes.sort(key=lambda n: (n.start, n.key))
    return Score(tuple(notes), tuple(changes), length, steps_per_quarter, pedal)


def upbeat_ticks(score: Score) -> int:
    """How many ticks of upbeat the first metre begins with: 0, or what the accents say where they say it clearly.

    MIDI has no sign for an upbeat: an engraver's file starts its first bar with it. The downbeat is looked for where
    long and low notes start and where many start together.
    """
    metre = score.metres[0][1]
    bar, beat = metre.bar_ticks(score.steps_per_quarter), metre.beat_ticks(score.steps_per_quarter)
    stop = score.metres[1][0] if len(score.metres) > 1 else score.length
    accent = np.zeros(bar)
    for note in score.notes:
        if note.start < stop:
            accent[note.start % bar] += min(note.end - note.start, bar) * (1.5 if note.key < 55 else 1.0)
    strength = np.array([accent[phase] + 0.3 * accent[phase::beat].sum() for phase in range(bar)])
    best = int(strength.argmax())
    clear = strength[best] > 1.3 * strength[0]
    return best if clear else 0


def piece_of(name: str, score: Score) -> Piece:
    """Draw a score into frames with the metre beside them."""
    frames = frames_from_notes(score.notes, score.length)
    places = metre_track(score.length, score.metres, score.steps_per_quarter, upbeat_ticks(score))
    return Piece(name, frames, places)
