"""The idiom of a body of music: how it uses the keyboard, chords and intervals.

What is a fault in Bach's counterpoint is a habit of others: parallel octaves in a stride bass, for example. So what a
network is held to at play is measured on the music that it was trained on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.music.habits import Habits, habits_of
from livebach.music.roll import LOW_KEY, OFF, ONSET, Frame, Frames
from livebach.music.texture import density_and_polyphony

PARALLEL = (0, 7)
"""Intervals in semitones modulo 12: unisons and octaves, fifths."""
CLASHES = (1, 2, 6, 10, 11)
"""Intervals in semitones modulo 12: seconds, tritones and sevenths."""
RARE = 0.0005
"""Share of the notes that may lie below the compass, and share that may lie above it."""
PASSAGE = 64
"""Length in ticks of the passages that are compared with the music after them, about four bars."""
FOLLOWING = 256
"""Length in ticks of the music after such a passage, and of the windows of `spread`."""
FEWEST_PASSAGES = 8
"""Number of passages from which it is measured how far the music after them is like them."""
COUNTERPOINT = 0.03
"""Share of parallels up to which music counts as counterpoint. Bach has .005, the others .06 to .3."""
BACHS_HABITS = Habits(
    harmony=(0.1104, 0.0224, 0.0636, 0.1411, 0.1199, 0.0902, 0.0582, 0.1177, 0.0845, 0.1074, 0.064, 0.0205),
    chords=(0.5046, 0.3852, 0.0849, 0.02, 0.0031, 0.0022),
    upper=(
        *(0.0678, 0.0058, 0.0048, 0.002, 0.0097, 0.0031, 0.012, 0.0141, 0.0108, 0.0241, 0.0125, 0.024),
        *(0.0271, 0.0455, 0.1371, 0.0924, 0.0256, 0.0866, 0.1155, 0.0475, 0.0281, 0.0397, 0.011, 0.0196),
        *(0.0127, 0.0153, 0.0121, 0.003, 0.0091, 0.0034, 0.007, 0.005, 0.0659),
    ),
    lower=(
        *(0.1084, 0.0073, 0.0126, 0.0041, 0.0141, 0.0069, 0.0152, 0.0104, 0.009, 0.0231, 0.0087, 0.0205),
        *(0.0235, 0.0354, 0.1231, 0.0762, 0.0123, 0.0708, 0.1087, 0.0385, 0.0249, 0.0343, 0.0085, 0.0199),
        *(0.0097, 0.0124, 0.0101, 0.0029, 0.0188, 0.0029, 0.0096, 0.0098, 0.1071),
    ),
    gaps=(0.6953, 0.2595, 0.0059, 0.0344, 0.0004, 0.0013, 0, 0.0027, 0, 0.0001, 0, 0.0003, 0, 0, 0, 0.0001),
    lengths=(
        *(0.5056, 0.3005, 0.0202, 0.1027, 0.0056, 0.0155, 0.0027, 0.0288, 0.0012, 0.0036, 0.0002, 0.0065),
        *(0.0003, 0.001, 0.0001, 0.0055),
    ),
)
"""The habits of Bach's keyboard works in the training set."""


@dataclass(frozen=True, slots=True)
class Idiom:
    """Figures of a body of music. The defaults are those of Bach's keyboard works.

    Attributes:
        lowest: The lowest MIDI key that is not rare.
        highest: The highest MIDI key that is not rare.
        middle: The mean MIDI key.
        density: Mean number of keys struck per tick of a 16th.
        chord: Mean number of keys struck on ticks with any.
        clashes: Share of seconds, tritones and sevenths among pairs of keys struck on one tick.
        parallels: Share of parallel fifths and octaves among the joint moves of two voices.
        polyphony: Mean number of keys down on ticks with any.
        spread: Standard deviation in semitones of the keys struck within 16 bars.
        density_kept: How far music keeps the density of the PASSAGE before it: 1 wholly, 0 not at all. It is the slope
            of the regression of the logarithm in some 16 bars on that in some 4 bars before.
        chord_kept: The same for the size of chords.
        polyphony_kept: The same for the polyphony.
        habits: Shares of intervals, chords, steps, gaps and lengths.

    """

    lowest: int = 36
    highest: int = 84
    middle: float = 63.6
    density: float = 1.3
    chord: float = 1.6
    clashes: float = 0.17
    parallels: float = 0.01
    polyphony: float = 2.59
    spread: float = 9.7
    density_kept: float = 0.72
    chord_kept: float = 0.54
    polyphony_kept: float = 0.62
    habits: Habits = BACHS_HABITS

    @property
    def contrapuntal(self) -> bool:
        """Whether the music avoids parallels: its voices are lines of their own."""
        return self.parallels <= COUNTERPOINT

    def density_after(self, heard: float, ticks: int) -> float:
        """Return the density to expect after so many ticks with a density of `heard`."""
        return _between(heard, self.density, _kept_after(self.density_kept, ticks))

    def chord_after(self, heard: float, ticks: int) -> float:
        """Return the size of chords to expect after so many ticks with chords of mean size `heard`."""
        return _between(heard, self.chord, _kept_after(self.chord_kept, ticks))

    def polyphony_after(self, heard: float, ticks: int) -> float:
        """Return the polyphony to expect after so many ticks with a polyphony of `heard`."""
        return _between(heard, self.polyphony, _kept_after(self.polyphony_kept, ticks))

    def __post_init__(self) -> None:
        """Check the figures.

        Raises:
            ValueError: A figure is not a number, or is out of range.

        """
        low, high = LOW_KEY, LOW_KEY + 87
        if not low <= self.lowest <= self.middle <= self.highest <= high:
            raise ValueError(f"an idiom's compass and middle must rise within {low}..{high}")
        if not (
            0 < self.density <= self.chord
            and 1 <= self.chord <= 88
            and 0 <= self.clashes <= 1
            and 0 <= self.parallels <= 1
        ):
            raise ValueError("an idiom's chord must be 1..88, its density no more, and its shares 0..1")
        if not (1 <= self.polyphony <= 88 and 0 < self.spread <= 88):
            raise ValueError("an idiom's polyphony must be 1..88, and its spread above 0")
        if not all(0 <= kept <= 1 for kept in (self.density_kept, self.chord_kept, self.polyphony_kept)):
            raise ValueError("what an idiom keeps must be 0..1")

    def to_json(self) -> dict[str, object]:
        """Return the figures by name."""
        figures: dict[str, object] = {
            field.name: round(getattr(self, field.name), 4) for field in fields(self) if field.name != "habits"
        }
        return figures | {"habits": self.habits.to_json()}

    @classmethod
    def from_json(cls, found: Mapping[str, object]) -> Idiom:
        """Return the idiom of `to_json`; names that are missing have their defaults.

        Raises:
            ValueError: A figure is no number, or is out of range.

        """
        known: dict[str, Any] = {field.name: found[field.name] for field in fields(cls) if field.name in found}
        habits = known.pop("habits", None)
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in known.values()):
            raise ValueError("an idiom's figures must be numbers")
        return cls(**known) if habits is None else cls(**known, habits=Habits.from_json(habits, BACHS_HABITS))


def _between(heard: float, usual: float, kept: float) -> float:
    return float(heard**kept * usual ** (1 - kept))


def _kept_after(kept: float, ticks: int) -> float:
    """Return how far the texture of so many ticks is kept, if that of a passage is kept as far as `kept`.

    The fewer ticks are heard, the more of their texture is chance, as in the mean of a sample.
    """
    return kept * ticks / (kept * ticks + (1 - kept) * PASSAGE) if ticks else 0.0


BACH = Idiom()


def idiom_of(pieces: Iterable[Frames]) -> Idiom:
    """Measure the idiom of pieces, frames uint8 [T, 88] each.

    Raises:
        ValueError: There is no note.

    """
    struck_keys: list[NDArray[np.intp]] = []
    pieces = list(pieces)
    length = ticks = clashing = pairs = parallel = moves = down = sounding = 0
    spreads: list[float] = []
    passages: list[tuple[tuple[float, float, float], tuple[float, float, float]]] = []
    for frames in pieces:
        struck, length = frames == ONSET, length + len(frames)
        struck_keys.append(np.nonzero(struck)[1])
        ticks += int(struck.any(axis=1).sum())
        down, sounding = down + int((frames != OFF).sum()), sounding + int((frames != OFF).any(axis=1).sum())
        spreads += _spreads(struck)
        passages += _passages(frames)
        for apart in struck_together(frames):
            clashing, pairs = clashing + int(np.isin(apart, CLASHES).sum()), pairs + len(apart)
        for before, now in joint_moves(frames):
            parallel, moves = parallel + (before == now and now in PARALLEL), moves + 1
    keys = np.concatenate(struck_keys) if struck_keys else np.zeros(0, np.intp)
    if not len(keys):
        raise ValueError("the music has no note")
    lowest, highest = np.quantile(keys, (RARE, 1 - RARE), method="nearest")
    density_kept, chord_kept, polyphony_kept = _kept(passages)
    return Idiom(
        int(lowest) + LOW_KEY,
        int(highest) + LOW_KEY,
        float(keys.mean()) + LOW_KEY,
        len(keys) / length,
        len(keys) / ticks,
        clashing / max(1, pairs),
        parallel / max(1, moves),
        down / sounding,
        float(np.mean(spreads)) if spreads else BACH.spread,
        density_kept,
        chord_kept,
        polyphony_kept,
        habits_of(pieces, BACHS_HABITS),
    )


def _spreads(struck: NDArray[np.bool_]) -> list[float]:
    """Return the standard deviations of the keys struck in windows of a piece; 0 counts as none."""
    starts = range(0, max(1, len(struck) - FOLLOWING + 1), PASSAGE)
    found = (np.nonzero(struck[start : start + FOLLOWING])[1] for start in starts)
    return [spread for keys in found if len(keys) and (spread := float(keys.std())) > 0]


def _passages(frames: Frames) -> list[tuple[tuple[float, float, float], tuple[float, float, float]]]:
    """Return the logarithms of density, size of chords and polyphony in passages of a piece and in the music after."""
    starts = range(0, len(frames) - PASSAGE - FOLLOWING + 1, PASSAGE)
    both = ((frames[s : s + PASSAGE], frames[s + PASSAGE : s + PASSAGE + FOLLOWING]) for s in starts)
    return [(_figures(a), _figures(b)) for a, b in both if (a == ONSET).any() and (b == ONSET).any()]


def _figures(frames: Frames) -> tuple[float, float, float]:
    density, polyphony = density_and_polyphony(frames)
    struck = frames == ONSET
    return math.log(density), math.log(int(struck.sum()) / int(struck.any(axis=1).sum())), math.log(polyphony)


def _kept(passages: list[tuple[tuple[float, float, float], tuple[float, float, float]]]) -> list[float]:
    """Return the slopes of the regressions of music on the passage before it, 0..1; Bach's after too few passages."""
    if len(passages) < FEWEST_PASSAGES:
        return [BACH.density_kept, BACH.chord_kept, BACH.polyphony_kept]
    before, after = np.array(passages).transpose(1, 2, 0)
    before, after = (x - x.mean(axis=1, keepdims=True) for x in (before, after))
    slopes = (before * after).sum(axis=1) / np.maximum(1e-9, (before**2).sum(axis=1))
    return [float(slope) for slope in np.clip(slopes, 0, 1)]


def struck_together(frames: Frames) -> Iterator[NDArray[np.intp]]:
    """Yield, for each tick with several, the intervals modulo 12 of all pairs of keys struck on it."""
    struck = frames == ONSET
    for row in struck[struck.sum(axis=1) > 1]:
        keys = np.flatnonzero(row)
        yield (keys[None, :] - keys[:, None])[np.triu_indices(len(keys), 1)] % 12


def joint_moves(frames: Frames) -> Iterator[tuple[int, int]]:
    """Yield the intervals modulo 12 before and after each joint move of two voices."""
    for last, frame in itertools.pairwise(frames):
        for before, now, _ in joint_moves_of(last, frame):
            yield before, now


def joint_moves_of(last: Frame, frame: Frame) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Yield the joint moves of two voices from one frame [88] to the next.

    Voices are the keys that are down, counted from below. A move is joint if their number stays the same and both
    strike another key.

    Yields:
        The intervals modulo 12 before and after, and the two keys (0..87) that are struck, the lower first.

    """
    old, new = np.flatnonzero(last), np.flatnonzero(frame)
    if len(old) != len(new) or len(new) < 2:
        return
    moving = np.flatnonzero((old != new) & (frame[new] == ONSET))
    for lower, upper in itertools.combinations(moving, 2):
        keys = int(new[lower]), int(new[upper])
        yield int(old[upper] - old[lower]) % 12, (keys[1] - keys[0]) % 12, keys
