"""The beginning of a score, as music to go on from: its bars, with the metre, the place and the tempo at its end.

This module knows no network and no file.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from livebach.music.metre import Metre
from livebach.music.roll import LOW_KEY, ONSET, Frames
from livebach.music.score_reader import Score, piece_of
from livebach.music.touch import Pedal, Performance, Sounded, TickTouch

Change = TypeVar("Change")


@dataclass(frozen=True, slots=True)
class Prime:
    """Some bars of a score, from the bar of its first note on."""

    frames: Frames
    """uint8 [T, 88]."""
    places: NDArray[np.int16]
    """int16 [T + 1, 3]: tick in the bar, beat and bar in ticks, of each frame and of the one that follows."""
    metres: tuple[tuple[int, Metre], ...]
    """Metres with the ticks at which they begin, the first at 0; each begins a bar. A pickup is a bar of its own."""
    tempos: tuple[tuple[int, int], ...]
    """Microseconds of a quarter note with the ticks at which they begin; empty where the file states none."""
    touches: tuple[TickTouch, ...] = ()
    """The touch of each frame; empty where it is not known."""
    lost: int = 0
    """Number of notes left out because their key is struck twice in one tick."""

    @property
    def metre(self) -> Metre:
        """The metre in force where the prime ends."""
        return self.metres[-1][1]


def prime_of(score: Score, bars: int, performance: Performance | None = None) -> Prime:
    """Return the first bars of a score (fewer where it is shorter), beginning with the bar of its first note.

    An incomplete first bar is not counted.

    Args:
        score: The score.
        bars: Number of bars.
        performance: The same score as it was played, with as many ticks to a quarter note.

    """
    piece, steps = piece_of("prime", score, _between(performance)), score.steps_per_quarter
    lines = np.flatnonzero(piece.places[:, 0] == 0)
    first = int(np.flatnonzero((piece.frames == ONSET).any(axis=1))[0])
    start = int(max(lines[lines <= first], default=0))
    pickup = _pickup(score, piece.places, start)
    ahead = lines[lines >= start + pickup]
    end = int(ahead[bars]) if len(ahead) > bars else score.length
    return Prime(
        piece.frames[start:end],
        np.concatenate([piece.places, [_following(score, piece.places[-1], steps)]]).astype(np.int16)[start : end + 1],
        _metres(score, start, end, pickup),
        _shifted(score.tempos, start, end),
        () if performance is None else _touches(performance, start, end),
        0 if performance is None else int(performance.lost[start:end].sum()),
    )


def _between(performance: Performance | None) -> set[tuple[int, int]]:
    """Return tick and MIDI key of the notes that lie between the ticks. Where some are lost, none is known to."""
    if performance is None:
        return set()
    there = (performance.offset != 0) & (performance.lost[performance.tick] == 0)
    return set(zip(performance.tick[there].tolist(), (performance.key[there] + LOW_KEY).tolist(), strict=True))


def _touches(performance: Performance, start: int, end: int) -> tuple[TickTouch, ...]:
    """Return the touch of the ticks from `start` up to `end`."""
    notes: dict[int, dict[int, Sounded]] = defaultdict(dict)
    columns = (performance.tick, performance.key, performance.velocity, performance.offset)
    for tick, key, velocity, offset in zip(*(column.tolist() for column in columns), strict=True):
        notes[tick][key] = Sounded(velocity, offset)
    pedals = [Pedal(value) for value in performance.pedal.tolist()]
    pedals += [Pedal.UP] * (end - len(pedals))
    return tuple(TickTouch(notes[tick], pedals[tick]) for tick in range(start, end))


def _pickup(score: Score, places: NDArray[np.int16], start: int) -> int:
    """Return the length of the incomplete bar that a prime begins with, in ticks; 0: its first bar is complete.

    A pickup is an upbeat in the first metre, or one bar of a shorter metre before the piece's own.
    """
    if places[start, 0]:
        return int(places[start, 2] - places[start, 0])
    bar = int(places[start, 2])
    change = next((i for i, (tick, _) in enumerate(score.metres) if tick == start + bar), None)
    shorter = change is not None and score.metres[change][1].bar_ticks(score.steps_per_quarter) > bar
    return bar if shorter and start == score.metres[0][0] else 0


def _following(score: Score, last: NDArray[np.int16], steps: int) -> tuple[int, int, int]:
    """Return the place of the tick after the last one of a score."""
    metre = score.metres[-1][1]
    bar = metre.bar_ticks(steps)
    return (int(last[0]) + 1) % bar, metre.beat_ticks(steps), bar


def _metres(score: Score, start: int, end: int, pickup: int) -> tuple[tuple[int, Metre], ...]:
    """Return the metres between two ticks, counted from the first; an upbeat becomes a bar of its own."""
    metres = _shifted(score.metres, start, end)
    steps, first = score.steps_per_quarter, metres[0][1]
    upbeat = pickup if pickup and first.bar_ticks(steps) != pickup else 0
    if not upbeat:
        return metres
    units = (d for d in (4, 8, 16, 32) if d >= first.denominator and upbeat * d % (4 * steps) == 0)
    unit = next(units, None)
    if unit is None:  # no time signature is so short
        return metres
    return (0, Metre(upbeat * unit // (4 * steps), unit)), (upbeat, first), *metres[1:]


def _shifted(changes: tuple[tuple[int, Change], ...], start: int, end: int) -> tuple[tuple[int, Change], ...]:
    """Return the value in force at `start`, as a change at 0, and the changes up to `end`, counted from `start`."""
    before = [value for tick, value in changes if tick <= start]
    return (*((0, value) for value in before[-1:]), *((t - start, v) for t, v in changes if start < t <= end))
