"""The browser as a MIDI back-end: an input for notes played on the page, and an output that sounds on the page.

An event with a due time sounds a constant delay after this time. An event without one (the player's own, passed on by
thru) sounds at once. If the page is the keyboard, it has sounded the event already, so the event is not sent back.
"""

from __future__ import annotations

from collections.abc import Callable

from livebach.midi.active_notes import ActiveNotes
from livebach.midi.backends import Backend, Receive
from livebach.web.link import Link, Message

NAME = "browser"
"""The name of both ports."""


class BrowserInput:
    """The input from the page. When the page closes, its held keys are released."""

    def __init__(self, link: Link, receive: Receive) -> None:
        self._link = link
        self._receive = receive
        self._held = ActiveNotes()
        self._closed = False
        link.on({"midi": self._midi, "release": self._release})

    @property
    def alive(self) -> bool:
        """Always True: a server that has ended is restarted (`Link.check`), and until then no key is held."""
        return True

    def close(self) -> None:
        """Stop receiving."""
        self._closed = True

    def _midi(self, message: Message) -> None:
        self._take(bytes(message["data"]))

    def _take(self, data: bytes) -> None:
        if not self._closed:
            self._held.update(data)
            self._receive(data)

    def _release(self, _message: Message) -> None:
        for data in self._held.endings():
            self._take(data)


class BrowserOutput:
    """The output that sounds on the page."""

    def __init__(self, link: Link, heard: Callable[[], bool]) -> None:
        self._link = link
        self._heard = heard  # whether the page is the keyboard
        self._closed = False

    @property
    def alive(self) -> bool:
        """Always True, as for the input."""
        return True

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Send one MIDI message with its due time. Without a time it sounds at once."""
        if not self._closed and (due_s is not None or not self._heard()):
            self._link.send({"type": "midi", "data": list(data), "due": due_s})

    def close(self) -> None:
        """Stop sending."""
        self._closed = True


class BrowserBackend(Backend):
    """The ports of one page's server."""

    name = NAME
    needs_guard = False  # a page whose server has ended falls silent by itself

    def __init__(self, link: Link) -> None:
        self._link = link
        self._input: BrowserInput | None = None

    def input_names(self) -> list[str]:
        """Return the one port there is."""
        return [NAME]

    def output_names(self) -> list[str]:
        """Return the one port there is."""
        return [NAME]

    def open_input(self, name: str, receive: Receive) -> BrowserInput:
        """Open the input from the page."""
        self._input = BrowserInput(self._link, receive)
        return self._input

    def open_output(self, name: str) -> BrowserOutput:
        """Open the output that sounds on the page."""
        return BrowserOutput(self._link, lambda: self._input is not None)
