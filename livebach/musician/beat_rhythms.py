"""Statistics of the rhythms within a beat, for `beat_tracker`.

A beat is a quarter note, or a dotted quarter in compound metres (a dotted eighth in 9/16). The numbers are counted in
the training part of Bach's keyboard music. This module knows no time and no tempo.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from livebach.music.metre import Metre

Array = NDArray[np.float64]
_RUN = (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5)
_RHYTHMS: dict[int, dict[tuple[float, ...], float]] = {
    1: {(0,): 0.85, (0, 0.5): 0.1, (): 0.05},
    2: {(0, 1): 0.45, (0,): 0.42, (0, 0.5, 1, 1.5): 0.05, (1,): 0.01, (): 0.05},
    3: {
        (0, 1, 2): 0.93,
        _RUN[:6]: 0.03,
        (0,): 0.012,
        (0, 2): 0.008,
        (0, 1, 1.5, 2): 0.005,
        (1, 2): 0.003,
        (): 0.006,
    },
    4: {
        (0, 2): 0.336,
        (0, 1, 2, 3): 0.332,
        (0,): 0.14,
        (0, 2, 3): 0.05,
        _RUN[:8]: 0.014,
        (): 0.013,
        (0, 2 / 3, 4 / 3, 2, 8 / 3, 10 / 3): 0.013,
        (0, 3): 0.012,
        (0, 4 / 3, 8 / 3): 0.012,
        (0, 1, 2): 0.0085,
        (0, 1, 1.5, 2, 2.5, 3): 0.006,
        (0, 4 / 3, 8 / 3, 3): 0.005,
        (2,): 0.004,
        (0, 1): 0.004,
        (0, 1, 1.5, 2, 3, 3.5): 0.003,
        (0, 2, 3, 3.5): 0.003,
        (0, 1, 2, 3, 3.5): 0.003,
        (0, 1, 1.5, 2, 3): 0.003,
        (0, 0.5, 1, 1.5, 2, 3): 0.003,
        (0, 2, 2.5, 3, 3.5): 0.003,
        (1, 2, 3): 0.003,
        (0, 3, 3.5): 0.002,
        (2, 3): 0.002,
        (1, 3): 0.001,
    },
    6: {
        (0, 1, 2, 3, 4, 5): 0.4,
        (0, 2, 4): 0.37,
        (0, 2, 3, 4, 5): 0.049,
        (0, 1, 2, 3, 4): 0.03,
        _RUN: 0.018,
        (0, 1, 1.5, 2, 3, 4, 5): 0.016,
        (0, 1, 1.5, 2, 3, 3.5, 4, 5, 5.5): 0.015,
        (0, 3, 4): 0.015,
        (0,): 0.01,
        (0, 2, 3, 4): 0.009,
        (0, 1, 2, 4): 0.007,
        (0, 1, 2, 3, 4, 5, 5.5): 0.006,
        (): 0.006,
        (0, 0.5, 1, 2, 3, 4, 5): 0.005,
        (0, 1, 2, 4, 5): 0.0045,
        (0, 0.5, 1, 2, 2.5, 3, 4, 4.5, 5, 5.5): 0.004,
        (0, 2, 4, 5): 0.004,
        (0, 3, 4, 4.5, 5, 5.5): 0.003,
        (0, 4): 0.003,
        (2, 4): 0.002,
        (0, 1.5, 3, 4.5): 0.002,
    },
}
"""By the beat's length in 16ths: the onsets of each rhythm, in 16ths, and the share of beats with this rhythm."""
_LONG: dict[int, tuple[float, ...]] = {
    1: (0.5,),
    2: (0.5, 0.05),
    3: (0.37, 0.004, 0.015),
    4: (0.48, 0.04, 0.06, 0.02),
    6: (0.17, 0.004, 0.047, 0.006, 0.01, 0.004),
}
"""By the beat's length in 16ths: the share of notes, by the 16th on which they start, that last for most of a beat."""
_LONG_ELSEWHERE = 0.005
_CHORD, _CHORD_BETWEEN, _CHORD_16TH, _CHORD_ELSEWHERE = 0.5, 0.36, 0.17, 0.06
"""Share of notes that another note of the same chord follows: on the beat, on its main division, on another 16th, and
elsewhere."""
_REST_IN_HALVES = 0.08
"""Share of quarter notes without an onset where the metre counts half notes."""
_FIRST = 0.75
"""Share of pieces that begin on a beat."""
STAYS, STAYS_SYNCOPATED = 0.75, 0.2
"""Share of beats that are followed by the same rhythm: of all rhythms, and of rhythms without an onset on the beat."""
STRAY, MISSING = 0.004, 0.01
"""Probability of an onset that the rhythm lacks, and of a missing onset."""
FINE = 24
"""Number of places in a beat for the statistics of long notes."""


@dataclass(frozen=True, slots=True)
class Beats:
    """Probabilities of onsets at the places of a beat, for P places and R rhythms.

    Attributes:
        sixteenths: The beat's length in 16ths.
        places: [P] places as parts of a beat, ascending, the first 0.
        share: [R] that a beat has the rhythm.
        stays: [R] that the next beat has the same rhythm.
        within: [P, P, R] that the next onset after place a is at place b in the same beat.
        after: [P, R] that no onset follows place a in its beat.
        before: [P, R] that place b is the first onset of its beat.
        none: [R] that the beat has no onset.
        onset: [P, R] that the place has an onset.
        chord: [P] that another note of the same chord follows.
        first: [P] that a piece begins at the place.
        long: [FINE] log probability that a note which starts at the place is long.

    """

    sixteenths: int
    places: Array
    share: Array
    stays: Array
    within: Array
    after: Array
    before: Array
    none: Array
    onset: Array
    chord: Array
    first: Array
    long: Array


def sixteenths_of(metre: Metre) -> int:
    """Return the length in 16ths of the beat that is followed in a metre."""
    bar = metre.bar_ticks(4)
    if (metre.compound or metre.numerator == 3) and metre.denominator in (8, 16):
        return {8: 6, 16: 3}[metre.denominator]
    return next(length for length in (4, 2, 1) if bar % length == 0)


@lru_cache(maxsize=8)
def beats(metre: Metre) -> Beats:
    """Return the tables of a metre."""
    length = sixteenths_of(metre)
    rhythms = _RHYTHMS[length]
    places = sorted({place for rhythm in rhythms for place in rhythm} | set(range(length)))
    share = np.array(list(rhythms.values()))
    if metre.denominator <= 2:
        share[list(rhythms).index(())] = _REST_IN_HALVES
    onset = np.array([[1 - MISSING if place in rhythm else STRAY for rhythm in rhythms] for place in places])
    silent = 1 - onset
    count = range(len(places))
    within = [[silent[a + 1 : b].prod(0) * onset[b] * (a < b) for b in count] for a in count]
    return Beats(
        sixteenths=length,
        places=np.array(places) / length,
        share=share / share.sum(),
        stays=np.array([STAYS if not rhythm or rhythm[0] == 0 else STAYS_SYNCOPATED for rhythm in rhythms]),
        within=np.array(within),
        after=np.array([silent[a + 1 :].prod(0) for a in count]),
        before=np.array([silent[:b].prod(0) * onset[b] for b in count]),
        none=silent.prod(0),
        onset=onset,
        chord=np.array([_chord(place, length) for place in places]),
        first=_first(places, length),
        long=np.log([_long(place * length / FINE, length) for place in range(FINE)]),
    )


def _chord(place: float, length: int) -> float:
    if place == 0:
        return _CHORD
    if length == 3 or (length in (4, 6) and place in (2, 4)):
        return _CHORD_BETWEEN if place == int(place) else _CHORD_ELSEWHERE
    return _CHORD_16TH if place == int(place) else _CHORD_ELSEWHERE


def _first(places: list[float], length: int) -> Array:
    """Return the probabilities [P] that a piece begins on the beat, in its middle, or on another 16th."""
    first = np.array([place == int(place) for place in places], np.float64)
    rest = (1 - _FIRST) / 2
    middle = places.index(length / 2) if length / 2 in places else None
    first *= (rest if middle is not None else 2 * rest) / max(1, first.sum() - 1 - (middle is not None))
    if middle is not None:
        first[middle] = rest
    first[0] = _FIRST
    return np.asarray(first / first.sum())


def _long(place: float, length: int) -> float:
    near = round(place)
    return _LONG[length][near % length] if abs(place - near) < 0.26 else _LONG_ELSEWHERE
