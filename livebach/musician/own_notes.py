"""The network's own notes: every note-on gets its one note-off, and never cuts a note of the player's.

Knows frames and one MIDI channel; neither time nor the network.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from livebach.music.events import (
    ALL_NOTES_OFF,
    ALL_SOUND_OFF,
    MAX_DATA,
    ControlChange,
    Event,
    NoteOff,
    NoteOn,
    Realtime,
)
from livebach.music.roll import HIGH_KEY, HOLD, KEYS, LOW_KEY, ONSET, Frame


class OwnNotes:
    """What sounds on one channel (0..15) by the network's doing; `shared` where the player's thru may use it too.

    On a shared channel a key that the player strikes becomes the player's. If it sounded, its note-off is owed, and is
    paid when the player lets go.
    """

    def __init__(self, channel: int, shared: bool) -> None:
        self._channel = channel
        self._shared = shared
        self._sounding: set[int] = set()  # keys 0..87
        self._taken: set[int] = set()  # keys that the player holds on this channel
        self._owed: set[int] = set()

    def play(self, frame: Frame, velocity: Mapping[int, int]) -> list[Event]:
        """Sound a frame: what it does not hold ends, what it strikes starts; a key that sounds can be struck again.

        `velocity` (1..127) is that of each key (0..87) that is struck.
        """
        ending = [key for key in sorted(self._sounding) if frame[key] != HOLD]
        struck = [key for key in np.flatnonzero(frame == ONSET).tolist() if key not in self._taken]
        self._sounding = self._sounding.difference(ending).union(struck)
        return [*map(self._off, ending), *(NoteOn(key + LOW_KEY, velocity[key], self._channel) for key in struck)]

    def release(self, key: int | None = None) -> list[Event]:
        """End one key (0..87), or all."""
        ending = sorted(self._sounding if key is None else self._sounding & {key})
        self._sounding.difference_update(ending)
        return [*map(self._off, ending)]

    def release_all_but(self, frame: Frame) -> list[Event]:
        """End what a frame does not hold."""
        return [event for key in self.sounding if frame[key] != HOLD for event in self.release(key)]

    def close(self) -> list[Event]:
        """End everything, what is owed too."""
        owed = sorted(self._owed)
        self._owed.clear()
        return [*self.release(), *map(self._off, owed)]

    def make_way(self, event: Event) -> list[Event]:
        """Note what the player does on this channel; returns note-offs that are due by it."""
        if isinstance(event, Realtime) or not self._shared or event.channel != self._channel:
            return []
        match event:
            case NoteOn(key) if LOW_KEY <= key <= HIGH_KEY:
                self._taken.add(key - LOW_KEY)
                self._owed |= self._sounding & {key - LOW_KEY}
                self._sounding.discard(key - LOW_KEY)
            case NoteOff(key):
                return self._give_back({key - LOW_KEY})
            case ControlChange(control) if control == ALL_SOUND_OFF or ALL_NOTES_OFF <= control <= MAX_DATA:
                return self._give_back(set(self._taken))
        return []

    def _give_back(self, keys: set[int]) -> list[Event]:
        due = sorted(self._owed & keys)
        self._taken -= keys
        self._owed -= keys
        return [*map(self._off, due)]

    def _off(self, key: int) -> Event:
        return NoteOff(key + LOW_KEY, 0, self._channel)

    @property
    def sounding(self) -> list[int]:
        """The keys (0..87) that sound."""
        return sorted(self._sounding)

    @property
    def barred(self) -> list[int]:
        """The keys (0..87) that the player holds on this channel: not to be struck."""
        return sorted(self._taken)

    @property
    def held_frame(self) -> Frame:
        """The frame in which all that sounds goes on."""
        frame = np.zeros(KEYS, np.uint8)
        frame[self.sounding] = HOLD
        return frame
