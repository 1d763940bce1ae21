"""The page's server as a process, on real sockets: its content, and attacks of all kinds."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

pytest.importorskip("websockets", reason="the page's server needs websockets (pip install websockets)")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from livebach.web.link import MOST_WAITING, Link
from livebach.web.messages import LONGEST
from livebach.web.server import MOST_CONNECTIONS, REQUEST_S
from tests.support.page_client import LIMIT_S, cookie_of, open_page, received
from tests.support.waiting import until

pytestmark = pytest.mark.clock


class Served:
    """A running server, its messages to the player, and the browser's side."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.link = Link({"type": "hello"})
        self.link.on(dict.fromkeys(("midi", "command", "release", "pause"), self.heard.append))
        assert self.link.wait_ready() is None
        self.port = int(self.link.address.split(":")[2].partition("/")[0])
        self.origin = f"http://127.0.0.1:{self.port}"
        self.cookie = cookie_of(self.link.address)

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Request a path."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def page(self, **more: Any) -> ClientConnection:
        """Open the WebSocket as the page does."""
        page: ClientConnection = open_page(self.port, self.cookie, **more)
        return page

    def serves(self) -> bool:
        """Return whether the page is served."""
        try:
            return self.get("/", Cookie=self.cookie)[0] == 200
        except OSError:
            return False

    @property
    def kinds(self) -> list[str]:
        """The types of all messages to the player, in order."""
        return [message["type"] for message in self.heard]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages of a type to the player."""
        return [message for message in self.heard if message["type"] == kind]


@pytest.fixture
def served() -> Iterator[Served]:
    """Start a server with a link to it."""
    server = Served()
    yield server
    server.link.close()


def closing_code(page: ClientConnection) -> int | None:
    """Read until the server closes the connection; return the code."""
    while True:
        try:
            page.recv(LIMIT_S)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


# --- what it serves --------------------------------------------------------------------------------------------------


def test_the_page_is_served_with_strict_headers(served: Served) -> None:
    """With the cookie the files are served, with headers that allow nothing from elsewhere."""
    for path, kind in (("/", "text/html"), ("/main.js", "text/javascript"), ("/style.css", "text/css")):
        status, headers, body = served.get(path, Cookie=served.cookie)
        assert status == 200
        assert body
        assert headers["Content-Type"].startswith(kind)
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Permissions-Policy"] == "camera=(), geolocation=(), microphone=(), midi=(self)"
        assert headers["Cache-Control"] == "no-store"
        assert "Server" not in headers


def test_the_page_asks_for_nothing_from_outside(served: Served) -> None:
    """No file of the page names another host, and the HTML has no inline script or style."""
    body = served.get("/", Cookie=served.cookie)[2].decode()
    assert "://" not in body
    assert "<style" not in body
    assert "style=" not in body
    assert body.count("<script") == body.count('<script type="module" src="/')


@pytest.mark.parametrize(
    "path", ["/../server.py", "/%2e%2e/server.py", "//etc/passwd", "/static/main.js", "/main.js/", "/notes/../x"]
)
def test_only_files_of_the_page_can_be_named(served: Served, path: str) -> None:
    """No path leads out of the page's folder."""
    assert served.get(path, Cookie=served.cookie)[0] == 404


def test_messages_go_both_ways(served: Served) -> None:
    """Messages of a page reach the player, and messages of the player reach all pages."""
    with served.page() as one, served.page() as two:
        one.send('{"type":"midi","data":[144,60,64]}')
        two.send('{"type":"command","name":"mute","value":"on"}')
        until(lambda: len(served.heard) == 2, "two messages are there", LIMIT_S)
        assert served.of("midi") == [{"type": "midi", "data": [144, 60, 64]}]
        assert served.of("command") == [{"type": "command", "name": "mute", "value": "on"}]
        served.link.send({"type": "turn", "bar": 3})
        assert received(one, "turn") == received(two, "turn") == {"type": "turn", "bar": 3}


def test_closing_the_page_releases_and_pauses(served: Served) -> None:
    """When a page closes or its connection breaks, its keys are released, and the music pauses."""
    for breaks in (False, True):
        served.heard.clear()
        page = served.page()
        page.send('{"type":"midi","data":[144,60,64]}')
        until(lambda: len(served.heard) == 1, "the key is heard", LIMIT_S)
        page.socket.shutdown(socket.SHUT_RDWR) if breaks else page.close()
        until(lambda: served.kinds == ["midi", "release", "pause"], "its key is released", LIMIT_S)


def test_it_listens_on_this_machine_alone(served: Served) -> None:
    """The server listens on 127.0.0.1 only."""
    with socket.socket() as other, pytest.raises(OSError):
        other.connect(("127.0.0.2", served.port))


# --- who is not let in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("no cookie", {"Cookie": "a=b"}),
        ("rebinding", {"Host": "rebound.example:{port}"}),
    ],
)
def test_strangers_get_nothing(served: Served, name: str, headers: dict[str, str]) -> None:
    """Without the cookie, or with another Host, no file is served and no WebSocket opens."""
    filled = {key: value.format(port=served.port) for key, value in headers.items()}
    status, _, body = served.get("/main.js", **{"Cookie": served.cookie, **filled})
    assert (status, b"import" in body) == (403, False), name


@pytest.mark.parametrize("origin", [None, "http://evil.example", "http://localhost:1", "null"])
def test_socket_of_another_origin_is_refused_before_the_upgrade(served: Served, origin: str | None) -> None:
    """A WebSocket from another site's page gets 403 before the upgrade, even with the cookie."""
    with pytest.raises(InvalidStatus) as refusal:
        served.page(origin=origin)
    assert refusal.value.response.status_code == 403


def test_socket_without_cookie_is_refused_before_the_upgrade(served: Served) -> None:
    """The right origin alone is not enough."""
    with pytest.raises(InvalidStatus) as refusal:
        served.page(headers={"Cookie": "livebach=1"})
    assert refusal.value.response.status_code == 403


def test_only_get_is_allowed(served: Served) -> None:
    """POST is refused."""
    with contextlib.suppress(OSError):
        assert served.get("/", method="POST", Cookie=served.cookie)[0] >= 400
    assert served.get("/", Cookie=served.cookie)[0] == 200


# --- attacks on the socket -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 1008),
        ('{"type":"midi","data":[255,255,255]}', 1008),
        ('{"type":"command","name":"swap","value":"x"}', 1008),
        (b"\x90\x3c\x40", 1008),
        ("x" * (LONGEST + 1), 1009),
        ("x" * 5_000_000, 1009),
    ],
)
def test_garbage_closes_the_connection_that_sent_it(served: Served, message: str | bytes, code: int) -> None:
    """Garbage and huge messages end their own connection only, and reach nobody."""
    with served.page() as good, served.page() as bad:
        with contextlib.suppress(ConnectionClosed):
            bad.send(message)
        assert closing_code(bad) == code
        good.send('{"type":"clock","sent":1}')
        assert received(good, "clock")["sent"] == 1
    assert not [m for m in served.heard if m["type"] in ("midi", "command")]


def test_raw_garbage_is_survived(served: Served) -> None:
    """Bytes that are not HTTP, endless headers and half a request do not stop the server."""
    for junk in (b"\x00\xff" * 1000, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 500, b"A" * 100_000, b"GET /"):
        with socket.create_connection(("127.0.0.1", served.port)) as raw, contextlib.suppress(OSError):
            raw.sendall(junk)
    assert served.get("/", Cookie=served.cookie)[0] == 200


def test_a_flood_is_cut_off(served: Served) -> None:
    """A page that floods is closed after some hundred messages. Another page is served on time meanwhile."""
    with served.page() as good, served.page() as bad:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(20_000):
                bad.send('{"type":"command","name":"tap","value":""}')
        assert closing_code(bad) == 1008
        good.send('{"type":"clock","sent":1}')
        assert received(good, "clock")["sent"] == 1
    until(lambda: len(served.of("command")) > 100, "some commands are there", LIMIT_S)
    assert len(served.of("command")) < 2000


def test_a_slow_reader_is_dropped_and_never_waited_for(served: Served) -> None:
    """A page that does not read is cut off. The other pages get every message at once."""
    slow = served.page(max_queue=1)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with served.page() as good:
        received(good, "role")
        text = "x" * 4000
        for number in range(4000):
            served.link.send({"type": "turn", "number": number, "text": text})
            assert received(good, "turn")["number"] == number
            if served.of("release"):  # the slow one came first: it was the one that played
                break
        assert served.of("release") == [{"type": "release"}]
    slow.socket.close()


def test_connections_are_limited(served: Served) -> None:
    """The number of connections is limited. After they end, the page is served as before."""
    crowd = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(MOST_CONNECTIONS + 20)]
    crowd[-1].settimeout(LIMIT_S)
    with contextlib.suppress(ConnectionResetError):
        assert crowd[-1].recv(1) == b""
    for connection in crowd:
        connection.close()
    until(served.serves, "the page is served", LIMIT_S)


@pytest.mark.slow
def test_a_request_that_never_ends_is_cut_off(served: Served) -> None:
    """A connection that sends only half a request is closed."""
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x")
        raw.settimeout(REQUEST_S + LIMIT_S)
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(1) == b""


# --- the player's side -----------------------------------------------------------------------------------------------


def test_a_stalled_server_keeps_nobody_waiting_and_is_started_again(served: Served) -> None:
    """While the server hangs, sending takes no time. Then it is replaced, and the page returns with its cookie."""
    page = served.page()
    os.kill(served.link.pid, signal.SIGSTOP)
    began = time.perf_counter()
    for _ in range(10 * MOST_WAITING):
        served.link.send({"type": "turn", "text": "x" * 200})
    assert time.perf_counter() - began < LIMIT_S / 2
    assert not served.link.alive
    served.link.send({"type": "ports", "ports": [["in", True]]}, keep="ports")
    sentence = served.link.check()
    assert sentence is not None
    assert "started again" in sentence
    until(lambda: served.kinds == ["release", "pause"], "what its pages held is released", LIMIT_S)
    until(served.serves, "the page is served", LIMIT_S)
    with served.page() as again:
        assert received(again, "ports") == {"type": "ports", "ports": [["in", True]]}
    page.socket.close()


def test_a_killed_server_is_started_again_on_its_port(served: Served) -> None:
    """A server that dies is replaced on the same port, and the keys of its pages are released."""
    os.kill(served.link.pid, signal.SIGKILL)
    until(served.link.check, "it is started again", LIMIT_S)
    until(served.serves, "the page is served", LIMIT_S)
    assert served.link.check() is None
    until(lambda: served.kinds == ["release", "pause"], "what its pages held is released", LIMIT_S)


def test_a_port_that_is_taken_is_said() -> None:
    """If another program uses the port, there is one line with the reason, and no further try."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        link = Link({"type": "hello"}, port=taken.getsockname()[1])
        failure = link.wait_ready()
        assert failure is not None
        assert "in use" in failure
        assert link.check() is None
        link.close()


def test_closing_ends_the_process(served: Served) -> None:
    """When the player ends, the server ends, and its pages notice."""
    with served.page() as page:
        received(page, "role")
        process = served.link._run.process
        served.link.close()
        assert process.poll() == 0
        assert closing_code(page) in (1001, None)
    assert served.link.check() is None
