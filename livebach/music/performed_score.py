"""A score as it was played: notes on the ticks of the touch network with velocity and offset, and the pedal.

This module knows no file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livebach.music.metre import metre_track
from livebach.music.roll import HIGH_KEY, LOW_KEY
from livebach.music.score_reader import Score
from livebach.music.touch import PARTS, STEPS_PER_QUARTER, Pedal, Performance, tick_and_offset


def performance_of(name: str, score: Score) -> Performance:
    """Return the performance of a score. The score's times must be in 24ths of a quarter note.

    If a key is struck twice within one tick, the first stroke is kept.
    """
    kept: dict[tuple[int, int], tuple[int, int, int]] = {}
    strokes: set[tuple[int, int, int]] = set()
    for note in score.notes:
        if LOW_KEY <= note.key <= HIGH_KEY:
            tick, offset = tick_and_offset(note.start)
            end = max(tick + 1, round(note.end / PARTS))
            kept.setdefault((tick, LOW_KEY - note.key), (end, note.velocity, offset))
            strokes.add((tick, note.key, offset))  # two voices that strike a key together are one stroke
    order = sorted(kept)
    columns, ticks_and_keys = np.array([kept[at] for at in order]), np.array(order)
    length = int(columns[:, 0].max())
    metres = {start // PARTS: metre for start, metre in score.metres}
    return Performance(
        name,
        ticks_and_keys[:, 0].astype(np.int32),
        (-ticks_and_keys[:, 1]).astype(np.int16),
        columns[:, 0].astype(np.int32),
        columns[:, 1].astype(np.int16),
        columns[:, 2].astype(np.int16),
        _pedal_track(score, length),
        metre_track(length, sorted(metres.items()), STEPS_PER_QUARTER),
        (
            np.bincount([tick for tick, _, _ in strokes], minlength=length)
            - np.bincount(ticks_and_keys[:, 0], minlength=length)
        ).astype(np.int16),
    )


def _pedal_track(score: Score, length: int) -> NDArray[np.int16]:
    """Return the pedal state of each tick, as values of `Pedal`: int16 [length]."""
    track, moves, at, down = np.zeros(length, np.int16), score.pedal, 0, False
    for tick in range(length):
        before, lifted = down, False
        while at < len(moves) and moves[at][0] < (tick + 1) * PARTS:
            lifted |= down and not moves[at][1]
            down = moves[at][1]
            at += 1
        track[tick] = Pedal.of(before, lifted, down)
    return track
