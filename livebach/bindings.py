"""Bindings: the MIDI messages that operate a control, such as a controller, a key or a program.

The settings hold them as text, by the name of the control.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from livebach.controls import CONTROLS, PRESSED, Command, parse_command
from livebach.music.events import CHANNELS, MAX_DATA, ControlChange, Event, NoteOff, NoteOn, ProgramChange

FORM = "like 'cc 21', 'note 36 channel 10' or 'program 5 = VALUE', several with commas between"
"""The form of a binding, for error messages."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A controller, key or program on one channel or on all channels (None). All numbers count from 0."""

    kind: str  # cc, note or program
    number: int
    channel: int | None = None
    value: str = ""


_BINDING = re.compile(r"(cc|note|program) +(\d+)(?: +channel +(\d+))?(?: *= *(\S.*))?")


def parse_bindings(text: str) -> tuple[Binding, ...]:
    """Parse the bindings of a control. Channels and programs count from 1. Raise ValueError for an invalid text."""
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


class Controls:
    """Turns the player's events into commands by their bindings; remembers which controllers are pressed."""

    def __init__(self, bound: Mapping[str, str | None]) -> None:
        """Parse the bindings, by the name of the control."""
        self._bound: dict[tuple[str, int], list[tuple[str, Binding]]] = {}
        for name, text in bound.items():
            for binding in parse_bindings(text) if text else ():
                self._bound.setdefault((binding.kind, binding.number), []).append((name, binding))
        self._pressed: set[tuple[int, int]] = set()  # channel, controller

    def claims(self, event: Event) -> bool:
        """Return whether an event belongs to a control and is not music. Safe to call from any thread."""
        return bool(self._found(event))

    def read(self, event: Event) -> list[Command]:
        """Return the commands of an event."""
        found = self._found(event)
        if isinstance(event, NoteOff):
            return []
        if not isinstance(event, ControlChange):
            return [parse_command(name, binding.value) for name, binding in found]
        place = event.channel, event.control
        was_pressed = place in self._pressed
        (self._pressed.add if event.value >= PRESSED else self._pressed.discard)(place)
        return [command for name, binding in found for command in _moved(name, binding, event.value, was_pressed)]

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


def _moved(name: str, binding: Binding, value: int, was_pressed: bool) -> Iterator[Command]:
    """Yield the command of a moved controller. A binding with a value acts when the controller is pressed."""
    if binding.value:
        if value >= PRESSED and not was_pressed:
            yield parse_command(name, binding.value)
        return
    moved = CONTROLS[name].kind.moved(value, was_pressed)
    if moved is not None:
        yield Command(name, *moved)
