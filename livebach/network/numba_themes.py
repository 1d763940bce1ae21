"""The theme memory, compiled by numba (the extra `fast`): the counts of `themes` and the evidence of `theme_evidence`.

Loops take the place of arrays of all sources, so that nothing is computed for keys without onsets. Scores are computed
in the same order as in numpy, so the same alignments are chosen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, Frame
from livebach.network.numba_compiler import compiled, compiled_exactly
from livebach.network.theme_evidence import AGED, DOUBT, FEATURES, NEAR
from livebach.network.themes import (
    COUNT_KEPT,
    LEAST_SCORE,
    MOST_ALIGNMENTS,
    PAD,
    SHIFTS,
    WINDOW,
    Alignments,
    ThemeMemory,
)

Array = NDArray[np.float32]
HALF = np.float32(0.5)
ONE = np.float32(1)
ONSETS = np.uint64(0x0101010101010101)
"""The bit that only ONSET has, in eight states at once."""


@compiled_exactly
def _count(counts: Array, rows: Any, frames: NDArray[np.uint8], slots: Any, keys: Any) -> None:
    """Add to the counts of each source its onsets that coincide with the keys just struck, by transposition."""
    for i in range(len(rows)):
        for key in keys:
            first, last = max(0, key - PAD), min(KEYS, key + PAD + 1)
            source, count = frames[slots[i], first:last], counts[rows[i], first - key + PAD :]
            for j in range(last - first):
                count[j] += np.float32(source[j] == ONSET)


@compiled_exactly
def _sink(scores: Array, places: Any, at: int, size: int) -> None:
    """Restore the order of a heap, whose first element is the worst, after element `at` became better.

    Worse is a lower score, and of equal scores the later place.
    """
    while True:
        worst = at
        for child in (2 * at + 1, 2 * at + 2):
            if child < size and (
                scores[child] < scores[worst] or (scores[child] == scores[worst] and places[child] > places[worst])
            ):
                worst = child
        if worst == at:
            return
        scores[at], scores[worst] = scores[worst], scores[at]
        places[at], places[worst] = places[worst], places[at]
        at = worst


@compiled_exactly
def _alignments(counts: Array, rows: Any, there: Array, rate: float) -> Any:
    """Return the places (index of a row times SHIFTS, plus the transposition) of the best alignments."""
    scores = np.full(MOST_ALIGNMENTS, LEAST_SCORE, np.float32)
    places = np.full(MOST_ALIGNMENTS, len(rows) * SHIFTS, np.int64)  # later than all that there are
    row = np.zeros(SHIFTS, np.float32)
    for i in range(len(rows)):
        count = counts[rows[i]]
        scale = ONE / ((np.float32(rate) + HALF) * (there[i] + HALF))
        better = 0
        for shift in range(1, SHIFTS - 1):  # without branches, so that several are computed at once
            score = count[shift - 1] + count[shift]
            score += count[shift + 1]
            score *= score
            row[shift] = score * scale
            better += row[shift] > scores[0]
        if better:
            for shift in range(1, SHIFTS - 1):
                if row[shift] > scores[0]:  # a later one that is equal is not better
                    scores[0], places[0] = row[shift], i * SHIFTS + shift
                    _sink(scores, places, 0, MOST_ALIGNMENTS)
    return places[places < len(rows) * SHIFTS]


@compiled_exactly
def _kinds(frames: NDArray[np.uint8], latest: Any) -> NDArray[np.uint8]:
    """Return the kind of an onset by age and key, [WINDOW, 88]: 0 matched, 1 a semitone beside, 2 missed."""
    kinds = np.full((WINDOW, KEYS), 2, np.uint8)
    for age in range(WINDOW):
        for key in range(KEYS):
            if frames[latest[age], key] == ONSET:
                for beside in range(max(0, key - 1), min(KEYS, key + 2)):
                    kinds[age, beside] = 1
        for key in range(KEYS):
            if frames[latest[age], key] == ONSET:
                kinds[age, key] = 0
    return kinds


@compiled
def _events(source: NDArray[np.uint8], words: Any, shift: int, age: int, kinds: NDArray[np.uint8], found: Any) -> int:
    """Write a source's onsets on one frame to `found` [88, 3] as age, key and kind; return their number.

    `words` [11] are the same frame [88] as whole numbers of eight states each.
    """
    count = 0
    for word in range(len(words)):
        if words[word] & ONSETS:
            for at in range(8 * word, 8 * word + 8):
                key = at - shift + PAD
                if source[at] == ONSET and 0 <= key < KEYS:
                    found[count, 0], found[count, 1], found[count, 2] = age, key, kinds[age, key]
                    count += 1
    return count


@compiled
def _judge(frames: Any, slots: Any, shift: int, kinds: NDArray[np.uint8], buffers: Any, out: Array) -> None:
    """Take one alignment into the features [FEATURES, 88]. `slots` are those of the source, the coming one first."""
    states, words = frames
    sums, events = buffers
    sums[:] = 0
    count = 0
    for age in range(WINDOW):
        slot = slots[age + 1]
        more = _events(states[slot], words[slot], shift, age, kinds, events[count:])
        for i in range(count, count + more):
            key, kind = events[i, 1], events[i, 2]
            for near in range(max(0, key - NEAR), min(KEYS, key + NEAR + 1)):
                sums[kind, near] += AGED[age]
        count += more
    for key in range(KEYS):
        exact, both = sums[0, key], sums[0, key] + sums[1, key]
        if both == 0:  # all that follows is 0
            continue
        at = key + shift - PAD
        named = states[slots[0], at] if 0 <= at < KEYS else OFF
        before = states[slots[1], at] if 0 <= at < KEYS else OFF
        total = both + sums[2, key] + DOUBT
        share, share_diatonic = exact / total, both / total
        first = 0 if named == ONSET else 6
        out[first, key] = max(out[first, key], share)
        out[first + 1, key] = max(out[first + 1, key], share * exact)
        if named == ONSET:
            out[3, key] = max(out[3, key], share_diatonic)
            out[4, key] = max(out[4, key], share_diatonic * both)
            _run(events[:count], key, out)
        elif named == HOLD or before != OFF:
            first = 8 if named == HOLD else 10
            out[first, key] = max(out[first, key], share)
            out[first + 1, key] = max(out[first + 1, key], share * exact)


@compiled
def _run(events: Any, key: int, out: Array) -> None:
    """Take into the features the matched onsets around a key since the last frame with a miss."""
    for feature, missed in ((2, 1), (5, 2)):
        newest, run = WINDOW, 0
        for i in range(len(events)):  # the newest first
            if abs(events[i, 1] - key) <= NEAR:
                if events[i, 0] >= newest:
                    break
                if events[i, 2] >= missed:
                    newest = events[i, 0]
        for i in range(len(events)):
            if events[i, 0] >= newest:
                break
            run += abs(events[i, 1] - key) <= NEAR and events[i, 2] < missed
        out[feature, key] = max(out[feature, key], np.float32(run))


@compiled
def _evidence(frames: NDArray[np.uint8], words: Any, slots: Any, shifts: Any, latest: Any) -> Array:
    """Return the features [FEATURES, 88] of alignments with their sources' slots [n, WINDOW + 1] and shifts [n]."""
    out = np.zeros((len(FEATURES), KEYS), np.float32)
    if len(shifts):
        kinds = _kinds(frames, latest)
        buffers = np.zeros((3, KEYS), np.float32), np.zeros((WINDOW * KEYS, 3), np.int64)
        for i in range(len(shifts)):
            _judge((frames, words), slots[i], shifts[i], kinds, buffers, out)
    for key in range(KEYS):
        for near in range(max(0, key - 2), min(KEYS, key + 3)):
            if near != key:
                out[12, key] = max(out[12, key], out[4, near])
        out[13, key] = frames[latest[0], key] != OFF
    for feature in (1, 2, 4, 5, 7, 9, 11, 12):
        for key in range(KEYS):
            out[feature, key] = np.log1p(out[feature, key])
    return out


class FastThemes(ThemeMemory):
    """The theme memory with compiled counts."""

    __slots__ = ()

    def _count(self, frame: Frame) -> None:
        self.counts *= COUNT_KEPT
        keys = np.flatnonzero(frame == ONSET)
        if len(keys):
            rows = self.rows
            _count(self.counts, rows, self.frames, self.slots(rows, self.clock - 1), keys)


def alignments(memory: ThemeMemory) -> Alignments:
    """Return the best alignments of the present, as `ThemeMemory.alignments` does."""
    rows = memory.rows
    there = memory.rates[memory.slots(rows, memory.clock - 1)]
    places = _alignments(memory.counts, rows, there, memory.rate)
    return Alignments(rows[places // SHIFTS], places % SHIFTS)


def evidence(memory: ThemeMemory) -> Array:
    """Return the features of the coming frame, [FEATURES, 88], as `theme_evidence.evidence` does."""
    found, clock = alignments(memory), memory.clock
    slots = memory.slots(found.rows[:, None], clock - np.arange(WINDOW + 1))
    latest = (clock - 1 - np.arange(WINDOW)) % len(memory.players)
    return np.asarray(_evidence(memory.frames, memory.frames.view(np.uint64), slots, found.shifts, latest))
