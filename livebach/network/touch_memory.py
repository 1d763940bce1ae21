"""The input features of the touch network: the keys to be struck, the music before, and its offsets and pedal.

The memory advances tick by tick: read the features of a tick's keys, then `commit` the keys as played. Training goes
through pieces in the same way, so the features are the same in training and at play. Velocities are in units of 20
around 64.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from livebach.music.grid import Place
from livebach.music.roll import KEYS
from livebach.music.touch import LATEST, OFFSETS, PEDAL_MOVES, PEDALS, Pedal

Array = NDArray[np.float32]
VELOCITY_CENTRE, VELOCITY_UNIT = 64.0, 20.0
LONGEST = 1024
"""Most ticks that a distance in time counts."""
MOST_PHRASES = 4096
"""Most turns of notes that are remembered, so that they can be played alike when they return."""
BUMPS = 8
NOTE_FEATURES = 46 + BUMPS
OFFSET_TICKS = 24
OFFSET_ROW = OFFSETS + 8  # the part of the features that differs from key to key
OFFSET_FEATURES = OFFSET_TICKS * (OFFSETS + 1) + OFFSETS + 12 + (OFFSETS + 1) + 3 + OFFSET_ROW
PEDAL_TICKS = 16
PEDAL_FEATURES = PEDAL_TICKS * PEDALS + 5 * (PEDALS + 1) + 12 + 29
_LOG = [math.log1p(n) for n in range(LONGEST + 1)]
_MIDDLE = 39  # 0..87: middle C
_BUMP: Array = np.exp(-(((np.arange(KEYS)[:, None] - 4 - 11.5 * np.arange(BUMPS)) / 10) ** 2)).astype(np.float32)


def _log(ticks: int) -> float:
    return _LOG[min(ticks, LONGEST)]


@dataclass(slots=True)
class _Turns:
    """Where turns of notes were last played, by the hash of a turn. The oldest are forgotten.

    A hash takes a fifth of the memory of a turn. Hashes of whole numbers are the same in every run.
    """

    found: dict[int, int] = field(default_factory=dict)

    def put(self, turn: int, value: int) -> None:
        self.found.pop(turn, None)
        self.found[turn] = value
        if len(self.found) > MOST_PHRASES:
            del self.found[next(iter(self.found))]


class _Sums:
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


class TouchMemory:
    """The music of both players so far, in the form that the touch network needs."""

    def __init__(self) -> None:
        self.tick = 0
        self.notes = 0
        """Number of committed notes, which is the number of the next note."""
        self._last: tuple[int, ...] = ()  # keys of the newest tick with any, the highest first
        self._last_tick = -99
        self._turn: deque[tuple[int, ...]] = deque(maxlen=5)  # of such ticks: the gap before, then the keys
        self._short, self._long, self._pedalled = _Turns(), _Turns(), _Turns()
        self._struck_at: dict[int, int] = {}  # key -> tick
        self._struck = _Sums((4, 16, 64))  # keys struck
        self._offsets: deque[int] = deque([OFFSETS] * OFFSET_TICKS, maxlen=OFFSET_TICKS)  # OFFSETS: nothing struck
        self._offset_shares = [0.0] * OFFSETS
        self._offset_there: dict[tuple[int, int], int] = {}  # (tick in the beat, beat length) -> offset's number
        self._recent: dict[int, tuple[int, int]] = {}  # key -> (tick, offset's number), of the last 32 ticks, in order
        self._pedals: deque[int] = deque([int(Pedal.UP)] * 128, maxlen=128)
        self._pedalled_ticks, self._pedal_moves = _Sums((48,)), _Sums((48,))
        self._pedal_there: dict[tuple[int, int], int] = {}  # (tick in the bar, bar length) -> pedal
        self.pedal_down = False
        self._pedal_ticks = 0  # since the pedal moved
        self._pitches = [0.0] * 12  # what sounds in the pedal, fading
        self._bass, self._pedal_bass = 40, KEYS

    # --- the notes ---------------------------------------------------------------------------------------------------

    def note_features(self, struck: Sequence[int], held: Sequence[int], place: Place) -> Array:
        """Return the features of notes to be struck now.

        Args:
            struck: Keys 0..87, the highest first.
            held: Keys 0..87 that are held.
            place: The place of the tick.

        Returns:
            float32 [n, NOTE_FEATURES].

        """
        if not struck:
            return np.zeros((0, NOTE_FEATURES), np.float32)
        position, beat, bar = place
        n, high, low, in_beat = len(struck), struck[0], struck[-1], position % beat
        busy = self._struck.sums
        beat_angle, bar_angle = 2 * math.pi * in_beat / beat, 2 * math.pi * position / bar
        shared = (
            *(n / 4, len(held) / 4, (high - low) / 24, _log(self.tick - self._last_tick) / 3),
            *(busy[0] / 8, busy[1] / 24, busy[2] / 80),
            *(math.sin(beat_angle), math.cos(beat_angle), in_beat == 0, position == 0, 2 * in_beat == beat),
            *(math.sin(bar_angle), math.cos(bar_angle), 2 * position == bar, beat / 6, bar / 16),
            *((high - _MIDDLE) / 24, (low - _MIDDLE) / 24),
        )
        highest, lowest = max(held, default=-1), min(held, default=KEYS)
        rows = []
        for i, key in enumerate(struck):
            above = struck[i - 1] - key if i else 0
            below = key - struck[i + 1] if i < n - 1 else 0
            before = self._struck_at.get(key)
            last = self._last
            near = min([other - key for other in last], key=abs, default=0)
            rows.append(
                (
                    *((key - _MIDDLE) / 24, i / 4, (n - 1 - i) / 4, i == 0, i == n - 1, n == 1, above / 12, below / 12),
                    *(key > highest, key < lowest, i == 0 and key > highest, i == n - 1 and key < lowest),
                    *((1.5, 1.0) if before is None else (_log(self.tick - before) / 4, 0.0)),
                    near / 12,
                    *(((key - last[0]) / 12, (key - last[-1]) / 12) if last else (0, 0)),
                    *(abs(near) <= 2, near == 0),
                )
            )
        out = np.zeros((n, NOTE_FEATURES), np.float32)
        out[:, : len(shared)] = shared
        out[:, len(shared) : len(shared) + len(rows[0])] = rows
        out[:, -BUMPS:] = _BUMP[list(struck)]
        return out

    def matches(self, struck: Sequence[int]) -> tuple[int | None, int | None]:
        """Return the number of this chord's first note at its last occurrence in the same short and long turn."""
        short, long = self._turns(struck)
        return self._short.found.get(short), self._long.found.get(long)

    def _turns(self, struck: Sequence[int]) -> tuple[int, int]:
        chord, turn = tuple(struck), tuple(self._turn)
        return hash((chord, *turn[-1:])), hash((chord, *turn[-3:]))

    # --- offsets -----------------------------------------------------------------------------------------------------

    def offset_features(self, struck: Sequence[int], place: Place) -> Array:
        """Return the features of the notes' offsets: float32 [n, OFFSET_FEATURES]."""
        out = np.zeros((len(struck), OFFSET_FEATURES), np.float32)
        if not struck:
            return out
        position, beat, _ = place
        in_beat, wide = position % beat, OFFSETS + 1
        shared = np.zeros(OFFSET_FEATURES - OFFSET_ROW, np.float32)
        shared[_ROWS_OF_OFFSETS + self._offsets] = 1
        at = OFFSET_TICKS * wide
        shared[at : at + OFFSETS] = self._offset_shares
        at += OFFSETS
        shared[at + min(in_beat, 11)] = 1
        shared[at + 12 + self._offset_there.get((in_beat, beat), OFFSETS)] = 1
        shared[at + 12 + wide :] = beat / 6, len(struck) / 4, _log(self.tick - self._last_tick) / 3
        out[:, :-OFFSET_ROW] = shared
        out[:, -OFFSET_ROW:] = [self._offset_row(i, struck) for i in range(len(struck))]
        return out

    def _nearest(self, key: int) -> int | None:
        """Return the recent key that is nearest to a struck key in pitch and time, the newest of equally near ones."""
        least, found = math.inf, None
        for other, (tick, _) in reversed(self._recent.items()):
            ago = self.tick - tick
            if ago >= least:  # all that follow are older
                break
            far = ago + 0.5 * abs(other - key)
            if far < least:
                least, found = far, other
        return found

    def _offset_row(self, i: int, struck: Sequence[int]) -> tuple[float, ...]:
        key, n = struck[i], len(struck)
        near, ago, far = [0.0] * OFFSETS, 0.0, 0.0
        other = self._nearest(key)
        if other is not None:
            tick, offset = self._recent[other]
            near[offset], ago, far = 1.0, _log(self.tick - tick) / 3, abs(other - key) / 12
        before = self._struck_at.get(key)
        since = 1.5 if before is None else _log(self.tick - before) / 4
        above = (struck[i - 1] - key) / 12 if i else 0.0
        return (*near, ago, far, (key - _MIDDLE) / 24, i == 0, i == n - 1, since, key in self._last, above)

    # --- the pedal ---------------------------------------------------------------------------------------------------

    def pedal_features(self, struck: Sequence[int], held: Sequence[int], place: Place) -> Array:
        """Return the features of the pedal: float32 [PEDAL_FEATURES]."""
        position, beat, bar = place
        pedals, none = self._pedals, PEDALS
        out = np.zeros(PEDAL_FEATURES, np.float32)
        recent = list(pedals)[-PEDAL_TICKS:]
        back = [pedals[-n] if n <= len(pedals) else none for n in (beat, bar, 2 * bar)]
        again = self._pedalled.found.get(self._pedal_turn(struck), none) if struck else none
        states = (*recent, *back, self._pedal_there.get((position, bar), none), again, min(position % beat, 11))
        out[_ROWS_OF_PEDALS + states] = 1
        out[_ROWS_OF_PEDALS[-1] + 12 :] = (*self._pedal_place(struck, held, place), *self._pedal_harmony(struck))
        return out

    def _pedal_place(self, struck: Sequence[int], held: Sequence[int], place: Place) -> tuple[float, ...]:
        position, beat, bar = place
        angle, busy = 2 * math.pi * position / bar, self._struck.sums
        return (
            *(self.pedal_down, _log(self._pedal_ticks) / 4, len(struck) / 4, len(held) / 4, bool(struck)),
            *(position == 0, position % beat == 0, 2 * position == bar, math.sin(angle), math.cos(angle)),
            *(beat / 6, bar / 16, _log(self.tick - self._last_tick) / 3, busy[0] / 8, busy[1] / 24),
            *(self._pedalled_ticks.sums[0] / 48, self._pedal_moves.sums[0] / 12),
        )

    def _pedal_harmony(self, struck: Sequence[int]) -> tuple[float, ...]:
        """Return features of the consonance of the keys with the notes that the pedal sustains."""
        sounding, pitches = self._pitches, {key % 12 for key in struck}

        def clash(semitones: int) -> float:
            return sum([sounding[(p + semitones) % 12] + sounding[p - semitones] for p in pitches]) / 3

        low = struck[-1] if struck else self._bass
        known = sum([sounding[p] >= 0.02 for p in pitches])
        return (
            *((len(pitches) - known) / 3, known / 3, clash(1), clash(2), clash(5), clash(6)),
            *(sum(sounding) / 3, sum([level > 0.02 for level in sounding]) / 6),
            *((low - self._bass) / 12, bool(struck) and low <= self._bass + 2),
            *((low - _MIDDLE) / 24 if struck else 0.0, bool(struck) and low < self._pedal_bass),
        )

    def _pedal_turn(self, struck: Sequence[int]) -> int:
        return hash((tuple(struck), *list(self._turn)[-2:]))

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
            self._offsets.append(OFFSETS)
        self.tick += 1
        self.notes += len(struck)

    def _commit_notes(self, struck: Sequence[int], place: Place, offsets: Sequence[int]) -> None:
        position, beat, _ = place
        short, long = self._turns(struck)
        self._short.put(short, self.notes)
        self._long.put(long, self.notes)
        low = struck[-1]
        if low < self._bass + 7 or self.tick - self._last_tick > 16:
            self._bass = low
        self._turn.append((self.tick - self._last_tick, *struck))
        self._last, self._last_tick = tuple(struck), self.tick
        for key, offset in zip(struck, offsets, strict=True):
            self._struck_at[key] = self.tick
            self._recent.pop(key, None)
            self._recent[key] = self.tick, offset + LATEST
            self._offset_shares = [0.97 * share for share in self._offset_shares]
            self._offset_shares[offset + LATEST] += 0.03
        self._recent = {key: at for key, at in self._recent.items() if self.tick - at[0] <= 32}
        first = min(offsets) + LATEST
        self._offsets.append(first)
        self._offset_there[position % beat, beat] = first

    def _commit_pedal(self, struck: Sequence[int], held: Sequence[int], place: Place, pedal: int) -> None:
        if struck:
            self._pedalled.put(self._pedal_turn(struck), pedal)
        self._pedals.append(pedal)
        self._pedal_there[place[0], place[2]] = pedal
        moved = pedal in PEDAL_MOVES
        self._pedal_ticks = 0 if moved else self._pedal_ticks + 1
        if moved:
            self._pitches, self._pedal_bass = [0.0] * 12, KEYS
        else:
            self._pitches = [0.97 * level for level in self._pitches]
        for key in struck:
            self._pitches[key % 12] = 1.0
            self._pedal_bass = min(self._pedal_bass, key)
        for key in held:
            self._pitches[key % 12] = max(self._pitches[key % 12], 0.5)
        self.pedal_down = Pedal(pedal).down
        self._pedalled_ticks.add(self.pedal_down)
        self._pedal_moves.add(moved)


_ROWS_OF_OFFSETS = np.arange(OFFSET_TICKS) * (OFFSETS + 1)
_ROWS_OF_PEDALS = np.cumsum([0, *[PEDALS] * PEDAL_TICKS, *[PEDALS + 1] * 5])


def known_offsets(offsets: Sequence[int]) -> Array:
    """Return the share of each offset among a tick's known offsets, then 1 if there are any: [OFFSETS + 1]."""
    shares = [0.0] * OFFSETS
    for offset in offsets:
        shares[offset + LATEST] += 1 / len(offsets)
    return np.array([*shares, bool(offsets)], np.float32)
