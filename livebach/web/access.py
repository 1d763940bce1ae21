"""Access to the server, as in Jupyter Server: only a browser that has the token gets in, and only with this page.

The address to open holds a random token. The server answers with a cookie, and redirects the browser to the address
without the token. From then on the cookie is required. The printed address may be opened again. The address that a
browser is started with has a token of its own, which is valid once, because other users of the machine can read
command lines. SameSite=Strict keeps other sites from using the cookie, and HttpOnly keeps scripts from reading it.
Host is checked because another site may have its name point to 127.0.0.1 (DNS rebinding). Origin is checked because
browsers let any page open a WebSocket to any address. This module has no I/O: it sees requests as values.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

HOST = "127.0.0.1"
"""The only address that the server listens on."""
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request that decide about access. A missing header is an empty sequence."""

    path: str
    host: Sequence[str] = ()
    origin: Sequence[str] = ()
    cookie: Sequence[str] = ()
    fetch_site: Sequence[str] = ()
    upgrade: bool = False  # whether it asks for a WebSocket


class Verdict(Enum):
    """The decision about a request."""

    ADMIT = "admit"
    WELCOME = "welcome"  # the token was right: give the cookie, and send the browser on to the address without it
    WRONG_HOST = "The Host of this request is not this server's."
    WRONG_ORIGIN = "The Origin of this request is not this server's page."
    STRANGER = "Open the address that livebach printed in the terminal: it holds the key to this page."


def _secret() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class Keys:
    """The tokens of the two addresses and the cookie's value, all random and of one run. An empty `once` was used."""

    token: str = field(default_factory=_secret, repr=False)
    once: str = field(default_factory=_secret, repr=False)
    cookie: str = field(default_factory=_secret, repr=False)


class Gate:
    """Judges requests to one port."""

    def __init__(self, keys: Keys, port: int) -> None:
        self._keys = keys
        self._tokens = {keys.token, keys.once} - {""}
        self._hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        self._cookie_name = f"livebach-{port}"  # to a browser, all ports of a host share their cookies

    def judge(self, request: Request) -> Verdict:
        """Decide about a request: Host first, then Origin, then token or cookie."""
        if len(request.host) != 1 or request.host[0].lower() not in self._hosts:
            return Verdict.WRONG_HOST
        if not self._is_own_origin(request):
            return Verdict.WRONG_ORIGIN
        if not request.upgrade and self._has_token(request.path):
            return Verdict.WELCOME
        return Verdict.ADMIT if self._has_cookie(request.cookie) else Verdict.STRANGER

    def set_cookie(self) -> str:
        """Return the value of the header Set-Cookie that lets a browser in."""
        return f"{self._cookie_name}={self._keys.cookie}; Path=/; HttpOnly; SameSite=Strict"

    def _is_own_origin(self, request: Request) -> bool:
        """Return whether the request comes from this page. Only a WebSocket must have an Origin."""
        if request.upgrade or request.origin:
            # The Host has been checked before. To a browser, localhost and 127.0.0.1 are different origins.
            return tuple(request.origin) == (f"http://{request.host[0].lower()}",)
        own = all(site in ("same-origin", "none") for site in request.fetch_site)
        return (
            own or _token_of(request.path) in self._tokens
        )  # only the user can have put the token into a link elsewhere

    def _has_token(self, path: str) -> bool:
        """Return whether the path holds a token. The token that is valid once becomes invalid."""
        given = _token_of(path)
        found = next((token for token in self._tokens if secrets.compare_digest(given.encode(), token.encode())), None)
        if found == self._keys.once:
            self._tokens.discard(found)
        return found is not None

    def _has_cookie(self, headers: Sequence[str]) -> bool:
        for header in headers:
            try:
                cookies = SimpleCookie(header)
            except CookieError:
                continue
            given = cookies.get(self._cookie_name)
            if given is not None and secrets.compare_digest(given.value.encode(), self._keys.cookie.encode()):
                return True
        return False


def _token_of(path: str) -> str:
    try:
        given = parse_qs(urlsplit(path).query, max_num_fields=4).get("token", [])
    except ValueError:
        return ""
    return given[0] if len(given) == 1 else ""


def address(token: str, port: int) -> str:
    """Return the address to open, with a token."""
    return f"http://{HOST}:{port}/?token={token}"
