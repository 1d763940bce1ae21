"""The velocities that were heard, and their features for predicting the velocity of a note.

Velocities of notes near in pitch and time, at the same place in the bar, or in the same turn of notes count most. The
features come from fixed kernels, so they are as cheap at play as in training.

Velocities are in units of 20 around 64. Only the player's notes are kept: livebach's own notes say nothing new about
the player's touch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.grid import Place
from livebach.music.roll import KEYS
from livebach.network.touch_memory import LONGEST, VELOCITY_CENTRE, VELOCITY_UNIT, Array

HEARD = 128
"""Number of newest notes that are remembered."""
NEAREST = 4
"""Number of notes, nearest in pitch and time, with features of their own."""
_REACH = (0.4, 2.5, 7.0, 40.0)  # semitones
_SPAN = (1.5, 6.0, 24.0, 128.0)  # ticks
_KERNELS = len(_REACH) * (len(_SPAN) + 3)
VELOCITY_FEATURES = 2 * _KERNELS + 4 * NEAREST + 2 + 8 + 3
REFERENCE = 2 * _KERNELS + 4 * NEAREST
"""The column with the mean of the heard velocities."""
NEAREST_VELOCITY = 2 * _KERNELS
"""The column with the velocity of the nearest note, minus the mean."""
LAST_ERRORS = 4
MOST_TURNS = 1 << 14
"""Number of newest notes whose velocities are known when their turns return."""
_distance = np.abs(np.arange(-KEYS + 1, KEYS))
_ago = np.arange(LONGEST + 1)
_BY_PITCH: Array = np.stack([np.exp(-_distance / reach) for reach in _REACH]).astype(np.float32)
_BY_TIME: Array = np.stack(
    [*(np.exp(-_ago / span) for span in _SPAN), np.ones(LONGEST + 1), np.exp(-_ago / 200), np.exp(-_ago / 32)]
).astype(np.float32)
_SAME_IN_BAR, _SAME_IN_BEAT = len(_SPAN) + 1, len(_SPAN) + 2  # the kernels that count only where places agree
_FAR_IN_PITCH: Array = (0.55 * _distance).astype(np.float32)
_FAR_IN_TIME: Array = (2.2 * np.log1p(_ago)).astype(np.float32)
_PITCH_OF: Array = np.stack(
    [np.vstack([_BY_PITCH, _FAR_IN_PITCH])[:, KEYS - 1 - key : 2 * KEYS - 1 - key] for key in range(KEYS)]
)
"""The kernels over pitch, and the distance: [key of the coming note, kernels + 1, key of the heard note]."""
_LOG_AGO: Array = (np.log1p(_ago) / 4).astype(np.float32)
_TWELFTHS: Array = (np.concatenate([np.arange(KEYS), np.arange(1 - KEYS, 0)]) / 12).astype(np.float32)
"""n / 12, also for a negative index n."""
_FAINT = np.float32(0.05)
_NOWHERE = np.float32(1e9)


def in_units(velocity: float) -> float:
    """Return a MIDI velocity in the network's units."""
    return (velocity - VELOCITY_CENTRE) / VELOCITY_UNIT


def place_codes(place: Place) -> tuple[int, int]:
    """Return a code for the place in the bar and its length, and a code for the place in the beat and its length."""
    position, beat, bar = place
    return position + 100 * bar, position % beat + 100 * beat


@dataclass(frozen=True, slots=True)
class Notes:
    """Notes as arrays of one length: key (0..87), tick, and the codes of their places."""

    key: NDArray[np.int64]
    tick: NDArray[np.int64]
    bar_code: NDArray[np.int64]
    beat_code: NDArray[np.int64]


def kernel_features(
    notes: Notes, near: Array, heard: Notes, velocity: Array, visible: NDArray[np.bool_] | None
) -> tuple[Array, Array]:
    """Compute the features of n coming notes from m heard notes.

    Args:
        notes: The n coming notes.
        near: [n, 4] velocities of the top and bottom note struck before, of the top note before these, and of the note
            above in the same chord; NaN where unknown.
        heard: The m ≥ 1 heard notes.
        velocity: [m] their velocities.
        visible: bool [n, m], which heard notes each coming note may use; None for all.

    Returns:
        Features [n, VELOCITY_FEATURES] with zeros in the last three columns, and the mean heard velocity [n].

    """
    n, m = len(notes.key), len(heard.key)
    seen = np.ones((n, m), np.bool_) if visible is None else visible
    weight = seen.astype(np.float32)
    count = weight.sum(axis=1)
    mean = (weight @ velocity) / (count + 1)
    apart = heard.key - notes.key[:, None] + (KEYS - 1)  # [n, m], an index
    ago = np.minimum(notes.tick[:, None] - heard.tick, LONGEST)
    if visible is not None:
        ago = np.maximum(ago, 0)
    above_mean = (velocity - mean[:, None]) * weight
    same_in_bar = heard.bar_code == notes.bar_code[:, None]
    by_time = _BY_TIME[:, ago]  # [kernels, n, m]
    by_time[_SAME_IN_BAR] *= same_in_bar
    by_time[_SAME_IN_BEAT] *= heard.beat_code == notes.beat_code[:, None]
    by_time = by_time.transpose(1, 2, 0)
    by_pitch = (_BY_PITCH[:, apart] * weight).transpose(1, 0, 2)
    total = by_pitch @ by_time + _FAINT
    out = np.zeros((n, VELOCITY_FEATURES), np.float32)
    out[:, :_KERNELS] = (((by_pitch * above_mean[:, None]) @ by_time) / total).reshape(n, -1)
    out[:, _KERNELS : 2 * _KERNELS] = 1 - (_FAINT / total).reshape(n, -1)
    far = np.where(seen, _FAR_IN_PITCH[apart] + _FAR_IN_TIME[ago], _NOWHERE)
    k, rows, at = min(NEAREST, m), np.arange(n)[:, None], 2 * _KERNELS
    chosen = np.argsort(far, axis=1, kind="stable")[:, :k]
    there = seen[rows, chosen]
    out[:, at : at + k] = above_mean[rows, chosen]
    out[:, at + NEAREST : at + NEAREST + k] = np.where(there, (apart[rows, chosen] - KEYS + 1) / 12, 4)
    out[:, at + 2 * NEAREST : at + 2 * NEAREST + k] = np.where(there, _LOG_AGO[ago[rows, chosen]], 2)
    out[:, at + 3 * NEAREST : at + 3 * NEAREST + k] = same_in_bar[rows, chosen] & there
    out[:, REFERENCE], out[:, REFERENCE + 1] = mean, count / HEARD
    known = ~np.isnan(near)
    out[:, REFERENCE + 2 : REFERENCE + 6] = np.where(known, near - mean[:, None], 0)
    out[:, REFERENCE + 6 : REFERENCE + 10] = known
    return out, mean


def kernel_features_at(
    keys: NDArray[np.int64],
    tick: int,
    codes: tuple[int, int],
    near: Sequence[float],
    heard: Notes,
    velocity: Array,
) -> tuple[Array, float]:
    """Compute the features of the keys of one tick: the fast twin of `kernel_features`.

    Args:
        keys: [n] keys 0..87.
        tick: The tick of the keys.
        codes: The codes of its place.
        near: [4] as in `kernel_features`, the same for every key.
        heard: The m ≥ 1 heard notes; every key may use all of them.
        velocity: [m] their velocities.

    Returns:
        Features [n, VELOCITY_FEATURES] with zeros in the last three columns, and the mean heard velocity.

    """
    n, m = len(keys), len(velocity)
    mean = float(np.add.reduce(velocity)) / (m + 1)
    above_mean = velocity - mean
    ago = np.minimum(tick - heard.tick, LONGEST)
    by_time = _BY_TIME.take(ago, axis=1)  # [kernels, m]
    same_in_bar = heard.bar_code == codes[0]
    by_time[_SAME_IN_BAR] *= same_in_bar
    by_time[_SAME_IN_BEAT] *= heard.beat_code == codes[1]
    weighted = np.concatenate([by_time, by_time * above_mean])  # [2 * kernels, m]
    by_pitch = _PITCH_OF[keys].take(heard.key, axis=2)  # [n, reaches + 1, m]
    sums = (by_pitch.reshape(-1, m) @ weighted.T).reshape(n, len(_REACH) + 1, -1)
    half = len(_BY_TIME)
    total = sums[:, :-1, :half] + _FAINT
    out = np.zeros((n, VELOCITY_FEATURES), np.float32)
    out[:, :_KERNELS] = (sums[:, :-1, half:] / total).reshape(n, -1)
    out[:, _KERNELS : 2 * _KERNELS] = 1 - (_FAINT / total).reshape(n, -1)
    far = by_pitch[:, -1] + _FAR_IN_TIME[ago]
    k, at = min(NEAREST, m), 2 * _KERNELS
    chosen = far.argsort(axis=1, kind="stable")[:, :k]
    out[:, at : at + k] = above_mean[chosen]
    out[:, at + NEAREST : at + NEAREST + k] = _TWELFTHS[heard.key[chosen] - keys[:, None]]
    out[:, at + 2 * NEAREST : at + 2 * NEAREST + k] = _LOG_AGO[ago[chosen]]
    out[:, at + 3 * NEAREST : at + 3 * NEAREST + k] = same_in_bar[chosen]
    above, known = [v - mean if v == v else 0.0 for v in near], [v == v for v in near]
    out[:, REFERENCE : REFERENCE + 10] = mean, m / HEARD, *above, *known
    return out, mean


def error_features(errors: Sequence[float] | NDArray[np.float32]) -> tuple[float, float, float]:
    """Return features of the last notes' distances, newest first, from their velocities in the same turn.

    Unknown distances are NaN. The features are the mean distance, 1 if any distance is known, and 1 if the newest is 0.
    """
    known = [error for error in errors if error == error]
    first = len(errors) > 0 and errors[0] < 0.01
    return (min(sum(known) / len(known), 2.0), 1.0, float(first)) if known else (0.0, 0.0, 0.0)


class VelocityMemory:
    """The newest heard velocities."""

    def __init__(self) -> None:
        self._table = np.zeros((4, HEARD), np.int64)  # the fields of `Notes`
        self._notes = Notes(*self._table)
        self._velocity: Array = np.zeros(HEARD, np.float32)
        self._count = 0
        # The velocities of the newest notes, for when their short and long turns return, by note number % MOST_TURNS.
        self._turns: Array = np.zeros((MOST_TURNS, 2), np.float32)
        self._next = 0  # number of the next note
        self._errors: deque[float] = deque(maxlen=LAST_ERRORS)  # the newest first
        self._last = (float("nan"), float("nan"))  # top and bottom note struck last
        self._before = float("nan")  # the top note before these

    def features(
        self, keys: Sequence[int], tick: int, place: Place, matches: tuple[int | None, int | None]
    ) -> tuple[Array, Array, Array]:
        """Compute the features of keys to be struck on a tick.

        Args:
            keys: Keys 0..87, the highest first.
            tick: The tick.
            place: Its place.
            matches: As `TouchMemory.matches` returns them.

        Returns:
            Features [n, VELOCITY_FEATURES], the mean velocity [n], and the velocities [n, 2] of these notes in the same
            turns, NaN where there are none.

        """
        near = (*self._last, self._before, float("nan"))
        codes, columns = place_codes(place), np.array(keys)
        if not self._count:
            notes = Notes(columns, *(np.full(len(keys), value) for value in (tick, *codes)))
            heard = Notes(*(getattr(self._notes, name)[:1] for name in Notes.__slots__))
            nothing = np.zeros((len(keys), 1), np.bool_)
            out, mean = kernel_features(
                notes, np.tile(np.array(near, np.float32), (len(keys), 1)), heard, self._velocity[:1], nothing
            )
        else:
            heard, velocity = self._notes, self._velocity
            if self._count < HEARD:
                n = self._count
                heard, velocity = Notes(*self._table[:, :n]), velocity[:n]
            out, one = kernel_features_at(columns, tick, codes, near, heard, velocity)
            mean = np.full(len(keys), one, np.float32)
        out[:, -3:] = error_features(self._errors)
        return out, mean, self._matched(len(keys), matches)

    @property
    def count(self) -> int:
        """The number of velocities heard."""
        return self._count

    def _matched(self, n: int, matches: tuple[int | None, int | None]) -> Array:
        found = np.full((n, 2), np.nan, np.float32)
        for which, first in enumerate(matches):
            if first is not None:
                forgotten = max(0, self._next - MOST_TURNS - first)
                numbers = [(first + i) % MOST_TURNS for i in range(forgotten, n)]
                found[forgotten:, which] = self._turns[numbers, which]
        return found

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
        values, matched = [in_units(velocity) for velocity in velocities], self._matched(len(keys), matches)
        codes = place_codes(place)
        before = matched.tolist()
        for i, (key, value) in enumerate(zip(keys, values, strict=True)):
            self._errors.appendleft(abs(value - before[i][0]))
            if value == value:
                matched[i] = value
                at = self._count % HEARD
                self._table[:, at] = key, tick, *codes
                self._velocity[at] = value
                self._count += 1
        self._turns[[(first + i) % MOST_TURNS for i in range(len(keys))]] = matched
        self._next = first + len(keys)
        self._before, self._last = self._last[0], (values[0], values[-1])
