"""Objections of counterpoint to a drawn frame: parallels, clashes, and keys that are struck too often.

A fault that involves several keys cannot be avoided by a bias of single keys, so the frame is drawn again. Each class
is a `vetoes.Watch`.
"""

from __future__ import annotations

from collections import deque
from itertools import combinations
from random import Random

import numpy as np

from livebach.music.idiom import CLASHES, PARALLEL, joint_moves_of
from livebach.music.roll import KEYS, ONSET, Frame

CLASHES_UNWATCHED = 0.27
"""Share of clashes among pairs of keys struck together, if none is refused."""
HELD_CLASHES = (1, 11)
"""Minor seconds and major sevenths, in semitones modulo 12: clashes of a struck key with a held one."""
OFTEN_BARS = 8
MOST_SHARE = 0.17
"""Largest share of one key in the onsets of 8 bars. In Bach no key has more than a fifth."""
FEWEST_ONSETS = 24
"""Number of onsets from which a share is meaningful."""


class ParallelWatch:
    """Objects to two voices that move from one fifth or octave to another.

    Voices are the keys that are down, counted from below. They are identified only while their number stays the same.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._last: Frame = np.zeros(KEYS, np.uint8)

    def observe(self, part: Frame) -> None:
        """Take in what the network played on a tick, [88]."""
        self._last = part.copy()

    def against(self, part: Frame) -> int | None:
        """Return a key (0..87) of a parallel that is about to be struck, or None. Always the upper one would sink."""
        for before, now, struck in joint_moves_of(self._last, part):
            if before == now and now in PARALLEL:
                return self._random.choice(struck)
        return None


class OveruseWatch:
    """Objects to a key that has been struck too often in the last bars."""

    def __init__(self, bar_ticks: int) -> None:
        self._struck: deque[Frame] = deque(maxlen=OFTEN_BARS * bar_ticks)
        self._counts = np.zeros(KEYS, np.int64)

    def observe(self, part: Frame) -> None:
        """Take in what the network played on a tick, [88]."""
        if len(self._struck) == self._struck.maxlen:
            self._counts -= self._struck[0]
        self._struck.append((part == ONSET).astype(np.uint8))
        self._counts += self._struck[-1]

    def against(self, part: Frame) -> int | None:
        """Return a key (0..87) that is about to be struck too often, or None."""
        total = int(self._counts.sum())
        if total < FEWEST_ONSETS:
            return None
        struck = np.flatnonzero(part == ONSET)
        often = struck[self._counts[struck] > MOST_SHARE * total]
        return int(often[0]) if len(often) else None


class ClashWatch:
    """Objects to so many of the struck pairs that clash that a share is left, and to as many clashes with held keys."""

    def __init__(self, random: Random, share: float) -> None:
        """Take the share of clashes, among all pairs, to keep to."""
        self._random = random
        kept = share / max(1e-9, 1 - share) * (1 - CLASHES_UNWATCHED) / CLASHES_UNWATCHED
        self._refuse = 1 - min(1.0, kept)
        self._refused: dict[tuple[int, ...], bool] = {}  # decided once a tick and pair

    def observe(self, part: Frame) -> None:
        """Take in what the network played on a tick, [88]."""
        self._refused.clear()

    def against(self, part: Frame) -> int | None:
        """Return a struck key (0..87) of a pair that is refused, or None."""
        for pair in combinations(np.flatnonzero(part).tolist(), 2):
            struck = [key for key in pair if part[key] == ONSET]
            clashes = ((), HELD_CLASHES, CLASHES)[len(struck)]
            if (pair[1] - pair[0]) % 12 in clashes:
                if pair not in self._refused:
                    self._refused[pair] = self._random.random() < self._refuse
                if self._refused[pair]:
                    return self._random.choice(struck)
        return None
