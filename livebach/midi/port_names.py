"""The names of MIDI ports, and finding the port that a name given by the user means.

Pure: knows the form of names on ALSA, JACK and other systems, and is given the names that exist.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import normalize

from livebach.errors import UserError

VIRTUAL = "virtual"
CLIENT = "livebach"
LINK = "link"  # the name of our own end of a connection, which is left out of lists

_ALSA = re.compile(r"^(?P<client>.*?):(?P<port>.*) (?P<number>\d+):(?P<index>\d+)$")
_OWN = re.compile(rf"^{CLIENT}(-\d+)*:({LINK}|RtMidi)\b")  # rtmidi2 calls its own ends RtMidi


class PortError(UserError):
    """A port or back-end cannot be used; the message says which, why, and what there is instead."""


def plain(name: str) -> str:
    """Return a name without case, spaces and punctuation; macOS spells é in two characters, a keyboard in one."""
    return "".join(c for c in normalize("NFC", normalize("NFC", name).casefold()) if c.isalnum())


def unnumbered(name: str) -> str:
    """Return a name without ALSA's client and port number, which change from one day to the next."""
    found = _ALSA.match(name)
    return f"{found['client']}:{found['port']}" if found else name


def others(names: Sequence[str]) -> list[str]:
    """Return the names that are not the ends of our own connections."""
    return [name for name in names if not _OWN.match(name)]


def _forms(name: str) -> tuple[set[str], set[str]]:
    """Return what counts as the name itself: literally, and without case and punctuation."""
    found = _ALSA.match(name)
    if not found:
        return {name}, {plain(name)}
    forms = {name, unnumbered(name)}
    address = f"{found['number']}:{found['index']}"
    return forms | {address}, {plain(form) for form in (*forms, found["client"])}


def one_per_client(names: Sequence[str]) -> list[str]:
    """Keep the first port of each ALSA client: several ports of one client are one match."""
    first: dict[str, str] = {}
    for name in names:
        found = _ALSA.match(name)
        first.setdefault(f"{found['client']}:{found['number']}" if found else name, name)
    return list(first.values())


def matches(names: Sequence[str], wanted: str) -> list[str]:
    """Return the ports that `wanted` may mean: those named exactly so if any, else those that contain it."""
    target, wanted = plain(wanted), normalize("NFC", wanted)
    literal = [name for name in names if wanted in _forms(normalize("NFC", name))[0]]
    same = [name for name in names if target in _forms(name)[1]] if target else []
    part = [name for name in names if target in plain(name)] if target else []
    return one_per_client(literal or same or part)


def find_port(names: Sequence[str], wanted: str, kind: str = "MIDI port") -> str:
    """Return the one port that `wanted` means, or raise a PortError that lists the ports."""
    found = matches(names, wanted)
    if len(found) == 1:
        return found[0]
    if found:
        raise PortError(f"{kind} {wanted!r} may be {_listed(found, ' or ')}; give more of the name")
    there = f"there are {_listed(names, ', ')}" if names else "there is none at all"
    raise PortError(f"no {kind} matches {wanted!r}; {there}")


def _listed(names: Sequence[str], separator: str) -> str:
    return separator.join(repr(name) for name in names)
