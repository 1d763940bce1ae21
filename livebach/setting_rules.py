"""Rules for settings: each reads a value or refuses it, and says in words what is allowed.

The module does not know which settings exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from livebach.music.key import Key
from livebach.music.metre import Metre

SHORTEST_QUOTE = 13
"""Notes. The hashes of a checkpoint stand for runs of so many notes, so no shorter limit can be checked."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting may be, in words, and how it is read: `read` returns the value or raises ValueError."""

    words: str | Callable[[], str]
    """What is allowed; a function where that may change while the program runs."""
    read: Callable[[Any], Any]

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        return self.words if isinstance(self.words, str) else self.words()

    def takes(self, value: Any) -> bool:
        """Whether a value is allowed."""
        try:
            self.read(value)
        except ValueError:
            return False
        return True


def _refuse(*_: Any) -> Any:
    raise ValueError


def number(low: float, high: float, kind: type = float) -> Rule:
    """Return a rule that allows a number of a kind from `low` to `high`."""

    def read(value: Any) -> Any:
        right = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        return kind(value) if right and low <= value <= high else _refuse()  # nan is in no bounds

    noun = "a whole number" if kind is int else "a number"
    return Rule(f"{noun} in {low}..{high}", read)


def text() -> Rule:
    """A text that is not empty, and can be a name: no NUL, no half of a character but those of a file's name."""

    def read(value: Any) -> str:
        right = (
            isinstance(value, str) and value.strip() and "\0" not in value and value.encode("utf-8", "surrogateescape")
        )
        return str(value if right else _refuse())

    return Rule("a text", read)


def switch() -> Rule:
    """Return a rule that allows on and off."""
    return Rule("on or off", lambda value: value if isinstance(value, bool) else _refuse())


def one_of(*words: str) -> Rule:
    """Return a rule that allows one of a few words."""

    def read(value: Any) -> Any:
        word = "off" if value is False else value  # YAML reads a bare «off» as false
        return word if isinstance(word, str) and word in words else _refuse()

    return Rule(" or ".join(words), read)


def name_of(names: Callable[[], Sequence[str]]) -> Rule:
    """Return a rule that allows the names of a table; the table may grow while the program runs."""

    def read(value: Any) -> Any:
        return value if value in names() else _refuse()

    return Rule(lambda: " or ".join(names()), read)


def either(*rules: Rule) -> Rule:
    """Return a rule that allows what any of these rules allows."""

    def read(value: Any) -> Any:
        for rule in rules:
            try:
                return rule.read(value)
            except ValueError:
                continue
        return _refuse()

    return Rule(" or ".join(rule.allowed for rule in rules), read)


def optional(rule: Rule) -> Rule:
    """Return a rule that allows what the rule allows, or null."""
    return Rule(f"{rule.allowed}, or null", lambda value: None if value is None else rule.read(value))


def metre() -> Rule:
    """Return a rule that allows a time signature."""

    def read(value: Any) -> Metre:
        return value if isinstance(value, Metre) else Metre.parse(value if isinstance(value, str) else _refuse())

    return Rule("like 3/4: 1..32 over 1, 2, 4, 8, 16 or 32", read)


def key() -> Rule:
    """Return a rule that allows a musical key, kept as it is written out: «D minor»."""

    def read(value: Any) -> str:
        return str(Key.parse(value if isinstance(value, str) else _refuse()))

    return Rule("a key like 'd minor' or 'Bb major'", read)
