"""Whether anything is struck on a tick: decided first, before it is decided which keys.

Drawn key by key, the rhythm of a tick is the sum of 88 small chances, and runs of 16ths break up. So the network's
own probability that any key is struck is combined with the votes of the bars before: of each lag of whole beats whose
rhythm has agreed with the present one of late. Knows no time but ticks.
"""

from __future__ import annotations

import math

import numpy as np

from livebach.music.roll import ONSET, Frame

VOTING_BARS = 8
"""Furthest lag that votes."""
KEPT = 0.93
"""Part of an agreement that is left after one more tick."""
TRUST = 8
"""Power of the agreement, 0..1, with which a lag votes: lags that agree now and then hardly count."""
VOTE = 1.0
"""Weight of the votes' log odds beside those of the network."""
SHARPER = 1.5
"""Times the log odds of both."""
LEAST = 0.001
"""Neither striking nor resting is less likely than this."""
LEAST_VOTE = 0.1


class RhythmVotes:
    """Follows on which ticks something was struck, and says how likely the next one is to be among them."""

    def __init__(self, beat_ticks: int, bar_ticks: int) -> None:
        self._lags = beat_ticks * (1 + np.arange(max(1, VOTING_BARS * bar_ticks // beat_ticks)))
        self._struck = np.zeros(int(self._lags[-1]) + 1, np.bool_)  # a ring, by tick
        self._agreement = np.full(len(self._lags), 0.5)
        self._tick = 0

    def observe(self, frame: Frame) -> None:
        """Take in what sounded on a tick."""
        struck = bool((frame == ONSET).any())
        known = self._lags <= self._tick
        agrees = self._struck[(self._tick - self._lags[known]) % len(self._struck)] == struck
        self._agreement[known] = KEPT * self._agreement[known] + (1 - KEPT) * agrees
        self._struck[self._tick % len(self._struck)] = struck
        self._tick += 1

    def chance(self, network: float, busier: float = 0.0) -> float:
        """Return how likely the coming tick is to be struck.

        Args:
            network: How likely the network alone says it is.
            busier: Nats, added to the log odds.

        """
        known = self._lags <= self._tick
        odds = _log_odds(network, LEAST)
        if known.any():
            trust = self._agreement[known] ** TRUST
            votes = self._struck[(self._tick - self._lags[known]) % len(self._struck)]
            odds += VOTE * _log_odds(float(trust @ votes / trust.sum()), LEAST_VOTE)
        return 1 / (1 + math.exp(-SHARPER * odds - busier))


def _log_odds(chance: float, least: float) -> float:
    chance = min(1 - least, max(least, chance))
    return math.log(chance / (1 - chance))
