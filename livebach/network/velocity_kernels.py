"""The features of the heard velocities, from fixed kernels over pitch, time and place.

Velocities of notes near in pitch and time, and at the same place in the bar, count most. `kernel_features` computes any
notes' features, as training needs them; `HeardNotes` those of a tick's keys at play.

Velocities are in units of 20 around 64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from livebach.music.grid import Place
from livebach.music.roll import KEYS
from livebach.network.touch_memory import LONGEST, Array

HEARD = 128
"""Number of newest notes that are remembered."""
_REACH = (0.4, 2.5, 7.0, 40.0)  # semitones
_SPAN = (1.5, 6.0, 24.0, 128.0)  # ticks
REACHES, TIMES = len(_REACH), len(_SPAN) + 3
"""Numbers of kernels over pitch and over time."""
KERNELS = REACHES * TIMES
NEAREST_VELOCITY = 2 * KERNELS
"""The column with the velocity of the nearest note, minus the mean."""
NO_NEAREST: Array = np.array([0, 4, 2, 0], np.float32)
"""The features of the nearest note if no note was heard: velocity, semitones / 12, log of the ticks, same place."""
REFERENCE = NEAREST_VELOCITY + len(NO_NEAREST)
"""The column with the mean of the heard velocities."""
VELOCITY_FEATURES = REFERENCE + 2 + 8 + 3
_distance = np.abs(np.arange(-KEYS + 1, KEYS))
_ago = np.arange(LONGEST + 1)
_BY_PITCH: Array = np.stack([np.exp(-_distance / reach) for reach in _REACH]).astype(np.float32)
BY_TIME: Array = np.stack(
    [*(np.exp(-_ago / span) for span in _SPAN), np.ones(LONGEST + 1), np.exp(-_ago / 200), np.exp(-_ago / 32)]
).astype(np.float32)
"""The kernels over time: [TIMES, ticks ago]."""
SAME_IN_BAR, SAME_IN_BEAT = TIMES - 2, TIMES - 1
"""The kernels over time that count only where places agree."""
_FAR_IN_PITCH: Array = (0.55 * _distance).astype(np.float32)
FAR_IN_TIME: Array = (2.2 * np.log1p(_ago)).astype(np.float32)
"""The part of a distance that comes from time: [ticks ago]."""
PITCH_OF, FAR_IN_PITCH = (
    np.stack([table[..., KEYS - 1 - key : 2 * KEYS - 1 - key].T for key in range(KEYS)])
    for table in (_BY_PITCH, _FAR_IN_PITCH)
)
"""The kernels over pitch [one key, the other key, REACHES], and the part of a distance that comes from pitch, for every
two keys [one key, the other key]."""
LOG_AGO: Array = (np.log1p(_ago) / 4).astype(np.float32)
FAINT: Array = np.array(0.05, np.float32)
"""Added to the sum of weights, so that a kernel without notes says 0."""
NOWHERE = np.float32(1e9)
"""The distance of a note that is not there."""


@lru_cache(maxsize=256)
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
    by_time = BY_TIME[:, ago]  # [kernels, n, m]
    by_time[SAME_IN_BAR] *= same_in_bar
    by_time[SAME_IN_BEAT] *= heard.beat_code == notes.beat_code[:, None]
    by_time = by_time.transpose(1, 2, 0)
    by_pitch = (_BY_PITCH[:, apart] * weight).transpose(1, 0, 2)
    weights = by_pitch @ by_time
    sums = np.stack([weights, (by_pitch * above_mean[:, None]) @ by_time], axis=1)  # [n, 2, REACHES, TIMES]
    out = np.zeros((n, VELOCITY_FEATURES), np.float32)
    out[:, :NEAREST_VELOCITY] = (sums / (weights + FAINT)[:, None]).swapaxes(2, 3).reshape(n, NEAREST_VELOCITY)
    far = np.where(seen, _FAR_IN_PITCH[apart] + FAR_IN_TIME[ago], NOWHERE)
    nearest = np.arange(n), far.argmin(axis=1)
    steps = (apart[nearest] - KEYS + 1) / 12
    of_nearest = np.stack([above_mean[nearest], steps, LOG_AGO[ago[nearest]], same_in_bar[nearest]], axis=1)
    out[:, NEAREST_VELOCITY:REFERENCE] = np.where(seen[nearest][:, None], of_nearest, NO_NEAREST)
    out[:, REFERENCE], out[:, REFERENCE + 1] = mean, count / HEARD
    known = ~np.isnan(near)
    out[:, REFERENCE + 2 : REFERENCE + 6] = np.where(known, near - mean[:, None], 0)
    out[:, REFERENCE + 6 : REFERENCE + 10] = known
    return out, mean
