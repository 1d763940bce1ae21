"""Theme memory: the match model over everything that was played.

The WaveNet uses about one bar of its past. A fugue subject that comes back after twenty bars, in another voice or key,
is new to it. The theme memory keeps the music of the session and looks for passages that resemble the last few beats.
An alignment says: the music now is like the music at that point, transposed by so many semitones. The frame that
followed there is evidence for the coming frame here.

The idea is that of match models in text compression (Mahoney 2005, "Adaptive weighing of context models for lossless
data compression"), with approximate matches, transposition, and evidence that is local in pitch, because a theme lives
in one voice. Everything is causal: evidence for a frame is computed from earlier frames only. Likelihoods stay exact.

`ThemeMemory` is a value in the engine's state. This module knows no weights of the network and no sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from livebach.music.roll import KEYS, OFF, ONSET, Frame

Array = NDArray[np.float32]
Indices = NDArray[np.intp]
Place = tuple[int, int, int]
"""Tick in the bar, beat length, bar length, in ticks."""

RECENT = 1536
"""Frames that are kept of everything that was played: 96 bars of 4/4."""
ARCHIVE = 3072
"""Frames that are kept of the player alone, once they have left the recent ones: 192 bars of 4/4."""
WINDOW = 20
"""Frames before the coming one that an alignment is judged by."""
FURTHEST = 24
"""Semitones that a source may be transposed by."""
PAD = FURTHEST + 1
"""Silent keys beside the keyboard: every transposition is a slice. One more, as counts are summed over neighbours."""
SHIFTS = 2 * PAD + 1
"""Index of a transposition: PAD - semitones, so 0 is 25 semitones up and 50 is 25 semitones down."""
SOURCE_TICKS = 4
"""There is room for one source in so many frames. Beats that are shorter than that reach less far back."""
COUNT_KEPT = np.float32(0.92)
"""Part of a count that is left after one more frame: two beats are half forgotten."""
PACKED = 4
"""States in a byte of a packed snapshot."""
QUARTER = KEYS // PACKED
MOST_ALIGNMENTS = 48
LEAST_SCORE = np.float32(0.02)


@dataclass(frozen=True, slots=True, eq=False)
class Alignments:
    """The passages that resemble the present.

    Attributes:
        rows: [n] which source, as an index into the counts of the memory.
        shifts: [n] index of the transposition.

    """

    rows: Indices
    shifts: Indices


@dataclass(slots=True)
class _Kept:
    """What a theme memory and its snapshots consist of.

    Attributes:
        frames: states, as each class keeps them.
        players: [R] whether a recent frame is the player's alone.
        rates: [R + A] decayed number of onsets up to a frame.
        counts: [(R + A) / SOURCE_TICKS, SHIFTS] decayed number of onsets that coincide with those of each source.
        rate: decayed number of onsets up to the newest frame.
        clock: number of the coming frame.
        archived: frames written to the archive so far.
        archived_clock: number of the last frame that went to the archive.
        beat: length of the beat in ticks; lags are multiples of it.

    """

    frames: NDArray[np.uint8]
    players: NDArray[np.bool_]
    rates: Array
    counts: Array
    rate: float = 0.0
    clock: int = 0
    archived: int = 0
    archived_clock: int = -1
    beat: int = 4

    def _copy_the_rest(self, other: _Kept) -> None:
        """Copy everything but the frames."""
        for name in ("players", "rates", "counts"):
            np.copyto(getattr(self, name), getattr(other, name))
        self.rate, self.clock, self.beat = other.rate, other.clock, other.beat
        self.archived, self.archived_clock = other.archived, other.archived_clock


@dataclass(slots=True)
class ThemeMemory(_Kept):
    """All that was played in the session, bounded, and how well the present agrees with each part of it.

    Frames are numbered by a clock that counts ticks of the metre. Where the music skips a part of a bar, as after a
    rest that was held back, the clock skips as many ticks, so that lags of whole beats stay whole beats.

    Attributes:
        frames: [R + A, 88] states; slot `clock % R` for the R recent frames, then the archive of A frames.

    """

    @classmethod
    def blank(cls, recent: int = RECENT, archive: int = ARCHIVE) -> Self:
        """Return a memory of nothing, with room for so many frames of both players, and of the player alone."""
        slots = recent + archive
        return cls(
            frames=np.zeros((slots, KEYS), np.uint8),
            players=np.zeros(recent, np.bool_),
            rates=np.zeros(slots, np.float32),
            counts=np.zeros((slots // SOURCE_TICKS, SHIFTS), np.float32),
        )

    def copy(self) -> Self:
        """Return an independent snapshot."""
        recent = len(self.players)
        other = type(self).blank(recent, len(self.frames) - recent)
        other.copy_from(self)
        return other

    def copy_from(self, other: ThemeMemory | PackedThemes) -> None:
        """Copy another memory of the same size into this one, without allocating."""
        if isinstance(other, PackedThemes):
            for i in range(PACKED):
                np.bitwise_and(other.frames >> 2 * i, 3, out=self.frames[:, i * QUARTER : (i + 1) * QUARTER])
        else:
            np.copyto(self.frames, other.frames)
        self._copy_the_rest(other)

    # -- frames in ----------------------------------------------------------------------------------------------------

    def observe(self, frame: Frame, place: Place, coming: Place, players: bool) -> None:
        """Remember a frame [88] that sounded at `place`; the next frame stands at `coming`."""
        if place[1] != self.beat:
            self.beat = place[1]
            self.counts[:] = 0
        self._write(frame, players)
        self._count(frame)
        if coming[1:] == place[1:]:
            for _ in range((coming[0] - place[0] - 1) % place[2]):
                self._write(np.zeros(KEYS, np.uint8), False)
                self.counts *= COUNT_KEPT

    def _write(self, frame: Frame, players: bool) -> None:
        slot = self.clock % len(self.players)
        if self.players[slot]:
            self._archive(slot)
        self.frames[slot] = frame
        self.players[slot] = players
        self.rate = self.rate * float(COUNT_KEPT) + int((frame == ONSET).sum())
        self.rates[slot] = self.rate
        self.clock += 1

    def _archive(self, slot: int) -> None:
        """Move the player's oldest recent frame to the archive; leave a gap where the network's came between."""
        recent, archive = len(self.players), len(self.frames) - len(self.players)
        clock = self.clock - recent
        gap = 0 if clock == self.archived_clock + 1 else (clock - self.archived) % self.beat
        for i in range(gap + 1):
            target = recent + (self.archived + i) % archive
            self.frames[target] = self.frames[slot] if i == gap else OFF
            self.rates[target] = self.rates[slot] if i == gap else 0
        self.archived += gap + 1
        self.archived_clock = clock

    def _count(self, frame: Frame) -> None:
        """Count the onsets of the newest frame that coincide with onsets of each source, by transposition."""
        self.counts *= COUNT_KEPT
        keys = np.flatnonzero(frame == ONSET)
        if len(keys):
            rows = self.rows
            struck = np.zeros((len(rows), KEYS + 2 * PAD), np.bool_)
            np.equal(self.frames[self.slots(rows, self.clock - 1)], ONSET, out=struck[:, PAD : PAD + KEYS])
            for key in keys.tolist():
                self.counts[rows] += struck[:, key : key + SHIFTS]

    # -- sources ------------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> Indices:
        """The sources there are: recent ones by lag, then those of the archive."""
        recent, archive = len(self.players), len(self.frames) - len(self.players)
        most_lags, most_archived = recent // SOURCE_TICKS, archive // SOURCE_TICKS
        lags = min(most_lags, (recent - WINDOW) // self.beat, self.clock // self.beat)
        archived = min(most_archived, -(-min(self.archived, archive) // self.beat))
        return np.concatenate([np.arange(lags), np.arange(most_lags, most_lags + archived)])

    def slots(self, rows: Indices, clock: int | NDArray[np.int64]) -> Indices:
        """Return where the sources [n] stand in `frames` when the clock is at `clock`; numbers broadcast."""
        recent, archive = len(self.players), len(self.frames) - len(self.players)
        most_lags = recent // SOURCE_TICKS
        by_lag = (clock - (rows + 1) * self.beat) % recent
        by_place = recent + (clock + (rows - most_lags) * self.beat) % archive
        return np.where(rows < most_lags, by_lag, by_place)

    @property
    def player_rows(self) -> Indices:
        """The sources whose next frame is the player's alone."""
        rows = self.rows
        slots, recent = self.slots(rows, self.clock), len(self.players)
        return rows[(slots >= recent) | self.players[np.minimum(slots, recent - 1)]]

    def alignments(self, rows: Indices | None = None, most: int = MOST_ALIGNMENTS) -> Alignments:
        """Return the best alignments of the present. Of equal ones the first are taken.

        The score of a source and a transposition is the square of the number of coinciding onsets, those a semitone
        beside included, over the numbers of onsets of the present and of the source: 1 where all coincide.

        Args:
            rows: The sources to choose from; all where None.
            most: The largest number of alignments.

        """
        rows = self.rows if rows is None else rows
        counts = self.counts[rows]
        scores = counts[:, :-2] + counts[:, 1:-1]
        scores += counts[:, 2:]  # [n, SHIFTS - 2]
        scores *= scores
        there = self.rates[self.slots(rows, self.clock - 1)]
        scores *= (1 / ((np.float32(self.rate) + np.float32(0.5)) * (there + np.float32(0.5))))[:, None]
        best = _largest(scores.max(axis=1, initial=0), most)  # each of the best is in one of as many best rows
        rows, scores = rows[best], scores[best]
        flat = scores.ravel()
        chosen = _largest(flat, most)
        chosen = chosen[flat[chosen] > LEAST_SCORE]
        return Alignments(rows[chosen // (SHIFTS - 2)], chosen % (SHIFTS - 2) + 1)

    def sources(self, alignments: Alignments) -> NDArray[np.uint8]:
        """Return the frames of the sources, transposed: states [n, WINDOW + 1, 88], the coming one first, then back."""
        ticks = self.clock - np.arange(WINDOW + 1)
        n = len(alignments.rows)
        padded = np.zeros((n, WINDOW + 1, KEYS + 2 * PAD), np.uint8)
        padded[:, :, PAD : PAD + KEYS] = self.frames[self.slots(alignments.rows[:, None], ticks)]
        return np.asarray(sliding_window_view(padded, KEYS, axis=2)[np.arange(n), :, alignments.shifts])

    def latest(self) -> NDArray[np.uint8]:
        """Return the last WINDOW frames, newest first: states [WINDOW, 88]."""
        return self.frames[(self.clock - 1 - np.arange(WINDOW)) % len(self.players)]


def _largest(scores: Array, most: int) -> Indices:
    """Return the indices of the largest scores in order of the indices; of equal ones the first."""
    if len(scores) <= most:
        return np.arange(len(scores))
    least = np.partition(scores, -most)[-most]
    chosen = scores > least
    chosen[np.flatnonzero(scores == least)[: most - np.count_nonzero(chosen)]] = True
    return np.flatnonzero(chosen)


@dataclass(slots=True)
class PackedThemes(_Kept):
    """An exact snapshot of a theme memory with four states in a byte.

    Attributes:
        frames: [R + A, QUARTER] states of the keys k, k + 22, k + 44 and k + 66, the lowest key in the lowest bits.

    """

    @classmethod
    def of(cls, memory: ThemeMemory) -> PackedThemes:
        """Return a snapshot of a memory."""
        packed = cls(
            frames=np.zeros((len(memory.frames), QUARTER), np.uint8),
            players=np.zeros_like(memory.players),
            rates=np.zeros_like(memory.rates),
            counts=np.zeros_like(memory.counts),
        )
        packed.pack(memory)
        return packed

    def pack(self, memory: ThemeMemory) -> None:
        """Overwrite this snapshot with one of a memory of the same size."""
        np.copyto(self.frames, memory.frames[:, :QUARTER])
        for i in range(1, PACKED):
            self.frames |= memory.frames[:, i * QUARTER : (i + 1) * QUARTER] << 2 * i
        self._copy_the_rest(memory)
