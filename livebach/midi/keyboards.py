"""The keyboard that is there, for somebody who names none: the only one, or the first that is plugged in later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from livebach.midi.backends import Backend
from livebach.midi.port_names import CLIENT, PortError, one_per_client, plain
from livebach.midi.ports import Callback, InputPort

ANY = "any keyboard"
"""What stands in place of a name while there is no keyboard."""
LOOPBACKS = ("midithrough", "iacdriver", "loopmidi", "loopbe", "networksession", "rtpmidi")
"""What ports are called, in plain letters, that only pass on what another program sends."""


def keyboards(names: Sequence[str]) -> list[str]:
    """Return the ports that may be a keyboard: neither this program's own nor a loop, one for each device."""
    return one_per_client([name for name in names if _may_be_keyboard(plain(name))])


def _may_be_keyboard(name: str) -> bool:
    return not name.startswith(CLIENT) and not any(loopback in name for loopback in LOOPBACKS)


def keyboards_here(backends: Sequence[Backend]) -> list[tuple[Backend, str]]:
    """Return the keyboards of the first back-end that has any: another one may show the same ones again."""
    for backend in backends:
        try:
            found = keyboards(backend.input_names())
        except PortError:  # it does not run
            continue
        if found:
            return [(backend, name) for name in found]
    return []


class AnyKeyboard(InputPort):
    """Hears the first keyboard that is there; when it is unplugged, the same one again or else the next one."""

    @classmethod
    def open_any(cls, api: str | None, callback: Callback, *, backends: Sequence[Backend] | None = None) -> Self:
        """Hear a keyboard, now or as soon as there is one.

        Args:
            api: The back-end to look at, as the table names it; None for all.
            callback: Takes each message and the time when it was played.
            backends: Look here, not in the table.

        Raises:
            PortError: No back-end is installed.

        """
        return cls.open(ANY, api, callback, wait=True, backends=backends)

    def _connect(self, wanted: str) -> None:
        found = keyboards_here(self._backends)
        if not found:
            raise PortError("there is no MIDI keyboard")
        self._take(*next((place for place in found if place[1] == wanted), found[0]))
