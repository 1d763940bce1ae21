"""The player's side of the page of one session: its server, ports, display and requests.

No call waits: a turn of the loop puts its values into the link's queue, and the link's thread formats them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from time import perf_counter
from typing import Any, Self

from livebach.config import Config, to_dict
from livebach.controls import Command, dials, parse_command, positions
from livebach.errors import UserError
from livebach.live.display import DisplayUpdate, Unmoved
from livebach.midi.backends import Backend
from livebach.music.events import Event, NoteOff, NoteOn, to_bytes
from livebach.musician.status import Status
from livebach.web.backend import NAME, BrowserBackend
from livebach.web.browser import open_browser
from livebach.web.link import Link, Message

Commanded = Callable[[Command], None]


class Page(Unmoved):
    """Serves a page until it is closed."""

    def __init__(self, config: Config) -> None:
        self._keyboard, self._sounds = config.midi.input == NAME, config.midi.output == NAME
        self._link = Link(hello(config), config.web.port)
        self._settings = config
        self._network = config.engine.checkpoint
        self.backend: Backend = BrowserBackend(self._link)

    @classmethod
    def open(cls, config: Config) -> Self:
        """Serve a page, and wait until it can be opened. Raises UserError if it cannot be served."""
        if find_spec("websockets") is None:
            raise UserError("the page needs websockets: pip install websockets")
        page = cls(config)
        failure = page._link.wait_ready()
        if failure is not None:
            page.close()
            raise UserError(f"the page cannot be served: {failure}")
        return page

    @property
    def address(self) -> str:
        """The address to open."""
        return self._link.address

    @property
    def address_once(self) -> str:
        """The address to start a browser with. It is valid once."""
        return self._link.address_once

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        return self._link.pid

    def show_take(self, folder: str | None) -> None:
        """Set the folder of the take, so that the page offers it as a MIDI file; None if it is not recorded."""
        self._link.send({"type": "take", "folder": folder}, keep="take")

    def show_network(self, name: str) -> None:
        """Show the style or checkpoint that plays."""
        self._network = name
        self._show_values()

    def obey(self, command: Commanded) -> None:
        """Carry out the page's commands by this function, on the link's thread.

        If the page is the keyboard or the loudspeaker, the music pauses when the page closes.
        """

        def asked(message: Message) -> None:
            with suppress(ValueError):  # a page of another version may have other controls
                command(parse_command(message["name"], message["value"]))

        def pause(_message: Message) -> None:
            if self._keyboard or self._sounds:
                command(Command("panic"))

        self._link.on({"command": asked, "pause": pause})

    def watch(self, status: Status, heard: Sequence[Event], sent: Sequence[Event]) -> None:
        """Show a turn of the loop."""
        now_s = perf_counter()
        self._link.send(lambda: turn(now_s, status, heard, sent))
        if status.settings is not None and status.settings is not self._settings:
            self._settings = status.settings
            self._show_values()

    def _show_values(self) -> None:
        """Show the positions of the dials, and the style."""
        settings, network = self._settings, self._network
        self._link.send(
            lambda: {"type": "settings", "values": {**dial_values(settings), "style": network}}, keep="settings"
        )

    def show(self, seen: DisplayUpdate) -> None:
        """Show a warning or the ports. Turns come by `watch`, which knows more about them."""
        if seen.ports:
            self._link.send({"type": "ports", "ports": [list(port) for port in seen.ports]}, keep="ports")
        elif seen.text and seen.level != "info":  # the others are about the terminal, such as Ctrl-C
            self._link.send({"type": "text", "text": seen.text, "level": seen.level})

    def check(self) -> str | None:
        """Restart the server if it has ended; return a sentence that says so, else None."""
        return self._link.check()

    def close(self) -> None:
        """End the server. A second call does nothing."""
        self._link.close()


def show_page(config: Config) -> Page:
    """Serve a page, print its address, and open the browser if the settings say so and there is one."""
    page = Page.open(config)
    sys.stdout.write(f"The page: {page.address}\n")
    sys.stdout.flush()
    if config.web.open:
        open_browser(page.address_once)
    return page


def hello(config: Config) -> Message:
    """Return the first message to a page."""
    first = config.midi.output_channel - 1
    return {
        "type": "hello",
        "keyboard": config.midi.input == NAME,  # whether the page is a keyboard
        "sounds": config.midi.output == NAME,
        "delay_ms": config.web.delay_ms,
        "channels": list(range(first, first + (config.sound.voices or 1))),
        "dials": positions(),
        "instrument": config.sound.instrument,
        "temperament": config.sound.temperament,
        "pitch": round(config.sound.pitch_hz, 1),
    }


def turn(at_s: float, status: Status, heard: Sequence[Event], sent: Sequence[Event]) -> Message:
    """Return a turn of the loop as a message; times are seconds of the player's clock."""
    mark = status.mark
    return {
        "type": "turn",
        "at": at_s,
        "state": status.state,
        "mode": status.mode,
        "on": [*["mute"] * status.muted, *["hold"] * status.holding],
        "bpm": status.bpm,
        "metre": status.metre,
        "bar": status.bar,
        "beat": status.beat,
        "missed": status.missed,
        "load": status.load,
        "player": status.player_keys,
        "own": status.own_keys,
        "heard": _notes(heard),
        "sent": _notes(sent),
        "mark": None if mark is None else [mark.time_s, mark.bar],
    }


def _notes(events: Sequence[Event]) -> list[list[int]]:
    return [list(to_bytes(event)) for event in events if isinstance(event, NoteOn | NoteOff)]


def dial_values(config: Config) -> dict[str, str]:
    """Return the position of each dial."""
    values: dict[str, dict[str, Any]] = to_dict(config)
    out = {}
    for name, dial in dials().items():
        section, _, key = dial.setting.partition(".")
        value = values[section][key]
        out[name] = "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return out
