"""Read a MIDI file as a score on the grid: notes, metres, tempos and pickup bar."""

from __future__ import annotations

import stat
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livebach.music.events import PEDAL_DOWN, SUSTAIN
from livebach.music.metre import Metre, metre_track
from livebach.music.midi_reader import MidiEvents, MidiFormatError, read_events
from livebach.music.roll import HIGH_KEY, LOW_KEY, ONSET, Frames, Note, frames_from_notes

PERCUSSION_CHANNEL = 9
MAX_TICKS = 200_000
"""A longer piece (14 hours at 60 quarters a minute) is a damaged file."""
MAX_BYTES = 16 << 20
_NOTE_OFF, _NOTE_ON, _CONTROL = 0x80, 0x90, 0xB0


class CorpusError(ValueError):
    """A file or folder that cannot be read, in one line."""


@dataclass(frozen=True, slots=True)
class Score:
    """A MIDI file on the grid."""

    notes: tuple[Note, ...]
    metres: tuple[tuple[int, Metre], ...]
    """Metres, each with the tick at which it begins, the first at 0."""
    length: int
    """Length of the piece in ticks."""
    steps_per_quarter: int
    pedal: tuple[tuple[int, bool], ...] = ()
    """The tick of each, and whether the sustain pedal is down from then on."""
    tempos: tuple[tuple[int, int], ...] = ()
    """Microseconds of a quarter note, with the tick at which each begins; empty where the file states none."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Training data of a piece: `frames` uint8 [T, 88] and `places` int16 [T, 3] (tick in bar, beat, bar)."""

    name: str
    frames: Frames
    places: NDArray[np.int16]

    @property
    def onsets(self) -> int:
        """The number of onsets."""
        return int((self.frames == ONSET).sum())


def read_score(path: Path, steps_per_quarter: int = 4) -> Score:
    """Read a MIDI file onto the grid.

    Raises CorpusError, one line with the file and the reason, where `score_of` refuses it or it cannot be read.
    """
    try:
        return score_of(read_events(_bytes_of(path)), steps_per_quarter)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise CorpusError(f"{path}: {error}") from error


def _bytes_of(path: Path) -> bytes:
    """Return the contents of a file; a pipe or a device would be waited for without end."""
    state = path.stat()
    if stat.S_ISDIR(state.st_mode):
        raise MidiFormatError("is a folder, not a file")
    if not stat.S_ISREG(state.st_mode):
        raise MidiFormatError("is a pipe or a device, not a file")
    if state.st_size > MAX_BYTES:
        raise MidiFormatError(f"is larger than {MAX_BYTES >> 20} MiB: no score is")
    return path.read_bytes()


def score_of(events: MidiEvents, steps_per_quarter: int = 4) -> Score:
    """Lay the events of a MIDI file on the grid.

    Note times are rounded to ticks; overlapping notes on one key are paired first on, first off; percussion is left
    out. A note that is never ended lasts to the end of the file, or to a whole note after the last event of any note.
    A metre that the grid does not know leaves the one before in force.

    Raises:
        MidiFormatError: there is no note for a piano, or the notes last longer than MAX_TICKS.

    """
    scale = steps_per_quarter / events.division
    notes = _notes(events, scale)
    if not notes:
        drums = any(m[1] == _NOTE_ON | PERCUSSION_CHANNEL for m in events.messages)
        raise MidiFormatError(
            "percussion only (channel 10): no note for a piano" if drums else "there is no note in it"
        )
    if not any(LOW_KEY <= n.key <= HIGH_KEY for n in notes):
        raise MidiFormatError(f"no note of a piano: none between {LOW_KEY} and {HIGH_KEY}")
    length = max(n.end for n in notes)
    if length > MAX_TICKS:
        raise MidiFormatError(f"lasts more than {MAX_TICKS // steps_per_quarter} quarter notes: its times are damaged")
    metres, tempos = _metres(events, scale, length, steps_per_quarter), _tempos(events, scale, length)
    return Score(notes, metres, length, steps_per_quarter, _pedal(events, scale), tempos)


def _notes(events: MidiEvents, scale: float) -> tuple[Note, ...]:
    """Pair note-ons and note-offs; return the notes in order of start, then key."""
    open_notes: dict[tuple[int, int], list[tuple[int, int]]] = {}
    notes: list[Note] = []
    last = 0
    for time, status, key, velocity in events.messages:
        kind, channel = status & 0xF0, status & 0x0F
        if kind not in (_NOTE_OFF, _NOTE_ON) or channel == PERCUSSION_CHANNEL:
            continue
        tick, last = round(time * scale), time
        sounding = open_notes.setdefault((channel, key), [])
        if kind == _NOTE_ON and velocity > 0:
            sounding.append((tick, velocity))
        elif sounding:
            start, struck = sounding.pop(0)
            notes.append(Note(key, start, max(tick, start + 1), struck))
    end = round(min(events.end, last + 4 * events.division) * scale)
    notes += [Note(key, s, max(end, s + 1), v) for (_, key), rest in open_notes.items() for s, v in rest]
    return tuple(sorted(notes, key=lambda n: (n.start, n.key)))


def _pedal(events: MidiEvents, scale: float) -> tuple[tuple[int, bool], ...]:
    """Return the moves of the sustain pedal: the tick, and whether it is down from then on."""
    return tuple(
        (round(time * scale), value >= PEDAL_DOWN)
        for time, status, control, value in events.messages
        if status & 0xF0 == _CONTROL and control == SUSTAIN
    )


def _metres(events: MidiEvents, scale: float, length: int, steps_per_quarter: int) -> tuple[tuple[int, Metre], ...]:
    """Return the metres in force up to the last note; 4/4 where none is stated that the grid knows."""
    metres = {0: Metre(4, 4)}
    for time, numerator, denominator in events.metres:
        with suppress(ValueError):
            metre = Metre(numerator, denominator)
            if metre.fits(steps_per_quarter):
                metres[round(time * scale)] = metre
    return tuple(sorted((tick, metre) for tick, metre in metres.items() if tick < length))


def _tempos(events: MidiEvents, scale: float, length: int) -> tuple[tuple[int, int], ...]:
    """Return the tempos up to the last note; the last of several on one tick counts."""
    return tuple((t, us) for t, us in {round(time * scale): us for time, us in events.tempos}.items() if t < length)


FEWEST_NOTES, FEWEST_ON_TICKS = 8, 0.25
"""Number of notes from which their accents may contradict a file's bar lines, and their least share of all notes."""


def upbeat_ticks(score: Score, between: Collection[tuple[int, int]] = ()) -> int:
    """Return the ticks of upbeat at the start of the first metre: as the accents suggest where they are clear, else 0.

    MIDI has no sign for an upbeat: an engraver's file starts its first bar with it. The downbeat is looked for where
    long and low notes start and where many start together.

    Args:
        score: The score.
        between: Tick and MIDI key of notes that were rounded to their tick, as those of triplets. They do not count.

    """
    metre = score.metres[0][1]
    bar, beat = metre.bar_ticks(score.steps_per_quarter), metre.beat_ticks(score.steps_per_quarter)
    stop = score.metres[1][0] if len(score.metres) > 1 else score.length
    there = [note for note in score.notes if note.start < stop]
    counted = [note for note in there if (note.start, note.key) not in between]
    if len(counted) < max(FEWEST_NOTES, FEWEST_ON_TICKS * len(there)):
        return 0
    accent = np.zeros(bar)
    for note in counted:
        accent[note.start % bar] += min(note.end - note.start, bar) * (1.5 if note.key < 55 else 1.0)
    strength = np.array([accent[phase] + 0.3 * accent[phase::beat].sum() for phase in range(bar)])
    best = int(strength.argmax())
    clear = strength[best] > 1.3 * strength[0]
    return best if clear else 0


def piece_of(name: str, score: Score, between: Collection[tuple[int, int]] = ()) -> Piece:
    """Draw a score into frames with the metre beside them. `between` is as in `upbeat_ticks`."""
    frames = frames_from_notes(score.notes, score.length)
    places = metre_track(score.length, score.metres, score.steps_per_quarter, upbeat_ticks(score, between))
    return Piece(name, frames, places)
