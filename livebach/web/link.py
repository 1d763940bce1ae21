"""The player's side of the page: starts the server's process, and exchanges lines of JSON with it.

No call waits: messages go into a queue, and a thread passes them on. If the server does not take them, they are
dropped, and the server is restarted on the same port with the same keys, so that pages reconnect. This module knows
neither ports nor music.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

from livebach.system import subprocesses
from livebach.web.access import Keys, address
from livebach.web.start import Start

MOST_WAITING = 2000
"""The most messages that wait for the server. If more would wait, the server has stalled."""
READY_S = 10.0
CLOSE_S = 1.0

Message = dict[str, Any]
Sent = Message | Callable[[], Message]
"""A message, or a function that makes one on the link's thread."""
Receiver = Callable[[Message], None]


def _nobody(_message: Message) -> None:
    """Ignore a message."""


@dataclass(slots=True)
class _Run:
    """One run of the server's process, and the messages that wait for it."""

    process: subprocess.Popen[str]
    queue: SimpleQueue[Sent | None] = field(default_factory=SimpleQueue)
    stalled: bool = False


class Link:
    """Keeps a server running, and exchanges messages with it."""

    def __init__(self, hello: Message, port: int = 0) -> None:
        self._keys = Keys()
        self._hello, self._port = hello, port
        self._receivers: dict[str, Receiver] = {"ready": self._ready, "failed": self._failed}
        self._latest: dict[str, Sent] = {}
        self._said_ready = threading.Event()
        self._failure: str | None = None
        self._closed = False
        self._changing = threading.Lock()  # no server may start while the link closes
        self._run = self._started()

    @property
    def address(self) -> str:
        """The address to show, with the token. It is complete once `wait_ready` has returned."""
        return address(self._keys.token, self._port)

    @property
    def address_once(self) -> str:
        """The address to start a browser with. It is valid once."""
        return address(self._keys.once, self._port)

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        return self._run.process.pid

    @property
    def alive(self) -> bool:
        """Whether the server runs, and takes its messages."""
        return not self._closed and not self._run.stalled and self._run.process.poll() is None

    def on(self, receivers: Mapping[str, Receiver]) -> None:
        """Set the receivers of these types of messages. They are called on the link's thread, and must not wait."""
        self._receivers.update(receivers)

    def wait_ready(self, timeout_s: float = READY_S) -> str | None:
        """Wait until the server listens; return the reason if it cannot, else None."""
        if not self._said_ready.wait(timeout_s):
            return f"the page's server was not ready within {timeout_s:g} s"
        return self._failure

    def send(self, message: Sent, keep: str | None = None) -> None:
        """Queue a message for the server. A restarted server gets the newest message of each `keep`."""
        if keep is not None:
            self._latest[keep] = message
        run = self._run
        if run.stalled or self._closed:
            return
        if run.queue.qsize() >= MOST_WAITING:
            run.stalled = True
        else:
            run.queue.put(message)

    def check(self) -> str | None:
        """Restart the server if it has died or stalled; return a sentence that says so, else None."""
        with self._changing:
            if self._closed or self.alive or self._failure is not None:
                return None
            self._end(self._run)
            self._keys = replace(self._keys, once="")
            self._run = self._started()
            for message in list(self._latest.values()):
                self._run.queue.put(message)
        return "The page's server had stopped, and was started again"

    def close(self) -> None:
        """End the server. A second call does nothing."""
        with self._changing:
            if not self._closed:
                self._closed = True
                self._end(self._run, CLOSE_S)

    # --- the process -------------------------------------------------------------------------------------------------

    def _started(self) -> _Run:
        process = subprocesses.start(
            "livebach.web.server",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C must reach the player alone
        )
        run = _Run(process)
        line = Start(self._keys, self._port, self._hello).line()
        for work, name in ((self._write, "livebach-page-out"), (self._read, "livebach-page-in")):
            threading.Thread(target=work, args=(run, line), name=name, daemon=True).start()
        return run

    def _end(self, run: _Run, patience_s: float = 0.0) -> None:
        """End a run of the server: its stdin closes after the last message. A server that does not end is killed."""
        run.stalled = True
        run.queue.put(None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(patience_s)
            return
        run.process.kill()
        run.process.wait()

    def _write(self, run: _Run, line: str) -> None:
        """Write the queued messages, until the link closes or the server ends."""
        pipe = run.process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError, ValueError):
            pipe.write(line + "\n")
            pipe.flush()
            while (message := run.queue.get()) is not None:
                made = message() if callable(message) else message
                pipe.write(json.dumps(made, separators=(",", ":")) + "\n")
                pipe.flush()
        with contextlib.suppress(OSError, ValueError):
            pipe.close()

    def _read(self, run: _Run, _line: str) -> None:
        """Read the server's messages. When the server ends, the keys that a page holds are released."""
        pipe = run.process.stdout
        assert pipe is not None
        with contextlib.suppress(OSError, ValueError), pipe:
            for text in pipe:
                message = json.loads(text)
                self._receivers.get(message["type"], _nobody)(message)
        if not self._said_ready.is_set():
            self._failed({"text": "the page's server ended before it was ready"})
        if not self._closed:
            for kind in ("release", "pause"):
                self._receivers.get(kind, _nobody)({"type": kind})

    def _ready(self, message: Message) -> None:
        self._port = message["port"]
        self._said_ready.set()

    def _failed(self, message: Message) -> None:
        self._failure = str(message["text"])
        self._said_ready.set()
