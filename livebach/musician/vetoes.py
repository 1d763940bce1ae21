"""Objections to a drawn frame: too many keys at once, quotes of the training music, repeated passages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, ONSET, Frame
from livebach.network.quotes import (
    GRAM,
    Hashes,
    Quotes,
    run_hash,
    step_number,
)
from livebach.network.sampling import SamplingParams

MOST_AT_ONCE = 8
"""Keys struck on one tick. Bach's fullest chords have as many; what strikes more is an accident of the biases."""


SOFTER = 1.0


MOST_REDRAWS = 8


class Watch(Protocol):
    """What may object to a frame."""

    def observe(self, part: Frame) -> None:
        """Take in what the network played on a tick."""

    def against(self, part: Frame) -> int | None:
        """The key that it must not strike, if this is to be its part of the coming tick; None: it may be."""


def playable(draw: Callable[[SamplingParams], Frame], params: SamplingParams, watches: Sequence[Watch]) -> Frame:
    """A frame that hands can strike, and that no watch objects to: else it is drawn again, under more rules.

    Where it has too many onsets they are made rarer; a key that a watch names is not struck.
    """
    frame = draw(params)
    for _ in range(MOST_REDRAWS):
        if (frame == ONSET).sum() > MOST_AT_ONCE:
            params = replace(params, onset_bias=params.onset_bias - SOFTER)
        elif (key := _objection(watches, frame)) is not None:
            params = replace(params, forbidden=_with(params.forbidden, key))
        else:
            break
        frame = draw(params)
    return frame


def _objection(watches: Sequence[Watch], frame: Frame) -> int | None:
    return next((key for watch in watches if (key := watch.against(frame)) is not None), None)


def _with(forbidden: NDArray[np.bool_] | None, key: int) -> NDArray[np.bool_]:
    more = np.zeros(KEYS, np.bool_) if forbidden is None else forbidden.copy()
    more[key] = True
    return more


class _Stream:
    """One stream as it goes on: how long its end is a quote."""

    def __init__(self, known: Hashes) -> None:
        self._known = known
        self._steps: deque[int] = deque(maxlen=GRAM)
        self._last: int | None = None
        self._found = 0  # the last so many runs are known
        self.rests = 0  # ticks since the last note

    def strike(self, key: int) -> int:
        """The next note, so many rests after the last: how many notes at the end are a quote then, 0 where none are."""
        if self._last is not None:
            self._steps.append(step_number(self.rests, key - self._last))
        self._last, self.rests = key, 0
        self._found = self._found + 1 if self._is_known() else 0
        return GRAM + self._found if self._found else 0

    def _is_known(self) -> bool:
        if len(self._steps) < GRAM:
            return False
        wanted = run_hash(self._steps)
        at = int(np.searchsorted(self._known, np.uint32(wanted)))
        return at < len(self._known) and int(self._known[at]) == wanted

    def know(self, known: Hashes) -> None:
        """Go on with other music that is known: how long the end is a quote of that is counted from here."""
        self._known, self._found = known, 0

    def copy(self) -> _Stream:
        """An independent one, to try out what comes next."""
        other = _Stream(self._known)
        other._steps, other._last, other._found = self._steps.copy(), self._last, self._found
        other.rests = self.rests
        return other


class QuoteWatch:
    """Follows what a network plays of itself, from the beginning of its turn on."""

    def __init__(self, quotes: Quotes, longest: int | None) -> None:
        """`longest` is how many notes on end may stand in its training music: at least `SHORTEST`; None: any number."""
        self._longest = longest
        self._notes, self._line = _Stream(quotes.notes), _Stream(quotes.line)

    def know(self, quotes: Quotes) -> None:
        """Another network plays on."""
        self._notes.know(quotes.notes)
        self._line.know(quotes.line)

    def observe(self, part: Frame) -> None:
        """Take in what the network played on a tick, [88]."""
        if self._longest is None:
            return
        for stream in (self._notes, self._line):
            stream.rests += 1
        keys = np.flatnonzero(part == ONSET).tolist()
        for key in keys:
            self._notes.strike(key)
        if keys:
            self._line.strike(keys[-1])

    def against(self, part: Frame) -> int | None:
        """The key (0..87) that it must not strike, if its part of the coming tick is to be [88]; None: it may be."""
        keys = np.flatnonzero(part == ONSET).tolist() if self._longest is not None else []
        if not keys:
            return None
        assert self._longest is not None
        notes, line = self._notes.copy(), self._line.copy()
        notes.rests, line.rests = notes.rests + 1, line.rests + 1
        if line.strike(keys[-1]) > self._longest:
            return int(keys[-1])
        return next((int(key) for key in keys if notes.strike(key) > self._longest), None)


BARS = 2


MOST_TIMES = 3
"""In a row. Bach writes nothing of two bars more often."""


class RepeatWatch:
    """Follows what a network plays of itself, from the beginning of its turn on."""

    def __init__(self, bar_ticks: int) -> None:
        self._period = BARS * bar_ticks
        self._past: deque[bytes] = deque(maxlen=self._period)
        self._same = 0  # so many ticks on end were those of two bars before

    def observe(self, part: Frame) -> None:
        """Take in what the network played on a tick, [88]."""
        self._same = self._same + 1 if self._again(part) else 0
        self._past.append(part.tobytes())

    def against(self, part: Frame) -> int | None:
        """The key (0..87) that it must not strike, if its part of the coming tick is to be [88]; None: it may be."""
        struck = np.flatnonzero(part == ONSET)
        enough = self._same >= (MOST_TIMES - 1) * self._period
        return int(struck[-1]) if enough and len(struck) and self._again(part) else None

    def _again(self, part: Frame) -> bool:
        return len(self._past) == self._period and self._past[0] == part.tobytes()
