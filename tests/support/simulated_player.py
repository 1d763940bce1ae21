"""Simulate a player: play a score with a drifting tempo, uneven onsets, and a ritardando at the end of each phrase.

The module serves tests and benches. The same arguments and seed give the same events.
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
"""Minimum and maximum period of a tempo swing, in beats. The drift is the sum of three swings."""
PHRASE_BARS = 4
"""Length of a phrase, in bars."""
ENDING_BARS, ENDING = 2, 0.3
"""Length of the final ritardando in bars, and the share by which the tempo falls."""
LEGATO = 0.9
"""Share of a note's length during which the key is pressed."""
LEAST_S = 0.02
"""Minimum time between note-on and note-off, in seconds."""


@dataclass(frozen=True, slots=True)
class Playing:
    """A simulated performance: timed events and beat times, in seconds from the first note of the score."""

    events: list[tuple[float, Event]]
    beats: Times


@dataclass(frozen=True, slots=True)
class Hands:
    """Settings of the simulated player."""

    drift: float = 0.08  # maximum deviation of the tempo from `bpm`, as a share
    noise_s: float = 0.015  # standard deviation of each onset and release, in seconds
    slowing: float = 0.25  # share by which the tempo falls over the last bar of a phrase

    def play(
        self, notes: Sequence[Note], metre: Metre, bpm: float, seed: int, steps_per_quarter: int = 4, upbeat: int = 0
    ) -> Playing:
        """Play notes on a grid.

        Args:
            notes: Notes with times in grid steps, at least one.
            metre: Metre of the notes.
            bpm: Tempo in beats of the metre per minute.
            seed: Seed of all random numbers.
            steps_per_quarter: Grid steps per quarter note.
            upbeat: Grid steps before the first bar line.

        Returns:
            The events, and the beat times from the first to the last note. The beats are those of the metre, but
            quarter notes in metres of half notes.

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
        """Return the time of each grid step in seconds, float64 [length]."""
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
    """Return the F-measure of beat times: 2 hits / (found + true), from 0 to 1.

    Each beat is hit at most once. The tolerance of 70 ms is that of Davies, Degara and Plumbley 2009, "Evaluation
    Methods for Musical Audio Beat Tracking Algorithms", and of mir_eval.

    Args:
        found: Ascending times of the detected beats, in seconds.
        true: Ascending times of the true beats, in seconds.
        within_s: Maximum distance of a hit, in seconds.

    """
    i = j = hits = 0
    while i < len(found) and j < len(true):
        if abs(found[i] - true[j]) <= within_s:
            hits, i, j = hits + 1, i + 1, j + 1
        elif found[i] < true[j]:
            i += 1
        else:
            j += 1
    return 2 * hits / max(1, len(found) + len(true))
