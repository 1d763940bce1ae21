"""The player and the listener of the tests on JACK: `python jackmidi.py send NAME` and `… record NAME FILE`.

Light: knows rtmidi and the standard library.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

import rtmidi


def send(name: str) -> None:
    """Play lines of "time bytes" from the standard input; answer each with the time it was sent."""
    output = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name=name)
    output.open_virtual_port("out")
    print("ready", flush=True)
    for line in sys.stdin:
        at, data = line.split()
        time.sleep(max(0.0, float(at) - time.perf_counter() - 0.0005))
        while time.perf_counter() < float(at):
            pass
        output.send_message(bytes.fromhex(data))
        print(repr(time.perf_counter()), flush=True)
    output.delete()


def record(name: str, path: str) -> None:
    """Write lines of "time bytes" to the file, until the standard input ends.

    No callback: JACK would wait for Python in it, and drop what comes meanwhile. rtmidi's own queue loses nothing, and
    says how far apart the messages came.
    """
    heard = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name=name, queue_size_limit=100_000)
    heard.ignore_types(sysex=False, timing=False, active_sense=False)
    heard.open_virtual_port("in")
    print("ready", flush=True)
    first_s, after_s = float("inf"), 0.0
    with Path(path).open("a", buffering=1) as file:
        while not select.select([sys.stdin], [], [], 0.0005)[0]:
            while (message := heard.get_message()) is not None:
                after_s += message[1]
                first_s = min(first_s, time.perf_counter() - after_s)  # we are late by as much, at least
                file.write(f"{first_s + after_s!r} {bytes(message[0]).hex()}\n")
    heard.delete()


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(*sys.argv[2:])
    else:
        record(*sys.argv[2:])
