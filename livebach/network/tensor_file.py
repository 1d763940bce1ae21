"""Read a safetensors file: a header in JSON, and the bytes of named arrays.

The package `safetensors` writes these files. It takes 0.9 MB of memory, so what plays reads them with this module. The
whole header is checked before any array is read: the arrays fill the rest of the file, in order and without gaps.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MOST_HEADER = 16 << 20
"""Most bytes of a header."""
SIZES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}
"""Bytes of an element of each type."""
READ = {"U8": "<u1", "U32": "<u4", "F16": "<f2", "F32": "<f4"}
"""Types that can be read, as numpy calls them."""
METADATA = "__metadata__"


class TensorFileError(ValueError):
    """A file is no whole safetensors file. The message is one line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An array in a file.

    Attributes:
        dtype: Its type, as the format names it.
        shape: Its sizes.
        start: The place of its first byte, from the beginning of the file.
        end: The place after its last byte.

    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class TensorFile:
    """An open safetensors file.

    Attributes:
        entries: The arrays by name.
        metadata: Texts by name; empty where the file has none.

    """

    def __init__(self, handle: BinaryIO, size: int) -> None:
        """Read and check the header.

        Args:
            handle: The file, open at its beginning.
            size: Its number of bytes.

        Raises:
            TensorFileError: The header is damaged, or the file is longer or shorter than it says.

        """
        self._handle = handle
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or length > min(size - 8, MOST_HEADER):
            raise TensorFileError("its header is too long")
        try:
            header = json.loads(handle.read(length))
        except (ValueError, RecursionError) as error:
            raise TensorFileError("its header is no JSON") from error
        if not isinstance(header, dict):
            raise TensorFileError("its header is no JSON object")
        self.metadata = _metadata(header.pop(METADATA, {}))
        self.entries = {name: _entry(name, value, 8 + length) for name, value in header.items()}
        at = 8 + length
        for entry in sorted(self.entries.values(), key=lambda entry: (entry.start, entry.end)):
            if entry.start != at:
                raise TensorFileError("its arrays overlap, or leave gaps")
            at = entry.end
        if at != size:
            raise TensorFileError(f"it should have {at} bytes, and has {size}")

    def read(self, name: str) -> NDArray[Any]:
        """Return an array.

        Raises:
            TensorFileError: Its type is none of `READ`, or the file has been cut meanwhile.
            OSError: The file cannot be read.

        """
        entry = self.entries[name]
        if entry.dtype not in READ:
            raise TensorFileError(f"{name} is of type {entry.dtype}")
        self._handle.seek(entry.start)
        data = self._handle.read(entry.end - entry.start)
        if len(data) != entry.end - entry.start:
            raise TensorFileError("it has been cut")
        return np.frombuffer(data, READ[entry.dtype]).reshape(entry.shape).astype(READ[entry.dtype][1:])


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise TensorFileError("its metadata are no texts")
    return value


def _entry(name: str, value: Any, start: int) -> Entry:
    """Return the array of a header's value, with `start` as the place of the first array."""
    wrong = TensorFileError(f"{name} is not described as an array")
    try:
        dtype, shape, (begin, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        size = SIZES[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise wrong from error
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise wrong
    if end - begin != size * math.prod(shape):
        raise wrong
    return Entry(dtype, shape, start + begin, start + end)
