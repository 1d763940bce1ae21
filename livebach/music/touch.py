"""How notes are played, on the grid: velocity, the time between two ticks, and the sustain pedal.

A tick is a 16th note, and holds `PARTS` 24ths of a quarter note. A struck key belongs to the nearest tick, half way
between two of them to the even one, as in a score that is rounded to ticks. It sounds `offset` parts after its tick,
or before it where the offset is negative. Knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STEPS_PER_QUARTER = 4
"""Ticks per quarter note of the touch network."""
PARTS = 6
"""Parts of a tick: each is a 24th of a quarter note."""
LATEST = 3
"""The largest offset. The smallest is -3."""
OFFSETS = 2 * LATEST + 1
"""Number of offsets. Offset n has the number n + LATEST."""
TRIPLETS, HALVES = 2, 3
"""The offsets, after a tick or before, of notes of triplets and of 32nds.

Of 652,000 notes on an exact grid, .2 % are one part after a tick and .3 % one part before. A person who strikes there
is a little late or early.
"""


class Pedal(IntEnum):
    """The sustain pedal's move on a tick. On `CHANGED` it comes up, and goes down again before the next tick."""

    UP = 0
    PRESSED = 1
    DOWN = 2
    LIFTED = 3
    CHANGED = 4

    @property
    def down(self) -> bool:
        """Whether the pedal is down when the tick ends."""
        return self in (Pedal.PRESSED, Pedal.DOWN, Pedal.CHANGED)

    @classmethod
    def of(cls, before: bool, lifted: bool, after: bool) -> Pedal:
        """Return the pedal's move on a tick, from its state before, a lift during the tick, and its state after."""
        if before:
            return (cls.CHANGED if lifted else cls.DOWN) if after else cls.LIFTED
        return cls.PRESSED if after else cls.UP


PEDALS = len(Pedal)
PEDAL_MOVES = frozenset({Pedal.PRESSED, Pedal.LIFTED, Pedal.CHANGED})
"""The moves on which the pedal comes up or goes down."""


def tick_and_offset(parts: int) -> tuple[int, int]:
    """Return the tick and the offset of a time in 24ths of a quarter note from tick 0."""
    tick = round(parts / PARTS)
    return tick, parts - tick * PARTS


class Sounded(NamedTuple):
    """The touch of a note: MIDI velocity, and offset from its tick in 24ths of a quarter note."""

    velocity: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class TickTouch:
    """The touch of a tick's keys (0..87), and the pedal's move."""

    notes: Mapping[int, Sounded] = field(default_factory=dict)
    pedal: Pedal = Pedal.UP

    @property
    def first(self) -> int:
        """The offset of the first note, if that sounds before the tick; else 0."""
        return min((sounded.offset for sounded in self.notes.values() if sounded.offset < 0), default=0)


NO_TOUCH = TickTouch()


@dataclass(frozen=True, slots=True)
class Performance:
    """A piece as it was played, with T ticks and N notes, in order of tick, the highest note of a tick first."""

    name: str
    tick: NDArray[np.int32]  # [N]
    key: NDArray[np.int16]  # [N], 0..87
    end: NDArray[np.int32]  # [N], the tick on which the key is up
    velocity: NDArray[np.int16]  # [N], 1..127
    offset: NDArray[np.int16]  # [N], -LATEST..LATEST
    pedal: NDArray[np.int16]  # [T], of `Pedal`
    place: NDArray[np.int16]  # [T, 3]: tick in the bar, beat length, bar length
    lost: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    """[T], number of notes left out on each tick because their key is struck twice; empty where nothing is left out."""

    @property
    def ticks(self) -> int:
        """The number of ticks."""
        return len(self.pedal)
