"""Tests the page: serves it, and exchanges messages with it as a browser does."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from time import perf_counter
from urllib.parse import urlsplit

from livebach.config import Config, with_value
from livebach.errors import UserError
from livebach.web.access import HOST
from livebach.web.browser import can_open
from livebach.web.page import Page

QUESTIONS = 50
LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class PageFindings:
    """The findings: the time until the page was served, the round trips of messages, and missing parts.

    Attributes:
        ready_s: from the start of the server until it listens, in seconds.
        trips_s: how long each question took to be answered, in seconds.
        browser: whether there is a browser that `livebach web` can open.
        failure: why the page cannot be served, in one line; None where it can.

    """

    ready_s: float = 0.0
    trips_s: tuple[float, ...] = ()
    browser: bool = False
    failure: str | None = None


def examine_page(config: Config) -> PageFindings:
    """Serve a page for a moment, on any free port, and measure it."""
    began_s = perf_counter()
    try:
        with closing(Page.open(with_value(config, "web.port", 0))) as page:
            ready_s = perf_counter() - began_s
            return PageFindings(ready_s, tuple(_round_trips(page.address)), can_open())
    except (UserError, OSError, TimeoutError) as error:
        return PageFindings(failure=str(error))


def _round_trips(address: str) -> list[float]:
    """Log in as a browser does, and ask for the time repeatedly; return the round trips in seconds."""
    from websockets.sync.client import connect
    from websockets.typing import Origin

    parts = urlsplit(address)
    origin = Origin(f"http://{HOST}:{parts.port}")
    with closing(HTTPConnection(HOST, parts.port or 0, timeout=LIMIT_S)) as connection:
        connection.request("GET", f"/?{parts.query}")
        cookie = connection.getresponse().getheader("Set-Cookie", "").partition(";")[0]
    trips = []
    headers = {"Cookie": cookie}
    live = connect(f"ws://{HOST}:{parts.port}/live", additional_headers=headers, origin=origin, proxy=None)
    with live as socket:
        for number in range(QUESTIONS):
            sent_s = perf_counter()
            socket.send(json.dumps({"type": "clock", "sent": number}))
            while json.loads(socket.recv(LIMIT_S)).get("sent") != number:
                pass
            trips.append(perf_counter() - sent_s)
    return trips
