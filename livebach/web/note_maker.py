"""The process that gives the notes of the built-in instruments to the page's server, and renders missing ones.

A line on stdin asks for the manifest, the room, or a layer of a key («piano 60 body»). The answer is one line with
its size, followed by the bytes. Size 0 means that there is no such layer. The process ends when stdin ends. It is the
only one of the page's processes that loads numpy, and it runs only while a page fetches notes.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from functools import cache

from livebach.sound.bank import Bank
from livebach.sound.instruments import INSTRUMENTS, Instrument
from livebach.sound.partials import RATE
from livebach.sound.room import impulse_response
from livebach.sound.temperaments import TEMPERAMENTS, cents
from livebach.sound.tone import HIGHEST, LOWEST

STEP = 3
"""Distance in semitones between the keys that are sent. Neighbouring keys are played from them at another speed."""
RENDERED_KEYS = range(LOWEST, HIGHEST + 1, STEP)
RENDERED_A_HZ = 440.0
_A = 9  # its pitch class
_HEAD = struct.Struct("<fi")  # scale; where the loop starts, in samples, or -1


def manifest() -> bytes:
    """Return the facts about instruments and temperaments that a page needs, as JSON."""
    return json.dumps(
        {
            "rate": RATE,
            "pitch": RENDERED_A_HZ,
            "instruments": {name: _facts(instrument) for name, instrument in INSTRUMENTS.items()},
            "temperaments": {name: {"cents": _beside_equal(name)} for name in TEMPERAMENTS},
        }
    ).encode()


def room() -> bytes:
    """Return the room's impulse response: little-endian floats of 32 bits, the left channel before the right one."""
    samples: bytes = impulse_response().astype("<f4").tobytes()
    return samples


def _facts(instrument: Instrument) -> dict[str, object]:
    gains = [instrument.gains(velocity) for velocity in range(128)]
    layers = list(instrument.lengths(LOWEST))
    return {
        "keys": list(RENDERED_KEYS),
        "layers": layers,
        "gains": {layer: [round(row.get(layer, 0.0), 4) for row in gains] for layer in layers},
        "release_s": [round(instrument.release_s(key), 3) for key in range(LOWEST, HIGHEST + 1)],
        "undamped": instrument.undamped,
        "room": instrument.room,
        "spread": instrument.spread,
    }


def _beside_equal(temperament: str) -> list[float]:
    """Return the distance of each pitch class from equal temperament in cents, from C on. That of A is 0."""
    row = cents(temperament)
    return [round((pitch - row[_A]) - 100 * (place - _A), 4) for place, pitch in enumerate(row)]


@cache
def _bank(name: str) -> Bank:
    return Bank(name)


def layer(instrument: str, key: int, name: str) -> bytes:
    """Return a layer of a key: a head (`_HEAD`), and little-endian samples of 16 bits; b"" if there is none."""
    if instrument not in INSTRUMENTS or key not in RENDERED_KEYS:
        return b""
    stored = _bank(instrument).obtain(key).get(name)
    if stored is None:
        return b""
    samples: bytes = stored.samples.astype("<i2").tobytes()
    return _HEAD.pack(stored.scale, stored.loop_start) + samples


def answer(line: str) -> bytes:
    """Return the content that a line asks for."""
    words = line.split()
    if len(words) == 1:
        return {"manifest": manifest, "room": room}[words[0]]()
    return layer(words[0], int(words[1]), words[2])


def main() -> None:
    """Answer until stdin ends, at low priority, because the music needs the processor."""
    if hasattr(os, "nice"):
        os.nice(10)
    for line in sys.stdin:
        data = answer(line)
        sys.stdout.buffer.write(f"{len(data)}\n".encode() + data)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
