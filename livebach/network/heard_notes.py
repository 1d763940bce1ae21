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
    LOG_AGO,
    NEAREST_VELOCITY,
    NO_NEAREST,
    NOWHERE,
    PITCH_OF,
    REACHES,
    REFERENCE,
    SAME_IN_BAR,
    TIMES,
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


class HeardNotes:
    """The newest `HEARD` notes whose velocities were heard."""

    def __init__(self) -> None:
        self.count = 0
        """Number of notes heard, also of those that are forgotten."""
        self.mean = 0.0
        """Mean of the remembered velocities, in units; a little nearer to 0 while they are few."""
        self._keys, self._ticks = np.zeros((2, HEARD), np.int64)
        # The codes of their places and of the coming one. Numbers of one kind compare faster.
        self._codes: Array = np.zeros((2, HEARD), np.float32)
        self._code: Array = np.zeros((2, 1), np.float32)
        self._velocity: Array = np.zeros(HEARD, np.float32)
        # For every key that may come: the kernels over pitch, and the part of the distance that comes from pitch. Notes
        # not yet heard have no weight.
        self._by_pitch: Array = np.zeros((KEYS, REACHES, HEARD), np.float32)
        self._far: Array = np.full((KEYS, HEARD), NOWHERE)
        self._table: Array = np.zeros((_WEIGHTED.stop, HEARD), np.float32)
        self._aboves: Array = np.zeros((TIMES, HEARD), np.float32)  # one row often: to broadcast would take longer
        # Parts of the table. To take them each time would take longer.
        self._above, self._far_in_time, self._near = self._table[_ABOVE], self._table[_FAR], self._table[: _SAME + 1]
        self._of_ago, self._sames = self._table[_OF_AGO], self._table[_SAMES]
        self._weights, self._weighted = self._table[_WEIGHTS], self._table[_WEIGHTED]
        self._only_there, self._both = self._weights[SAME_IN_BAR:], self._table[_WEIGHTS.start :]

    def add(self, heard: Sequence[tuple[int, float]], tick: int, codes: tuple[int, int]) -> None:
        """Take in the notes of a tick: keys 0..87 with velocities in units. `codes` are the tick's `place_codes`."""
        for key, velocity in heard:
            at = self.count % HEARD
            self._keys[at], self._ticks[at], self._velocity[at] = key, tick, velocity
            self._codes[:, at] = codes
            self._by_pitch[:, :, at] = PITCH_OF[key]
            self._far[:, at] = FAR_IN_PITCH[key]
            self._table[_TWELFTHS, at] = _KEY_TWELFTHS[key]
            self.count += 1
        self.mean = float(np.add.reduce(self._velocity)) / (min(self.count, HEARD) + 1)
        np.subtract(self._velocity, self.mean, out=self._above)
        self._aboves[:] = self._above

    def newest(self) -> tuple[int, NDArray[np.int64], NDArray[np.int64], Array, Array]:
        """Return the number m of remembered notes, and arrays of length HEARD, of which the first m count.

        They are keys, ticks, the codes of places [2, HEARD], and velocities above the mean.
        """
        return min(self.count, HEARD), self._keys, self._ticks, self._codes, self._above

    def write_features(self, keys: Sequence[int], tick: int, codes: tuple[int, int], out: Array) -> None:
        """Write the features of a tick's keys, in the columns before `REFERENCE`.

        Args:
            keys: n keys 0..87.
            tick: The tick.
            codes: The codes of its place.
            out: float32 [n, REFERENCE or more].

        """
        if self.count == 0:
            out[:, :NEAREST_VELOCITY], out[:, NEAREST_VELOCITY:REFERENCE] = 0, NO_NEAREST
            return
        self._look_back(tick, codes)
        self._write_kernels(keys, out)
        self._write_nearest(keys, out)

    def _look_back(self, tick: int, codes: tuple[int, int]) -> None:
        """Complete the table as it is on a tick."""
        _AGO.take(tick - self._ticks, axis=1, mode="clip", out=self._of_ago)  # LONGEST ago, and all before
        self._code[0, 0], self._code[1, 0] = codes
        np.equal(self._codes, self._code, out=self._sames)
        np.multiply(self._only_there, self._sames, out=self._only_there)
        np.multiply(self._weights, self._aboves, out=self._weighted)

    def _write_kernels(self, keys: Sequence[int], out: Array) -> None:
        """Write how much weight there is, and the weighted means of the velocities."""
        n = len(keys)
        by_pitch = self._by_pitch.take(keys, axis=0).reshape(n * REACHES, HEARD)
        sums = self._both.dot(by_pitch.T).reshape(2, TIMES, n, REACHES)
        sums /= sums[0] + FAINT
        out[:, :NEAREST_VELOCITY].reshape(n, 2, TIMES, REACHES)[...] = sums.transpose(2, 0, 1, 3)

    def _write_nearest(self, keys: Sequence[int], out: Array) -> None:
        """Write what is known of the note nearest in pitch and time."""
        far = self._far.take(keys, axis=0)
        far += self._far_in_time
        nearest = self._near.take(far.argmin(axis=1), axis=1)
        nearest[_TWELFTHS] -= _KEY_TWELFTHS.take(keys)
        out[:, NEAREST_VELOCITY:REFERENCE] = nearest.T
