"""How its notes leave: each voice on a channel of its own, and each note a little late, by chance.

Works on events alone, after all has been decided. Pure: it is told the time, and draws from one seeded generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from random import Random

import numpy as np

from livebach.music.events import MAX_DATA, Event, NoteOff, NoteOn
from livebach.music.grid import Grid

HIGHEST, LOWEST = 74, 48
"""Where the outer voices are expected before they have sounded."""
CROSSING = 12
"""What it costs, in semitones, to go above a higher voice that sounds, or below a lower one."""


class VoiceChannels:
    """Separates notes into voices as they come, the highest first; each has a channel, from `first` (0..15) on.

    A note goes to the voice that was nearest to it; notes struck together keep their order. Where there are more notes
    than voices, the nearest voice has two.
    """

    def __init__(self, first: int, voices: int) -> None:
        self._first = first
        self._pitch = np.linspace(HIGHEST, LOWEST, voices).tolist()  # of each voice's newest note
        self._sounding: dict[int, int] = {}  # key -> voice

    def sent(self, events: Sequence[Event]) -> list[Event]:
        """The same events, its own notes on their voices' channels."""
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


class Spread:
    """Lets notes start up to so much late, each by chance; a note that has not started and is to end never does."""

    def __init__(self, seed: int, channels: range, most_s: float = 0.0) -> None:
        self.most_s = most_s
        self._random = Random(f"{seed} spread")  # nosec B311: chance for music
        self._channels = channels
        self._waiting: list[tuple[float, NoteOn]] = []

    def sent(self, events: Sequence[Event], now_s: float) -> list[Event]:
        """What is to be sent now: of these events those that do not wait, and what has waited long enough."""
        if not self.most_s and not self._waiting:
            return list(events)
        out: list[Event] = []
        for event in events:
            if isinstance(event, NoteOn) and event.channel in self._channels:
                self._waiting.append((now_s + self._random.random() * self.most_s, event))
            elif not (isinstance(event, NoteOff) and self._cancel(event)):
                out.append(event)
        return [*out, *self._due(now_s)]

    def _cancel(self, ending: NoteOff) -> bool:
        for item in self._waiting:
            if (item[1].channel, item[1].key) == (ending.channel, ending.key):
                self._waiting.remove(item)
                return True
        return False

    def _due(self, now_s: float) -> list[NoteOn]:
        due = [item for item in sorted(self._waiting, key=lambda item: item[0]) if item[0] <= now_s]
        self._waiting = [item for item in self._waiting if item[0] > now_s]
        return [note for _, note in due]

    def deadline_s(self) -> float:
        """When a note is to be sent; infinity where none waits."""
        return min((time_s for time_s, _ in self._waiting), default=float("inf"))


DOWNBEAT_ACCENT, BEAT_ACCENT, OFFBEAT_ACCENT = 8, 3, -3


def velocity(setting: str | int, touch: float, grid: Grid, tick: int) -> int:
    """The velocity of a note on this tick; `touch` is the player's mean of late."""
    if isinstance(setting, int):
        return setting
    beat = BEAT_ACCENT if grid.on_beat(tick) else OFFBEAT_ACCENT
    accent = DOWNBEAT_ACCENT if grid.on_downbeat(tick) else beat
    return max(1, min(MAX_DATA, round(touch) + accent))
