"""How the player plays between the ticks: whether on purpose, as in triplets or swing, and where in the beat.

The caller reports every tick. This module knows no time but ticks.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from enum import IntEnum
from itertools import pairwise

from livebach.music.grid import Place
from livebach.music.touch import HALVES, PARTS, TRIPLETS

TIMED = 16
"""Number of newest strokes that decide whether the player plays between the ticks."""
OFF_TICK, NEAR_HALF = 0.25, 5 / 12
"""Distances from the nearest tick, in ticks, from which a key is between two ticks, and nearer to half way between them
than to the note of a triplet."""
BEGINS, STAYS = 4 / TIMED, 2 / TIMED
"""Shares of such strokes from which playing between the ticks is taken as intended, and down to which it stays so."""
TOGETHER, ROLLED = 0.15, 0.3
"""Longest time in ticks from the first to the last stroke of a chord that is struck at once, and between two strokes of
one that is rolled, or has a grace note. The nearest other rhythm is a 16th beside a triplet: a third of a tick."""
BEATS = 8
"""Number of newest strokes on beats that are compared with the grid."""
BEATS_OFF, HALVES_OFF = 0.25, 0.75
"""Share of these that may be off it in triplets or swing, and in 32nds, some of which are beside the beat."""
REMEMBERED = 48
"""Number of newest strokes whose places in the beat are remembered."""
RARE = 0.15
"""Share of a place's offset up to which it is taken as an accident."""
RARELY_STRUCK = 0.05
"""Share of a place among all strokes up to which it is taken as one that the player leaves out."""
MOST_LIKELY = 0.97
"""Upper limit of the share of beats with a note at a place, as it counts for the answer."""
BEAT, MIDDLE = 4, 2
"""Length of a beat that can be divided in three with offsets, and the place that is in none of its thirds."""
THIRDS: Mapping[int, Mapping[int, float]] = {1: {TRIPLETS: 1.0}, 3: {-TRIPLETS: 1.0}}
"""Where the second and the last third of a beat begin: the offsets, with their shares, by the place."""
STRAIGHT: Mapping[int, float] = {0: 1.0}


class Between(IntEnum):
    """What the player plays between the ticks on purpose: nothing, triplets or swing, or also 32nds."""

    NOTHING = 0
    TRIPLETS = 1
    HALVES = 2


class PlayerTiming:
    """The player's offsets from the ticks."""

    def __init__(self) -> None:
        """Begin with a player who plays on the ticks."""
        self.between = Between.NOTHING
        """What the player plays between the ticks on purpose."""
        self._distances: deque[float] = deque(maxlen=TIMED)  # of the newest strokes, without sign
        self._strokes: deque[tuple[tuple[int, int], float]] = deque(maxlen=REMEMBERED)  # place in the beat, distance
        self._newest = -math.inf  # distance of the newest stroke from the coming tick

    def observe(self, distances: Sequence[float], place: Place) -> None:
        """Take in the strokes of a tick: their distances from it in ticks, and the place of the tick.

        The keys of a chord count once, so that full chords on the beat do not hide a swinging melody, and rolled chords
        are none. What is rolled into a tick counted on the tick before.
        """
        chords = _chords(distances)
        if chords and chords[0][0] - self._newest <= ROLLED:
            del chords[0]
        self._newest = max(distances, default=self._newest) - 1
        if not chords:
            return
        strokes = [_stroke(chord) for chord in chords]
        self._distances += [abs(stroke) for stroke in strokes]
        self._strokes += [(_in_beat(place), stroke) for stroke in strokes]
        off = sum(distance > OFF_TICK for distance in self._distances)
        half_way = sum(distance > NEAR_HALF for distance in self._distances)
        halves = 2 * half_way > off
        if off < TIMED * (STAYS if self.between else BEGINS) or self._beats_off > (HALVES_OFF if halves else BEATS_OFF):
            self.between = Between.NOTHING
        else:
            self.between = Between.HALVES if halves else Between.TRIPLETS

    @property
    def _beats_off(self) -> float:
        """The share of the newest strokes on beats that are off their tick.

        If it is high, the player has left the grid, and plays nothing between the ticks on purpose.
        """
        beats = [distance for (where, _), distance in self._strokes if where == 0][-BEATS:]
        return sum(abs(distance) > OFF_TICK for distance in beats) / max(1, len(beats))

    def offset(self, distance: float) -> int:
        """Return the intended offset of a key struck at this distance from its tick, in ticks."""
        return min(_OFFSETS[self.between], key=lambda offset: abs(offset - distance * PARTS))

    def usual(self, place: Place) -> Mapping[int, float]:
        """Return the player's offsets at this place in the beat, with their shares.

        The offset is 0 where the player plays straight. A place that the player leaves out is a third of the beat,
        if the player divides beats in three.
        """
        if not self.between:
            return STRAIGHT
        there = self._there(place)
        if not there:
            return THIRDS.get(place[0] % place[1], STRAIGHT) if self._in_thirds(place) else STRAIGHT
        counts = Counter(map(self.offset, there))
        return {offset: count / len(there) for offset, count in counts.items() if count > RARE * len(there)}

    def lean(self, place: Place) -> float:
        """Return how much likelier the player's rhythm makes a note at this place in the beat, in nats.

        It counts where the player divides beats in three: for their second and last third, and against a note in the
        middle, which such a beat does not have. Then the answer is minus infinity.
        """
        where = place[0] % place[1]
        if not where or not self._in_thirds(place):
            return 0.0
        count = len(self._there(place))
        if where == MIDDLE:
            return -math.inf if count <= RARELY_STRUCK * len(self._strokes) else 0.0
        most = max(Counter(there for there, _ in self._strokes).values())
        share = min(MOST_LIKELY, max(1 - MOST_LIKELY, count / most))
        return math.log(share / (1 - share))

    def _there(self, place: Place) -> list[float]:
        """Return the distances of the strokes at this place in the beat."""
        return [distance for where, distance in self._strokes if where == _in_beat(place)]

    def _in_thirds(self, place: Place) -> bool:
        return self.between is Between.TRIPLETS and place[1] == BEAT


_OFFSETS = ((0,), (0, TRIPLETS, -TRIPLETS), (0, TRIPLETS, -TRIPLETS, HALVES, -HALVES))


def _median(values: Sequence[float]) -> float:
    """Return the median. The module `statistics` would take 2 MB in every process that plays."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _chords(distances: Sequence[float]) -> list[list[float]]:
    """Return the distances of a tick's strokes, in order, those of one chord in one list."""
    ordered = sorted(distances)
    chords = [ordered[:1]] if ordered else []
    for before, distance in pairwise(ordered):
        if distance - before > ROLLED:
            chords.append([])
        chords[-1].append(distance)
    return chords


def _stroke(chord: Sequence[float]) -> float:
    """Return where a chord is: its median if it is struck at once, else its stroke nearest to the tick."""
    return _median(chord) if chord[-1] - chord[0] <= TOGETHER else min(chord, key=abs)


def _in_beat(place: Place) -> tuple[int, int]:
    """Return the place in the beat, and the length of the beat."""
    return place[0] % place[1], place[1]
