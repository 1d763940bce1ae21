"""Training data of the touch network: features and targets for each note and each tick of a piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.touch import LATEST, OFFSETS, Performance
from livebach.network.touch_memory import (
    NOTE_FEATURES,
    OFFSET_FEATURES,
    PEDAL_FEATURES,
    VELOCITY_CENTRE,
    VELOCITY_UNIT,
    Array,
    TouchMemory,
)
from livebach.network.velocity_kernels import HEARD, VELOCITY_FEATURES, Notes, kernel_features
from livebach.network.velocity_memory import LAST_ERRORS, error_features

BLOCK = 64
"""Number of notes per block in the computation of the kernels."""
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Score:
    """Features of a piece that do not depend on its velocities: N notes, T ticks."""

    piece: Performance
    notes: NDArray[np.float16]  # [N, NOTE_FEATURES + OFFSETS]
    offsets: NDArray[np.float16]  # [N, OFFSET_FEATURES]
    above: Ints  # [N], the number of the next higher note's offset on the same tick; OFFSETS if there is none
    habits: NDArray[np.float16]  # [N, OFFSETS], counts of the offsets in the same circumstances
    pedals: NDArray[np.float16]  # [T, PEDAL_FEATURES]
    was_down: NDArray[np.bool_]  # [T]
    matches: Ints  # [N, 2], -1: none
    first: Ints  # [N], the first note of the tick

    @property
    def all_notes(self) -> Ints:
        """The indices of all notes, int64 [N]."""
        return np.arange(len(self.piece.key))


def read_score(piece: Performance) -> Score:
    """Compute the features of a piece tick by tick, as in live playing."""
    memory, count = TouchMemory(), len(piece.key)
    notes = np.zeros((count, NOTE_FEATURES + OFFSETS), np.float16)
    offsets, above = np.zeros((count, OFFSET_FEATURES), np.float16), np.full(count, OFFSETS)
    habits = np.zeros((count, OFFSETS), np.float16)
    pedals = np.zeros((piece.ticks, PEDAL_FEATURES), np.float16)
    was_down, matches = np.zeros(piece.ticks, np.bool_), np.full((count, 2), -1)
    starts = np.searchsorted(piece.tick, np.arange(piece.ticks + 1))
    sounding: dict[int, int] = {}  # key -> end
    for tick in range(piece.ticks):
        a, b = int(starts[tick]), int(starts[tick + 1])
        struck, place = piece.key[a:b].tolist(), tuple(piece.place[tick].tolist())
        sounding = {key: end for key, end in sounding.items() if end > tick}
        held = [key for key in sounding if key not in struck]
        pedals[tick], was_down[tick] = memory.pedal_features(struck, held, place), memory.pedal_down
        at = piece.offset[a:b].tolist()
        if struck:
            notes[a:b, :NOTE_FEATURES] = memory.note_features(struck, held, place)
            notes[np.arange(a, b), NOTE_FEATURES + LATEST + piece.offset[a:b]] = 1
            offsets[a:b], above[a + 1 : b] = memory.offset_features(struck, place), piece.offset[a : b - 1] + LATEST
            habits[a:b] = memory.offset_habits(place)[above[a:b]]
            for which, found in enumerate(memory.matches(struck)):
                if found is not None:
                    matches[a:b, which] = np.arange(found, found + b - a)
        memory.commit(struck, held, place, at, int(piece.pedal[tick]))
        sounding |= dict(zip(struck, piece.end[a:b].tolist(), strict=True))
    return Score(piece, notes, offsets, above, habits, pedals, was_down, matches, starts[piece.tick].astype(np.int64))


@dataclass(frozen=True, slots=True)
class VelocityRows:
    """Notes whose velocity is to be predicted.

    Attributes:
        features: float16 [n, …].
        mean: float32 [n], mean of the known velocities, scaled.
        matched: float32 [n, 2], scaled velocities at earlier occurrences of the same note sequence; NaN if none.
        velocity: int16 [n], MIDI velocities: the targets.

    """

    features: NDArray[np.float16]
    mean: Array
    matched: Array
    velocity: NDArray[np.int16]

    @classmethod
    def joined(cls, parts: Sequence[VelocityRows]) -> VelocityRows:
        """Return the concatenation of all rows."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def velocity_rows(score: Score, rows: Ints, known: NDArray[np.bool_]) -> VelocityRows:
    """Return the rows of some notes.

    The features of a note use the newest `HEARD` known notes before the note, in the order of the piece.

    Args:
        score: The piece, N notes.
        rows: int64 [n], indices of the notes, ascending.
        known: bool [N], the notes whose velocities are known.

    """
    velocity = ((score.piece.velocity - VELOCITY_CENTRE) / VELOCITY_UNIT).astype(np.float32)
    heard = np.where(known, velocity, np.nan).astype(np.float32)
    near, every = _near(score, heard), _notes(score)
    indices = np.flatnonzero(known)
    features, mean = np.zeros((len(rows), VELOCITY_FEATURES), np.float32), np.zeros(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        before = np.searchsorted(indices, block)  # number of known notes before each note
        numbers = np.arange(max(0, before[0] - HEARD), before[-1])
        there = indices[numbers]
        visible = (numbers < before[:, None]) & (numbers >= before[:, None] - HEARD)
        if not len(there):
            there, visible = np.zeros(1, np.int64), np.zeros((len(block), 1), np.bool_)
        part = slice(start, start + BLOCK)
        features[part], mean[part] = kernel_features(
            _picked(every, block), near[block], _picked(every, there), velocity[there], visible
        )
    features[:, -3:] = [error_features(errors) for errors in _errors(score, heard)[rows]]
    inputs = np.concatenate([score.notes[rows], features.astype(np.float16)], axis=1)
    return VelocityRows(inputs, mean, _matched(score.matches, rows, heard), score.piece.velocity[rows])


def _picked(notes: Notes, which: Ints) -> Notes:
    return Notes(*(getattr(notes, name)[which] for name in Notes.__slots__))


def _notes(score: Score) -> Notes:
    position, beat, bar = (score.piece.place[score.piece.tick, i].astype(np.int64) for i in range(3))
    tick, key = score.piece.tick.astype(np.int64), score.piece.key.astype(np.int64)
    return Notes(key, tick, position + 100 * bar, position % beat + 100 * beat)


def _near(score: Score, heard: Array) -> Array:
    """Return known velocities near each note, float32 [N, 4]; NaN if unknown.

    The columns are the top and the bottom note of the previous chord, the top note of the chord before that one, and
    the next higher note of the same chord.
    """
    starts = np.unique(score.first)
    ends = np.append(starts[1:], len(heard))
    chord = np.searchsorted(starts, score.first)

    def of(back: int, where: Ints, shift: int) -> Array:
        return np.where(chord >= back, heard[where[np.maximum(chord - back, 0)] + shift], np.nan)

    numbers = score.all_notes
    above = np.where(numbers > score.first, heard[np.maximum(numbers - 1, 0)], np.nan)
    return np.stack([of(1, starts, 0), of(1, ends, -1), of(2, starts, 0), above], axis=1).astype(np.float32)


def _errors(score: Score, heard: Array) -> Array:
    """Return the velocity differences of the last notes from their earlier occurrences in the same note sequence.

    Returns:
        float32 [N, LAST_ERRORS], newest note first; NaN if unknown.

    """
    error = np.abs(heard - _matched(score.matches, score.all_notes, heard)[:, 0])
    out = np.full((len(heard), LAST_ERRORS), np.nan, np.float32)
    for back in range(1, LAST_ERRORS + 1):
        out[back:, back - 1] = error[: len(error) - back]
    return out


def _matched(matches: Ints, rows: Ints, heard: Array) -> Array:
    """Return the velocities at the last known occurrence of the same note sequence, float32 [n, 2]; NaN if none."""
    found = matches[rows].copy()
    columns = np.broadcast_to(np.arange(2), found.shape)
    while True:
        unheard = (found >= 0) & np.isnan(heard[np.maximum(found, 0)])
        if not unheard.any():
            break
        found[unheard] = matches[found[unheard], columns[unheard]]
    return np.where(found >= 0, heard[np.maximum(found, 0)], np.nan).astype(np.float32)


# --- situations ------------------------------------------------------------------------------------------------------

ROWS = 256
"""Notes of a passage that livebach would play."""
LONGEST_GAP = 700
"""Maximum number of notes between the last known note and the first note of such a passage."""
TOGETHER = 0.2
"""Share of passages in which both play at once. The player then plays above or below a random key."""


def forced(score: Score) -> VelocityRows:
    """Return the rows of all notes, with the velocities of all earlier notes known."""
    return velocity_rows(score, score.all_notes, np.ones(len(score.first), np.bool_))


def alone(score: Score, rng: np.random.Generator) -> list[VelocityRows]:
    """Return the rows of random passages that livebach would play.

    Only the player's notes before the passage, or beside the passage, have known velocities.
    """
    count, out = len(score.first), []
    for _ in range(max(1, round(count / ROWS))):
        known = np.zeros(count, np.bool_)
        if rng.random() < TOGETHER:
            key, first = rng.integers(25, 50), int(rng.integers(0, max(1, count - ROWS)))
            known = score.piece.key > key if rng.random() < 0.5 else score.piece.key <= key
            rows = np.arange(first, min(count, first + ROWS))
            rows = rows[~known[rows]]
        else:
            heard = int(rng.integers(24, count - ROWS // 4)) if count > ROWS // 2 else count // 3
            gap = int(rng.integers(0, LONGEST_GAP)) if rng.random() < 0.6 else 0
            first = min(heard + gap, max(heard, count - ROWS))
            known[:heard] = True
            rows = np.arange(first, min(count, first + ROWS))
        if len(rows):
            out.append(velocity_rows(score, rows, known))
    return out
