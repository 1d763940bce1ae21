"""The network's own notes: every note-on gets exactly one note-off, and no note of the player's is cut.

This module knows frames and MIDI channels, and neither time nor the network.
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
from livebach.musician.expression import VoiceChannels


class OwnNotes:
    """The network's sounding notes, on one channel or on one for each voice.

    Where the player's thru uses the same channel, a key that the player strikes there becomes the player's. If the
    network sounded the key on that channel, its note-off is postponed until the player releases the key.
    """

    def __init__(self, channel: int, voices: int | None, shared: bool) -> None:
        """Use a channel (0..15), or one per voice from it on. `shared`: whether the player may use these channels."""
        self._channel = channel
        self._channels = range(channel, channel + (voices or 1))
        self._voices = None if voices is None else VoiceChannels(channel, voices)
        self._shared = shared
        self._sounding: dict[int, int] = {}  # key 0..87 -> channel
        self._taken: set[tuple[int, int]] = set()  # (channel, key) that the player holds
        self._owed: dict[tuple[int, int], Event] = {}

    def play(self, frame: Frame, velocity: Mapping[int, int]) -> list[Event]:
        """Sound a frame [88]: end the notes that it does not hold, and start those that it strikes.

        A key that sounds may be struck again. `velocity` gives the velocity (1..127) of each struck key (0..87).
        """
        ending = [key for key in self.sounding if frame[key] != HOLD]
        struck = [key for key in np.flatnonzero(frame == ONSET).tolist() if key not in self.barred]
        for key in ending:
            del self._sounding[key]
        ons: list[Event] = [NoteOn(key + LOW_KEY, velocity[key], self._channel) for key in struck]
        events = self._placed([*map(self._off, ending), *ons])
        self._sounding |= {event.key - LOW_KEY: event.channel for event in events if isinstance(event, NoteOn)}
        return events

    def release(self, key: int | None = None) -> list[Event]:
        """End the note of one key (0..87), or all notes where None; return the note-offs."""
        ending = [sounds for sounds in self.sounding if key in (None, sounds)]
        for sounds in ending:
            del self._sounding[sounds]
        return self._placed([*map(self._off, ending)])

    def release_all_but(self, frame: Frame) -> list[Event]:
        """End the notes that a frame [88] does not hold; return the note-offs."""
        return [event for key in self.sounding if frame[key] != HOLD for event in self.release(key)]

    def close(self) -> list[Event]:
        """End all notes; return their note-offs, with the postponed ones."""
        owed = [self._owed[place] for place in sorted(self._owed)]
        self._owed.clear()
        return [*self.release(), *owed]

    def make_way(self, event: Event) -> list[Event]:
        """Take in an event of the player's on the network's channels; return the note-offs that become due."""
        if isinstance(event, Realtime) or not self._shared or event.channel not in self._channels:
            return []
        channel = event.channel
        match event:
            case NoteOn(key) if LOW_KEY <= key <= HIGH_KEY:
                self._taken.add((channel, key - LOW_KEY))
                if self._sounding.get(key - LOW_KEY) == channel:
                    (self._owed[channel, key - LOW_KEY],) = self.release(key - LOW_KEY)
            case NoteOff(key):
                return self._give_back({(channel, key - LOW_KEY)})
            case ControlChange(control) if control == ALL_SOUND_OFF or ALL_NOTES_OFF <= control <= MAX_DATA:
                return self._give_back({place for place in self._taken if place[0] == channel})
        return []

    def _give_back(self, places: set[tuple[int, int]]) -> list[Event]:
        self._taken -= places
        return [self._owed.pop(place) for place in sorted(places & self._owed.keys())]

    def _placed(self, events: list[Event]) -> list[Event]:
        """Return the events on their voices' channels."""
        return events if self._voices is None or not events else self._voices.sent(events)

    def _off(self, key: int) -> Event:
        return NoteOff(key + LOW_KEY, 0, self._channel)

    @property
    def sounding(self) -> list[int]:
        """The keys (0..87) that sound."""
        return sorted(self._sounding)

    @property
    def barred(self) -> list[int]:
        """The keys (0..87) that the player holds on a channel of the network's, and which must not be struck."""
        return sorted({key for _, key in self._taken})

    @property
    def held_frame(self) -> Frame:
        """The frame [88] that holds all sounding notes."""
        frame = np.zeros(KEYS, np.uint8)
        frame[self.sounding] = HOLD
        return frame
