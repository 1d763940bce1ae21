"""The process that serves the page by HTTP and WebSockets on 127.0.0.1. It exchanges lines of JSON with the player.

The process reads one line on stdin first (see `start`), and ends when stdin does. The player's messages go to all pages
at once without waiting: a page that does not keep up is dropped. This module knows neither ports nor music.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
import signal
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from livebach.web import messages, site
from livebach.web.access import HOST, Gate, Request, Verdict
from livebach.web.resources import Resources
from livebach.web.room import TRY_LATER, Action, Close, Room, ToPage, ToPlayer
from livebach.web.site import Answer, Site
from livebach.web.start import Start

SOCKET = "/live"
"""The path of the WebSocket."""
PING_S = 1.0
REQUEST_S = 5.0
"""The time that a connection has for sending its request."""
ANSWER_S = 90.0
"""The time that the server has for its answer. A note may have to be rendered first."""
MOST_CONNECTIONS = 64
"""The most TCP connections at once. A browser uses six for files, and one more for each page."""
MOST_WAITING = 256 << 10
"""The most bytes that wait for a page: about ten seconds of dense playing."""
CLOSE_S = 2.0


def to_player(message: dict[str, Any]) -> None:
    """Send a message to the player, as a line on stdout."""
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


class _Connection(ServerConnection):
    """A connection that is refused if there are too many, and cut off if no request comes."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).count += 1
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        if type(self).count > MOST_CONNECTIONS:
            transport.abort()
        self.loop.call_later(REQUEST_S, self._cut_off, transport)

    def _cut_off(self, transport: asyncio.Transport) -> None:
        if self.request is None:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        type(self).count -= 1
        super().connection_lost(exc)


class PageServer:
    """Serves the pages of one session."""

    def __init__(self, start: Start, resources: Resources) -> None:
        self._start = start
        self._site = Site()
        self._resources = resources
        self._room = Room(start.hello)
        self._connections: dict[int, ServerConnection] = {}
        self._gate: Gate | None = None
        self._closing: set[asyncio.Task[None]] = set()  # asyncio keeps only weak references to tasks

    async def run(self, ended: asyncio.Event) -> None:
        """Serve until the end; tell the player the port once there is one."""
        serving = serve(
            self._page,
            HOST,
            self._start.port,
            process_request=self._request,
            compression=None,
            server_header=None,
            open_timeout=ANSWER_S,
            ping_interval=None,  # the room's own pings ask the page's script, and not only the browser
            close_timeout=CLOSE_S,
            max_size=messages.LONGEST,
            max_queue=64,
            create_connection=_Connection,
        )
        async with serving as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self._gate = Gate(self._start.keys, port)
            to_player({"type": "ready", "port": port})
            pinging = asyncio.create_task(self._ping())
            await ended.wait()
            pinging.cancel()
            server.close()

    def receive(self, message: dict[str, Any]) -> None:
        """Send a message of the player's to the pages. Pages do not learn the take's folder."""
        if message["type"] == "take":
            self._resources.take = message["folder"]
            message = {"type": "take", "kept": message["folder"] is not None}
        self._do(self._room.tell(message))

    # --- requests ----------------------------------------------------------------------------------------------------

    async def _request(self, _connection: ServerConnection, request: HttpRequest) -> Response | None:
        """Answer a request; return None to open the WebSocket."""
        answer = await self._answer(request)
        if answer is None:
            return None
        return Response(answer.status, http.HTTPStatus(answer.status).phrase, Headers(answer.headers()), answer.body)

    async def _answer(self, request: HttpRequest) -> Answer | None:
        assert self._gate is not None
        get, upgrade = request.headers.get_all, "upgrade" in request.headers
        if getattr(request, "method", "GET") != "GET":
            return site.text(405, "Only GET is allowed.")
        verdict = self._gate.judge(
            Request(request.path, get("Host"), get("Origin"), get("Cookie"), get("Sec-Fetch-Site"), upgrade)
        )
        path = urlsplit(request.path).path
        if verdict is Verdict.WELCOME:
            return Answer(200, site.WELCOME, ".html", (("Set-Cookie", self._gate.set_cookie()),))
        if verdict is not Verdict.ADMIT:
            return site.text(403, verdict.value)
        if upgrade:
            return None if path == SOCKET else site.text(404, f"The WebSocket is at {SOCKET}.")
        return await self._resources.answer(path) or self._site.answer(path)

    # --- pages -------------------------------------------------------------------------------------------------------

    async def _page(self, connection: ServerConnection) -> None:
        """Serve one page until it closes."""
        page, actions = self._room.join(time.perf_counter())
        if page is None:
            await connection.close(TRY_LATER, "too many pages are open")
            return
        self._connections[page] = connection
        try:
            self._do(actions)
            async for text in connection:
                self._do(self._room.receive(page, text, time.perf_counter()))
        except ConnectionClosed:
            pass
        finally:
            del self._connections[page]
            self._do(self._room.leave(page))

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            self._do(self._room.ping(time.perf_counter()))

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case ToPlayer(message):
                    to_player(message)
                case ToPage(page, message):
                    self._send(page, json.dumps(message, separators=(",", ":")))
                case Close(page, code, reason):
                    self._close(page, code, reason)

    def _send(self, page: int, text: str) -> None:
        """Send without waiting. A page that reads too slowly is cut off."""
        connection = self._connections.get(page)
        if connection is None:
            return
        broadcast([connection], text)
        if connection.transport.get_write_buffer_size() > MOST_WAITING:
            connection.transport.abort()

    def _close(self, page: int, code: int, reason: str) -> None:
        connection = self._connections.get(page)
        if connection is not None:
            task = asyncio.create_task(connection.close(code, reason[:100]))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _listen(loop: asyncio.AbstractEventLoop, server: PageServer, ended: asyncio.Event) -> None:
    """Read the player's messages on a separate thread, until the player ends."""

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(server.receive, json.loads(line))
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, name="livebach-player", daemon=True).start()


async def _serve(start: Start) -> None:
    ended = asyncio.Event()
    server = PageServer(start, Resources())
    _listen(asyncio.get_running_loop(), server, ended)
    await server.run(ended)


def main() -> None:
    """Serve until stdin ends, which is when the player ends. Ctrl-C has no effect here."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # attacks must not fill the terminal
    line = sys.stdin.readline()
    if not line:
        return
    try:
        asyncio.run(_serve(Start.read(line)))
    except OSError as error:
        to_player({"type": "failed", "text": f"{HOST}: {error.strerror or error}"})
    except BrokenPipeError:  # the player has ended
        pass


if __name__ == "__main__":
    main()
