"""The input features of the touch network: the keys to be struck, the music before, and its offsets and pedal.

The memory advances tick by tick: read the features of a tick's keys, then `commit` the keys as played. Training goes
through pieces in the same way, so the features are the same in training and at play. Velocities are in units of 20
around 64.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from livebach.music.grid import Place
from livebach.music.roll import KEYS
from livebach.music.touch import LATEST, OFFSETS, PEDAL_MOVES, PEDALS, Pedal
from livebach.network.touch_history import OffsetHabits, OneHots, Sums, Turns

Array = NDArray[np.float32]
VELOCITY_CENTRE, VELOCITY_UNIT = 64.0, 20.0
LONGEST = 1024
"""Most ticks that a distance in time counts."""
BUMPS = 8
NOTE_FEATURES = 38 + BUMPS
OFFSET_TICKS = 24
OFFSET_ROW = OFFSETS + 8
"""Features of the offset that differ from key to key. They come last."""
OFFSET_FEATURES = OFFSET_TICKS * (OFFSETS + 1) + OFFSETS + 12 + (OFFSETS + 1) + 3 + OFFSET_ROW
PEDAL_TICKS = 16
PEDAL_FEATURES = PEDAL_TICKS * PEDALS + 5 * (PEDALS + 1) + 12 + 29
LONGEST_GAP = 4
"""Most ticks that the time since the newest chord counts where habits are compared."""
RECENT = 32
"""Ticks before the newest chord in which a struck key's offset counts."""
_FADING = 0.97  # of an offset's share with each note, and of a pitch in the pedal with each tick
CLASHES = (1, 2, 5, 6)  # semitones
_LEAVES_DOWN = [move.down for move in Pedal]
LOG_TICKS = [math.log1p(n) for n in range(LONGEST + 1)]
MIDDLE_C = 39  # 0..87: middle C
KEY_BUMPS: Array = np.exp(-(((np.arange(KEYS)[:, None] - 4 - 11.5 * np.arange(BUMPS)) / 10) ** 2)).astype(np.float32)
# One-hot numbers.
_IN_BEAT, ONE_OFFSET, _OFFSET_STATE, _ONE_PEDAL = (np.eye(n).tolist() for n in (12, OFFSETS, OFFSETS + 1, PEDALS + 1))
_NO_OFFSET = [0.0] * OFFSETS
_KEY_BUMPS: list[tuple[float, ...]] = [tuple(bumps) for bumps in KEY_BUMPS.tolist()]
MOST_WRITTEN = 100
_WRITE = [Struct(f"{count}f").pack_into for count in range(MOST_WRITTEN + 1)]


def _log(ticks: int) -> float:
    return LOG_TICKS[min(ticks, LONGEST)]


def write(numbers: Sequence[float], out: Array, at: int) -> None:
    """Write up to MOST_WRITTEN numbers to a contiguous float32 array, in a third of the time that numpy takes.

    Args:
        numbers: What to write.
        out: The array. If it has rows, its elements count row by row.
        at: The first element to be written.

    """
    _WRITE[len(numbers)](out, 4 * at, *numbers)  # type: ignore[arg-type]  # an array is a buffer


class TouchMemory:
    """The music of both players so far, in the form that the touch network needs."""

    def __init__(self) -> None:
        self.tick = 0
        self.notes = 0
        """Number of committed notes, which is the number of the next note."""
        self._last: tuple[int, ...] = ()  # keys of the newest tick with any, the highest first
        self._last_tick = -99
        self._turn: tuple[tuple[int, ...], ...] = ()  # the newest three such ticks: the gap before, then the keys
        self._hashed: tuple[int, ...] | None = None  # the chord of `_hashes`
        self._hashes = 0, 0, 0  # of the short, the long and the pedal's turn that end with this chord
        self._short, self._long, self._pedalled = Turns(), Turns(), Turns()
        self._struck_at: dict[int, tuple[int, int]] = {}  # key -> (tick, offset's number), the newest last
        self._struck = Sums((4, 16, 64))  # keys struck
        self._offsets = OneHots(OFFSET_TICKS, OFFSETS + 1, OFFSETS)  # OFFSETS: nothing struck
        self._offset_shares = [0.0] * OFFSETS
        self._offset_there: dict[tuple[int, int], int] = {}  # (tick in the beat, beat length) -> offset's number
        self._offset_habits, self._last_offset = OffsetHabits(), OFFSETS  # of the newest chord's highest key
        self._pedals: deque[int] = deque([int(Pedal.UP)] * 128, maxlen=128)
        self._newest_pedals = OneHots(PEDAL_TICKS, PEDALS, Pedal.UP)
        self._pedalled_ticks, self._pedal_moves = Sums((48,)), Sums((48,))
        self._pedal_there: dict[tuple[int, int], int] = {}  # (tick in the bar, bar length) -> pedal
        self.pedal_down = False
        self._pedal_ticks = 0  # since the pedal moved
        self._pitches = [0.0] * 12  # what sounds in the pedal, fading
        self._bass, self._pedal_bass = 40, KEYS

    # --- the notes ---------------------------------------------------------------------------------------------------

    def note_features(self, struck: Sequence[int], held: Sequence[int], place: Place) -> list[tuple[float, ...]]:
        """Return the features of notes to be struck now.

        Args:
            struck: Keys 0..87, the highest first.
            held: Keys 0..87 that are held.
            place: The place of the tick.

        Returns:
            [n][NOTE_FEATURES].

        """
        if not struck:
            return []
        n, high, low, busy = len(struck), struck[0], struck[-1], self._struck.sums
        shared = (
            *(n / 4, len(held) / 4, (high - low) / 24, _log(self.tick - self._last_tick) / 3),
            *(busy[0] / 8, busy[1] / 24, busy[2] / 80),
            *place_of_notes(place),
            *((high - MIDDLE_C) / 24, (low - MIDDLE_C) / 24),
        )
        rows = self._note_rows(struck, max(held, default=-1), min(held, default=KEYS))
        return [(*shared, *row, *_KEY_BUMPS[key]) for key, row in zip(struck, rows, strict=True)]

    def _note_rows(self, struck: Sequence[int], highest: int, lowest: int) -> list[tuple[float, ...]]:
        """Return the features that differ from note to note. `highest` and `lowest` are of the held keys."""
        rows: list[tuple[float, ...]] = []
        n, last, apart = len(struck), self._last, [(a - b) / 12 for a, b in pairwise(struck)]
        for i, (key, above, below) in enumerate(zip(struck, [0.0, *apart], [*apart, 0.0], strict=True)):
            top, bottom = i == 0, i == n - 1
            before = self._struck_at.get(key)
            near = _step_to(last, key)
            rows.append(
                (
                    *((key - MIDDLE_C) / 24, i / 4, (n - 1 - i) / 4, top, bottom, n == 1, above, below),
                    *(key > highest, key < lowest, top and key > highest, bottom and key < lowest),
                    *((1.5, 1.0) if before is None else (_log(self.tick - before[0]) / 4, 0.0)),
                    near / 12,
                    *(((key - last[0]) / 12, (key - last[-1]) / 12) if last else (0, 0)),
                    *(abs(near) <= 2, near == 0),
                )
            )
        return rows

    def matches(self, struck: Sequence[int]) -> tuple[int | None, int | None]:
        """Return the number of this chord's first note at its last occurrence in the same short and long turn."""
        short, long, _ = self._turns(struck)
        return self._short.found.get(short), self._long.found.get(long)

    def _turns(self, struck: Sequence[int]) -> tuple[int, int, int]:
        """Return the hashes of the short, the long and the pedal's turn that end with this chord."""
        chord = tuple(struck)
        if chord != self._hashed:
            turn = self._turn
            self._hashed = chord
            self._hashes = hash((chord, *turn[-1:])), hash((chord, *turn)), hash((chord, *turn[-2:]))
        return self._hashes

    # --- offsets -----------------------------------------------------------------------------------------------------

    def offset_features(self, struck: Sequence[int], place: Place) -> Array:
        """Return the features of the notes' offsets: float32 [n, OFFSET_FEATURES]."""
        out = np.empty((len(struck), OFFSET_FEATURES), np.float32)
        if struck:
            out[:, :-OFFSET_ROW] = self.shared_offset_features(len(struck), place)
            out[:, -OFFSET_ROW:] = self.offset_rows(struck)
        return out

    def shared_offset_features(self, n: int, place: Place) -> Array:
        """Return the features that all n notes of a tick have, which come first: [OFFSET_FEATURES - OFFSET_ROW]."""
        history = self._offsets.array
        out = np.empty(OFFSET_FEATURES - OFFSET_ROW, np.float32)
        out[: len(history)] = history
        of_this_tick = (
            *self._offset_shares,
            *_IN_BEAT[tick_in_beat(place)],
            *_OFFSET_STATE[self._offset_here(place)],
            *(place[1] / 6, n / 4, _log(self.tick - self._last_tick) / 3),
        )
        write(of_this_tick, out, len(history))
        return out

    def offset_habits(self, place: Place) -> Array:
        """Return how often each offset was played where things were as they are now, as `OffsetHabits.there` does."""
        return self._offset_habits.there(self._circumstances(place))

    def _circumstances(self, place: Place) -> tuple[int, ...]:
        """Return what habits depend on: the newest chord's offset and its age, the place, and the last offset there."""
        position, beat, _ = place
        age = min(self.tick - self._last_tick, LONGEST_GAP)
        return self._last_offset, age, position % beat, beat, self._offset_here(place)

    def _offset_here(self, place: Place) -> int:
        """Return the number of the last offset at this place in the beat; OFFSETS if there was none."""
        position, beat, _ = place
        return self._offset_there.get((position % beat, beat), OFFSETS)

    def _nearest(self, key: int) -> int | None:
        """Return the recent key that is nearest to a struck key in pitch and time, the newest of equally near ones."""
        least, found, now = math.inf, None, self.tick
        longest = now - self._last_tick + RECENT
        for other, (tick, _) in reversed(self._struck_at.items()):
            ago = now - tick
            if ago >= least or ago > longest:  # all that follow are older
                break
            far = ago + 0.5 * abs(other - key)
            if far < least:
                least, found = far, other
        return found

    def offset_rows(self, struck: Sequence[int]) -> list[tuple[float, ...]]:
        """Return the features that differ from note to note: [n][OFFSET_ROW]."""
        rows: list[tuple[float, ...]] = []
        tick, bottom, above = self.tick, struck[-1], struck[0]
        for key in struck:
            near, ago, far = _NO_OFFSET, 0.0, 0.0
            other = self._nearest(key)
            if other is not None:
                then, offset = self._struck_at[other]
                near, ago, far = ONE_OFFSET[offset], _log(tick - then) / 3, abs(other - key) / 12
            before = self._struck_at.get(key)
            since = 1.5 if before is None else _log(tick - before[0]) / 4
            middle, top = (key - MIDDLE_C) / 24, key == struck[0]
            rows.append((*near, ago, far, middle, top, key == bottom, since, key in self._last, (above - key) / 12))
            above = key
        return rows

    # --- the pedal ---------------------------------------------------------------------------------------------------

    def pedal_features(self, struck: Sequence[int], held: Sequence[int], place: Place) -> Array:
        """Return the features of the pedal: float32 [PEDAL_FEATURES]."""
        newest, out = self._newest_pedals.array, np.empty(PEDAL_FEATURES, np.float32)
        out[: len(newest)] = newest
        a, b, c, d, e = self._pedals_before(struck, place)
        of_this_tick = (
            *(*_ONE_PEDAL[a], *_ONE_PEDAL[b], *_ONE_PEDAL[c], *_ONE_PEDAL[d], *_ONE_PEDAL[e]),
            *_IN_BEAT[tick_in_beat(place)],
            *(self.pedal_down, _log(self._pedal_ticks) / 4, len(struck) / 4, len(held) / 4, bool(struck)),
            *place_of_pedal(place),
            *(_log(self.tick - self._last_tick) / 3, self._struck.sums[0] / 8, self._struck.sums[1] / 24),
            *(self._pedalled_ticks.sums[0] / 48, self._pedal_moves.sums[0] / 12),
            *self._pedal_harmony(struck),
        )
        write(of_this_tick, out, len(newest))
        return out

    def _pedals_before(self, struck: Sequence[int], place: Place) -> list[int]:
        """Return the pedal a beat, a bar and two bars ago, at this place, and in this turn; PEDALS if unknown."""
        position, beat, bar = place
        pedals, none = self._pedals, PEDALS
        back = [pedals[-n] if n <= len(pedals) else none for n in (beat, bar, 2 * bar)]
        again = self._pedalled.found.get(self._turns(struck)[2], none) if struck else none
        return [*back, self._pedal_there.get((position, bar), none), again]

    def _pedal_harmony(self, struck: Sequence[int]) -> tuple[float, ...]:
        """Return features of the consonance of the keys with the notes that the pedal sustains."""
        sounding, pitches = self._pitches, {key % 12 for key in struck}
        known, clashes = 0, [0.0] * len(CLASHES)
        for pitch in pitches:
            known += sounding[pitch] >= 0.02
            for i, step in enumerate(CLASHES):
                clashes[i] += sounding[pitch + step - 12] + sounding[pitch - step]
        low = struck[-1] if struck else self._bass
        return (
            *((len(pitches) - known) / 3, known / 3, *[clash / 3 for clash in clashes]),
            *(sum(sounding) / 3, sum([level > 0.02 for level in sounding]) / 6),
            *((low - self._bass) / 12, bool(struck) and low <= self._bass + 2),
            *((low - MIDDLE_C) / 24 if struck else 0.0, bool(struck) and low < self._pedal_bass),
        )

    def pedal_up_for(self, ticks: int) -> bool:
        """Return whether the pedal has been up for at least this number of ticks."""
        return not self.pedal_down and self._pedal_ticks >= ticks

    # --- what was played ---------------------------------------------------------------------------------------------

    def commit(
        self, struck: Sequence[int], held: Sequence[int], place: Place, offsets: Sequence[int], pedal: int
    ) -> None:
        """Take in a tick that is over.

        Args:
            struck: Keys 0..87, the highest first.
            held: Keys 0..87 that were held.
            place: The place of the tick.
            offsets: The offset of each struck key.
            pedal: A `Pedal`.

        """
        self._commit_pedal(struck, held, place, pedal)
        self._struck.add(len(struck))
        if struck:
            self._commit_notes(struck, place, offsets)
        else:
            self._offsets.add(OFFSETS)
        self.tick += 1
        self.notes += len(struck)

    def _commit_notes(self, struck: Sequence[int], place: Place, offsets: Sequence[int]) -> None:
        position, beat, _ = place
        short, long, _ = self._turns(struck)
        self._short.put(short, self.notes)
        self._long.put(long, self.notes)
        low = struck[-1]
        if low < self._bass + 7 or self.tick - self._last_tick > 16:
            self._bass = low
        numbers = [offset + LATEST for offset in offsets]
        self._offset_habits.count(self._circumstances(place), numbers)
        self._last_offset = numbers[0]
        self._turn, self._hashed = (*self._turn[-2:], (self.tick - self._last_tick, *struck)), None
        self._last, self._last_tick = tuple(struck), self.tick
        for key, number in zip(struck, numbers, strict=True):
            self._struck_at.pop(key, None)
            self._struck_at[key] = self.tick, number
        self._count_offsets(offsets)
        first = min(numbers)
        self._offsets.add(first)
        self._offset_there[position % beat, beat] = first

    def _count_offsets(self, offsets: Sequence[int]) -> None:
        """Let the shares of the offsets follow these ones; each takes 3 % from those before."""
        shares = [_FADING ** len(offsets) * share for share in self._offset_shares]
        weight = 1 - _FADING
        for offset in reversed(offsets):
            shares[offset + LATEST] += weight
            weight *= _FADING
        self._offset_shares = shares

    def _commit_pedal(self, struck: Sequence[int], held: Sequence[int], place: Place, pedal: int) -> None:
        if struck:
            self._pedalled.put(self._turns(struck)[2], pedal)
        self._pedals.append(pedal)
        self._newest_pedals.add(pedal)
        self._pedal_there[place[0], place[2]] = pedal
        moved = pedal in PEDAL_MOVES
        self._pedal_ticks = 0 if moved else self._pedal_ticks + 1
        if moved:
            pitches, self._pedal_bass = [0.0] * 12, KEYS
        else:
            pitches = [_FADING * level for level in self._pitches]
        for key in struck:
            pitches[key % 12] = 1.0
        for key in held:
            pitches[key % 12] = max(pitches[key % 12], 0.5)
        self._pitches = pitches
        if struck:
            self._pedal_bass = min(self._pedal_bass, struck[-1])
        self.pedal_down = _LEAVES_DOWN[pedal]
        self._pedalled_ticks.add(self.pedal_down)
        self._pedal_moves.add(moved)


def _step_to(keys: Sequence[int], key: int) -> int:
    """Return the step from a key to the nearest of others, the first of equally near ones; 0 if there are none."""
    step, least = 0, KEYS
    for other in keys:
        if abs(other - key) < least:
            step, least = other - key, abs(other - key)
    return step


def tick_in_beat(place: Place) -> int:
    """Return the tick in the beat as the features count it: 0..11."""
    return min(place[0] % place[1], 11)


@lru_cache(maxsize=256)
def place_of_notes(place: Place) -> tuple[float, ...]:
    """Return the features of a place for the notes."""
    position, beat, bar = place
    in_beat = position % beat
    beat_angle, bar_angle = 2 * math.pi * in_beat / beat, 2 * math.pi * position / bar
    return (
        *(math.sin(beat_angle), math.cos(beat_angle), in_beat == 0, position == 0, 2 * in_beat == beat),
        *(math.sin(bar_angle), math.cos(bar_angle), 2 * position == bar, beat / 6, bar / 16),
    )


@lru_cache(maxsize=256)
def place_of_pedal(place: Place) -> tuple[float, ...]:
    """Return the features of a place for the pedal."""
    position, beat, bar = place
    angle = 2 * math.pi * position / bar
    return (
        *(position == 0, position % beat == 0, 2 * position == bar, math.sin(angle), math.cos(angle)),
        *(beat / 6, bar / 16),
    )
