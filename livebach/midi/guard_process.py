"""The guard's own process: it is told through a pipe what sounds, and ends it when the player was killed.

It runs all the time for a case that may never come: so it loads next to nothing until the pipe has closed without a
goodbye, and connects only then. Knows nothing of music.
"""

from __future__ import annotations

import os
import sys
import time

from livebach.midi.active_notes import ActiveNotes
from livebach.system.ignored_signals import ignore_signals

ALL_NOTES_OFF = 123
RECORD = 3
"""Bytes: every message that starts or ends a sound is as long."""
GOODBYE = bytes(RECORD)

_TRIES, _PAUSE_S = 20, 0.1  # a MIDI system may need a moment after its client died


class GuardState:
    """What has been learnt of what sounds."""

    def __init__(self) -> None:
        self.active = ActiveNotes()
        self.channels: set[int] = set()
        self.farewell = False
        self._rest = b""

    def update(self, data: bytes) -> None:
        """Take account of bytes from the pipe, cut anywhere."""
        data = self._rest + data
        whole = len(data) // RECORD * RECORD
        self._rest = data[whole:]
        for start in range(0, whole, RECORD):
            record = data[start : start + RECORD]
            self.farewell = self.farewell or record == GOODBYE
            if record != GOODBYE:
                self.channels.add(record[0] & 0x0F)
                self.active.update(record)

    def endings(self) -> list[bytes]:
        """Return what ends everything: each note and pedal, then all notes off on the channels that were used."""
        if self.farewell:
            return []
        off = [bytes((0xB0 | channel, ALL_NOTES_OFF, 0)) for channel in sorted(self.channels)]
        return self.active.endings() + off


def _watch(pipe: int) -> list[bytes]:
    """Read the pipe until it closes; return what there is to send then."""
    state = GuardState()
    while data := os.read(pipe, 65536):
        state.update(data)
    return state.endings()


def _silence(name: str, wanted: str, apis: list[str], endings: list[bytes]) -> str:
    """Send the endings over a connection of its own; return what was in the way, or ""."""
    from livebach.midi.backends import open_backends
    from livebach.midi.ports import OutputPort, PortError
    from livebach.system.standard_streams import quiet_libraries

    quiet_libraries()
    try:
        port = OutputPort(wanted, [backend for api in apis for backend in open_backends(api)])
    except PortError as error:
        return str(error)
    port.name = name
    for _ in range(_TRIES):
        if port.check():
            break
        time.sleep(_PAUSE_S)
    else:
        return f"the guard could not reach {name!r} to silence it"
    for data in endings:
        port.send_bytes(data)
    port.close()
    return ""


def main(name: str, wanted: str, *apis: str) -> int | str:
    """Guard one output until its player ends; return the exit status, or the message for `sys.exit`."""
    ignore_signals("SIGINT", "SIGTERM", "SIGHUP", "SIGTSTP")
    endings = _watch(sys.stdin.fileno())
    trouble = _silence(name, wanted, list(apis), endings) if endings else ""
    return f"livebach: {trouble}" if trouble else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
