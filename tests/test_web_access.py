"""Access to the page's server: token, cookie, Host and Origin, without a network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from livebach.web.access import Gate, Keys, Request, Verdict, address

PORT = 8123
HOST, ORIGIN = "127.0.0.1:8123", "http://127.0.0.1:8123"


@pytest.fixture
def keys() -> Keys:
    """Keys of one run."""
    return Keys()


@pytest.fixture
def gate(keys: Keys) -> Gate:
    """The gate of one server."""
    return Gate(keys, PORT)


def cookie(gate: Gate) -> tuple[str, ...]:
    """Return the header Cookie that a browser sends after it was let in."""
    return (gate.set_cookie().partition(";")[0],)


def test_token_gives_a_cookie_that_scripts_and_other_sites_cannot_use(gate: Gate, keys: Keys) -> None:
    """The address with the token sets a cookie: HttpOnly, SameSite=Strict, and other than the token."""
    path = address(keys.token, PORT).removeprefix(ORIGIN)
    for _ in range(2):
        assert gate.judge(Request(path, (HOST,))) is Verdict.WELCOME
    attributes = gate.set_cookie().split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert keys.token not in gate.set_cookie()


def test_the_token_of_a_command_line_is_good_for_one_time(gate: Gate, keys: Keys) -> None:
    """A token from the list of processes is invalid after its first use, also after the server was restarted."""
    path = address(keys.once, PORT).removeprefix(ORIGIN)
    assert gate.judge(Request(path, ("evil.example:8123",))) is Verdict.WRONG_HOST
    assert gate.judge(Request(path, (HOST,))) is Verdict.WELCOME
    assert gate.judge(Request(path, (HOST,))) is Verdict.STRANGER
    again = Gate(replace(keys, once=""), PORT)
    assert again.judge(Request(path, (HOST,))) is Verdict.STRANGER
    assert again.judge(Request("/?token=", (HOST,))) is Verdict.STRANGER


def test_cookie_admits(gate: Gate) -> None:
    """With the cookie the server serves files and the WebSocket, and without it neither."""
    assert gate.judge(Request("/", (HOST,), cookie=cookie(gate))) is Verdict.ADMIT
    assert gate.judge(Request("/live", (HOST,), (ORIGIN,), cookie(gate), upgrade=True)) is Verdict.ADMIT
    assert gate.judge(Request("/", (HOST,))) is Verdict.STRANGER
    assert gate.judge(Request("/live", (HOST,), (ORIGIN,), upgrade=True)) is Verdict.STRANGER


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=é", "?other=1", "?token=a&token=b"])
def test_wrong_token_is_a_stranger(gate: Gate, query: str) -> None:
    """A wrong token lets nobody in."""
    assert gate.judge(Request(f"/{query}", (HOST,))) is Verdict.STRANGER


def test_token_opens_no_socket(gate: Gate, keys: Keys) -> None:
    """A WebSocket needs the cookie. A leaked address opens none."""
    request = Request(f"/live?token={keys.token}", (HOST,), (ORIGIN,), upgrade=True)
    assert gate.judge(request) is Verdict.STRANGER


@pytest.mark.parametrize(
    "host",
    [(), ("evil.example:8123",), ("127.0.0.1",), ("127.0.0.1:80",), (HOST, HOST), ("127.0.0.1:8123.evil.example",)],
)
def test_rebinding_is_refused(gate: Gate, keys: Keys, host: tuple[str, ...]) -> None:
    """A name that points to this machine is refused, whatever else the request holds."""
    request = Request(f"/?token={keys.token}", host, cookie=cookie(gate))
    assert gate.judge(request) is Verdict.WRONG_HOST


@pytest.mark.parametrize(
    "origin", [(), ("null",), ("http://evil.example",), ("https://127.0.0.1:8123",), (f"{ORIGIN}/",), (ORIGIN, ORIGIN)]
)
def test_socket_from_another_page_is_refused(gate: Gate, origin: tuple[str, ...]) -> None:
    """A WebSocket must name the page's own origin, even with the cookie."""
    assert gate.judge(Request("/live", (HOST,), origin, cookie(gate), upgrade=True)) is Verdict.WRONG_ORIGIN


def test_localhost_is_an_origin_of_its_own(gate: Gate) -> None:
    """The page may be opened as localhost. Then its WebSocket must be there too."""
    jar = cookie(gate)
    local = "localhost:8123"
    assert gate.judge(Request("/live", (local,), (f"http://{local}",), jar, upgrade=True)) is Verdict.ADMIT
    assert gate.judge(Request("/live", (HOST,), (f"http://{local}",), jar, upgrade=True)) is Verdict.WRONG_ORIGIN


def test_request_from_another_site_is_refused(gate: Gate) -> None:
    """A request that another site causes is refused, even with the cookie."""
    assert (
        gate.judge(Request("/take.mid", (HOST,), cookie=cookie(gate), fetch_site=("cross-site",)))
        is Verdict.WRONG_ORIGIN
    )
    assert gate.judge(Request("/take.mid", (HOST,), cookie=cookie(gate), fetch_site=("same-origin",))) is Verdict.ADMIT


def test_cookies_of_other_programs_do_not_matter(gate: Gate) -> None:
    """Cookies of other servers on this machine, and malformed ones, are ignored."""
    mixed = f"theme=dark; {cookie(gate)[0]}; x=1"
    assert gate.judge(Request("/", (HOST,), cookie=(mixed,))) is Verdict.ADMIT
    assert gate.judge(Request("/", (HOST,), cookie=("livebach-8123=wrong",))) is Verdict.STRANGER
    assert gate.judge(Request("/", (HOST,), cookie=("\x00=;;[",))) is Verdict.STRANGER


def test_keys_are_new_each_time_and_hidden() -> None:
    """Two runs have different keys, and no message or traceback shows a key."""
    one, two = Keys(), Keys()
    assert len({one.token, one.once, one.cookie, two.token, two.once, two.cookie}) == 6
    assert one.token not in repr(one)
    assert one.cookie not in repr(one)
