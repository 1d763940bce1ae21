"""The messages of the player process to the audio process: records of one size, each with its due time."""

from __future__ import annotations

import struct

_RECORD = struct.Struct("<dB3s")
SIZE = _RECORD.size
HELLO, REPORT, GOODBYE = 1, 2, 3
"""Commands: report the time, report the measurements, and end."""
MAX_MESSAGE = 3


def message(due_s: float, data: bytes) -> bytes:
    """Return the record of a MIDI message of 1..3 bytes that is due at a time."""
    if not 1 <= len(data) <= MAX_MESSAGE:
        raise ValueError(f"a MIDI message here has 1..{MAX_MESSAGE} bytes, got {len(data)}")
    return _RECORD.pack(due_s, len(data), data)


def command(time_s: float, number: int) -> bytes:
    """Return the record of a command."""
    return _RECORD.pack(time_s, 0, bytes((number,)))


class Reader:
    """Puts records together from whatever pieces arrive."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[float, bytes, int]]:
        """Return the complete records: a time, a MIDI message or b"", and a command or 0."""
        data = self._rest + data
        whole = len(data) // SIZE * SIZE
        self._rest = data[whole:]
        records = []
        for time_s, length, content in _RECORD.iter_unpack(data[:whole]):
            records.append((time_s, content[:length], 0 if length else content[0]))
        return records
