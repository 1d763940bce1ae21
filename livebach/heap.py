"""Memory while playing: what is there stays, and what may be needed is there before.

A page that is first touched, and a block that is asked of the system, take their time when they are needed; and what an
allocator has taken it seldom gives back. So a reserve is taken once, before the first note. Knows nothing of music.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

RESERVE = 2 << 20
"""Bytes for small Python objects, and a quarter of that for larger blocks: an hour of playing is at home in them."""
_ARENA = 1 << 20  # what Python asks the system for; given back once nothing in it is in use
_SMALL = 512  # the largest block that comes from an arena
_BLOCK = 64 << 10
_M_TRIM_THRESHOLD = -1

_pins: list[bytes] = []


def freeze() -> None:
    """Tidy up once, take the reserve, and have the garbage collector leave alone all that is there now."""
    gc.collect()
    _keep_what_is_freed()
    _reserve()
    gc.freeze()


def _reserve() -> None:
    """Touch and let go; one object in each arena holds it."""
    blocks = [b"\1" * _BLOCK for _ in range(RESERVE // 4 // _BLOCK)]
    small = [b"\1" * (_SMALL - sys.getsizeof(b"")) for _ in range(RESERVE // _SMALL)]
    if not _pins:
        _pins.extend(small[:: _ARENA // _SMALL])
    del blocks, small


def _keep_what_is_freed() -> None:
    """Have glibc keep its reserve too; arrays from 128 KB on stay mappings, which the system has back when they go."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, 2 * RESERVE)
