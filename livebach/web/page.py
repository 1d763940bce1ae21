"""The page of one session on the player's side: its server, its ports, its display, and its requests.

No call waits: a turn of the loop puts its values into the link's queue, and the link's thread formats them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from time import perf_counter
from typing import Any, Self

from livebach.config import Config, to_dict, with_value
from livebach.controls import Command, dials, parse_command, positions
from livebach.errors import UserError
from livebach.live.display import DisplayUpdate, Unmoved
from livebach.midi.backends import Backend
from livebach.music.events import Event, NoteOff, NoteOn, to_bytes
from livebach.musician.status import Status
from livebach.web.backend import NAME, BrowserBackend
from livebach.web.browser import open_browser
from livebach.web.link import Link, Message
from livebach.web.messages import METRE

Commanded = Callable[[Command], None]
METRES = ("2/4", "3/4", "4/4", "3/8", "6/8", "9/8", "12/8", "2/2", "3/2")
"""Those that the page offers; others may be set when livebach is started."""


class Page(Unmoved):
    """Serves a page from its making on, until it is closed."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._keyboard, self._sounds = config.midi.input == NAME, config.midi.output == NAME
        self._link = Link(hello(config), config.web.port)
        self._settings: Config | None = None
        self.next: Config | None = None
        """The settings of another take that the page has asked for."""
        self.backend: Backend = BrowserBackend(self._link)

    @classmethod
    def open(cls, config: Config) -> Self:
        """Serve a page, and wait until it can be opened; UserError where it cannot be served."""
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
        """The address to start a browser with: good for one time."""
        return self._link.address_once

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        return self._link.pid

    def show_take(self, folder: str | None) -> None:
        """Tell which folder the take is kept in, so that it can be had as a MIDI file."""
        self._link.send({"type": "take", "folder": folder}, keep="take")

    def obey(self, command: Commanded, end: Callable[[], None]) -> None:
        """Have the page's commands done, on the link's thread; `end` ends the take.

        Where the page is the keyboard or the loudspeaker, the music pauses when it goes.
        """

        def asked(message: Message) -> None:
            name, value = message["name"], message["value"]
            if name == METRE:
                self._change_metre(value, end)
            else:
                with suppress(ValueError):  # the page's list is older than the table: nothing is asked
                    command(parse_command(name, value))

        def pause(_message: Message) -> None:
            if self._keyboard or self._sounds:
                command(Command("panic"))

        self._link.on({"command": asked, "pause": pause})

    def _change_metre(self, value: str, end: Callable[[], None]) -> None:
        """End the take; the next one has the settings as they stand now, and this metre."""
        try:
            self.next = with_value(self._settings or self._config, "time.metre", value)
        except UserError:
            return
        end()

    def take_next(self) -> Config | None:
        """Return `next`, once."""
        config, self.next = self.next, None
        if config is not None:
            self._config = config
            self._settings = None
        return config

    def watch(self, status: Status, heard: Sequence[Event], sent: Sequence[Event]) -> None:
        """Show a turn of the loop."""
        now_s = perf_counter()
        self._link.send(lambda: turn(now_s, status, heard, sent))
        if status.settings is not None and status.settings is not self._settings:
            self._settings = settings = status.settings
            self._link.send(lambda: {"type": "settings", "values": dial_values(settings)}, keep="settings")

    def show(self, seen: DisplayUpdate) -> None:
        """Show a text or the ports; turns come by `watch`, with more in them."""
        if seen.ports:
            self._link.send({"type": "ports", "ports": [list(port) for port in seen.ports]}, keep="ports")
        elif seen.text:
            self._link.send({"type": "text", "text": seen.text, "level": seen.level})

    def check(self) -> str | None:
        """Start the server again if it has ended; a sentence when that was so."""
        return self._link.check()

    def close(self) -> None:
        """End it; again does nothing."""
        self._link.close()


def show_page(config: Config) -> Page:
    """Serve a page, print its address, and open the browser where that is wanted and can be."""
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
        "dials": {METRE: METRES, **positions()},
        "instrument": config.sound.instrument,
        "temperament": config.sound.temperament,
        "pitch": round(config.sound.pitch_hz, 1),
        "style": config.engine.checkpoint,  # as it begins
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
        "mark": None if mark is None else [mark.quarters, mark.time_s],
    }


def _notes(events: Sequence[Event]) -> list[list[int]]:
    return [list(to_bytes(event)) for event in events if isinstance(event, NoteOn | NoteOff)]


def dial_values(config: Config) -> dict[str, str]:
    """Return where each dial stands, as its positions are written."""
    values: dict[str, dict[str, Any]] = to_dict(config)
    out = {METRE: str(config.time.metre)}
    for name, dial in dials().items():
        section, _, key = dial.setting.partition(".")
        value = values[section][key]
        out[name] = "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return out
