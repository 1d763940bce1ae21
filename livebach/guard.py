"""A small process that silences what a dead player left sounding.

The player feeds it what it sends, through a pipe. When the pipe closes without a goodbye, the player was killed: then
the guard opens a connection of its own to the same output, ends each note, and turns all notes off. It connects only
then: until then it costs no processor time, and a port that was plugged in again is found under its new number.
Knows nothing of music; loads no numpy.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from livebach.events import ALL_NOTES_OFF
from livebach.ports import OutputPort, PortError
from livebach.sounding import Sounding
from livebach.systems import systems

_RECORD = 3  # bytes: whatever starts or ends a sound is as long
_GOODBYE = bytes(_RECORD)
_TRIES, _PAUSE_S = 20, 0.1  # a MIDI system may need a moment after its client died
_FAREWELL_S = 0.5


class Guard:
    """The player's side: starts the process, and is told what the ports send."""

    def __init__(self, *ports: OutputPort) -> None:
        self._ports = ports
        self._closed = False
        self._process, self._pipe = self._started()
        for port in ports:
            port.guard = self.feed

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def feed(self, data: bytes) -> None:
        """Tell the guard of one message; from any thread, and never waiting."""
        if len(data) == _RECORD and (data[0] < 0xA0 or data[0] & 0xF0 == 0xB0):
            with suppress(OSError):  # it has died, or is stopped: `check` sees to it, the music goes on
                os.write(self._pipe, data)

    def check(self) -> str | None:
        """Start another one if it has died; a sentence when that was so."""
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
        """Say goodbye, once the ports are silent. Again does nothing."""
        if self._closed:
            return
        self._closed = True
        for port in self._ports:
            port.guard = None
        self.feed(_GOODBYE)
        os.close(self._pipe)
        try:
            self._process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _started(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start the process, in a session of its own: Ctrl-C and a closed terminal are the player's affair."""
        port = self._ports[0]
        paths = [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "livebach.guard", port.name, port.wanted, *port.apis]
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        try:
            process = subprocess.Popen(command, stdin=reading, env=environment, start_new_session=True)
        finally:
            os.close(reading)
        return process, writing


class Ward:
    """The guard's side: what it has learnt of what sounds."""

    def __init__(self) -> None:
        self.sounding = Sounding()
        self.channels: set[int] = set()
        self.farewell = False
        self._rest = b""

    def learn(self, data: bytes) -> None:
        """Take in what came through the pipe, in whatever pieces."""
        data = self._rest + data
        whole = len(data) // _RECORD * _RECORD
        self._rest = data[whole:]
        for start in range(0, whole, _RECORD):
            record = data[start : start + _RECORD]
            self.farewell = self.farewell or record == _GOODBYE
            if record != _GOODBYE:
                self.channels.add(record[0] & 0x0F)
                self.sounding.note(record)

    def last_words(self) -> list[bytes]:
        """Return what ends everything: each note, then all notes on the channels that were used."""
        if self.farewell:
            return []
        off = [bytes((0xB0 | channel, ALL_NOTES_OFF, 0)) for channel in sorted(self.channels)]
        return self.sounding.ends() + off


def _watch(pipe: int) -> list[bytes]:
    """Learn until the pipe closes; what there is to send then."""
    ward = Ward()
    while data := os.read(pipe, 65536):
        ward.learn(data)
    return ward.last_words()


def _silence(name: str, wanted: str, apis: list[str], words: list[bytes]) -> None:
    """Send the last words over a connection of its own."""
    port = OutputPort(wanted, [place for api in apis for place in systems(api)])
    port.name = name
    for _ in range(_TRIES):
        if port.check():
            break
        time.sleep(_PAUSE_S)
    else:
        raise PortError(f"the guard could not reach {name!r} to silence it")
    for data in words:
        port.send_bytes(data)
    port.close()


def main(name: str, wanted: str, *apis: str) -> int:
    """Guard one output until its player ends."""
    for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, signal.SIG_IGN)
    words = _watch(sys.stdin.fileno())
    if not words:
        return 0
    try:
        _silence(name, wanted, list(apis), words)
    except PortError as error:
        with suppress(OSError):
            sys.stderr.write(f"livebach: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
