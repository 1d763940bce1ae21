"""The guard's own process: learns through a pipe what sounds, and ends it where the player has died.

It is there all the time for what may never be: so it loads next to nothing until the pipe has closed without a
goodbye, and connects only then. Knows nothing of music.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from livebach.midi.active_notes import Sounding

ALL_NOTES_OFF = 123
RECORD = 3
"""Bytes: whatever starts or ends a sound is as long."""
GOODBYE = bytes(RECORD)

_TRIES, _PAUSE_S = 20, 0.1  # a MIDI system may need a moment after its client died


class Ward:
    """What has been learnt of what sounds."""

    def __init__(self) -> None:
        self.sounding = Sounding()
        self.channels: set[int] = set()
        self.farewell = False
        self._rest = b""

    def learn(self, data: bytes) -> None:
        """Take in what came through the pipe, in whatever pieces."""
        data = self._rest + data
        whole = len(data) // RECORD * RECORD
        self._rest = data[whole:]
        for start in range(0, whole, RECORD):
            record = data[start : start + RECORD]
            self.farewell = self.farewell or record == GOODBYE
            if record != GOODBYE:
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


def _silence(name: str, wanted: str, apis: list[str], words: list[bytes]) -> str:
    """Send the last words over a connection of its own; what was in the way, if anything was."""
    from livebach.midi.backends import systems
    from livebach.midi.ports import OutputPort, PortError

    try:
        port = OutputPort(wanted, [place for api in apis for place in systems(api)])
    except PortError as error:
        return str(error)
    port.name = name
    for _ in range(_TRIES):
        if port.check():
            break
        time.sleep(_PAUSE_S)
    else:
        return f"the guard could not reach {name!r} to silence it"
    for data in words:
        port.send_bytes(data)
    port.close()
    return ""


def main(name: str, wanted: str, *apis: str) -> int | str:
    """Guard one output until its player ends; the exit status, or what `sys.exit` is to say."""
    for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, signal.SIG_IGN)
    words = _watch(sys.stdin.fileno())
    trouble = _silence(name, wanted, list(apis), words) if words else ""
    return f"livebach: {trouble}" if trouble else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
