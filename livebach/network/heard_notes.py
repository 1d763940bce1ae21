"""The newest heard notes, kept so that the features of a tick's keys take few numpy calls.

`HeardNotes.write_features` is the fast twin of `velocity_kernels.kernel_features`. With so few keys, the number of
calls decides how long it takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS
from livebach.network.touch_memory import Array
from livebach.network.velocity_kernels import (
    BY_TIME,
    FAINT,
    FAR_IN_PITCH,
    FAR_IN_TIME,
    HEARD,
    KERNELS,
    LOG_AGO,
    NEAREST,
    NEAREST_VELOCITY,
    NOWHERE,
    PITCH_OF,
    REACHES,
    REFERENCE,
    SAME_IN_BAR,
    TIMES,
    Notes,
    kernel_features,
)

# The rows of a table with a column for each heard note. The first four are the features of a nearest note, in order.
_ABOVE, _TWELFTHS, _LOG, _SAME = range(4)
_FAR = 5
_WEIGHTS, _WEIGHTED = slice(6, 6 + TIMES), slice(6 + TIMES, 6 + 2 * TIMES)
_OF_AGO = slice(_LOG, 6 + TIMES)
_SAMES = slice(_SAME, _SAME + 2)  # in the bar and in the beat, as the two kernels that count only there
_AGO: Array = np.vstack([LOG_AGO, np.zeros((2, len(LOG_AGO))), FAR_IN_TIME, BY_TIME]).astype(np.float32)
"""The rows `_OF_AGO` by ticks ago. Those of `_SAMES` are a gap."""
_KEY_TWELFTHS: Array = (np.arange(KEYS) / 12).astype(np.float32)
_ROWS = np.arange(KEYS)


class HeardNotes:
    """The newest `HEARD` notes whose velocities were heard."""

    def __init__(self) -> None:
        self.count = 0
        """Number of notes heard, also of those that are forgotten."""
        self.mean = 0.0
        """Mean of the remembered velocities, in units; a little nearer to 0 while they are few."""
        self._rows = np.zeros((4, HEARD), np.int64)
        self._notes, self._codes = Notes(*self._rows), self._rows[2:]
        self._velocity: Array = np.zeros(HEARD, np.float32)
        # For every key that may come: the kernels over pitch, and the part of the distance that comes from pitch. Notes
        # not yet heard have no weight.
        self._by_pitch: Array = np.zeros((KEYS, REACHES, HEARD), np.float32)
        self._far: Array = np.full((KEYS, HEARD), NOWHERE)
        self._table: Array = np.zeros((_WEIGHTED.stop, HEARD), np.float32)
        # Parts of the table. To take them each time would take longer.
        self._above, self._far_in_time, self._near = self._table[_ABOVE], self._table[_FAR], self._table[: _SAME + 1]
        self._of_ago, self._sames = self._table[_OF_AGO], self._table[_SAMES]
        self._weights, self._weighted = self._table[_WEIGHTS], self._table[_WEIGHTED]
        self._only_there = self._weights[SAME_IN_BAR:]

    def add(self, heard: Sequence[tuple[int, float]], tick: int, codes: tuple[int, int]) -> None:
        """Take in the notes of a tick: keys 0..87 with velocities in units. `codes` are the tick's `place_codes`."""
        notes = self._notes
        for key, velocity in heard:
            at = self.count % HEARD
            notes.key[at], notes.tick[at], self._velocity[at] = key, tick, velocity
            notes.bar_code[at], notes.beat_code[at] = codes
            self._by_pitch[:, :, at] = PITCH_OF[key]
            self._far[:, at] = FAR_IN_PITCH[key]
            self._table[_TWELFTHS, at] = _KEY_TWELFTHS[key]
            self.count += 1
        self.mean = float(np.add.reduce(self._velocity)) / (min(self.count, HEARD) + 1)
        np.subtract(self._velocity, self.mean, out=self._above)

    def newest(self) -> tuple[int, NDArray[np.int64], Array]:
        """Return the number m of remembered notes, and HEARD columns of which the first m are theirs.

        The rows are the fields of `Notes` in one array, and the velocities above the mean in the other.
        """
        return min(self.count, HEARD), self._rows, self._above

    def write_features(self, keys: Sequence[int], tick: int, codes: tuple[int, int], out: Array) -> None:
        """Write the features of a tick's keys, in the columns before `REFERENCE`.

        Args:
            keys: n keys 0..87.
            tick: The tick.
            codes: The codes of its place.
            out: float32 [n, VELOCITY_FEATURES].

        """
        if self.count < NEAREST:
            self._write_few(keys, tick, codes, out)
            return
        self._look_back(tick, codes)
        self._write_kernels(keys, out)
        self._write_nearest(keys, out)

    def _look_back(self, tick: int, codes: tuple[int, int]) -> None:
        """Complete the table as it is on a tick."""
        _AGO.take(tick - self._notes.tick, axis=1, mode="clip", out=self._of_ago)  # LONGEST ago, and all before
        np.equal(self._codes, np.array(codes)[:, None], out=self._sames)
        np.multiply(self._only_there, self._sames, out=self._only_there)
        np.multiply(self._weights, self._above, out=self._weighted)

    def _write_kernels(self, keys: Sequence[int], out: Array) -> None:
        """Write the weighted means of the velocities, and how much weight there is."""
        n = len(keys)
        by_pitch = self._by_pitch.take(keys, axis=0).reshape(n * REACHES, HEARD)
        weights, weighted = np.dot(by_pitch, self._weights.T), np.dot(by_pitch, self._weighted.T)
        total = weights + FAINT
        out[:, :KERNELS] = (weighted / total).reshape(n, KERNELS)
        out[:, KERNELS : 2 * KERNELS] = (weights / total).reshape(n, KERNELS)

    def _write_nearest(self, keys: Sequence[int], out: Array) -> None:
        """Write what is known of the notes nearest in pitch and time."""
        n, far = len(keys), self._far.take(keys, axis=0) + self._far_in_time
        chosen, rows = np.empty((NEAREST, n), np.intp), _ROWS[:n]
        for nearest in chosen:  # a sort of them all takes longer
            far.argmin(axis=1, out=nearest)
            far[rows, nearest] = NOWHERE
        features = self._near.take(chosen, axis=1)
        features[_TWELFTHS] -= _KEY_TWELFTHS.take(keys)
        out[:, NEAREST_VELOCITY:REFERENCE].reshape(n, _SAME + 1, NEAREST)[...] = features.transpose(2, 0, 1)

    def _write_few(self, keys: Sequence[int], tick: int, codes: tuple[int, int], out: Array) -> None:
        """Write the features while fewer notes than `NEAREST` were heard."""
        there = max(1, self.count)
        coming = Notes(np.array(keys), *(np.full(len(keys), value) for value in (tick, *codes)))
        heard = Notes(*(getattr(self._notes, name)[:there] for name in Notes.__slots__))
        visible = np.full((len(keys), there), self.count > 0)
        near = np.full((len(keys), 4), np.nan, np.float32)
        features, _ = kernel_features(coming, near, heard, self._velocity[:there], visible)
        out[:, :REFERENCE] = features[:, :REFERENCE]
