"""MIDI events as immutable values: note-on, note-off, control change, program change and clock messages.

The numbers are those of MIDI 1.0. This module knows no port, no clock and no file.
"""

from __future__ import annotations

from dataclasses import dataclass

CHANNELS = 16
MAX_DATA = 127
SUSTAIN = 64
PEDAL_DOWN = 64
"""The sustain pedal is down at this value and above."""
ALL_SOUND_OFF = 120
ALL_NOTES_OFF = 123
PULSE, START, CONTINUE, STOP = 0xF8, 0xFA, 0xFB, 0xFC
"""Status bytes of the MIDI clock."""


def _check(name: str, value: int, high: int) -> None:
    if not isinstance(value, int) or not 0 <= value <= high:
        raise ValueError(f"{name} must be in 0..{high}, got {value!r}")


@dataclass(frozen=True, slots=True)
class NoteOn:
    """A key goes down. The velocity is 1..127: MIDI reads a velocity of 0 as a note-off."""

    key: int
    velocity: int = 64
    channel: int = 0

    def __post_init__(self) -> None:
        _check("key", self.key, MAX_DATA)
        _check("velocity", self.velocity, MAX_DATA)
        _check("channel", self.channel, CHANNELS - 1)
        if self.velocity == 0:
            raise ValueError("velocity must be in 1..127, got 0: that is a note-off")


@dataclass(frozen=True, slots=True)
class NoteOff:
    """A key comes up."""

    key: int
    velocity: int = 0
    channel: int = 0

    def __post_init__(self) -> None:
        _check("key", self.key, MAX_DATA)
        _check("velocity", self.velocity, MAX_DATA)
        _check("channel", self.channel, CHANNELS - 1)


@dataclass(frozen=True, slots=True)
class ControlChange:
    """A controller moves (pedal, wheel, panic)."""

    control: int
    value: int
    channel: int = 0

    def __post_init__(self) -> None:
        _check("control", self.control, MAX_DATA)
        _check("value", self.value, MAX_DATA)
        _check("channel", self.channel, CHANNELS - 1)


@dataclass(frozen=True, slots=True)
class ProgramChange:
    """A program (instrument) is chosen."""

    program: int
    channel: int = 0

    def __post_init__(self) -> None:
        _check("program", self.program, MAX_DATA)
        _check("channel", self.channel, CHANNELS - 1)


@dataclass(frozen=True, slots=True)
class Realtime:
    """A message of the MIDI clock: a pulse, or start, continue or stop."""

    status: int

    def __post_init__(self) -> None:
        if self.status not in (PULSE, START, CONTINUE, STOP):
            raise ValueError(f"status must be a pulse, start, continue or stop of a MIDI clock, got {self.status!r}")


Event = NoteOn | NoteOff | ControlChange | ProgramChange | Realtime


def from_bytes(data: bytes | list[int]) -> Event | None:
    """Read one whole channel message; return None for other messages (clock, sysex, bend, …) and malformed ones."""
    if len(data) < 2 or not 0x80 <= data[0] <= 0xEF or any(b > MAX_DATA for b in data[1:]):
        return None
    kind, channel = data[0] & 0xF0, data[0] & 0x0F
    if kind == 0xC0 and len(data) == 2:
        return ProgramChange(data[1], channel)
    if len(data) != 3:
        return None
    if kind == 0x90 and data[2] > 0:
        return NoteOn(data[1], data[2], channel)
    if kind in (0x80, 0x90):
        return NoteOff(data[1], data[2] if kind == 0x80 else 0, channel)
    if kind == 0xB0:
        return ControlChange(data[1], data[2], channel)
    return None


def to_bytes(event: Event) -> bytes:
    """Return an event as one MIDI message."""
    match event:
        case NoteOn(key, velocity, channel):
            return bytes((0x90 | channel, key, velocity))
        case NoteOff(key, velocity, channel):
            return bytes((0x80 | channel, key, velocity))
        case ControlChange(control, value, channel):
            return bytes((0xB0 | channel, control, value))
        case ProgramChange(program, channel):
            return bytes((0xC0 | channel, program))
        case Realtime(status):
            return bytes((status,))


def realtime(data: bytes) -> Realtime | None:
    """Read a clock message of one byte; return None for any other message."""
    return Realtime(data[0]) if len(data) == 1 and data[0] in (PULSE, START, CONTINUE, STOP) else None
