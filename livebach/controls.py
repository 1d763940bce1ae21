"""The table of controls and the table of modes.

A dial changes a setting, a switch is on or off, an act happens once. The settings, the help, the hotkeys and the
documentation read these tables. A row holds the class or function that implements it, or its name as "module:name".
The musician imports named functions on first use, so that this module does not depend on the musician.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pkgutil import resolve_name
from typing import Any, Protocol

from livebach.music.events import MAX_DATA, Event
from livebach.styles import STYLES

PRESSED = 64
"""A controller counts as pressed at this value and above."""
MOST_BACK = 8
"""The largest number of bars to take back. The musician keeps one snapshot more than this."""


# --- commands --------------------------------------------------------------------------------------------------------


class Step(Enum):
    """A relative move of a dial."""

    UP = "up"
    DOWN = "down"
    NEXT = ""
    """The next position; the first one after the last."""


Argument = Step | bool | int | str | None
"""The argument of a command: a dial's step or value, a switch's state (None: toggle), or the number of an act."""


@dataclass(frozen=True, slots=True)
class Command:
    """The name of a control, and an argument for it."""

    name: str
    argument: Argument = None

    @property
    def value(self) -> str:
        """The argument as text, as in bindings and in the log of a take."""
        if isinstance(self.argument, Step):
            return str(self.argument.value)
        if isinstance(self.argument, bool):
            return "on" if self.argument else "off"
        return "" if self.argument is None else str(self.argument)


def parse_command(name: str, value: str = "") -> Command:
    """Parse a command; raise ValueError if the control is unknown or does not take the value."""
    if name not in CONTROLS:
        raise ValueError(f"there is no control {name!r}: it must be one of {', '.join(CONTROLS)}")
    return Command(name, CONTROLS[name].kind.parse(value))


class Kind(Protocol):
    """How a control parses its argument, and how a MIDI controller moves it."""

    def parse(self, text: str) -> Argument:
        """Parse an argument; raise ValueError if it is invalid."""

    def moved(self, value: int, was_pressed: bool) -> tuple[Argument] | None:
        """Return the argument for a controller's new value (0..127) as a 1-tuple, or None for no command."""


def _along(positions: Sequence[str], value: int) -> str:
    """Map a controller's value (0..127) to one of the positions."""
    return positions[value * len(positions) // (MAX_DATA + 1)]


_STEPS = {step.value for step in Step}


@dataclass(frozen=True, slots=True)
class Dial:
    """A control for a setting, with its positions, written as in the settings.

    Numbers are in ascending order. A word before the numbers, such as "follow", is reached by name or by `Step.NEXT`.
    A word among the numbers, such as "off", lies between its neighbours.
    """

    setting: str
    names: Iterable[str]

    @property
    def positions(self) -> tuple[str, ...]:
        """The positions from the lowest to the highest."""
        return tuple(self.names)

    def parse(self, text: str) -> Argument:
        """Parse a step or a value. The rule of the setting checks the value later."""
        return Step(text) if text in _STEPS else text

    def moved(self, value: int, was_pressed: bool) -> tuple[Argument] | None:
        """Return the position for the controller's value."""
        return (_along(self.positions, value),)

    def turned(self, now: str, to: Argument, followed: str | None = None) -> str:
        """Return the new value of the setting.

        Args:
            now: The present value.
            to: A value, or a step. Up is always higher and down is lower than now; at the end the value stays.
            followed: The present level behind a word such as "follow"; None if the level is unknown.

        """
        if not isinstance(to, Step):
            return str(to)
        positions = self.positions
        if to is Step.NEXT and now in positions:
            return positions[(positions.index(now) + 1) % len(positions)]
        if not any(map(_is_number, positions)):
            return self._step_in_words(now if followed is None else followed, to)
        return self._step_in_numbers(now, to is not Step.DOWN, followed)

    def _step_in_words(self, now: str, to: Step) -> str:
        positions = self.positions
        at = (positions.index(now) if now in positions else 0) + (-1 if to is Step.DOWN else 1)
        return positions[max(0, min(at, len(positions) - 1))]

    def _step_in_numbers(self, now: str, up: bool, followed: str | None) -> str:
        positions = self.positions
        if _is_number(now) and now in positions:
            beside = positions.index(now) + (1 if up else -1)
            if 0 < beside < len(positions) - 1 and not _is_number(positions[beside]):
                return positions[beside]
        at = now if _is_number(now) else followed
        level = self._middle(now) if at is None else float(at)
        levels = [text for text in positions if _is_number(text)]
        if up:
            return next((text for text in levels if float(text) > level), now)
        return next((text for text in reversed(levels) if float(text) < level), now)

    def _middle(self, word: str) -> float:
        """Return a number for a word of unknown level: the middle of its neighbours, or of the whole range."""
        positions = self.positions
        at = positions.index(word) if word in positions[1:-1] else len(positions) // 2
        near = [float(text) for text in positions[max(0, at - 1) : at + 2] if _is_number(text)]
        return (near[0] + near[-1]) / 2


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\d+(\.\d+)?", text))


@dataclass(frozen=True, slots=True)
class Choice:
    """A control that chooses one of several names and is not a setting."""

    names: Iterable[str]

    @property
    def positions(self) -> tuple[str, ...]:
        """The names in order."""
        return tuple(self.names)

    def parse(self, text: str) -> Argument:
        """Parse a step or a name; raise ValueError for an unknown name."""
        if text not in _STEPS and text not in self.positions:
            raise ValueError(f"the name must be {' or '.join(self.positions)}, got {text!r}")
        return Step(text) if text in _STEPS else text

    def moved(self, value: int, was_pressed: bool) -> tuple[Argument] | None:
        """Return the position for the controller's value."""
        return (_along(self.positions, value),)


@dataclass(frozen=True, slots=True)
class Switch:
    """A control that is on or off."""

    def parse(self, text: str) -> Argument:
        """Parse "on", "off", or an empty text, which means toggle."""
        if text not in ("", "on", "off"):
            raise ValueError(f"a switch must be on or off, got {text!r}")
        return None if not text else text == "on"

    def moved(self, value: int, was_pressed: bool) -> tuple[Argument] | None:
        """Return True when the controller is pressed and False when it is released."""
        pressed = value >= PRESSED
        return (pressed,) if pressed != was_pressed else None


def _nothing(text: str) -> Argument:
    if text:
        raise ValueError(f"nothing can be set here, got {text!r}")
    return None


def _bars(text: str) -> Argument:
    if text and not (text.isdecimal() and 1 <= int(text) <= MOST_BACK):
        raise ValueError(f"a number of bars must be in 1..{MOST_BACK}, got {text!r}")
    return int(text) if text else None


def _file(text: str) -> Argument:
    return text or None


@dataclass(frozen=True, slots=True)
class Act:
    """A control that acts once."""

    parse: Callable[[str], Argument] = _nothing

    def moved(self, value: int, was_pressed: bool) -> tuple[Argument] | None:
        """Act when the controller is pressed."""
        return (None,) if value >= PRESSED and not was_pressed else None


# --- the tables ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModeRow:
    """A mode of playing: the class that implements it (see `musician.modes.Mode`), and a summary for the player."""

    mode: str | Callable[[Any], Any]
    """The class, or its name as "module:class"."""
    summary: str


MODES: dict[str, ModeRow] = {
    "continue": ModeRow("livebach.musician.modes:Continue", "you play, and when you stop, livebach continues"),
    "duet": ModeRow("livebach.musician.modes:Duet", "livebach plays with you all the time, around your keys"),
    "accompany": ModeRow("livebach.musician.modes:Accompany", "livebach plays with you, and stops when you do"),
    "listen": ModeRow("livebach.musician.modes:Listen", "livebach only learns what you play"),
}
"""The modes by the value of `turns.mode`. To add a mode, write a class and add a row."""


@dataclass(frozen=True, slots=True)
class Control:
    """A control that the player can operate while playing.

    `do` is the function that implements the control, called with the musician, the argument and the time. A dial
    without `do` changes its setting. `keys` maps keys of the terminal to arguments. `label` is the text in the
    terminal's line of keys.
    """

    name: str
    kind: Kind
    summary: str
    keys: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    do: str | Callable[..., list[Event]] | None = None


_TONICS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")  # as `music.key` writes them
KEYS = ("null", "auto", *(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in _TONICS))
"""The values of `sampling.key`: no key, the player's key, or one of the 24 keys."""
METRES = ("2/4", "3/4", "4/4", "3/8", "6/8", "9/8", "12/8", "2/2", "3/2")
"""The metres that a dial moves through. Other metres can be set by their name."""
_LEVELS = ("follow", *"01234567")
_REGISTERS = (*map(str, range(40, 61, 4)), "off", *map(str, range(64, 85, 4)))

CONTROLS: dict[str, Control] = {
    control.name: control
    for control in (
        Control(
            "takeover",
            Act(),
            "livebach plays from the next beat, even if you play on. The sustain pedal is cc 64",
            {" ": ""},
            "livebach plays",
            "livebach.musician.actions:take_over",
        ),
        Control(
            "finish",
            Act(),
            "livebach ends with a cadence, within four bars, and waits for you",
            {"f": ""},
            "finish",
            "livebach.musician.actions:finish",
        ),
        Control(
            "mute",
            Switch(),
            "livebach is silent and keeps listening; with a controller, while the controller is pressed",
            {"m": ""},
            "mute",
            "livebach.musician.actions:mute",
        ),
        Control(
            "hold",
            Switch(),
            "livebach holds its sounding notes and strikes no new ones until hold is off",
            {"h": ""},
            "hold",
            "livebach.musician.actions:hold",
        ),
        Control(
            "back",
            Act(_bars),
            f"livebach forgets the last bar and continues from before it. «= 2» to «= {MOST_BACK}»: this many bars",
            {"b": ""},
            "back a bar",
            "livebach.musician.actions:take_back",
        ),
        Control(
            "reset",
            Act(),
            "livebach forgets everything that was played",
            {"r": ""},
            "forget all",
            "livebach.musician.actions:forget",
        ),
        Control(
            "panic",
            Act(),
            "livebach silences everything at once, and waits for you",
            {"p": ""},
            "panic",
            "livebach.musician.actions:panic",
        ),
        Control("mode", Dial("turns.mode", MODES.keys()), "the mode of playing", {"n": ""}, "next mode"),
        Control(
            "tap",
            Act(),
            "set the tempo by tapping the beat, at least three times",
            {"t": ""},
            "tap",
            "livebach.musician.actions:tap",
        ),
        Control(
            "swap",
            Act(_file),  # carried out by live/network_swap.py: it loads a file
            "livebach switches to another network, «= FILE»; without a name, it loads the checkpoint's file again",
            {"c": ""},
            "load the checkpoint again",
        ),
        Control(
            "style",
            Choice(STYLES.keys()),  # carried out by live/network_swap.py, likewise
            "livebach switches to another style: the next one, or «= NAME»",
            {"s": "up", "S": "down"},
            "style",
        ),
        Control(
            "tempo",
            Dial("time.bpm", [str(bpm) for bpm in range(40, 242, 2)]),
            "40 to 240 beats a minute",
            {"<": "down", ">": "up"},
            "tempo",
            "livebach.musician.actions:turn_tempo",
        ),
        Control("metre", Dial("time.metre", METRES), "the metre, from the next bar line on"),
        Control(
            "temperature",
            Dial("sampling.temperature", [f"{n / 20:g}" for n in range(10, 31)]),
            "0.5 to 1.5",
            {"-": "down", "+": "up"},
            "temperature",
        ),
        Control(
            "density",
            Dial("sampling.density", _LEVELS),
            "follow, and 0 to 7",
            {"d": "down", "D": "up", "a": "follow"},
            "density (a: as you play)",
        ),
        Control(
            "polyphony",
            Dial("sampling.polyphony", _LEVELS),
            "follow, and 0 to 7",
            {"v": "down", "V": "up", "A": "follow"},
            "voices (A: as you play)",
        ),
        Control(
            "register",
            Dial("sampling.register", _REGISTERS),
            "40 to 60, off, 64 to 84",
            {"u": "down", "U": "up"},
            "register",
        ),
        Control(
            "register_margin",
            Dial("turns.register_margin", [str(semitones) for semitones in range(25)]),
            "0 to 24",
            {"x": "down", "X": "up"},
            "distance",
        ),
        Control("key", Dial("sampling.key", KEYS), "null, auto, and the 24 keys, starting with C major"),
    )
}
"""The controls by name. To add a control, write a function and add a row."""


def dials() -> dict[str, Dial]:
    """Return the dials by the name of their control."""
    return {name: control.kind for name, control in CONTROLS.items() if isinstance(control.kind, Dial)}


def positions() -> dict[str, tuple[str, ...]]:
    """Return the positions that a controller moves through, by the name of the control."""
    return {
        name: control.kind.positions for name, control in CONTROLS.items() if isinstance(control.kind, Dial | Choice)
    }


def hotkeys() -> dict[str, Command]:
    """Return the command of each key of the terminal."""
    return {
        key: parse_command(control.name, value) for control in CONTROLS.values() for key, value in control.keys.items()
    }


def hotkey_help() -> list[str]:
    """Return the terminal's keys with their labels, such as "</> tempo", in the order of the table."""
    return [
        f"{'/'.join('space' if key == ' ' else key for key in control.keys)} {control.label}"
        for control in CONTROLS.values()
        if control.keys
    ]


def resolve(named: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return the class or function of a row. A name such as "module:name" is imported."""
    return _imported(named) if isinstance(named, str) else named


@cache
def _imported(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = resolve_name(name)
    return found
