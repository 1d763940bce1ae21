"""A trained touch network in one safetensors file: weights, metadata, and a stored input/output pair of each part.

The file holds numbers and JSON, no pickle, so it can run no code.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.files import data_path, open_regular
from livebach.network.checkpoint import write_tensors
from livebach.network.tensor_file import TensorFile, TensorFileError
from livebach.network.touch_shape import INPUTS, OUTPUTS, PAIRS, TouchShape

FORMAT = "livebach-touch-3"
DEFAULT_NAME = "checkpoints/touch.safetensors"
MAX_BYTES = 8 << 20
PAIR_ROWS = 16
PAIR_ABOVE = np.arange(PAIR_ROWS) % PAIRS[0]
"""The offsets of the next higher notes, by their numbers, in the stored pair of the offset: every row of `offset.pairs`
counts."""
Array = NDArray[np.float32]


class TouchError(ValueError):
    """A file is no livebach touch network, or is damaged. The message is one line."""


@dataclass(frozen=True, slots=True)
class TouchCheckpoint:
    """A trained touch network.

    Attributes:
        shape: The numbers of hidden channels.
        weights: float32 arrays by their names in the torch model; `TouchShape.weights` gives the shapes.
        meta: Metadata: JSON values.
        pair: Stored input and output of each part, float32: `pair.PART.in` [16, inputs], `pair.PART.out` [16, outputs].

    """

    shape: TouchShape
    weights: dict[str, Array]
    meta: dict[str, Any]
    pair: dict[str, Array]


def default_path() -> Path:
    """Return the path of the touch network that ships with the package."""
    return data_path(DEFAULT_NAME)


def pair_shapes() -> dict[str, tuple[int, int]]:
    """Return the shapes of the stored pair's arrays, by name."""
    inputs = {f"pair.{name}.in": (PAIR_ROWS, width) for name, width in INPUTS.items()}
    return inputs | {f"pair.{name}.out": (PAIR_ROWS, width) for name, width in OUTPUTS.items()}


def save(path: Path, checkpoint: TouchCheckpoint) -> None:
    """Write a touch network to a temporary file, then move the file into place. Raises OSError."""
    header = {"format": FORMAT, "architecture": checkpoint.shape.to_dict(), "meta": checkpoint.meta}
    write_tensors(path, {**checkpoint.weights, **checkpoint.pair}, header)


def load(path: Path) -> TouchCheckpoint:
    """Read and check a touch network.

    Args:
        path: A safetensors file of at most MAX_BYTES.

    Raises:
        TouchError: The file cannot be read, is no touch network, or is damaged. The message is one line that names the
            file and the fault.

    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise TouchError(f"{path}: larger than {MAX_BYTES >> 20} MiB: not a touch network")
            return _read(path, TensorFile(file, size))
    except OSError as error:
        raise TouchError(f"{path}: cannot be read: {error.strerror or error}") from error
    except TensorFileError as error:
        raise TouchError(f"{path}: not a whole safetensors file: {error}") from error


def _read(path: Path, handle: TensorFile) -> TouchCheckpoint:
    shape, meta = _header(path, handle.metadata)
    weights, pair = shape.weights(), pair_shapes()
    expected = {**weights, **pair}
    missing = sorted(set(expected) - set(handle.entries))
    if missing:
        raise TouchError(f"{path}: lacks {missing[0]} (and {len(missing) - 1} more of its {len(expected)} tensors)")
    for name, wanted in expected.items():
        part = handle.entries[name]
        if tuple(part.shape) != wanted or part.dtype != "F32":
            raise TouchError(f"{path}: {name} must be F32 {wanted}, got {part.dtype} {tuple(part.shape)}")
    tensors = {name: handle.read(name) for name in expected}
    broken = next((name for name, value in tensors.items() if not np.isfinite(value).all()), None)
    if broken:
        raise TouchError(f"{path}: {broken} has values that are not finite")
    return TouchCheckpoint(shape, {n: tensors[n] for n in weights}, meta, {n: tensors[n] for n in pair})


def _header(path: Path, metadata: dict[str, str] | None) -> tuple[TouchShape, dict[str, Any]]:
    try:
        header = dict(json.loads((metadata or {})["livebach"]))
        written, meta = header["format"], dict(header["meta"])
        shape = TouchShape.from_dict(header["architecture"]) if written == FORMAT else None
    except KeyError as error:
        raise TouchError(f"{path}: a safetensors file, but not a touch network (no {error})") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise TouchError(f"{path}: its metadata is damaged: {error}") from error
    if shape is None:
        raise TouchError(f"{path}: format must be {FORMAT}, got {written!r}")
    return shape, meta
