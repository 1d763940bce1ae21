"""The piano roll: 88 keys by ticks, three states a key, and the metre that runs beside it.

A frame is `uint8[88]`, key 0 is MIDI note 21 (A0). Each key is `OFF`, `ONSET` (struck on this tick) or `HOLD`
(still down from the tick before); `HOLD` never follows `OFF`. Knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

KEYS = 88
LOW_KEY = 21
HIGH_KEY = LOW_KEY + KEYS - 1
OFF, ONSET, HOLD = 0, 1, 2
STATES = 3
UNKNOWN = 3
"""In a given plane: nothing is known of this key. The other values are the states themselves."""

Frame = NDArray[np.uint8]
Frames = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Note:
    """A note on the grid: MIDI key, half-open span of ticks, velocity."""

    key: int
    start: int
    end: int
    velocity: int = 64


@dataclass(frozen=True, slots=True)
class Metre:
    """A time signature. Compound metres (6/8, 9/16, 12/8, …) beat in threes of their unit; 3/8 has three beats."""

    numerator: int = 4
    denominator: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.numerator <= 32 or self.denominator not in (1, 2, 4, 8, 16, 32):
            raise ValueError(f"metre must be 1..32 over 1, 2, 4, 8, 16 or 32, got {self}")

    @classmethod
    def parse(cls, text: str) -> Metre:
        """Read «3/4»."""
        head, slash, tail = text.partition("/")
        if not (slash and head.strip().isdecimal() and tail.strip().isdecimal()):
            raise ValueError(f"metre must look like 3/4, got {text!r}")
        return cls(int(head), int(tail))

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"

    @property
    def compound(self) -> bool:
        """Whether a beat is three units long."""
        return self.numerator > 3 and self.numerator % 3 == 0 and self.denominator >= 8

    def bar_ticks(self, steps_per_quarter: int) -> int:
        """The length of a bar in ticks, at least 1."""
        return max(1, round(self.numerator * steps_per_quarter * 4 / self.denominator))

    def beat_ticks(self, steps_per_quarter: int) -> int:
        """The length of a beat in ticks, at least 1 and never more than the bar."""
        units = 3 if self.compound else 1
        beat = max(1, round(units * steps_per_quarter * 4 / self.denominator))
        return min(beat, self.bar_ticks(steps_per_quarter))


MAX_BAR = 48
"""Positions in the bar are told apart up to this many ticks; longer bars repeat their last beat."""
_BEAT_BINS = 13
METRE_FEATURES = MAX_BAR + _BEAT_BINS + 16 + _BEAT_BINS + MAX_BAR + 1


@lru_cache(maxsize=4096)
def _metre_row(position: int, beat: int, bar: int) -> NDArray[np.float32]:
    row = np.zeros(METRE_FEATURES, np.float32)
    in_beat, beat_no = position % beat, position // beat
    at = 0
    for value, size in (
        (min(position, MAX_BAR - 1), MAX_BAR),
        (min(in_beat, _BEAT_BINS - 1), _BEAT_BINS),
        (min(beat_no, 15), 16),
        (min(beat, _BEAT_BINS - 1), _BEAT_BINS),
        (min(bar, MAX_BAR), MAX_BAR + 1),
    ):
        row[at + value] = 1
        at += size
    row.setflags(write=False)
    return row


def metre_features(position: int, beat: int, bar: int) -> NDArray[np.float32]:
    """The network's view of one tick's place: `float32[METRE_FEATURES]`, one-hot blocks.

    `position` is the tick in the bar, `beat` and `bar` are lengths in ticks. The row is shared: don't write to it.
    """
    return _metre_row(int(position) % max(1, int(bar)), int(beat), int(bar))


def metre_track(
    length: int, changes: Sequence[tuple[int, Metre]], steps_per_quarter: int, upbeat: int = 0
) -> NDArray[np.int16]:
    """Positions for `length` ticks: `int16[length, 3]` of tick in bar, beat length, bar length.

    `changes` are (tick, metre) in order, the first at 0; each starts a bar. An upbeat of n ticks makes the first bar
    begin n ticks before its first full downbeat.
    """
    track = np.zeros((length, 3), np.int16)
    for i, (start, metre) in enumerate(changes):
        stop = changes[i + 1][0] if i + 1 < len(changes) else length
        bar, beat = metre.bar_ticks(steps_per_quarter), metre.beat_ticks(steps_per_quarter)
        offset = (bar - upbeat) % bar if i == 0 else 0
        ticks = np.arange(max(0, min(stop, length) - start))
        track[start:stop] = np.stack(
            [(ticks + offset) % bar, np.full_like(ticks, beat), np.full_like(ticks, bar)], axis=1
        )
    return track


def frames_from_notes(notes: Iterable[Note], length: int | None = None) -> Frames:
    """Draw notes into frames `uint8[T, 88]`.

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
    """The notes of a roll, in order of start, then key; inverse of `frames_from_notes` where notes do not overlap."""
    notes = []
    for tick, key in np.argwhere(frames == ONSET):
        rest = frames[tick + 1 :, key]
        stop = np.flatnonzero(rest != HOLD)
        end = tick + 1 + (stop[0] if len(stop) else len(rest))
        notes.append(Note(int(key) + LOW_KEY, int(tick), int(end), velocity))
    return notes


def legalise(frames: Frames) -> Frames:
    """Frames in which every HOLD that follows OFF has become an ONSET."""
    out = frames.copy()
    before = np.vstack([np.zeros((1, KEYS), np.uint8), frames[:-1]])
    out[(frames == HOLD) & (before == OFF)] = ONSET
    return out


TEXTURE_LEVELS = 8
_DENSITY_EDGES = np.array([0.4, 0.65, 0.85, 1.0, 1.2, 1.5, 1.8])
"""Onsets per tick that part the levels of density; about an eighth of the corpus lies in each."""
DENSITY_CENTRES = (0.3, 0.6, 0.75, 0.93, 1.1, 1.35, 1.55, 2.0)
"""The onsets per tick that a level of density stands for."""
POLYPHONY_CENTRES = (1.15, 1.6, 1.85, 2.03, 2.35, 2.8, 3.25, 4.0)
"""The keys down at once that a level of polyphony stands for."""
_POLYPHONY_EDGES = np.array([1.4, 1.75, 1.95, 2.1, 2.6, 3.0, 3.5])
"""Keys down per tick with any key down that part the levels of polyphony."""


@dataclass(frozen=True, slots=True)
class Texture:
    """How busy (onset density) and how full (polyphony) the music is to be, 0..7 each; None leaves it open."""

    density: int | None = None
    polyphony: int | None = None

    def __post_init__(self) -> None:
        for name in ("density", "polyphony"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < TEXTURE_LEVELS:
                raise ValueError(f"{name} must be in 0..{TEXTURE_LEVELS - 1} or None, got {value!r}")


def texture_of(onsets_per_tick: float, keys_per_sounding_tick: float) -> Texture:
    """The texture that such a density and polyphony belong to."""
    density, polyphony = texture_bins(onsets_per_tick, keys_per_sounding_tick)
    return Texture(int(density), int(polyphony))


def texture_bins(
    onsets_per_tick: ArrayLike, keys_per_sounding_tick: ArrayLike
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The levels of density and of polyphony of many ticks at once."""
    return (
        np.asarray(np.searchsorted(_DENSITY_EDGES, onsets_per_tick)),
        np.asarray(np.searchsorted(_POLYPHONY_EDGES, keys_per_sounding_tick)),
    )


def texture_levels(frames: Frames) -> Texture:
    """The texture of a stretch of frames `uint8[T, 88]`, T ≥ 1."""
    down = (frames != OFF).sum(axis=1)
    sounding = down[down > 0]
    return texture_of(float((frames == ONSET).sum() / len(frames)), float(sounding.mean()) if len(sounding) else 0.0)
