"""A helper process of the server: writes the take in a folder as a MIDI file to stdout, as far as it is played."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from livebach.errors import UserError
from livebach.live import take_log, take_midi


def write(take: Path) -> int:
    """Write a take's file to stdout, or the reason of a failure to stderr in one line; return the exit status."""
    try:
        data = take_midi.midi(take_log.read(take))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.buffer.write(data)
    return 0


def main() -> int:
    """Write the named take, at low priority, because the music needs the processor."""
    if hasattr(os, "nice"):
        os.nice(10)
    return write(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
