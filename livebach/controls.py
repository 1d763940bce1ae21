"""What can be done while playing, and the controllers, keys and programs that do it.

A dial moves a setting, a switch is on or off, an act is done once. Pure tables and their reading; knows nothing of how
any of it is carried out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from livebach.music.events import CHANNELS, MAX_DATA, ControlChange, Event, NoteOff, NoteOn, ProgramChange
from livebach.styles import STYLES

MODES = ("continue", "duet", "accompany", "listen")
PRESSED = 64
"""A controller at this value or above is pressed."""
MOST_BACK = 8
"""Bars that can be taken back: as many snapshots are kept, and one more."""
FORM = "like 'cc 21', 'note 36 channel 10' or 'program 5 = VALUE', several with commas between"


@dataclass(frozen=True, slots=True)
class Dial:
    """A setting that can be turned, and its positions, written as in the settings."""

    setting: str
    positions: tuple[str, ...]

    def turned(self, now: str, value: str) -> str:
        """What to set when it stands at `now`: the value, or one position «up» or «down», or the next around («»)."""
        if value not in ("", "up", "down"):
            return value
        at = self._nearest(now) + (-1 if value == "down" else 1)
        return self.positions[at % len(self.positions) if not value else max(0, min(at, len(self.positions) - 1))]

    def _nearest(self, now: str) -> int:
        if now in self.positions or not _is_number(now):
            return self.positions.index(now) if now in self.positions else 0
        far = [abs(float(text) - float(now)) if _is_number(text) else float("inf") for text in self.positions]
        return far.index(min(far))


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\d+(\.\d+)?", text))


_TONICS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")  # as `music.key` writes them
KEYS = ("null", "auto", *(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in _TONICS))
"""Keys that may be set: none, the one that the player plays in, or one of the 24."""
DIALS = {
    "tempo": Dial("time.bpm", tuple(map(str, range(40, 242, 2)))),
    "temperature": Dial("sampling.temperature", tuple(f"{n / 20:g}" for n in range(10, 31))),
    "density": Dial("sampling.density", ("follow", *"01234567")),
    "polyphony": Dial("sampling.polyphony", ("follow", *"01234567")),
    "register": Dial("sampling.register", (*map(str, range(40, 61, 4)), "off", *map(str, range(64, 85, 4)))),
    "register_margin": Dial("turns.register_margin", tuple(map(str, range(25)))),
    "key": Dial("sampling.key", KEYS),
    "mode": Dial("turns.mode", MODES),
}
POSITIONS = {**{name: dial.positions for name, dial in DIALS.items()}, "style": tuple(STYLES)}
"""What a controller moves through from end to end."""
SWITCHES = ("mute", "hold")
ACTS = ("takeover", "finish", "tap", "back", "reset", "panic", "swap", "style")


@dataclass(frozen=True, slots=True)
class Command:
    """Something to do; `value` is what to set, «up», «down», «on», «off», how many bars, or nothing."""

    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """A controller, key or program, numbered as MIDI has it, on one channel or on all."""

    kind: str  # cc, note or program
    number: int
    channel: int | None = None
    value: str = ""


_BINDING = re.compile(r"(cc|note|program) +(\d+)(?: +channel +(\d+))?(?: *= *(\S.*))?")


def parse_bindings(text: str) -> tuple[Binding, ...]:
    """Read what something is bound to; channels and programs count from 1. ValueError where it cannot be read."""
    return tuple(_parse(part.strip()) for part in text.split(","))


def _parse(text: str) -> Binding:
    match = _BINDING.fullmatch(text)
    if match is None:
        raise ValueError(f"a binding must be {FORM}, got {text!r}")
    kind, number, channel, value = match.groups()
    place = int(number) - (kind == "program")
    if not 0 <= place <= MAX_DATA or (channel and not 1 <= int(channel) <= CHANNELS):
        raise ValueError(f"a binding must be {FORM}, got {text!r}")
    return Binding(kind, place, int(channel) - 1 if channel else None, (value or "").strip())


def takes(name: str, value: str) -> bool:
    """Whether a switch or an act can be told this."""
    if name in SWITCHES:
        return value in ("", "on", "off")
    if name == "style":
        return value in ("", "up", "down", *STYLES)
    return not value or name == "swap" or (name == "back" and value.isdecimal() and 1 <= int(value) <= MOST_BACK)


class Controls:
    """Reads the player's events for what is bound to them; remembers which controllers are pressed."""

    def __init__(self, bound: Mapping[str, str | None]) -> None:
        self._bound: dict[tuple[str, int], list[tuple[str, Binding]]] = {}
        for name, text in bound.items():
            for binding in parse_bindings(text) if text else ():
                self._bound.setdefault((binding.kind, binding.number), []).append((name, binding))
        self._pressed: set[tuple[int, int]] = set()  # channel, controller

    def claims(self, event: Event) -> bool:
        """Whether an event is a control, and so no music. Safe to ask from any thread."""
        return bool(self._found(event))

    def read(self, event: Event) -> list[Command]:
        """What an event asks for."""
        found = self._found(event)
        if isinstance(event, ControlChange):
            place = event.channel, event.control
            before = place in self._pressed
            (self._pressed.add if event.value >= PRESSED else self._pressed.discard)(place)
            commands = [_moved(name, binding, event.value, before) for name, binding in found]
            return [command for command in commands if command is not None]
        return [] if isinstance(event, NoteOff) else [Command(name, binding.value) for name, binding in found]

    def _found(self, event: Event) -> list[tuple[str, Binding]]:
        match event:
            case NoteOn(number) | NoteOff(number):
                kind = "note"
            case ControlChange(number):
                kind = "cc"
            case ProgramChange(number):
                kind = "program"
            case _:
                return []
        bound = self._bound.get((kind, number), [])
        return [(name, binding) for name, binding in bound if binding.channel in (None, event.channel)]


def _moved(name: str, binding: Binding, value: int, was_pressed: bool) -> Command | None:
    """A dial follows the controller all its way, a switch while it is pressed; anything else is done when it is."""
    if not binding.value and name in POSITIONS:
        positions = POSITIONS[name]
        return Command(name, positions[value * len(positions) // (MAX_DATA + 1)])
    if not binding.value and name in SWITCHES:
        return Command(name, "on" if value >= PRESSED else "off") if (value >= PRESSED) != was_pressed else None
    return Command(name, binding.value) if value >= PRESSED and not was_pressed else None
