"""The open pages, and the one that plays. It takes messages and returns actions. The caller gives the times.

One page plays, the others watch and steer. A page that opens while no page plays becomes the one that plays. Another
page takes over on request. This module sends nothing itself: it returns the actions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from livebach.web import messages
from livebach.web.messages import MessageError

MOST_PAGES = 8
MESSAGES_A_SECOND, BURST = 300.0, 600.0
"""The most messages of a page per second on average, and at once. Ten fingers and a pedal send fewer."""
SILENCE_S = 8.0
"""A page that does not answer pings for this time is dropped."""
TEXTS = 20
POLICY, TRY_LATER = 1008, 1013
"""Reasons for closing a WebSocket (RFC 6455, section 7.4, and IANA's registry)."""

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToPlayer:
    """Send this message to livebach's player process."""

    message: Message


@dataclass(frozen=True, slots=True)
class ToPage:
    """Send this message to a page."""

    page: int
    message: Message


@dataclass(frozen=True, slots=True)
class Close:
    """Close a page's connection, for this reason."""

    page: int
    code: int
    reason: str


Action = ToPlayer | ToPage | Close


@dataclass(slots=True)
class _Page:
    """The state of a page."""

    heard_s: float
    budget: float = BURST


@dataclass(slots=True)
class _Known:
    """The messages for a page that opens later."""

    latest: dict[str, Message] = field(default_factory=dict)  # the newest message of some types
    texts: deque[Message] = field(default_factory=lambda: deque(maxlen=TEXTS))


class Room:
    """All pages of one session. Pages are numbers, which are never used again."""

    def __init__(self, hello: Message) -> None:
        self._hello = hello
        self._pages: dict[int, _Page] = {}
        self._number = 0
        self._plays: int | None = None
        self._known = _Known()
        self._receivers: dict[str, Callable[[int, Message, float], list[Action]]] = {
            "midi": self._midi,
            "command": self._command,
            "clock": self._clock,
            "play": self._play,
        }

    @property
    def pages(self) -> list[int]:
        """The open pages."""
        return list(self._pages)

    @property
    def plays(self) -> int | None:
        """The page that plays; None if there is none."""
        return self._plays

    def join(self, now_s: float) -> tuple[int | None, list[Action]]:
        """Let a page in, and return its number and actions; None as its number if there are too many pages."""
        if len(self._pages) >= MOST_PAGES:
            return None, []
        self._number += 1
        page = self._number
        self._pages[page] = _Page(now_s)
        if self._plays is None:
            self._plays = page
        greeting = [self._hello, *self._known.latest.values(), *self._known.texts]
        return page, [*(ToPage(page, message) for message in greeting), *self._roles()]

    def leave(self, page: int) -> list[Action]:
        """Remove a page that has closed. If it played, its keys are released and the music pauses."""
        if self._pages.pop(page, None) is None or page != self._plays:
            return []
        self._plays = None
        return [ToPlayer({"type": "release"}), ToPlayer({"type": "pause"}), *self._roles()]

    def receive(self, page: int, text: str | bytes, now_s: float) -> list[Action]:
        """Take a message of a page. A page that breaks the rules is closed."""
        state = self._pages.get(page)
        if state is None:
            return []
        gained = (now_s - state.heard_s) * MESSAGES_A_SECOND
        state.budget, state.heard_s = min(BURST, state.budget + gained) - 1, now_s
        if state.budget < 0:
            return [Close(page, POLICY, f"more than {MESSAGES_A_SECOND:g} messages a second")]
        try:
            message = messages.read(text)
        except MessageError as error:
            return [Close(page, POLICY, str(error))]
        return self._receivers[message["type"]](page, message, now_s)

    def tell(self, message: Message) -> list[Action]:
        """Send a message of the player's to all pages, and keep the messages that later pages need."""
        if message["type"] == "text":
            self._known.texts.append(message)
        elif message["type"] in ("turn", "ports", "settings", "take"):
            self._known.latest[message["type"]] = message
        return self._all(message)

    def ping(self, now_s: float) -> list[Action]:
        """Ping every page. Pages that have not answered for too long are closed."""
        stalled = [page for page, state in self._pages.items() if now_s - state.heard_s > SILENCE_S]
        return [*(Close(page, TRY_LATER, "no answer") for page in stalled), *self._all({"type": "ping"})]

    # --- messages ----------------------------------------------------------------------------------------------------

    def _midi(self, page: int, message: Message, now_s: float) -> list[Action]:
        """Let a page play at its first key, if no page plays."""
        roles: list[Action] = []
        if self._plays is None:
            self._plays = page
            roles = self._roles()
        return [*roles, ToPlayer(message)] if page == self._plays else []

    def _command(self, _page: int, message: Message, _now_s: float) -> list[Action]:
        return [ToPlayer(message)]

    def _clock(self, page: int, message: Message, now_s: float) -> list[Action]:
        return [ToPage(page, {"type": "clock", "sent": message["sent"], "now": now_s})]

    def _play(self, page: int, _message: Message, _now_s: float) -> list[Action]:
        if page == self._plays:
            return []
        released: list[Action] = [] if self._plays is None else [ToPlayer({"type": "release"})]
        self._plays = page
        return [*released, *self._roles()]

    def _roles(self) -> list[Action]:
        """Return messages that tell every page whether it plays, and whether any page does."""
        return [
            ToPage(page, {"type": "role", "plays": page == self._plays, "taken": self._plays is not None})
            for page in self._pages
        ]

    def _all(self, message: Message) -> list[Action]:
        pages: Iterable[int] = self._pages
        return [ToPage(page, message) for page in pages]
