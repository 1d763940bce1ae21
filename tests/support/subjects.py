"""Fugue subjects of the Well-Tempered Clavier, and where notes that are heard state them again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from livebach.evaluation.musical_figures import Notes, statements
from livebach.music.roll import KEYS, LOW_KEY, ONSET

C_MINOR: Notes = [
    *((0, 51), (1, 50), (2, 51), (4, 46), (6, 47), (8, 51), (9, 50), (10, 51), (12, 53), (14, 46)),
    *((16, 51), (17, 50)),
]
"""The head of the subject of the second fugue of book I: ticks from the first note, and keys 0..87."""
A_MINOR: Notes = [
    *((0, 36), (1, 35), (2, 36), (4, 38), (6, 39), (8, 39), (9, 38), (10, 39), (12, 41), (14, 43)),
    *((15, 41), (16, 39)),
]
"""The same of the twentieth."""
LAST_TICKS = 4
VELOCITY = 80


def events(subject: Notes, tick_s: float) -> list[tuple[float, bytes]]:
    """Return a subject in time, a little detached: seconds from its first note, and MIDI bytes."""
    ends = [tick for tick, _ in subject[1:]] + [subject[-1][0] + LAST_TICKS]
    first, out = subject[0][0], []
    for (tick, key), end in zip(subject, ends, strict=True):
        out.append(((tick - first) * tick_s, bytes((0x90, key + LOW_KEY, VELOCITY))))
        out.append(((end - first - 0.2) * tick_s, bytes((0x80, key + LOW_KEY, 0))))
    return sorted(out)


def stated(subject: Notes, struck: Iterable[tuple[float, int]], start_s: float, tick_s: float) -> list[tuple[int, int]]:
    """Return where notes state a subject in another voice or key.

    Args:
        subject: The subject.
        struck: Times in seconds, and MIDI keys.
        start_s: The time of a tick.
        tick_s: The length of a tick.

    Returns:
        For each statement its tick and its transposition in semitones, which is not 0. Notes after the first may be a
        semitone higher or lower.

    """
    notes = [(round((time_s - start_s) / tick_s), key - LOW_KEY) for time_s, key in struck]
    frames = np.zeros((max((tick for tick, _ in notes), default=0) + 1, KEYS), np.uint8)
    for tick, key in notes:
        frames[max(0, tick), key] = ONSET
    return [(tick, up) for tick, up in statements(subject, frames, diatonic=True) if up]
