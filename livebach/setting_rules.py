"""Rules for settings. A rule reads or refuses a value, and describes the allowed values in words.

This module does not know which settings exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from livebach.music.key import Key
from livebach.music.metre import Metre
from livebach.music.touch import STEPS_PER_QUARTER

SHORTEST_QUOTE = 13
"""The shortest quotation, in notes, that can be checked: a checkpoint stores hashes of runs of this length."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The allowed values of a setting, in words, and a function that reads a value or raises ValueError."""

    words: str | Callable[[], str]
    """The allowed values in words, or a function that returns them if they can change while the program runs."""
    read: Callable[[Any], Any]

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        return self.words if isinstance(self.words, str) else self.words()

    def takes(self, value: Any) -> bool:
        """Return whether a value is allowed."""
        try:
            self.read(value)
        except ValueError:
            return False
        return True


def _refuse(*_: Any) -> Any:
    raise ValueError


def number(low: float, high: float, kind: type = float) -> Rule:
    """Return a rule for numbers of type `kind` from `low` to `high`."""

    def read(value: Any) -> Any:
        right = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        return kind(value) if right and low <= value <= high else _refuse()  # nan fails the comparison

    noun = "a whole number" if kind is int else "a number"
    return Rule(f"{noun} in {low}..{high}", read)


def text() -> Rule:
    """Return a rule for non-empty texts that can be names: no NUL, and no surrogates but those of file names."""

    def read(value: Any) -> str:
        right = (
            isinstance(value, str) and value.strip() and "\0" not in value and value.encode("utf-8", "surrogateescape")
        )
        return str(value if right else _refuse())

    return Rule("a text", read)


def switch() -> Rule:
    """Return a rule for on and off."""
    return Rule("on or off", lambda value: value if isinstance(value, bool) else _refuse())


def one_of(*words: str) -> Rule:
    """Return a rule for one of these words."""

    def read(value: Any) -> Any:
        word = "off" if value is False else value  # YAML reads a bare «off» as false
        return word if isinstance(word, str) and word in words else _refuse()

    return Rule(" or ".join(words), read)


def name_of(names: Callable[[], Sequence[str]]) -> Rule:
    """Return a rule for the names of a table, which may grow while the program runs."""

    def read(value: Any) -> Any:
        return value if value in names() else _refuse()

    return Rule(lambda: " or ".join(names()), read)


def either(*rules: Rule) -> Rule:
    """Return a rule that allows a value if any of these rules allows it."""

    def read(value: Any) -> Any:
        for rule in rules:
            try:
                return rule.read(value)
            except ValueError:
                continue
        return _refuse()

    return Rule(" or ".join(rule.allowed for rule in rules), read)


def optional(rule: Rule) -> Rule:
    """Return a rule that also allows null."""
    return Rule(f"{rule.allowed}, or null", lambda value: None if value is None else rule.read(value))


def metre() -> Rule:
    """Return a rule for time signatures whose bars have a whole number of 16ths."""

    def read(value: Any) -> Metre:
        metre = value if isinstance(value, Metre) else Metre.parse(value if isinstance(value, str) else _refuse())
        return metre if metre.fits(STEPS_PER_QUARTER) else _refuse()

    return Rule("like 3/4: 1..32 over 1, 2, 4, 8 or 16, or an even number over 32", read)


def key() -> Rule:
    """Return a rule for musical keys. The value is the full name, such as "D minor"."""

    def read(value: Any) -> str:
        return str(Key.parse(value if isinstance(value, str) else _refuse()))

    return Rule("a key like 'd minor' or 'Bb major'", read)
