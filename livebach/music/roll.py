"""The piano roll: 88 keys by ticks, with three states for each key.

A frame is `uint8[88]`, key 0 is MIDI note 21 (A0). Each key is `OFF`, `ONSET` (struck on this tick) or `HOLD`
(still down from the tick before); `HOLD` never follows `OFF`. This module knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KEYS = 88
LOW_KEY = 21
HIGH_KEY = LOW_KEY + KEYS - 1
OFF, ONSET, HOLD = 0, 1, 2
STATES = 3
UNKNOWN = 3
"""The value of a given plane for a key of which nothing is known; its other values are the states."""

Frame = NDArray[np.uint8]
Frames = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Note:
    """A note on the grid: MIDI key, half-open span of ticks, velocity."""

    key: int
    start: int
    end: int
    velocity: int = 64


def frames_from_notes(notes: Iterable[Note], length: int | None = None) -> Frames:
    """Return frames uint8 [T, 88] with the notes drawn in.

    A note fills at least its first tick; a note struck while the same key still sounds strikes it again. Keys outside
    21..108 and notes past `length` are left out.
    """
    drawn = sorted((n for n in notes if LOW_KEY <= n.key <= HIGH_KEY and n.start >= 0), key=lambda n: n.start)
    total = length if length is not None else max((max(n.end, n.start + 1) for n in drawn), default=0)
    frames = np.zeros((total, KEYS), np.uint8)
    for note in drawn:
        if note.start < total:
            column = frames[:, note.key - LOW_KEY]
            held = column[note.start + 1 : note.end]
            held[held == OFF] = HOLD
            column[note.start] = ONSET
    return frames


def notes_from_frames(frames: Frames, velocity: int = 64) -> list[Note]:
    """Return the notes of frames [T, 88] in order of start, then key: the inverse of `frames_from_notes`."""
    notes = []
    for tick, key in np.argwhere(frames == ONSET):
        rest = frames[tick + 1 :, key]
        stop = np.flatnonzero(rest != HOLD)
        end = tick + 1 + (stop[0] if len(stop) else len(rest))
        notes.append(Note(int(key) + LOW_KEY, int(tick), int(end), velocity))
    return notes


def legalise(frames: Frames) -> Frames:
    """Return the frames with an ONSET in place of every HOLD that follows OFF."""
    out = frames.copy()
    before = np.vstack([np.zeros((1, KEYS), np.uint8), frames[:-1]])
    out[(frames == HOLD) & (before == OFF)] = ONSET
    return out
