"""The player's side of the audio process: starts it, sends it events with their due times, and learns what it says."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import asdict
from queue import Empty, SimpleQueue
from time import perf_counter, sleep
from typing import Any

from livebach.errors import UserError
from livebach.sound.audio_process import SoundSettings
from livebach.sound.wire_format import GOODBYE, HELLO, REPORT, command, message
from livebach.system.subprocesses import set_nonblocking, start

__all__ = ["Loudspeakers", "SoundError", "SoundSettings"]
_READY_S = 60.0  # a bank is rendered in seconds, but on a slow and busy machine it may take long
_CLOSE_S = 2.0
_ANSWER_S = 5.0
_LOOK_S = 0.01


class SoundError(UserError):
    """Sound cannot be played; the message is one line."""


class Loudspeakers:
    """The audio process while it runs: a wire that MIDI messages are sent on, from any thread."""

    def __init__(self, settings: SoundSettings, now: Callable[[], float] = perf_counter) -> None:
        """Start the process; it needs a moment until it plays, and longer where sounds are to be rendered first."""
        self._now = now
        self._said: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._sending = threading.Lock()
        self._closed = False
        self._process = _started(settings)
        assert self._process.stdin is not None
        self._input = self._process.stdin.fileno()
        set_nonblocking(self._input)
        threading.Thread(target=self._listen, name="livebach-sound", daemon=True).start()

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not self._closed and self._process.poll() is None

    def answers_within(self, timeout_s: float) -> bool:
        """Wait until it has said something that is not read yet, for a while at most; return whether it has."""
        until_s = self._now() + timeout_s
        while self._said.empty() and self._now() < until_s:
            sleep(_LOOK_S)
        return not self._said.empty()

    def ready(self, timeout_s: float = _READY_S) -> dict[str, Any]:
        """Wait until it plays, and return what it plays on; SoundError in one line where it cannot."""
        return self._answer(timeout_s)

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Play a MIDI message at its due time, a time of `now`, plus the latency; None: it is due now. Never waits."""
        if 1 <= len(data) <= 3:
            self._write(message(self._now() if due_s is None else due_s, data))

    def figures(self) -> dict[str, Any]:
        """Return what the process has measured: see `audio_process`."""
        self._write(command(self._now(), REPORT))
        return self._answer(_ANSWER_S)

    def close(self) -> None:
        """Let the last notes die away, for a second at most, and end the process. Again does nothing."""
        if self._closed:
            return
        self._closed = True
        self._write(command(self._now(), GOODBYE))
        with self._sending, contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _write(self, record: bytes) -> None:
        """Write one record, whole or not at all; one is lost where the process has died or is stopped."""
        with self._sending, contextlib.suppress(OSError, ValueError):
            os.write(self._input, record)

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        try:
            said = self._said.get(timeout=timeout_s)
        except Empty:
            raise SoundError(f"the audio process did not answer within {timeout_s:g} s") from None
        if "error" in said:
            raise SoundError(str(said["error"]))
        return said

    def _listen(self) -> None:
        """Read what it says; its end is an answer too."""
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError), self._process.stdout:
            for line in self._process.stdout:
                said = json.loads(line)
                if "device" in said:  # it reads from now on: so this comes without delay
                    self._write(command(self._now(), HELLO))
                self._said.put(said)
        self._said.put({"error": "the audio process has ended"})


def _started(settings: SoundSettings) -> subprocess.Popen[Any]:
    """Start the process, in a session of its own: Ctrl-C and a closed terminal are the player's affair."""
    return start(
        "livebach.sound.audio_process",
        json.dumps(asdict(settings)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,
    )
