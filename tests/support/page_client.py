"""A program in place of the browser: it logs in with the printed address, and talks to the page's server."""

from __future__ import annotations

import contextlib
import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

LIMIT_S = 10.0


def cookie_of(address: str) -> str:
    """Open the address that livebach prints; return its cookie."""
    parts = urlsplit(address)
    with contextlib.closing(HTTPConnection("127.0.0.1", parts.port or 0, timeout=LIMIT_S)) as connection:
        connection.request("GET", f"/?{parts.query}")
        return connection.getresponse().getheader("Set-Cookie", "").partition(";")[0]


def open_page(port: int, cookie: str, **more: Any) -> Any:
    """Open the WebSocket as the page does; `more` replaces or adds options."""
    client = pytest.importorskip("websockets.sync.client", reason="needs websockets")
    headers = {"Cookie": cookie, **more.pop("headers", {})}
    usual = {"origin": f"http://127.0.0.1:{port}", "ping_interval": None, "close_timeout": 1.0, "proxy": None}
    address = f"ws://127.0.0.1:{port}/live"
    return client.connect(address, additional_headers=headers, **{**usual, **more}).__enter__()


def received(page: Any, kind: str) -> dict[str, Any]:
    """Return the next message of a type."""
    while True:
        message: dict[str, Any] = json.loads(page.recv(LIMIT_S))
        if message["type"] == kind:
            return message
