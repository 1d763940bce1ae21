"""Pass messages through a bare rtmidi loop, for comparison with livebach's thru."""

from __future__ import annotations

import sys

import rtmidi


def main() -> None:
    """Pass messages on until the standard input ends."""
    output = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name="bare-out")
    output.open_virtual_port("out")
    heard = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name="bare-in")
    heard.set_callback(lambda message, _data: output.send_message(message[0]))
    heard.open_virtual_port("in")
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
