"""Writes the take so far, of the folder that is given, as a MIDI file to stdout: a process of the server's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from livebach.errors import UserError
from livebach.live import take_log, take_midi


def write(take: Path) -> int:
    """Write a take's file to stdout, or say in one line on stderr why that cannot be; return the exit status."""
    try:
        data = take_midi.midi(take_log.read(take))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.buffer.write(data)
    return 0


def main() -> int:
    """Write the take that is named, and leave the processor to those who play."""
    if hasattr(os, "nice"):
        os.nice(10)
    return write(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
