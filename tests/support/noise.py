"""What a broken keyboard or cable sends, for the fuzz tests."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import islice

import mido

BYTES = int(os.environ.get("LIVEBACH_FUZZ_BYTES", "1000000"))
"""How many bytes are tried."""


def noise(rng: random.Random) -> Iterator[bytes]:
    """Random bytes in pieces of any length, as a raw port gives them that has lost its place."""
    while True:
        yield rng.randbytes(rng.choice((0, 1, 1, 2, 2, 3, 3, 3, 3, 4, 7, 40)))


def damaged(rng: random.Random) -> Iterator[bytes]:
    """A player's messages, of which some have a byte changed, left out, doubled or put in."""
    while True:
        status = rng.choice((0x90, 0x90, 0x90, 0x80, 0x80, 0xB0, 0xC0, 0xE0, 0xF0, 0xF8)) | rng.choice((0, 0, 0, 1, 9))
        data = bytearray((status, rng.choice((64, 123, rng.randrange(128))), rng.randrange(128)))
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.randrange(2)] = rng.randbytes(rng.randrange(3))
        yield bytes(data)


def parsed(rng: random.Random) -> Iterator[bytes]:
    """Either kind as one stream of bytes, cut into messages by mido's parser."""
    parser = mido.Parser()
    for noisy, played in zip(noise(rng), damaged(rng), strict=False):
        parser.feed(noisy if rng.random() < 0.3 else played)
        yield from (bytes(message.bytes()) for message in parser)


def both(rng: random.Random) -> Iterator[bytes]:
    """Either kind in turn, in stretches of hundreds."""
    streams = [noise(rng), damaged(rng)]
    while True:
        yield from islice(rng.choice(streams), rng.randrange(1000))


def cut(stream: Iterator[bytes], size: int) -> Iterator[bytes]:
    """As many of its messages as have that many bytes."""
    while size > 0:
        data = next(stream)
        size -= len(data)
        yield data
