"""The player's keys, pedal and loudness, and the frames that result.

Presses and releases are rounded to the nearest tick: the caller asks for a frame with the time at which its tick ends,
and the frame holds all events before that time. This module knows no grid, no clock and none of the network's notes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.events import (
    ALL_NOTES_OFF,
    ALL_SOUND_OFF,
    MAX_DATA,
    PEDAL_DOWN,
    SUSTAIN,
    ControlChange,
    Event,
    NoteOff,
    NoteOn,
    Realtime,
)
from livebach.music.roll import HIGH_KEY, HOLD, KEYS, LOW_KEY, OFF, ONSET, Frame

RESET_CONTROLLERS = 121
TOUCH_WEIGHT = 0.2
"""Weight of the newest velocity in the mean."""
Bools = NDArray[np.bool_]  # [88]


@dataclass(frozen=True, slots=True)
class Strike:
    """The time of a key's stroke, in absolute seconds, and its velocity."""

    time_s: float
    velocity: int


@dataclass(frozen=True, slots=True)
class _Change:
    """A key's move down or up; `down` is the state afterwards."""

    time_s: float
    key: int  # 0..87
    struck: bool
    down: bool
    velocity: int = 0


class Listener:
    """Follows one player, on one channel (0..15) or on all channels."""

    def __init__(self, channel: int | None = None, pedal_counts: bool = True, touch: float = 64.0) -> None:
        self._channel = channel
        self._pedal_counts = pedal_counts
        self._pedals: set[int] = set()  # channels
        self._pressed: set[tuple[int, int]] = set()  # (channel, key 0..87), as of now
        self._changes: deque[_Change] = deque()  # not yet in a frame
        self._down: Bools = np.zeros(KEYS, np.bool_)  # as the last frame left them
        self._last: Frame = np.zeros(KEYS, np.uint8)
        self._heard = False
        self._lifted = False
        self._touch = touch

    def receive(self, event: Event, now_s: float) -> bool:
        """Take in an event at a time in seconds; return whether the player strikes one of the 88 keys."""
        if not self._on_channel(event):
            return False
        match event:
            case NoteOn(key, velocity, channel) if LOW_KEY <= key <= HIGH_KEY:
                self._press(channel, key - LOW_KEY, velocity, now_s)
                return True
            case NoteOff(key, _, channel) if LOW_KEY <= key <= HIGH_KEY:
                self._release(channel, key - LOW_KEY, now_s)
            case ControlChange(control, value, channel):
                self._control(control, value, channel, now_s)
        return False

    def hears(self, event: Event) -> bool:
        """Return whether an event is one of the player's 88 keys, struck or released."""
        return isinstance(event, NoteOn | NoteOff) and LOW_KEY <= event.key <= HIGH_KEY and self._on_channel(event)

    def _on_channel(self, event: Event) -> bool:
        return not isinstance(event, Realtime) and self._channel in (None, event.channel)

    def _press(self, channel: int, key: int, velocity: int, now_s: float) -> None:
        self._touch += (velocity - self._touch) * (TOUCH_WEIGHT if self._heard else 1.0)
        self._heard = True
        self._pressed.add((channel, key))
        self._changes.append(_Change(now_s, key, struck=True, down=True, velocity=velocity))

    def _release(self, channel: int, key: int, now_s: float) -> None:
        if (channel, key) in self._pressed:
            self._pressed.discard((channel, key))
            self._changes.append(_Change(now_s, key, struck=False, down=self.holds(key)))

    def _control(self, control: int, value: int, channel: int, now_s: float) -> None:
        if control == SUSTAIN and value >= PEDAL_DOWN:
            self._pedals.add(channel)
        elif control in (SUSTAIN, RESET_CONTROLLERS):
            self._lifted |= channel in self._pedals
            self._pedals.discard(channel)
        elif control == ALL_SOUND_OFF or ALL_NOTES_OFF <= control <= MAX_DATA:
            for _, key in sorted(pressed for pressed in self._pressed if pressed[0] == channel):
                self._release(channel, key, now_s)

    def release(self, now_s: float) -> None:
        """Release every key and pedal, because note-offs may have been lost."""
        for channel, key in sorted(self._pressed):
            self._release(channel, key, now_s)
        self._lifted |= bool(self._pedals)
        self._pedals.clear()

    def frame(self, until_s: float) -> Frame:
        """Return the player's next frame [88], from all events before a time. Each call advances by a tick."""
        frame, down, used = self._build(until_s)
        for _ in range(used):
            self._changes.popleft()
        self._down, self._last = down, frame
        return frame

    def strikes(self, until_s: float) -> dict[int, Strike]:
        """Return the strokes of keys 0..87 before a time that are in no frame yet, the first stroke of each key."""
        found: dict[int, Strike] = {}
        for change in self._changes:
            if change.time_s >= until_s:
                break
            if change.struck:
                found.setdefault(change.key, Strike(change.time_s, change.velocity))
        return found

    @property
    def pedal_down(self) -> bool:
        """Whether the sustain pedal is down now, on any channel."""
        return bool(self._pedals)

    def pedal_lifted(self) -> bool:
        """Return whether the pedal has come up since the last call."""
        lifted, self._lifted = self._lifted, False
        return lifted

    def peek(self, until_s: float) -> Frame:
        """Return the frame [88] that `frame` would return, without advancing."""
        return self._build(until_s)[0]

    def _build(self, until_s: float) -> tuple[Frame, Bools, int]:
        down, struck, used = self._down.copy(), np.zeros(KEYS, np.bool_), 0
        for change in self._changes:
            if change.time_s >= until_s:
                break
            down[change.key] = change.down
            struck[change.key] |= change.struck
            used += 1
        frame: Frame = np.where(down, HOLD, OFF).astype(np.uint8)
        frame[struck | (down & (self._last == OFF))] = ONSET
        return frame, down, used

    def holds(self, key: int) -> bool:
        """Return whether a key (0..87) is down now, on any channel."""
        return any(pressed == key for _, pressed in self._pressed)

    @property
    def held(self) -> list[int]:
        """The keys (0..87) that are down now."""
        return sorted({key for _, key in self._pressed})

    @property
    def at_rest(self) -> bool:
        """Whether no key is down, and no pedal where the pedal counts."""
        return not self._pressed and not (self._pedal_counts and self._pedals)

    @property
    def heard(self) -> bool:
        """Whether the player has ever struck a key."""
        return self._heard

    @property
    def touch(self) -> float:
        """The player's loudness: an exponential mean of the velocities."""
        return self._touch
