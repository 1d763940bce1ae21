"""Measure the cost of a page in the browser: deadlines without a page, with one, and with stalled and hostile ones.

    python -m bench.page deadlines [--seconds 60]
    python -m bench.page cost [--seconds 20]

livebach plays on JACK as in bench.live, with `--web`. `deadlines` compares playing without a page; with a page that
reads everything; with pages that read nothing; with a server that is stopped (SIGSTOP) every two seconds; and with a
program that has the page's cookie and floods the server in many ways. `cost` measures memory and processor of the
page's server alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from bench.live import BPM, newest_take, start_playing
from bench.rig import TICKS_A_SECOND, Livebach, Rig, _memory_kb, rig
from livebach.commands.timing import load_average, machine, summary
from livebach.live import take_log

SETTLE_S = 3
PAGES = 7
GARBAGE = ("{", "x" * 400, '{"type":"midi","data":[144,60,300]}', b"\x00" * 100)
COMMAND = '{"type":"command","name":"distance","value":"up"}'


class Browser:
    """A client that has the page's cookie."""

    def __init__(self, program: Livebach) -> None:
        found = re.search(rb"http://127\.0\.0\.1:(\d+)(/\?token=[\w-]+)", program.printed)
        assert found, program.printed
        self.port = int(found[1])
        self.cookie = self.get(found[2].decode()).getheader("Set-Cookie", "").partition(";")[0]
        self.program = program

    def get(self, path: str, cookie: str = "") -> Any:
        """Request a path, and return the response."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    def page(self, **more: Any) -> ClientConnection:
        """Open the WebSocket."""
        page: ClientConnection = connect(
            f"ws://127.0.0.1:{self.port}/live",
            additional_headers={"Cookie": self.cookie},
            origin=Origin(f"http://127.0.0.1:{self.port}"),
            proxy=None,
            ping_interval=None,
            close_timeout=0.1,
            **more,
        ).__enter__()
        return page

    def server(self) -> int:
        """Return the process that serves the page."""
        lines = ((pid, Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in self.program.tree())
        return next(pid for pid, line in lines if b"livebach.web.server" in line)


# --- pages -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def reading(browser: Browser) -> Iterator[None]:
    """Run a page that reads everything and answers pings, as a browser does."""
    page = browser.page()

    def read() -> None:
        with contextlib.suppress(WebSocketException, OSError):
            for text in page:
                if '"ping"' in str(text):
                    page.send('{"type":"clock","sent":1}')

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield
    page.close()
    thread.join()


@contextlib.contextmanager
def stalled(browser: Browser) -> Iterator[None]:
    """Run pages that read nothing. Each dropped page is replaced."""
    ended = threading.Event()

    def hang() -> None:
        while not ended.wait(0.5):
            with contextlib.suppress(WebSocketException, OSError):
                page = browser.page(max_queue=1)
                page.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                ended.wait(10)
                page.socket.close()

    threads = [threading.Thread(target=hang) for _ in range(PAGES)]
    for thread in threads:
        thread.start()
    yield
    ended.set()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def stopped(browser: Browser) -> Iterator[None]:
    """Stop the server's process repeatedly, so that no process reads the player's messages."""
    ended = threading.Event()

    def stop() -> None:
        while not ended.wait(2):
            with contextlib.suppress(StopIteration, OSError):
                os.kill(browser.server(), signal.SIGSTOP)

    thread = threading.Thread(target=stop)
    thread.start()
    yield
    ended.set()
    thread.join()


@contextlib.contextmanager
def hostile(browser: Browser) -> Iterator[None]:
    """Run the attack in its own process."""
    command = [sys.executable, "-m", "bench.page", "attack", str(browser.port), browser.cookie]
    process = subprocess.Popen(command, start_new_session=True)
    yield
    process.kill()
    process.wait()


def attack(port: int, cookie: str) -> None:
    """Flood, send garbage and huge messages, hold connections open, and make expensive requests, for ever."""
    browser = Browser.__new__(Browser)
    browser.port, browser.cookie = port, cookie

    def flood(message: str | bytes) -> None:
        page = browser.page()
        for _ in range(5000):
            page.send(message)

    def half_open() -> None:
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(80)]
        for each in crowd:
            each.send(b"GET /live HTTP/1.1\r\nHost: ")
        time.sleep(1)
        for each in crowd:
            each.close()

    deeds: list[Callable[[], object]] = [
        lambda: flood(COMMAND),
        *(lambda message=message: flood(message) for message in GARBAGE),
        lambda: flood("x" * 1_000_000),
        half_open,
        lambda: browser.get("/take.mid", cookie),
        lambda: browser.get("/main.js", "stranger=1"),
    ]

    def go_on(deed: Callable[[], object]) -> None:
        while True:
            with contextlib.suppress(WebSocketException, OSError, EOFError):
                deed()

    for deed in deeds:
        threading.Thread(target=go_on, args=(deed,)).start()


# --- measurements ----------------------------------------------------------------------------------------------------

PAGES_OF = {"one_page": reading, "stalled_pages": stalled, "stopped_server": stopped, "hostile_program": hostile}


def deadlines(here: Rig, args: argparse.Namespace) -> dict[str, Any]:
    """Return the lateness of the player's deadlines without a page and with each kind of page."""
    found = {"no_page": played(here, args.seconds, None)}
    for name, kind in PAGES_OF.items():
        found[name] = played(here, args.seconds, kind)
    return found


def played(here: Rig, seconds: float, kind: Any) -> dict[str, Any]:
    """Let livebach play with a page, or without one (None); return the lateness by its log."""
    web = [] if kind is None else ["--web", "--browser", "off"]
    with here.livebach("--bpm", str(BPM), "--folder", "takes", *web) as program:
        time.sleep(SETTLE_S)
        start_playing(here)
        since_s = time.perf_counter()
        with contextlib.nullcontext() if kind is None else kind(Browser(program)):
            time.sleep(seconds)
        until_s = time.perf_counter()
    log = take_log.read(newest_take(here.folder))
    late = [
        call.t - call.due
        for call in log.calls
        if call.do == "advance" and call.due is not None and since_s < call.t < until_s
    ]
    missed = [remark for remark in log.remarks if "missed" in remark]
    return {"count": len(late), "missed": len(missed), **summary(late), "load": load_average()}


def cost(here: Rig, args: argparse.Namespace) -> dict[str, Any]:
    """Return memory and processor of the page's server, idle and while livebach plays with one page."""
    with here.livebach("--bpm", str(BPM), "--save", "off", "--web", "--browser", "off") as program:
        browser = Browser(program)
        time.sleep(SETTLE_S)
        alone = server_share(browser, args.seconds)
        with reading(browser):
            idle = server_share(browser, args.seconds)
            start_playing(here)
            playing = server_share(browser, args.seconds)
            kb = _memory_kb(browser.server())
    memory = {"rss_mb": kb["RssAnon"] + kb["RssFile"], "pss_mb": kb["Pss_Anon"] + kb["Pss_File"]}
    shares = {"no_page_share": alone, "idle_share": idle, "playing_share": playing}
    return {**{name: round(value / 1024, 1) for name, value in memory.items()}, **shares}


def server_share(browser: Browser, seconds: float) -> float:
    """Return the server's share of one core."""

    def used() -> int:
        fields = Path(f"/proc/{browser.server()}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(seconds)
    return round((used() - before) / TICKS_A_SECOND / seconds, 4)


def main() -> None:
    """Run one measurement, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["deadlines", "cost", "attack"])
    parser.add_argument("target", nargs="*", help=argparse.SUPPRESS)  # of `attack`, which `deadlines` starts
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    if args.what == "attack":
        attack(int(args.target[0]), args.target[1])
        return
    with rig() as here:
        found = {"deadlines": deadlines, "cost": cost}[args.what](here, args)
    print(json.dumps({args.what: found, "machine": machine(), "load": load_average()}, indent=1))


if __name__ == "__main__":
    main()
