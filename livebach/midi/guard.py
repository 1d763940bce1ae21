"""Starts and feeds the guard, a small process that ends the notes of a process that was killed.

The playing process writes each message that it sends to a pipe. When the pipe closes without a goodbye, the playing
process was killed: the guard then opens its own connection to the same output, ends each note, and sends all-notes-off.
It connects only then: until then it costs no processor time, and a port that was plugged in again has its new number.
This module is the playing process's side; `guard_process` is the guard's. Knows nothing of music.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

from livebach.midi.guard_process import GOODBYE, RECORD
from livebach.midi.ports import OutputPort
from livebach.system import subprocesses

_FAREWELL_S = 0.5


class Guard:
    """Starts the guard's process, and passes on to it what the ports send."""

    def __init__(self, *ports: OutputPort) -> None:
        self._ports = ports
        self._closed = False
        self._process, self._pipe = self._started()
        for port in ports:
            port.guard = self.feed

    @property
    def pid(self) -> int:
        """The process id of the guard."""
        return self._process.pid

    def feed(self, data: bytes) -> None:
        """Pass one message on to the guard; callable from any thread, never waits."""
        if len(data) == RECORD and (data[0] < 0xA0 or data[0] & 0xF0 == 0xB0):
            with suppress(OSError):  # it has died or is stopped: `check` handles that, the music goes on
                os.write(self._pipe, data)

    def check(self) -> str | None:
        """Start another guard if the guard has died; return a sentence that says so, else None."""
        if self._closed or self._process.poll() is None:
            return None
        self._process, pipe = self._started()
        os.dup2(pipe, self._pipe, inheritable=False)  # another thread may be feeding: the number stays the same
        os.close(pipe)
        for port in self._ports:
            for channel, key in port.sounding:
                self.feed(bytes((0x90 | channel, key, 64)))
        return "The guard had died, and was started again"

    def close(self) -> None:
        """Send the goodbye, when the ports are silent; again does nothing."""
        if self._closed:
            return
        self._closed = True
        for port in self._ports:
            port.guard = None
        self.feed(GOODBYE)
        os.close(self._pipe)
        try:
            self._process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _started(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start the process in a session of its own, so that Ctrl-C and a closed terminal do not reach it."""
        port = self._ports[0]
        reading, writing = os.pipe()
        subprocesses.set_nonblocking(writing)
        try:
            names = port.name, port.wanted, *port.guarded_backends
            process = subprocesses.start("livebach.midi.guard_process", *names, stdin=reading, start_new_session=True)
        finally:
            os.close(reading)
        return process, writing
