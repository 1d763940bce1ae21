"""The velocity of a note by rules, and the channel of its voice.

This module works on notes after they have been chosen. It uses no clock and no random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from livebach.music.events import MAX_DATA, Event, NoteOff, NoteOn
from livebach.music.grid import Grid

HIGHEST, LOWEST = 74, 48
"""Initial pitches of the highest and the lowest voice, as MIDI keys."""
CROSSING = 12
"""Cost in semitones of a crossing of voices."""


class VoiceChannels:
    """Separates notes into voices. The highest voice has the channel `first` (0..15), the others the channels after it.

    A note goes to the voice with the nearest last pitch. Notes struck together keep their order. Where there are more
    notes than voices, the nearest voice has two.
    """

    def __init__(self, first: int, voices: int) -> None:
        self._first = first
        self._pitch = np.linspace(HIGHEST, LOWEST, voices).tolist()  # of each voice's newest note
        self._sounding: dict[int, int] = {}  # key -> voice

    def sent(self, events: Sequence[Event]) -> list[Event]:
        """Return the same events with the notes of the channel `first` moved to their voices' channels."""
        out: list[Event] = []
        struck: list[NoteOn] = []
        for event in events:
            if isinstance(event, NoteOn) and event.channel == self._first:
                struck.append(event)
            elif isinstance(event, NoteOff) and event.channel == self._first:
                out.append(replace(event, channel=self._first + self._sounding.pop(event.key, 0)))
            else:
                out.append(event)
        return [*out, *self._strike(struck)]

    def _strike(self, struck: list[NoteOn]) -> list[NoteOn]:
        notes = sorted(struck, key=lambda note: -note.key)
        free = [voice for voice in range(len(self._pitch)) if voice not in self._sounding.values()]
        led = [notes[0], *notes[2:], notes[1]][: len(free)] if len(notes) > len(free) > 1 else notes[: len(free)]
        led.sort(key=lambda note: -note.key)
        voices = min(combinations(free, len(led)), key=lambda voices: self._cost(led, voices))
        of_key = {note.key: voice for note, voice in zip(led, voices, strict=True)}
        placed = [(note, of_key.get(note.key, self._nearest(note.key))) for note in notes]
        for note, voice in placed:
            self._pitch[voice], self._sounding[note.key] = note.key, voice
        return [replace(note, channel=self._first + voice) for note, voice in placed]

    def _cost(self, notes: Sequence[NoteOn], voices: Sequence[int]) -> float:
        pairs = list(zip(notes, voices, strict=False))
        far = sum(abs(note.key - self._pitch[voice]) for note, voice in pairs)
        crossed = sum(
            (other < voice) != (key > note.key) for note, voice in pairs for key, other in self._sounding.items()
        )
        return float(far + CROSSING * crossed)

    def _nearest(self, key: int) -> int:
        return int(np.abs(np.array(self._pitch) - key).argmin())


DOWNBEAT_ACCENT, BEAT_ACCENT, OFFBEAT_ACCENT = 8, 3, -3


def velocity(setting: str | int, touch: float, grid: Grid, tick: int) -> int:
    """Return the velocity 1..127 of a note.

    Args:
        setting: A velocity, or a word for the player's loudness with metrical accents.
        touch: The mean of the player's recent velocities.
        grid: The grid.
        tick: The tick of the note.

    """
    if isinstance(setting, int):
        return setting
    beat = BEAT_ACCENT if grid.on_beat(tick) else OFFBEAT_ACCENT
    accent = DOWNBEAT_ACCENT if grid.on_downbeat(tick) else beat
    return max(1, min(MAX_DATA, round(touch) + accent))
