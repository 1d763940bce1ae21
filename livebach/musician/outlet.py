"""Sends the network's notes, each with its own delay.

This module works on events after they have been chosen. The caller gives the time. All random numbers come from one
seeded generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from livebach.config import Config
from livebach.music.events import ControlChange, Event, NoteOff, NoteOn

MAX_SPREAD = 0.4
"""Largest random delay of a note, in ticks, so that a note starts before it may end."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """A note-on or controller to be sent after a delay in seconds."""

    event: NoteOn | ControlChange
    delay_s: float


class Outlet:
    """Sends events at once, or holds them back until they are due.

    A note that ends while it waits never starts. A controller sent at once cancels its waiting values.
    """

    def __init__(self, settings: Config, seed: int) -> None:
        first, sound = settings.midi.output_channel - 1, settings.sound
        self._channels = range(first, first + (sound.voices or 1))
        self._shared = settings.midi.thru
        self._dropped: set[tuple[int, int]] = set()  # (channel, MIDI key) of notes that never started
        self._spread_s = sound.humanize_ms / 1000
        self._random = Random(f"{seed} spread")  # nosec B311: chance for music
        self._waiting: list[tuple[float, NoteOn | ControlChange]] = []

    def send(self, events: Sequence[Event | Delayed], now_s: float, tick_s: float) -> list[Event]:
        """Return the events to send now: those without a delay, and waiting ones that are due.

        Args:
            events: Events in order; on the network's channels, only the network's own.
            now_s: The time, in absolute seconds.
            tick_s: Length of a tick in seconds, which limits the random delay.

        """
        for event in events:
            if isinstance(event, Delayed) and isinstance(event.event, ControlChange):
                self._waiting.append((now_s + event.delay_s, event.event))
        notes = [
            event for event in events if not (isinstance(event, Delayed) and isinstance(event.event, ControlChange))
        ]
        plain = [event.event if isinstance(event, Delayed) else event for event in notes]
        delays = {e.event.key: e.delay_s for e in notes if isinstance(e, Delayed) and isinstance(e.event, NoteOn)}
        spread_s = min(self._spread_s, MAX_SPREAD * tick_s)
        if not spread_s and not delays and not self._waiting and not self._dropped:
            return plain
        out: list[Event] = []
        for event in plain:
            if isinstance(event, NoteOn) and event.channel in self._channels:
                delay_s = delays.get(event.key, 0.0) + (self._random.random() * spread_s if spread_s else 0.0)
                self._waiting.append((now_s + delay_s, event))
            elif not (isinstance(event, NoteOff) and self._cancel(event)):
                if isinstance(event, ControlChange):
                    self._replace(event)
                out.append(event)
        return [*out, *self._due(now_s)]

    def make_way(self, event: Event) -> None:
        """Drop a waiting note if the player strikes its key first, on the same channel."""
        if self._shared and isinstance(event, NoteOn) and self._cancel(event):
            self._dropped.add((event.channel, event.key))

    def next_s(self) -> float:
        """Return the time at which the next event is due, in absolute seconds; infinity where none waits."""
        return min((time_s for time_s, _ in self._waiting), default=float("inf"))

    def _cancel(self, ending: NoteOn | NoteOff) -> bool:
        if isinstance(ending, NoteOff) and (ending.channel, ending.key) in self._dropped:
            self._dropped.discard((ending.channel, ending.key))
            return True
        for item in self._waiting:
            note = item[1]
            if isinstance(note, NoteOn) and (note.channel, note.key) == (ending.channel, ending.key):
                self._waiting.remove(item)
                return True
        return False

    def _replace(self, moved: ControlChange) -> None:
        """Drop the waiting values of the same controller."""
        self._waiting = [
            item
            for item in self._waiting
            if not isinstance(item[1], ControlChange)
            or (item[1].control, item[1].channel) != (moved.control, moved.channel)
        ]

    def _due(self, now_s: float) -> list[NoteOn | ControlChange]:
        due = [item for item in sorted(self._waiting, key=lambda item: item[0]) if item[0] <= now_s]
        self._waiting = [item for item in self._waiting if item[0] > now_s]
        return [note for _, note in due]
