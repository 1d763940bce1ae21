"""Objections to a drawn frame: too many keys at once, quotes of the training music, and repeated passages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from livebach.music.roll import KEYS, OFF, ONSET, Frame
from livebach.network.quotes import (
    GRAM,
    Hashes,
    Quotes,
    run_hash,
    step_number,
)
from livebach.network.sampling import SamplingParams

MOST_AT_ONCE = 8
"""Most keys struck on one tick, as in Bach's fullest chords. More are an accident of the biases."""
SOFTER = 1.0
"""Nats that the bias of ONSET loses when a frame with too many is drawn again."""
MOST_REDRAWS = 5
BARS = 2
"""Length of the passages that are compared, in bars."""
MOST_TIMES = 3
"""Most times in a row that two bars may be played. Bach does not repeat two bars more often."""


class Watch(Protocol):
    """An object that may object to a frame."""

    def observe(self, part: Frame) -> None:
        """Take in the network's part [88] of a tick."""

    def against(self, part: Frame) -> int | None:
        """Return a key 0..87 that must not be struck in this part [88] of the coming tick; None for no objection."""


def playable(
    draw: Callable[[SamplingParams], Frame],
    params: SamplingParams,
    watches: Sequence[Watch],
    most: int = MOST_REDRAWS,
    lenient: Sequence[Watch] = (),
) -> Frame:
    """Draw a frame that hands can play and that no watch objects to.

    A frame with too many onsets is drawn again with a lower bias of ONSET. A key that a watch names is forbidden. What
    is still too much after the last draw, or what a watch still objects to, is left out. Lenient watches give way to
    the last struck key. Held keys do not count.

    Args:
        draw: Draws a frame [88] with the given parameters.
        params: The parameters of the first draw.
        watches: The watches, in order.
        most: Most draws after the first one.
        lenient: More watches, which come after the others.

    """
    frame, everyone = draw(params), (*watches, *lenient)
    for _ in range(most):
        if (frame == ONSET).sum() > MOST_AT_ONCE:
            params = replace(params, onset_bias=params.onset_bias - SOFTER)
        elif (key := _objection(everyone, frame)) is not None:
            params = params.forbidding(np.arange(KEYS) == key)
        else:
            return frame
        frame = draw(params)
    frame = _within_reach(frame)
    while (key := _objection(everyone if (frame == ONSET).sum() > 1 else watches, frame)) is not None:
        frame = frame.copy()
        frame[key] = OFF
    return frame


def _within_reach(frame: Frame) -> Frame:
    """Return a frame with at most MOST_AT_ONCE onsets: the outer ones are left."""
    struck = np.flatnonzero(frame == ONSET)
    if len(struck) <= MOST_AT_ONCE:
        return frame
    frame, first = frame.copy(), MOST_AT_ONCE // 2
    frame[struck[first : first + len(struck) - MOST_AT_ONCE]] = OFF
    return frame


def _objection(watches: Sequence[Watch], frame: Frame) -> int | None:
    return next((key for watch in watches if (key := watch.against(frame)) is not None), None)


class _Stream:
    """A stream of notes, and the length of the quote at its end."""

    def __init__(self, known: Hashes) -> None:
        self._known = known
        self._steps: deque[int] = deque(maxlen=GRAM)
        self._last: int | None = None
        self._found = 0  # number of newest runs that are all known
        self.rests = 0  # ticks since the last note

    def strike(self, key: int) -> int:
        """Take in the next note, `rests` ticks after the last; return the number of last notes that are a quote."""
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
        """Continue with other known runs. The length of a quote counts from here."""
        self._known, self._found = known, 0

    def copy(self) -> _Stream:
        """Return an independent copy, for trying notes."""
        other = _Stream(self._known)
        other._steps, other._last, other._found = self._steps.copy(), self._last, self._found
        other.rests = self.rests
        return other


class QuoteWatch:
    """Objects to long quotes of the training music, within one turn of the network."""

    def __init__(self, quotes: Quotes, longest: int | None) -> None:
        """Allow quotes of at most `longest` notes (`SHORTEST_QUOTE` or more); None allows any."""
        self._longest = longest
        self._notes, self._line = _Stream(quotes.notes), _Stream(quotes.line)

    def know(self, quotes: Quotes) -> None:
        """Continue with another network's training music."""
        self._notes.know(quotes.notes)
        self._line.know(quotes.line)

    def observe(self, part: Frame) -> None:
        """Take in the network's part [88] of a tick."""
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
        """Return a key 0..87 that would make a quote too long in this part [88] of the coming tick, or None."""
        keys = np.flatnonzero(part == ONSET).tolist() if self._longest is not None else []
        if not keys:
            return None
        assert self._longest is not None
        notes, line = self._notes.copy(), self._line.copy()
        notes.rests, line.rests = notes.rests + 1, line.rests + 1
        if line.strike(keys[-1]) > self._longest:
            return int(keys[-1])
        return next((int(key) for key in keys if notes.strike(key) > self._longest), None)


class RepeatWatch:
    """Objects to passages that are repeated too often, within one turn of the network."""

    def __init__(self, bar_ticks: int) -> None:
        self._period = BARS * bar_ticks
        self._past: deque[bytes] = deque(maxlen=self._period)
        self._same = 0  # number of newest ticks that all equal those of two bars before

    def observe(self, part: Frame) -> None:
        """Take in the network's part [88] of a tick."""
        self._same = self._same + 1 if self._again(part) else 0
        self._past.append(part.tobytes())

    def against(self, part: Frame) -> int | None:
        """Return a key 0..87 of this part [88] of the coming tick that would repeat a passage too often, or None."""
        struck = np.flatnonzero(part == ONSET)
        enough = self._same >= (MOST_TIMES - 1) * self._period
        return int(struck[-1]) if enough and len(struck) and self._again(part) else None

    def _again(self, part: Frame) -> bool:
        return len(self._past) == self._period and self._past[0] == part.tobytes()
