"""The mixer: MIDI events that are due at a sample go in, blocks of stereo sound come out.

This module knows nothing of devices, clocks and threads; but `schedule` may be called from another thread than `mix`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from livebach.music.events import (
    ALL_NOTES_OFF,
    ALL_SOUND_OFF,
    CHANNELS,
    SUSTAIN,
    ControlChange,
    Event,
    NoteOff,
    NoteOn,
    ProgramChange,
)
from livebach.music.general_midi import instrument_of
from livebach.sound.bank import Stored, stored
from livebach.sound.instruments import BRIGHT, CLICK, INSTRUMENTS, RELEASE, Instrument, pan
from livebach.sound.limiter import Limiter
from livebach.sound.partials import RATE
from livebach.sound.room import Room
from livebach.sound.tone import KEYS
from livebach.sound.voices import Rows, Table, Voice, decay, fade

BLOCK = 240
"""Samples that are mixed at once: 5 ms."""
NOTES = 48
"""The most notes that sound at once; one more takes the place of the note that is missed least."""
PERCUSSION_CHANNEL = 9
_ROWS = 2 * NOTES + 64  # two layers each, and room for voices that fade away
_STEAL_S = 0.008
_AGAIN_S = 0.12  # a key that is struck again: its last sound decays by 60 dB in this time
_PATIENCE = round(0.25 * RATE)  # a note that is still being rendered may begin so many samples late
_VOLUME, _EXPRESSION, _RESET_CONTROLLERS = 7, 11, 121
_PEDAL_DOWN = 64

Frames = NDArray[np.float32]


class Keys(Protocol):
    """A source of the layers of an instrument's keys, such as a bank."""

    def key(self, key: int) -> Mapping[str, Stored] | None:
        """Return the layers of a key; None where they are not there yet."""


@dataclass(slots=True, eq=False)
class Note:
    """One struck key: its voices, and whether anything holds it."""

    instrument: Instrument
    channel: int
    key: int
    number: int
    velocity: int
    layers: Mapping[str, Stored]
    voices: list[Voice] = field(default_factory=list)
    down: bool = True
    """Whether the key is down."""
    released: bool = False
    gone: bool = False
    """Whether it was ended for another note's sake; it fades and no longer counts."""

    def loss(self) -> tuple[bool, bool, int]:
        """Order notes by how much they would be missed: released ones least, then held by the pedal, then old ones."""
        return not self.released, self.down, self.number


@dataclass(slots=True)
class Channel:
    """The settings of one MIDI channel."""

    instrument: str
    pedal: bool = False
    levels: dict[int, int] = field(default_factory=lambda: {_VOLUME: 127, _EXPRESSION: 127})

    @property
    def volume(self) -> float:
        """The gain of volume and expression, by the curve that General MIDI recommends."""
        return (self.levels[_VOLUME] * self.levels[_EXPRESSION] / 127**2) ** 2


class Mixer:
    """Plays events on sixteen channels."""

    def __init__(self, instrument: str, bank: Callable[[str], Keys | None]) -> None:
        """Make a silent mixer.

        Args:
            instrument: the instrument of every channel until a program change.
            bank: returns an instrument's keys by its name; None where they cannot be had.

        """
        self.sample = 0
        """The number of samples that were mixed so far."""
        self.late = 0
        """The number of events that came after their sample had been mixed."""
        self._default = instrument
        self._bank = bank
        self._clicks = Clicks()
        self._channels = [Channel(instrument) for _ in range(CHANNELS)]
        self._due: list[tuple[int, int, Event]] = []
        self._order = count()
        self._notes: list[Note] = []
        self._waiting: list[tuple[int, NoteOn]] = []  # for their keys to be rendered
        self._rows = Rows(_ROWS, BLOCK)
        self._room = Room(BLOCK)
        self._limiter = Limiter()

    @property
    def notes(self) -> int:
        """The number of notes that sound, including those that fade."""
        return len(self._notes)

    def schedule(self, sample: int, event: Event) -> None:
        """Have an event happen at a sample; events for one sample happen in the order in which they came."""
        heappush(self._due, (sample, next(self._order), event))

    def mix(self) -> Frames:
        """Return the next block, [BLOCK, 2]; every sample is within -1..1."""
        self._happen(self.sample + BLOCK)
        for note in self._notes:
            for voice in note.voices:
                self._rows.fill(voice)
        mixed = self._rows.mixed()
        sound = self._room.answer(mixed[2])
        sound += mixed[:2]
        self._forget()
        self.sample += BLOCK
        return self._limiter.limit(sound).T

    def _forget(self) -> None:
        """Give up what has ended."""
        for note in self._notes:
            for voice in [voice for voice in note.voices if voice.over]:
                self._rows.remove(voice)
                note.voices.remove(voice)
        self._notes = [note for note in self._notes if note.voices]

    # --- events ------------------------------------------------------------------------------------------------------

    def _happen(self, end: int) -> None:
        """Let all events before a sample happen."""
        waiting, self._waiting = self._waiting, []
        for due, struck in waiting:
            self._strike(struck, due)
        while self._due and self._due[0][0] < end:
            due, _, event = heappop(self._due)
            self.late += due < self.sample
            match event:
                case NoteOn():
                    self._strike(event, due)
                case NoteOff(key, _, channel):
                    self._lift(channel, key, self._place(due))
                case ControlChange(control, value, channel):
                    self._control(channel, control, value, self._place(due))
                case ProgramChange(program, channel):
                    self._channels[channel].instrument = instrument_of(program) or self._default

    def _place(self, due: int) -> int:
        """Return where in the next block a sample is; its start for one that is past."""
        return max(0, due - self.sample)

    def _strike(self, event: NoteOn, due: int) -> None:
        keys, instrument = self._played_by(event.channel)
        if keys is None or (event.key not in KEYS and instrument is not CLICK):
            return
        layers = keys.key(event.key)
        if layers is None:
            if self.sample - due < _PATIENCE:
                self._waiting.append((due, event))
            return
        at = self._place(due)
        for note in self._of(event.channel, event.key):
            self._end(note, decay(_AGAIN_S), at)
        self._make_place(at)
        note = Note(instrument, event.channel, event.key, next(self._order), event.velocity, layers)
        for name, gain in instrument.gains(event.velocity).items():
            if name != RELEASE and (name != BRIGHT or gain > 1e-3):
                self._add(note, layers[name], gain, at)
        self._notes.append(note)

    def _played_by(self, channel: int) -> tuple[Keys | None, Instrument]:
        if channel == PERCUSSION_CHANNEL:
            return self._clicks, CLICK
        name = self._channels[channel].instrument
        return self._bank(name), INSTRUMENTS[name]

    def _of(self, channel: int, key: int) -> list[Note]:
        return [note for note in self._notes if note.key == key and note.channel == channel and not note.gone]

    def _add(self, note: Note, layer: Stored, gain: float, at: int) -> None:
        """Begin a voice; only where very many notes are stolen within a few milliseconds there is no row for it."""
        if self._rows.free:
            left, right = pan(note.instrument, note.key)
            level = gain * layer.scale
            gains = level * left, level * right, level * note.instrument.room
            note.voices.append(self._rows.add(layer, gains, self._channels[note.channel].volume, at))

    def _make_place(self, at: int) -> None:
        sounding = [note for note in self._notes if not note.gone]
        if len(sounding) >= NOTES:
            self._end(min(sounding, key=Note.loss), fade(_STEAL_S), at)

    def _end(self, note: Note, table: Table, at: int) -> None:
        """End a note for good, quickly."""
        note.down, note.released, note.gone = False, True, True
        self._fade(note, table, at)

    def _fade(self, note: Note, table: Table, at: int) -> None:
        volume = self._channels[note.channel].volume
        for voice in note.voices:
            voice.fade(table, at)
            self._rows.regain(voice, volume, at_once=True)

    def _lift(self, channel: int, key: int, at: int) -> None:
        self._waiting = [(due, on) for due, on in self._waiting if (on.channel, on.key) != (channel, key)]
        for note in self._of(channel, key):
            note.down = False
            if not self._channels[channel].pedal and not note.released:
                self._release(note, at)

    def _release(self, note: Note, at: int) -> None:
        """Let the damper fall, where there is one."""
        note.released = True
        if note.key >= note.instrument.undamped:
            return
        self._fade(note, decay(note.instrument.release_s(note.key)), at)
        gain = note.instrument.gains(note.velocity).get(RELEASE)
        if gain:
            self._add(note, note.layers[RELEASE], gain, at)

    def _control(self, channel: int, control: int, value: int, at: int) -> None:
        if control == SUSTAIN:
            self._pedal(channel, value >= _PEDAL_DOWN, at)
        elif control in (_VOLUME, _EXPRESSION):
            self._set_level(channel, control, value)
        elif control == _RESET_CONTROLLERS:
            self._set_level(channel, _EXPRESSION, 127)
            self._pedal(channel, False, at)
        elif control in (ALL_NOTES_OFF, ALL_SOUND_OFF):
            self._waiting = [(due, on) for due, on in self._waiting if on.channel != channel]
            for note in [note for note in self._notes if note.channel == channel and not note.gone]:
                if control == ALL_NOTES_OFF:
                    self._lift(channel, note.key, at)
                else:
                    self._end(note, fade(_STEAL_S), at)

    def _pedal(self, channel: int, down: bool, at: int) -> None:
        self._channels[channel].pedal = down
        for note in [] if down else self._notes:
            if note.channel == channel and not note.down and not note.released:
                self._release(note, at)

    def _set_level(self, channel: int, control: int, value: int) -> None:
        self._channels[channel].levels[control] = value
        for note in self._notes:
            for voice in note.voices if note.channel == channel else ():
                self._rows.regain(voice, self._channels[channel].volume)


class Clicks:
    """The metronome's two sounds, rendered at once."""

    def __init__(self) -> None:
        self._layers: dict[int, dict[str, Stored]] = {}

    def key(self, key: int) -> Mapping[str, Stored]:
        """Return the click of a percussion key."""
        if key not in self._layers:
            self._layers[key] = {name: stored(layer) for name, layer in CLICK.tone(key, 0.0).items()}
        return self._layers[key]
