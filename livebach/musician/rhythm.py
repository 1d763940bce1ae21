"""The decision whether a tick is struck, before the decision which keys are struck.

If keys are drawn one by one, the rhythm results from 88 small probabilities, and runs of 16ths break up. So the
network's probability that any key is struck is combined with votes of the bars before. Each lag of whole beats votes,
with a weight that grows with the recent agreement of its rhythm with the present one. This module knows no time but
ticks.
"""

from __future__ import annotations

import math

import numpy as np

from livebach.music.roll import ONSET, Frame

VOTING_BARS = 8
"""The longest lag that votes."""
KEPT = 0.93
"""Decay per tick of the agreement."""
TRUST = 8
"""A lag's weight is its agreement (0..1) to this power, so lags that agree only sometimes hardly count."""
VOTE = 1.5
"""Weight of the votes' log odds beside those of the network."""
SHARPER = 1.5
"""Factor of the sum of both log odds."""
LEAST = 0.001
"""Lower limit of the network's probabilities of an onset and of none."""
LEAST_VOTE = 0.1


class RhythmVotes:
    """Remembers which ticks were struck, and estimates the probability that the next one is."""

    def __init__(self, beat_ticks: int, bar_ticks: int) -> None:
        self._lags = beat_ticks * (1 + np.arange(max(1, VOTING_BARS * bar_ticks // beat_ticks)))
        self._struck = np.zeros(int(self._lags[-1]) + 1, np.bool_)  # a ring, by tick
        self._agreement = np.full(len(self._lags), 0.5)
        self._tick = self._rested = 0
        self._longest_rest = bar_ticks // 2

    def observe(self, frame: Frame) -> None:
        """Take in the frame [88] of a tick."""
        struck = bool((frame == ONSET).any())
        known = self._lags <= self._tick
        agrees = self._struck[(self._tick - self._lags[known]) % len(self._struck)] == struck
        self._agreement[known] = KEPT * self._agreement[known] + (1 - KEPT) * agrees
        self._struck[self._tick % len(self._struck)] = struck
        self._rested = 0 if struck else self._rested + 1
        self._tick += 1

    def chance(self, network: float, busier: float = 0.0, steady: bool = True) -> float:
        """Return the probability that the coming tick is struck.

        Args:
            network: The network's probability.
            busier: Nats to add to the log odds.
            steady: Whether the music's rhythm is steady, as Bach's is. Otherwise the votes count as far as the best
                lag agrees, and the sum is not sharpened: a rhythm that returns is kept, and others stay free.

        """
        known = self._lags <= self._tick
        odds = _log_odds(network, LEAST)
        if known.any() and self._rested < self._longest_rest:  # rests that vote for themselves would never end
            trust = self._agreement[known] ** TRUST
            votes = self._struck[(self._tick - self._lags[known]) % len(self._struck)]
            weight = VOTE if steady else VOTE * float(trust.max())
            odds += weight * _log_odds(float(trust @ votes / trust.sum()), LEAST_VOTE)
        return 1 / (1 + math.exp(-(SHARPER if steady else 1) * odds - busier))


def _log_odds(chance: float, least: float) -> float:
    chance = min(1 - least, max(least, chance))
    return math.log(chance / (1 - chance))
