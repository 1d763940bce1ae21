"""Habits of a body of music: how often it uses each interval, size of chords, melodic step, rhythm and note length.

All but the lengths are counted on ticks on which a key is struck. The outer voices are the highest and the lowest
struck keys. This module knows frames, and no time but ticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, ONSET, Frame, Frames

INTERVALS = 12
LARGEST_CHORD = 6
WIDEST_STEP = 16
"""Semitones of the largest step of an outer voice. Larger steps count as this one."""
STEPS = 2 * WIDEST_STEP + 1
LONGEST_GAP = 16
"""Ticks of the longest gap between two strokes. Longer gaps count as this one."""
LONGEST_NOTE = 16
"""Ticks of the longest note. Longer notes count as this one."""
Events = dict[str, list[int]]
"""What happens on a tick: the indices into each habit's shares."""


class LastStroke(NamedTuple):
    """The last tick with a struck key: its highest and lowest struck key (0..87), and how many ticks it is ago."""

    highest: int
    lowest: int
    ago: int


@dataclass(frozen=True, slots=True)
class Habits:
    """Shares that sum to 1 in each habit.

    Attributes:
        harmony: [12] intervals modulo 12 from the lowest sounding key to each other one, where either is struck.
        chords: [6] numbers of keys struck at once, from 1. The last one includes larger chords.
        upper: [33] steps of the highest struck key, from -16 to 16 semitones.
        lower: [33] the same of the lowest struck key.
        gaps: [16] ticks from one tick with a struck key to the next, from 1.
        lengths: [16] ticks that a struck key stays down, from 1.

    Raises:
        ValueError: A habit has another length, or is no distribution.

    """

    harmony: tuple[float, ...]
    chords: tuple[float, ...]
    upper: tuple[float, ...]
    lower: tuple[float, ...]
    gaps: tuple[float, ...]
    lengths: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, size in SIZES.items():
            shares = getattr(self, name)
            if len(shares) != size or min(shares) < 0 or not 0.99 <= sum(shares) <= 1.01:
                raise ValueError(f"the habit {name} of an idiom must have {size} shares that sum to 1")

    def to_json(self) -> dict[str, list[float]]:
        """Return the shares by name."""
        return {name: [round(share, 4) for share in shares] for name, shares in asdict(self).items()}

    @staticmethod
    def from_json(found: object, otherwise: Habits) -> Habits:
        """Return the habits of `to_json`; those that are missing are those of `otherwise`.

        Raises:
            ValueError: A habit is unknown, or is no distribution.

        """
        if not isinstance(found, Mapping) or not set(found) <= set(SIZES):
            raise ValueError(f"the habits of an idiom must be {', '.join(SIZES)}")
        for name, shares in found.items():
            if not isinstance(shares, list) or not all(type(share) in (int, float) for share in shares):
                raise ValueError(f"the habit {name} of an idiom must be numbers")
        return replace(otherwise, **{name: tuple(shares) for name, shares in found.items()})


SIZES = {
    "harmony": INTERVALS,
    "chords": LARGEST_CHORD,
    "upper": STEPS,
    "lower": STEPS,
    "gaps": LONGEST_GAP,
    "lengths": LONGEST_NOTE,
}
"""Number of shares of each habit."""
assert list(SIZES) == [field.name for field in fields(Habits)]


def events_of(frame: Frame, last: LastStroke | None) -> Events:
    """Return what is struck on a tick.

    Args:
        frame: uint8 [88].
        last: The last stroke before; None at the beginning.

    """
    struck = np.flatnonzero(frame == ONSET).tolist()
    if not struck:
        return {}
    lowest, *others = np.flatnonzero(frame).tolist()
    fresh = set(struck)
    events = {
        "harmony": [(key - lowest) % INTERVALS for key in others if key in fresh or lowest in fresh],
        "chords": [min(len(struck), LARGEST_CHORD) - 1],
    }
    if last is not None:
        events["upper"] = [_step(struck[-1] - last.highest)]
        events["lower"] = [_step(struck[0] - last.lowest)]
        events["gaps"] = [min(last.ago, LONGEST_GAP) - 1]
    return events


def next_last_stroke(frame: Frame, last: LastStroke | None) -> LastStroke | None:
    """Return the last stroke as it is for the tick after this frame [88], from what it was for the frame's own tick."""
    struck = np.flatnonzero(frame == ONSET)
    if not len(struck):
        return last and last._replace(ago=last.ago + 1)
    return LastStroke(int(struck[-1]), int(struck[0]), 1)


def _step(semitones: int) -> int:
    return max(-WIDEST_STEP, min(WIDEST_STEP, semitones)) + WIDEST_STEP


def lengths_of(frame: Frame, down: NDArray[np.int64]) -> tuple[Events, NDArray[np.int64]]:
    """Return the lengths of the notes that end on a tick, and for how long each key is down after it.

    Args:
        frame: uint8 [88].
        down: [88] number of ticks for which each key is down before; 0 for keys that are up.

    Returns:
        The events, and `down` for the next tick.

    """
    ended = np.minimum(down[(down > 0) & (frame != HOLD)], LONGEST_NOTE) - 1
    return {"lengths": ended.tolist()} if len(ended) else {}, np.where(frame == HOLD, down + 1, frame == ONSET)


def habits_of(pieces: Iterable[Frames], otherwise: Habits) -> Habits:
    """Measure the habits of pieces, frames uint8 [T, 88] each. A habit without any event is that of `otherwise`."""
    counts = {name: np.zeros(size) for name, size in SIZES.items()}
    for frames in pieces:
        last, down = None, np.zeros(KEYS, np.int64)
        for frame in frames:
            events = events_of(frame, last)
            last = next_last_stroke(frame, last)
            ended, down = lengths_of(frame, down)
            for name, indices in (events | ended).items():
                np.add.at(counts[name], indices, 1)
    return Habits(
        **{
            name: tuple((found / found.sum()).tolist()) if found.any() else getattr(otherwise, name)
            for name, found in counts.items()
        }
    )
