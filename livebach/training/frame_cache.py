"""Cache the frames of pieces in memory-mapped files. So a corpus may exceed the memory and is converted only once.

The cache is a folder of shards. A shard is written once, under a unique name, and never changed. Its contents are a
magic number, the ticks of its pieces, a JSON object with the range of each piece, and a BLAKE2b digest of all these. A
damaged shard is deleted, and its pieces are converted again. A file without a shard's name or magic number is left
alone. The folder may be deleted while no run uses it. The module does not know MIDI.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import uuid
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, Frames

TICK = np.dtype([("frame", "u1", (KEYS,)), ("place", "<i2", (3,))])
"""Stored data of a tick, 94 bytes: the frame and its place in the metre."""
MARK = b"LBFRAME1"
_END = struct.Struct("<Q32s")
_CHUNK = 1 << 22


class FrameCache:
    """Map keys to the frames of pieces. Call `add` for missing pieces, then `finish`, then `arrays`.

    A key must identify the contents of a piece.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # created by the first `add`
        self._pieces: dict[str, NDArray[np.void]] = {}
        self._new: _Shard | None = None
        self.damaged = sum(not self._open(path) for path in sorted(folder.glob("*.frames")) if _is_shard(path))
        """Number of damaged shards that were deleted."""

    def __contains__(self, key: str) -> bool:
        return key in self._pieces or (self._new is not None and key in self._new.spans)

    def add(self, key: str, frames: Frames, places: NDArray[np.int16]) -> None:
        """Add a piece. `arrays` can return the piece after `finish`.

        Args:
            key: Identity of the contents.
            frames: uint8 [T, 88].
            places: int16 [T, 3], position in the bar, beat length and bar length, in ticks.

        """
        if self._new is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._new = _Shard(self.folder)
        ticks = np.zeros(len(frames), TICK)
        ticks["frame"], ticks["place"] = frames, places
        self._new.write(key, ticks)

    def finish(self) -> None:
        """Write all added pieces to disk, and make them available to `arrays`."""
        if self._new is not None:
            path = self._new.finish()
            self._new = None
            self._open(path)

    def discard(self) -> None:
        """Delete all pieces added since the last `finish`."""
        if self._new is not None:
            self._new.discard()
            self._new = None

    def arrays(self, key: str) -> tuple[Frames, NDArray[np.int16]]:
        """Return frames uint8 [T, 88] and places int16 [T, 3] of a piece, as read-only memory maps.

        Raises:
            KeyError: If the cache has no finished piece with this key.

        """
        ticks = self._pieces[key]
        return ticks["frame"], ticks["place"]

    def _open(self, path: Path) -> bool:
        spans = _spans(path)
        if spans is None:
            path.unlink(missing_ok=True)
            return False
        count = max((stop for _, stop in spans.values()), default=0)
        if count:
            ticks = np.asarray(np.memmap(path, TICK, "r", offset=len(MARK), shape=(count,)))
            self._pieces |= {key: ticks[start:stop] for key, (start, stop) in spans.items()}
        return True


def _is_shard(path: Path) -> bool:
    """Return whether a cache wrote this file, judged by the file name and the first bytes."""
    if not re.fullmatch(r"[0-9a-f]{32}", path.stem) or not path.is_file():
        return False
    with path.open("rb") as shard:
        return shard.read(len(MARK)) == MARK


class _Shard:
    """A shard during writing. It has a temporary name until `finish`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{uuid.uuid4().hex}.frames"
        self.part = self.path.with_suffix(".part")
        self.spans: dict[str, tuple[int, int]] = {}
        self._ticks = 0
        self._digest = hashlib.blake2b(digest_size=32)
        self._out = self.part.open("wb")
        self._put(MARK)

    def write(self, key: str, ticks: NDArray[np.void]) -> None:
        self._put(ticks.tobytes())
        self.spans[key] = self._ticks, self._ticks + len(ticks)
        self._ticks += len(ticks)

    def finish(self) -> Path:
        words = json.dumps(self.spans).encode()
        self._put(words)
        self._out.write(_END.pack(len(words), self._digest.digest()))
        self._out.flush()
        os.fsync(self._out.fileno())
        self._out.close()
        self.part.replace(self.path)
        return self.path

    def discard(self) -> None:
        self._out.close()
        self.part.unlink(missing_ok=True)

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._out.write(data)


def _spans(path: Path) -> dict[str, tuple[int, int]] | None:
    """Return the tick range of each piece of a shard, or None if the shard is damaged."""
    body = path.stat().st_size - _END.size
    if body < len(MARK):
        return None
    with path.open("rb") as shard:
        digest, first = _digest(shard, body)
        size, wanted = _END.unpack(shard.read(_END.size))
        if digest != wanted or first != MARK:
            return None
        shard.seek(body - size)
        found: dict[str, list[int]] = json.loads(shard.read(size))
    return {key: (start, stop) for key, (start, stop) in found.items()}


def _digest(shard: BinaryIO, size: int) -> tuple[bytes, bytes]:
    """Return the digest of the first `size` bytes, and the magic number at their start."""
    digest, first = hashlib.blake2b(digest_size=32), b""
    while size and (chunk := shard.read(min(size, _CHUNK))):
        first = first or chunk[: len(MARK)]
        digest.update(chunk)
        size -= len(chunk)
    return digest.digest(), first
