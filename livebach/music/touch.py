"""How notes are played, on the grid: velocity, the time between two ticks, and the sustain pedal.

A tick is a 16th note, and holds `PARTS` 24ths of a quarter note. A struck key sounds `offset` parts after its tick. The
last part before a tick belongs to that tick: a key struck there is early, not late. Knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

STEPS_PER_QUARTER = 4
"""Ticks per quarter note of the touch network."""
PARTS = 6
"""Parts of a tick: each is a 24th of a quarter note."""
OFFSETS = PARTS - 1
"""An offset is 0..4; a key struck 5 parts after a tick is on the next one."""
PLAYED_OFFSETS = (0, 2, 3, 4)
"""The offsets that a person may intend: straight (0), triplets (2 and 4), 32nds (3).

Of 652,000 notes on an exact grid, .2 % are at 1 and .3 % at 5. A person who strikes there is a little late or early.
"""
BOUNDARY = 5 / PARTS
"""Part of a tick from which a struck key belongs to the next tick."""


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
    """Return the tick and the offset (0..4) of a time in 24ths of a quarter note from tick 0."""
    tick, offset = divmod(parts + 1, PARTS)
    return tick, max(0, offset - 1)


def played_offset(fraction: float) -> int:
    """Return the intended offset of a key struck at this fraction of a tick, -1/6 up to 5/6."""
    return min(PLAYED_OFFSETS, key=lambda offset: abs(offset - fraction * PARTS))


@dataclass(frozen=True, slots=True)
class Sounded:
    """The touch of a note: MIDI velocity, and offset from its tick in 24ths of a quarter note."""

    velocity: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class TickTouch:
    """The touch of a tick's keys (0..87), and the pedal's move."""

    notes: Mapping[int, Sounded] = field(default_factory=dict)
    pedal: Pedal = Pedal.UP


NO_TOUCH = TickTouch()


@dataclass(frozen=True, slots=True)
class Performance:
    """A piece as it was played, with T ticks and N notes, in order of tick, the highest note of a tick first."""

    name: str
    tick: NDArray[np.int32]  # [N]
    key: NDArray[np.int16]  # [N], 0..87
    end: NDArray[np.int32]  # [N], the tick on which the key is up
    velocity: NDArray[np.int16]  # [N], 1..127
    offset: NDArray[np.int16]  # [N], 0..4
    pedal: NDArray[np.int16]  # [T], of `Pedal`
    place: NDArray[np.int16]  # [T, 3]: tick in the bar, beat length, bar length
    lost: NDArray[np.integer] = field(default_factory=lambda: np.array(0))
    """Number of notes left out because their key is struck twice in one tick; shape ()."""

    @property
    def ticks(self) -> int:
        """The number of ticks."""
        return len(self.pedal)
