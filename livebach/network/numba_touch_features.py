"""The features of the touch network, compiled by numba (the extra `fast`).

They are those of `touch_memory` and `heard_notes`, but for rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS
from livebach.music.touch import OFFSETS, PEDALS
from livebach.network.numba_compiler import compiled, compiled_exactly
from livebach.network.touch_memory import (
    BUMPS,
    CLASHES,
    KEY_BUMPS,
    LOG_TICKS,
    LONGEST,
    MIDDLE_C,
    NOTE_FEATURES,
    RECENT,
)
from livebach.network.velocity_kernels import (
    BY_TIME,
    FAINT,
    FAR_IN_PITCH,
    FAR_IN_TIME,
    KERNELS,
    LOG_AGO,
    NEAREST_VELOCITY,
    NO_NEAREST,
    PITCH_OF,
    REACHES,
    SAME_IN_BAR,
    SAME_IN_BEAT,
    TIMES,
)

Array = NDArray[np.float32]
Integers = NDArray[np.int64]
NEVER = -1
"""The tick of a key that was not struck yet."""
_LOG = np.array(LOG_TICKS)
_CLASHES = np.array(CLASHES)
_FAINT = np.float32(FAINT)
_NEAR: Array = PITCH_OF[0].copy()
"""The kernels over pitch: [semitones apart, REACHES]."""
_FAR: Array = FAR_IN_PITCH[0].copy()
_BY_TIME = np.ascontiguousarray(BY_TIME.T)  # [ticks ago, TIMES]


# --- keys ------------------------------------------------------------------------------------------------------------


@compiled_exactly
def _log(ticks: int) -> float:
    return float(_LOG[min(ticks, LONGEST)])


@compiled_exactly
def _step_to(keys: Integers, key: int) -> int:
    """Return the step from a key to the nearest of others, the first of equally near ones; 0 if there are none."""
    step, least = 0, KEYS
    for other in keys:
        if abs(other - key) < least:
            step, least = other - key, abs(other - key)
    return step


@compiled_exactly
def write_notes(struck: Integers, held: Any, before: Any, now: Any, place: Any, out: Array) -> None:
    """Write the features of struck keys to `out` [n, NOTE_FEATURES].

    Args:
        struck: [n] keys, the highest first.
        held: Number of the held keys, the highest and the lowest of them.
        before: Keys of the newest chord, and when each key was struck last [88].
        now: The tick, that of the newest chord, and the sums of struck keys.
        place: Features of the place.
        out: Zeros.

    """
    (n_held, highest, lowest), (last, ticks), (tick, last_tick, busy) = held, before, now
    n = len(struck)
    high, low = struck[0], struck[n - 1]
    for i in range(n):
        key, row = struck[i], out[i]
        row[0], row[1], row[2], row[3] = n / 4, n_held / 4, (high - low) / 24, _log(tick - last_tick) / 3
        row[4], row[5], row[6] = busy[0] / 8, busy[1] / 24, busy[2] / 80
        for j in range(10):
            row[7 + j] = place[j]
        row[17], row[18] = (high - MIDDLE_C) / 24, (low - MIDDLE_C) / 24
        top, bottom, near = i == 0, i == n - 1, _step_to(last, key)
        row[19], row[20], row[21] = (key - MIDDLE_C) / 24, i / 4, (n - 1 - i) / 4
        row[22], row[23], row[24] = top, bottom, n == 1
        row[25] = 0.0 if top else (struck[i - 1] - key) / 12
        row[26] = 0.0 if bottom else (key - struck[i + 1]) / 12
        row[27], row[28], row[29], row[30] = key > highest, key < lowest, top and key > highest, bottom and key < lowest
        new = ticks[key] == NEVER
        row[31], row[32] = 1.5 if new else _log(tick - ticks[key]) / 4, new
        row[33] = near / 12
        if len(last):
            row[34], row[35] = (key - last[0]) / 12, (key - last[len(last) - 1]) / 12
        row[36], row[37] = abs(near) <= 2, near == 0
        for j in range(BUMPS):
            row[NOTE_FEATURES - BUMPS + j] = KEY_BUMPS[key, j]


# --- offsets ---------------------------------------------------------------------------------------------------------


@compiled_exactly
def _nearest(key: int, ticks: Integers, now: int, last_tick: int) -> int:
    """Return the recent key that is nearest to a struck key in pitch and time; -1 if there is none.

    Of equally near ones it is the newest, and of those the lowest.
    """
    least, found, longest = np.inf, -1, now - last_tick + RECENT
    for other in range(KEYS):
        ago = now - ticks[other]
        if ticks[other] != NEVER and ago <= longest:
            far = ago + 0.5 * abs(other - key)
            if far < least or (far == least and ticks[other] > ticks[found]):
                least, found = far, other
    return found


@compiled_exactly
def write_shared_offsets(n: int, now: Any, place: Any, before: Any, out: Array) -> None:
    """Write the features of the offsets that n keys share to `out` [OFFSET_FEATURES - OFFSET_ROW].

    Args:
        n: Number of keys.
        now: The tick, and that of the newest chord.
        place: Tick in the beat, at most 11; ticks in a beat; number of the offset that was here last.
        before: The newest offsets, one-hot [OFFSET_TICKS * (OFFSETS + 1)], and the shares of the offsets [OFFSETS].
        out: Zeros.

    """
    (tick, last_tick), (in_beat, beat, there), (history, shares) = now, place, before
    at = len(history)
    out[:at] = history
    out[at : at + OFFSETS] = shares
    at += OFFSETS
    out[at + in_beat] = out[at + 12 + there] = 1
    at += 12 + OFFSETS + 1
    out[at], out[at + 1], out[at + 2] = beat / 6, n / 4, _log(tick - last_tick) / 3


@compiled_exactly
def write_offset_rows(struck: Integers, now: Any, before: Any, out: Array) -> None:
    """Write the features of the offsets that differ from key to key to `out` [n, OFFSET_ROW].

    Args:
        struck: [n] keys, the highest first.
        now: The tick, and that of the newest chord.
        before: Keys of the newest chord, and the tick and the offset's number of each key's last stroke, [88] each.
        out: Zeros.

    """
    (tick, last_tick), (last, ticks, offsets) = now, before
    for i in range(len(struck)):
        key, row, at = struck[i], out[i], OFFSETS + 2
        near = _nearest(key, ticks, tick, last_tick)
        if near >= 0:
            row[offsets[near]] = 1
            row[OFFSETS], row[OFFSETS + 1] = _log(tick - ticks[near]) / 3, abs(near - key) / 12
        row[at], row[at + 1], row[at + 2] = (key - MIDDLE_C) / 24, i == 0, i == len(struck) - 1
        row[at + 3] = 1.5 if ticks[key] == NEVER else _log(tick - ticks[key]) / 4
        for other in last:
            if other == key:
                row[at + 4] = 1
        row[at + 5] = 0.0 if i == 0 else (struck[i - 1] - key) / 12


# --- pedal -----------------------------------------------------------------------------------------------------------


@compiled_exactly
def _write_harmony(struck: Integers, sounding: Any, bass: int, pedal_bass: int, out: Array) -> None:
    """Write the consonance of the keys with what the pedal sustains, to `out` [12]."""
    known = new = 0
    clashes = np.zeros(len(_CLASHES))
    there = np.zeros(12, np.bool_)
    for key in struck:
        there[key % 12] = True
    for pitch in range(12):
        if there[pitch]:
            known += sounding[pitch] >= 0.02
            new += sounding[pitch] < 0.02
            for i in range(len(_CLASHES)):
                clashes[i] += sounding[(pitch + _CLASHES[i]) % 12] + sounding[pitch - _CLASHES[i]]
    out[0], out[1] = new / 3, known / 3
    for i in range(len(_CLASHES)):
        out[2 + i] = clashes[i] / 3
    total, many = 0.0, 0
    for level in sounding:
        total += level
        many += level > 0.02
    out[6], out[7] = total / 3, many / 6
    if len(struck):
        low = struck[len(struck) - 1]
        out[8], out[9] = (low - bass) / 12, low <= bass + 2
        out[10], out[11] = (low - MIDDLE_C) / 24, low < pedal_bass


@compiled_exactly
def write_pedal(struck: Integers, states: Any, numbers: Any, place: Any, sounding: Any, out: Array) -> None:
    """Write the features of the pedal to `out` [PEDAL_FEATURES], zeros before.

    Args:
        struck: [n] keys, the highest first.
        states: The newest pedals, one-hot [PEDAL_TICKS * PEDALS]; five earlier ones; the tick in the beat, at most 11.
        numbers: Whether the pedal is down, ticks since it moved, number of held keys; the tick, and that of the newest
            chord; sums of struck keys, of ticks in the pedal, and of its moves.
        place: Features of the place.
        sounding: How much each pitch sounds [12], the bass, and the bass since the pedal moved.
        out: Zeros.

    """
    newest, places, in_beat = states
    (down, since, n_held), (tick, last_tick), (busy, pedalled, moves) = numbers
    at = len(newest)
    out[:at] = newest
    for state in places:
        out[at + state] = 1
        at += PEDALS + 1
    out[at + in_beat] = 1
    at += 12
    n = len(struck)
    out[at], out[at + 1], out[at + 2], out[at + 3], out[at + 4] = down, _log(since) / 4, n / 4, n_held / 4, n > 0
    at += 5
    for value in place:
        out[at] = value
        at += 1
    out[at], out[at + 1], out[at + 2] = _log(tick - last_tick) / 3, busy[0] / 8, busy[1] / 24
    out[at + 3], out[at + 4] = pedalled / 48, moves / 12
    pitches, bass, pedal_bass = sounding
    _write_harmony(struck, pitches, bass, pedal_bass, out[at + 5 :])


# --- heard velocities ------------------------------------------------------------------------------------------------


@compiled
def _write_kernels(keys: Integers, heard: Integers, weights: Array, weighted: Array, out: Array) -> None:
    """Write how much weight there is, and the weighted means of the velocities; [TIMES, m] each for m heard notes."""
    near = np.empty((REACHES, len(heard)), np.float32)
    for i in range(len(keys)):
        row = out[i]
        for m in range(len(heard)):
            kernels = _NEAR[abs(heard[m] - keys[i])]
            for r in range(REACHES):
                near[r, m] = kernels[r]
        for r in range(REACHES):
            for t in range(TIMES):
                total = velocity = np.float32(0)
                for m in range(len(heard)):
                    total += near[r, m] * weights[t, m]
                    velocity += near[r, m] * weighted[t, m]
                at = t * REACHES + r
                row[at], row[at + KERNELS] = total / (total + _FAINT), velocity / (total + _FAINT)


@compiled
def _write_nearest(key: int, heard: Any, ago: Integers, same: Integers, row: Array) -> None:
    """Write what is known of the note nearest to a key, in pitch and time, to `row` [REFERENCE or more]."""
    key_of, above = heard
    nearest, least = -1, np.float32(np.inf)
    for m in range(len(key_of)):
        far = _FAR[abs(key_of[m] - key)] + FAR_IN_TIME[ago[m]]
        if far < least:  # of equally near ones the first counts as nearer
            nearest, least = m, far
    at = NEAREST_VELOCITY
    if nearest < 0:
        row[at : at + len(NO_NEAREST)] = NO_NEAREST
    else:
        row[at], row[at + 1] = above[nearest], np.float32(key_of[nearest] - key) / np.float32(12)
        row[at + 2], row[at + 3] = LOG_AGO[ago[nearest]], same[nearest]


@compiled
def write_heard(keys: Integers, tick: int, codes: Any, heard: Any, out: Array) -> None:
    """Write the features of keys to `out` [n, REFERENCE or more].

    Args:
        keys: [n] keys.
        tick: The tick.
        codes: The codes of its place, as `place_codes` returns them.
        heard: What `HeardNotes.newest` returns.
        out: Its first REFERENCE columns are overwritten.

    """
    (count, keys_heard, tick_of, codes_of, velocities), (bar_code, beat_code) = heard, codes
    key_of, above = keys_heard[:count], velocities[:count]
    ago, same_in_bar = np.empty(count, np.int64), np.empty(count, np.int64)
    weights, weighted = np.empty((TIMES, count), np.float32), np.empty((TIMES, count), np.float32)
    for m in range(count):
        ago[m] = min(tick - tick_of[m], LONGEST)
        same_in_bar[m] = codes_of[0, m] == bar_code
        kernels = _BY_TIME[ago[m]]
        for t in range(TIMES):
            weights[t, m] = kernels[t]
        weights[SAME_IN_BAR, m] *= same_in_bar[m]
        weights[SAME_IN_BEAT, m] *= codes_of[1, m] == beat_code
    for t in range(TIMES):
        for m in range(count):
            weighted[t, m] = weights[t, m] * above[m]
    _write_kernels(keys, key_of, weights, weighted, out)
    for i in range(len(keys)):
        _write_nearest(keys[i], (key_of, above), ago, same_in_bar, out[i])
