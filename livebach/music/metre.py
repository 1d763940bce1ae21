"""Time signatures, and the metre as input features of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Metre:
    """A time signature. In compound metres (6/8, 9/16, 12/8, …) a beat is three units; 3/8 has three beats."""

    numerator: int = 4
    denominator: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.numerator <= 32 or self.denominator not in (1, 2, 4, 8, 16, 32):
            raise ValueError(f"metre must be 1..32 over 1, 2, 4, 8, 16 or 32, got {self}")

    @classmethod
    def parse(cls, text: str) -> Metre:
        """Read a time signature such as «3/4». Raises ValueError for any other text."""
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

    def fits(self, steps_per_quarter: int) -> bool:
        """Return whether a bar has a whole number of ticks."""
        return self.numerator * steps_per_quarter * 4 % self.denominator == 0

    def bar_ticks(self, steps_per_quarter: int) -> int:
        """Return the length of a bar in ticks, at least 1."""
        return max(1, round(self.numerator * steps_per_quarter * 4 / self.denominator))

    def beat_ticks(self, steps_per_quarter: int) -> int:
        """Return the length of a beat in ticks, at least 1 and at most the bar."""
        units = 3 if self.compound else 1
        beat = max(1, round(units * steps_per_quarter * 4 / self.denominator))
        return min(beat, self.bar_ticks(steps_per_quarter))


MAX_BAR = 48
"""Positions in the bar are distinguished up to this tick; later ones share its feature."""
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
    """Return the features of one tick's place: float32 [METRE_FEATURES], one-hot blocks.

    Args:
        position: The tick in the bar.
        beat: The length of a beat in ticks.
        bar: The length of a bar in ticks.

    The row is shared and read-only.
    """
    return _metre_row(int(position) % max(1, int(bar)), int(beat), int(bar))


def metre_track(
    length: int, changes: Sequence[tuple[int, Metre]], steps_per_quarter: int, upbeat: int = 0
) -> NDArray[np.int16]:
    """Return the places of `length` ticks: int16 [length, 3] of tick in the bar, length of a beat, length of a bar.

    Args:
        length: The number of ticks.
        changes: (tick, metre) in order, the first at 0; each begins a bar.
        steps_per_quarter: Ticks of a quarter note.
        upbeat: Ticks before the first downbeat.

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
