"""Who may talk to the server: the browser that was given the token, and no other page in it. After Jupyter's model.

The address that is opened holds a random token. The server answers with a cookie and an address without the token;
from then on the cookie is asked for. SameSite=Strict keeps other sites from using it, HttpOnly keeps scripts from
reading it. Host is checked, as another site may have its name point to 127.0.0.1 (DNS rebinding), and Origin, as
browsers let any page open a WebSocket to any address. Pure: sees requests as values.
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
    """What decides about a request. A header that was not sent is an empty sequence."""

    path: str
    host: Sequence[str] = ()
    origin: Sequence[str] = ()
    cookie: Sequence[str] = ()
    fetch_site: Sequence[str] = ()
    upgrade: bool = False  # whether it asks for a WebSocket


class Verdict(Enum):
    """What is done with a request."""

    ADMIT = "admit"
    WELCOME = "welcome"  # the token was right: give the cookie, and send the browser to the address without it
    WRONG_HOST = "The Host of this request is not this server's."
    WRONG_ORIGIN = "The Origin of this request is not this server's page."
    STRANGER = "Open the address that livebach printed in the terminal: it holds the key to this page."


def _secret() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class Keys:
    """The token of the address and the value of the cookie, both random and of one run."""

    token: str = field(default_factory=_secret, repr=False)
    cookie: str = field(default_factory=_secret, repr=False)


class Gate:
    """Judges requests to one port."""

    def __init__(self, keys: Keys, port: int) -> None:
        self._keys = keys
        self._hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        self._cookie_name = f"livebach-{port}"  # browsers do not tell the ports of a host apart

    def judge(self, request: Request) -> Verdict:
        """Decide about a request: Host first, then Origin, then token or cookie."""
        if len(request.host) != 1 or request.host[0].lower() not in self._hosts:
            return Verdict.WRONG_HOST
        if not self._is_own_origin(request):
            return Verdict.WRONG_ORIGIN
        if self._has_cookie(request.cookie):
            # The address with the token may be opened again: then the token is taken out of it again.
            return Verdict.WELCOME if self._has_token(request.path) else Verdict.ADMIT
        return Verdict.WELCOME if not request.upgrade and self._has_token(request.path) else Verdict.STRANGER

    def set_cookie(self) -> str:
        """Return the value of the header Set-Cookie that lets a browser in."""
        return f"{self._cookie_name}={self._keys.cookie}; Path=/; HttpOnly; SameSite=Strict"

    def _is_own_origin(self, request: Request) -> bool:
        """A WebSocket must name its Origin, as every browser does; a plain request may leave it out."""
        if request.upgrade or request.origin:
            # The Host was found right already; localhost and 127.0.0.1 are different origins to a browser.
            return tuple(request.origin) == (f"http://{request.host[0].lower()}",)
        return all(site in ("same-origin", "none") for site in request.fetch_site) or self._has_token(request.path)

    def _has_token(self, path: str) -> bool:
        given = parse_qs(urlsplit(path).query, max_num_fields=4).get("token", [""]) if "?" in path else [""]
        return len(given) == 1 and secrets.compare_digest(given[0].encode(), self._keys.token.encode())

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


def address(keys: Keys, port: int) -> str:
    """Return the address to open, with the token."""
    return f"http://{HOST}:{port}/?token={keys.token}"
