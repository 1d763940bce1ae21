"""The messages that a page may send, as a table of schemas. Everything else is refused.

A message is a JSON object with a `type` and exactly the fields of that type. This module has no I/O.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from livebach.controls import CONTROLS, parse_command

LONGEST = 512
"""Bytes of the longest message that a page may send."""
LONGEST_VALUE = 24
COMMANDS = CONTROLS.keys() - {"swap"}
"""The commands that a page may send. `swap` reads a file of any name, so no page may send it."""

_LENGTHS = {0x80: 3, 0x90: 3, 0xB0: 3}  # note-off, note-on, control change
_SHOWN = 40


class MessageError(Exception):
    """A page has sent a message that no schema allows. The text names the field and the allowed values."""


@dataclass(frozen=True, slots=True)
class Field:
    """The allowed values of a field."""

    allowed: str
    fits: Callable[[Any], bool]


def _is_midi(value: Any) -> bool:
    """Return whether this is one whole note-on, note-off or control change."""
    if not isinstance(value, list) or not all(type(byte) is int and 0 <= byte <= 255 for byte in value):
        return False
    return bool(value) and _LENGTHS.get(value[0] & 0xF0) == len(value) and max(value[1:]) < 0x80


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= 1e15


def _is_value(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_VALUE and value.isascii() and value.isprintable()


SCHEMAS: Mapping[str, Mapping[str, Field]] = {
    "midi": {"data": Field("a note-on, note-off or control change as a list of 3 bytes", _is_midi)},
    "command": {
        "name": Field(f"one of {', '.join(sorted(COMMANDS))}", lambda name: isinstance(name, str) and name in COMMANDS),
        "value": Field(f"printable ASCII of at most {LONGEST_VALUE} characters", _is_value),
    },
    "clock": {"sent": Field("a time of the page's in milliseconds", _is_time)},
    "play": {},
}
"""The fields of each type of message. `midi`: a key, pedal or controller has moved. `command`: see `controls`.
`clock`: the page asks for the time. `play`: this page wants to be the one that plays."""


def read(text: str | bytes) -> dict[str, Any]:
    """Parse a message; raise MessageError if it has none of the forms in `SCHEMAS`."""
    if isinstance(text, bytes):
        raise MessageError("a message must be text, got bytes")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise MessageError(f"a message must be JSON, got {_shown(text)}") from None
    if not isinstance(message, dict):
        raise MessageError(f"a message must be a JSON object, got {_shown(message)}")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in SCHEMAS:
        raise MessageError(f"type must be one of {', '.join(SCHEMAS)}, got {_shown(kind)}")
    schema = SCHEMAS[kind]
    if message.keys() != {"type", *schema}:
        fields = " and ".join(schema) or "no field"
        raise MessageError(f"{kind} must have {fields}, got {_shown(sorted(message.keys() - {'type'}))}")
    for name, field in schema.items():
        if not field.fits(message[name]):
            raise MessageError(f"{kind}.{name} must be {field.allowed}, got {_shown(message[name])}")
    if kind == "command" and not _can_be(message["name"], message["value"]):
        raise MessageError(f"command.value must be a value of {message['name']}, got {_shown(message['value'])}")
    return message


def _can_be(name: str, value: str) -> bool:
    """Return whether a command may have this value. The values of settings are checked later, by their rules."""
    try:
        return parse_command(name, value) is not None
    except ValueError:
        return False


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
