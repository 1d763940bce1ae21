"""A player's double: plays a score as hands do, with a drifting tempo, unevenly, and slower where a phrase ends.

For tests and benches. What comes of it depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from livebach.music.events import Event, NoteOff, NoteOn
from livebach.music.metre import Metre
from livebach.music.roll import Note

Times = NDArray[np.float64]
SWINGS_BEATS = 12, 48
"""The tempo swings in this many beats, three swings at once."""
PHRASE_BARS = 4
ENDING_BARS, ENDING = 2, 0.3
"""So many bars before the end it becomes slower by this part."""
LEGATO = 0.9
"""How much of a note's length its key is down."""
LEAST_S = 0.02


@dataclass(frozen=True, slots=True)
class Playing:
    """What was played, in seconds from the first note of the score on, and when the beats were."""

    events: list[tuple[float, Event]]
    beats: Times


@dataclass(frozen=True, slots=True)
class Hands:
    """How somebody plays."""

    drift: float = 0.08  # the tempo goes so far from `bpm`, up and down
    noise_s: float = 0.015  # each onset and release is off by so much, standard deviation
    slowing: float = 0.25  # over the last bar of a phrase the tempo falls by this part

    def play(
        self, notes: Sequence[Note], metre: Metre, bpm: float, seed: int, steps_per_quarter: int = 4, upbeat: int = 0
    ) -> Playing:
        """Play notes on a grid; the first bar line is `upbeat` steps after the grid's start.

        The beats are the metre's, and quarters where halves are counted; from the first note to the last.
        """
        random = np.random.default_rng(seed)
        at = self._times(max(note.end for note in notes) + 1, metre, bpm, random, steps_per_quarter, upbeat)
        first, last = min(note.start for note in notes), max(note.start for note in notes)
        at -= at[first]
        events: list[tuple[float, Event]] = []
        for note in notes:
            start_s, length_s = at[note.start], LEGATO * (at[note.end] - at[note.start])
            off, off_end = self.noise_s * random.standard_normal(2)
            events.append((start_s + off, NoteOn(note.key, int(random.integers(50, 90)))))
            events.append((start_s + max(length_s + off_end, off + LEAST_S), NoteOff(note.key)))
        step = min(metre.beat_ticks(steps_per_quarter), steps_per_quarter if metre.denominator <= 2 else len(at))
        beats = np.arange(upbeat % step, last + 1, step)
        return Playing(sorted(events, key=itemgetter(0)), at[beats[beats >= first]])

    def _times(
        self, length: int, metre: Metre, bpm: float, random: np.random.Generator, steps_per_quarter: int, upbeat: int
    ) -> Times:
        """When each step is."""
        beat, bar = metre.beat_ticks(steps_per_quarter), metre.bar_ticks(steps_per_quarter)
        steps = np.arange(length)
        swing = sum(
            random.uniform(0.5, 1)
            * np.sin(2 * np.pi * (steps / beat / random.uniform(*SWINGS_BEATS) + random.random()))
            for _ in range(3)
        )
        tempo = bpm * (1 + self.drift * swing / np.abs(swing).max())
        in_phrase = (steps - upbeat) % (PHRASE_BARS * bar)
        tempo *= 1 - self.slowing * np.clip((in_phrase - (PHRASE_BARS - 1) * bar) / bar, 0, 1) * (steps >= upbeat)
        ending = ENDING_BARS * bar
        tempo *= 1 - ENDING * min(1.0, self.slowing / 0.25) * np.clip((steps - length + ending) / ending, 0, 1)
        return np.concatenate([[0.0], np.cumsum(60 / tempo / beat)[:-1]])


def f_measure(found: Sequence[float] | Times, true: Sequence[float] | Times, within_s: float = 0.07) -> float:
    """Of two ascending lists of beats: 2 hits / (found + true), each beat hit once at most."""
    i = j = hits = 0
    while i < len(found) and j < len(true):
        if abs(found[i] - true[j]) <= within_s:
            hits, i, j = hits + 1, i + 1, j + 1
        elif found[i] < true[j]:
            i += 1
        else:
            j += 1
    return 2 * hits / max(1, len(found) + len(true))
