"""Small memories of one kind of thing, of which `touch_memory` keeps several."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from livebach.music.touch import OFFSETS

MOST_PHRASES = 4096
"""Most turns of notes that are remembered, so that they can be played alike when they return."""


@dataclass(slots=True)
class Turns:
    """Where turns of notes were last played, by the hash of a turn. The oldest are forgotten.

    A hash takes a fifth of the memory of a turn. Hashes of whole numbers are the same in every run.
    """

    found: dict[int, int] = field(default_factory=dict)

    def put(self, turn: int, value: int) -> None:
        """Remember a turn."""
        self.found.pop(turn, None)
        self.found[turn] = value
        if len(self.found) > MOST_PHRASES:
            del self.found[next(iter(self.found))]


class OffsetHabits:
    """How often each offset was played in the same circumstances, which the caller names.

    For each of them there is a table [OFFSETS + 1, OFFSETS]: a row for each offset of the next higher note of the same
    tick, and the last one where there is none. Offsets are given by their numbers.
    """

    NONE: NDArray[np.float32] = np.zeros((OFFSETS + 1, OFFSETS), np.float32)
    """The table of circumstances that did not occur yet."""

    def __init__(self) -> None:
        self._tables: dict[Hashable, NDArray[np.float32]] = {}

    def there(self, where: Hashable) -> NDArray[np.float32]:
        """Return the table of these circumstances, which must not be changed."""
        return self._tables.get(where, self.NONE)

    def count(self, where: Hashable, offsets: Sequence[int]) -> None:
        """Count the offsets of a tick, that of the highest note first."""
        table, above = self._tables.get(where), OFFSETS
        if table is None:
            table = self._tables[where] = self.NONE.copy()
        for offset in offsets:
            table[above, offset] += 1
            above = offset


class Sums:
    """Running sums of the newest values, over several spans."""

    def __init__(self, spans: tuple[int, ...]) -> None:
        self._spans = spans
        self._values: deque[int] = deque([0] * max(spans), maxlen=max(spans))
        self.sums = [0] * len(spans)

    def add(self, value: int) -> None:
        """Add a value."""
        for i, span in enumerate(self._spans):
            self.sums[i] += value - self._values[-span]
        self._values.append(value)


class OneHots:
    """The newest states, each as one-hot numbers."""

    def __init__(self, length: int, states: int, state: int) -> None:
        """Begin with `state` in all of `length` places; a state is one of 0..states-1."""
        self._states = np.eye(states, dtype=np.float32)
        self._wide = length * states
        self._tape = np.tile(self._states[state], 4 * length)  # so that they rarely have to be moved to its start
        self._end = self._wide

    @property
    def array(self) -> NDArray[np.float32]:
        """[length * states], the oldest state first."""
        return self._tape[self._end - self._wide : self._end]

    def add(self, state: int) -> None:
        """Add a state, and forget the oldest."""
        if self._end == len(self._tape):
            self._tape[: self._wide], self._end = self.array, self._wide
        self._end += len(self._states)
        self._tape[self._end - len(self._states) : self._end] = self._states[state]
