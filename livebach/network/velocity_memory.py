"""The velocities that were heard, for predicting the velocity of a note.

What counts is the velocities of notes that are near (`velocity_kernels`), or that were in the same turn of notes.
Velocities are in units of 20 around 64. Only the player's notes are kept: livebach's own notes say nothing new about
the player's touch.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from livebach.music.grid import Place
from livebach.network.heard_notes import HeardNotes
from livebach.network.touch_memory import VELOCITY_CENTRE, VELOCITY_UNIT, Array, write
from livebach.network.velocity_kernels import HEARD, REFERENCE, VELOCITY_FEATURES, place_codes

LAST_ERRORS = 4
MOST_TURNS = 1 << 14
"""Number of newest notes whose velocities are known when their turns return."""
_UNKNOWN = float("nan")


def in_units(velocity: float) -> float:
    """Return a MIDI velocity in the network's units."""
    return (velocity - VELOCITY_CENTRE) / VELOCITY_UNIT


def error_features(errors: Sequence[float] | NDArray[np.float32]) -> tuple[float, float, float]:
    """Return features of the last notes' distances, newest first, from their velocities in the same turn.

    Unknown distances are NaN. The features are the mean distance, 1 if any distance is known, and 1 if the newest is 0.
    """
    known = [error for error in errors if error == error]
    first = len(errors) > 0 and errors[0] < 0.01
    return (min(sum(known) / len(known), 2.0), 1.0, float(first)) if known else (0.0, 0.0, 0.0)


class VelocityMemory:
    """The newest heard velocities, and those of turns of notes."""

    def __init__(self) -> None:
        self.notes = HeardNotes()
        """The newest notes that were heard."""
        # The velocities of the newest notes, for when their short and long turns return, by note number % MOST_TURNS.
        self._short, self._long = (array("f", [_UNKNOWN]) * MOST_TURNS for _ in range(2))
        self._next = 0  # number of the next note
        self._errors: deque[float] = deque(maxlen=LAST_ERRORS)  # the newest first
        self._last = (_UNKNOWN, _UNKNOWN)  # top and bottom note struck last
        self._before = _UNKNOWN  # the top note before these

    @property
    def count(self) -> int:
        """The number of velocities heard."""
        return self.notes.count

    @property
    def mean(self) -> float:
        """The mean of the newest heard velocities, in units."""
        return self.notes.mean

    def write_features(self, keys: Sequence[int], tick: int, place: Place, out: Array, first: int) -> None:
        """Write the features of n keys to be struck on a tick.

        Args:
            keys: Keys 0..87, the highest first.
            tick: The tick.
            place: Its place.
            out: float32 [n or more, first + VELOCITY_FEATURES or more], contiguous.
            first: The first column to be written.

        """
        n, reference, end = len(keys), first + REFERENCE, first + VELOCITY_FEATURES
        self.notes.write_features(keys, tick, place_codes(place), out[:n, first:reference])
        write(self.shared_features(), out, reference)
        out[1:n, reference:end] = out[0, reference:end]

    def shared_features(self) -> tuple[float, ...]:
        """Return the features that do not depend on the key, from the column REFERENCE on."""
        mean, near = self.mean, (*self._last, self._before, _UNKNOWN)
        above, known = [v - mean if v == v else 0.0 for v in near], [v == v for v in near]
        count = min(self.count, HEARD) / HEARD
        return mean, count, *above, *known, *error_features(self._errors)

    def matched(self, n: int, matches: tuple[int | None, int | None]) -> Array | None:
        """Return the velocities [n, 2] of n notes in earlier turns, in units; NaN where unknown, None if all are.

        `matches` is as `TouchMemory.matches` returns it.
        """
        if matches == (None, None):
            return None
        of_turns = self._of_turn(self._short, matches[0], n), self._of_turn(self._long, matches[1], n)
        return np.array(of_turns, np.float32).T

    def _of_turn(self, turns: array[float], first: int | None, n: int) -> list[float]:
        """Return the velocities of n notes from number `first` on, NaN where unknown."""
        if first is None:
            return [_UNKNOWN] * n
        oldest = self._next - MOST_TURNS
        return [turns[i % MOST_TURNS] if i >= oldest else _UNKNOWN for i in range(first, first + n)]

    def commit(
        self,
        keys: Sequence[int],
        velocities: Sequence[float],
        tick: int,
        place: Place,
        first: int,
        matches: tuple[int | None, int | None],
    ) -> None:
        """Take in the notes of a tick that is over.

        Args:
            keys: Keys 0..87, the highest first.
            velocities: Their MIDI velocities, NaN for livebach's own notes.
            tick: The tick.
            place: Its place.
            first: The number of the first of these notes.
            matches: As `TouchMemory.matches` returned them.

        """
        if not keys:
            return
        n, values = len(keys), [in_units(velocity) for velocity in velocities]
        short, long = self._of_turn(self._short, matches[0], n), self._of_turn(self._long, matches[1], n)
        for i, value in enumerate(values):
            self._errors.appendleft(abs(value - short[i]))
            number, known = (first + i) % MOST_TURNS, value == value
            self._short[number], self._long[number] = (value, value) if known else (short[i], long[i])
        heard = [(key, value) for key, value in zip(keys, values, strict=True) if value == value]
        if heard:
            self.notes.add(heard, tick, place_codes(place))
        self._next = first + n
        self._before, self._last = self._last[0], (values[0], values[-1])
