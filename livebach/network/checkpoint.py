"""A trained network in one safetensors file: weights, metadata, and a stored input/output pair.

A checkpoint holds numbers and JSON, no pickle, so it can run no code. All names, shapes and types are checked against
the architecture in the file before any weight is read, so a wrong file costs no memory.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.files import data_path, open_regular
from livebach.music.idiom import BACH, Idiom
from livebach.music.roll import HOLD, KEYS, STATES, UNKNOWN
from livebach.network.quotes import MOST_RUNS, NOTHING, Quotes
from livebach.network.spec import CONDITION_FEATURES, NetworkSpec
from livebach.network.tensor_file import TensorFile, TensorFileError
from livebach.network.theme_evidence import FEATURES, ThemeWeights

FORMAT = "livebach-1"
DEFAULT_NAME = "checkpoints/default.safetensors"
MAX_BYTES = 256 << 20
MAX_PAIR = 4096
STREAMS = ("notes", "line")
THEMES_VERSION = 1
"""Version of the features that the theme memory's weights take."""
MOST_THEME_UNITS = 256
PAIR = ("pair.frames", "pair.condition", "pair.given", "pair.coming", "pair.logits")


class CheckpointError(ValueError):
    """A file is no livebach checkpoint, or is damaged. The message is one line."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained network.

    Attributes:
        spec: The shape of the network.
        weights: float32 arrays by their names in the torch model; `weight_shapes` gives the shapes.
        meta: Metadata: JSON values, such as the training settings.
        pair: Stored input and output, for checking an engine: `pair.frames`, `pair.given` and `pair.coming`
            uint8 [T, 88], `pair.condition` float32 [T, CONDITION_FEATURES], `pair.logits` float32 [T, 88, 3].
        quotes: Runs of notes in the training music.
        themes: Weights of the theme memory; None in older files, which play without it.
        idiom: Figures of the training music; those of Bach where a file has none.

    """

    spec: NetworkSpec
    weights: dict[str, NDArray[np.float32]]
    meta: dict[str, Any]
    pair: dict[str, NDArray[Any]]
    quotes: Quotes = NOTHING
    themes: ThemeWeights | None = None
    idiom: Idiom = BACH


def default_path() -> Path:
    """Return the path of the checkpoint that ships with the package."""
    return data_path(DEFAULT_NAME)


def weight_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of a network, by its name in the torch model."""
    c, k, g, s = spec.time_channels, spec.key_channels, spec.given_channels, spec.context_channels
    shapes: dict[str, tuple[int, ...]] = {
        "place": (KEYS, c),
        **_linear("embed", (2 * spec.reach + 1) * STATES, c),
        **_linear("condition", CONDITION_FEATURES, spec.condition_channels),
        **_linear("given.embed", STATES, g),
        **_linear("from_context", spec.context_width, k),
        "from_given.weight": (k, g),
        "from_below.weight": (k, STATES),
        **_linear("to_logits", k, STATES),
    }
    for i in range(len(spec.time_dilations)):
        shapes |= _gated(f"time_layers.{i}", c, s, spec.condition_channels)
        if i in spec.mixing_layers:
            shapes[f"time_layers.{i}.mixing.by_interval"] = (spec.mixing_heads, 2 * KEYS - 1)
            shapes[f"time_layers.{i}.mixing.to_gates.weight"] = (2 * c, c)
    for i in range(len(spec.key_dilations)):
        shapes |= _gated(f"key_layers.{i}", k, k)
    if spec.frame_channels:
        f = spec.frame_channels
        shapes |= {**_linear("frame.embed", 2 * KEYS, f), **_linear("frame.to_keys", f, KEYS * spec.frame_features)}
        for i in range(len(spec.frame_dilations)):
            shapes |= _gated(f"frame.layers.{i}", f, f, spec.condition_channels)
    for i in range(len(spec.given_dilations)):
        shapes |= {f"given.layers.{i}.weight": (g, g, 3), f"given.layers.{i}.bias": (g,)}
    return shapes


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _gated(name: str, channels: int, skip: int, condition: int = 0) -> dict[str, tuple[int, ...]]:
    conditioned = {f"{name}.condition.weight": (2 * channels, condition)} if condition else {}
    return {
        f"{name}.past.weight": (2 * channels, channels),
        **_linear(f"{name}.present", channels, 2 * channels),
        **_linear(f"{name}.out", channels, channels + skip),
        **conditioned,
    }


def save(path: Path, checkpoint: Checkpoint, half: bool = False) -> None:
    """Write a checkpoint to a temporary file, then move the file into place.

    Args:
        path: The file to write; an existing file is replaced.
        checkpoint: The network.
        half: Whether to store the weights as float16 instead of float32.

    Raises:
        OSError: The file cannot be written. An existing file stays as it was.

    """
    header: dict[str, Any] = {"format": FORMAT, "architecture": checkpoint.spec.to_dict(), "meta": checkpoint.meta}
    header["idiom"] = checkpoint.idiom.to_json()
    kept = np.float16 if half else np.float32
    tensors = {name: weight.astype(kept) for name, weight in checkpoint.weights.items()} | checkpoint.pair
    tensors |= {f"quotes.{name}": getattr(checkpoint.quotes, name) for name in STREAMS}
    if checkpoint.themes is not None:
        header["themes"] = THEMES_VERSION
        tensors |= {"themes.hidden": checkpoint.themes.hidden, "themes.out": checkpoint.themes.out}
    write_tensors(path, tensors, header)


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> None:
    """Write named arrays and a header to a temporary file, then move the file into place.

    Raises:
        OSError: The file cannot be written. An existing file stays as it was.

    """
    from safetensors.numpy import save_file  # imported here, so that playing does without it

    part = path.with_name(path.name + ".part")
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, part, {"livebach": json.dumps(header)})
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(path)


def load(path: Path) -> Checkpoint:
    """Read and check a checkpoint.

    Args:
        path: A safetensors file of at most MAX_BYTES.

    Returns:
        The network, its weights as float32.

    Raises:
        CheckpointError: The file cannot be read, is no livebach checkpoint, or is damaged. The message is one line
            that names the file and the fault.

    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise CheckpointError(f"{path}: larger than {MAX_BYTES >> 20} MiB: not a livebach checkpoint")
            return _read(path, TensorFile(file, size))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except TensorFileError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error


def _read(path: Path, handle: TensorFile) -> Checkpoint:
    spec, meta, idiom = _header(path, handle.metadata)
    expected = weight_shapes(spec)
    missing = sorted((set(expected) | set(PAIR)) - set(handle.entries))
    if missing:
        raise CheckpointError(
            f"{path}: lacks {missing[0]} (and {len(missing) - 1} more of its {len(expected)} tensors)"
        )
    for name, shape in expected.items():
        part = handle.entries[name]
        if tuple(part.shape) != shape or part.dtype not in ("F32", "F16"):
            raise CheckpointError(f"{path}: {name} must be float {shape}, got {part.dtype} {tuple(part.shape)}")
    weights = _weights(handle, expected)
    broken = next((n for n, w in weights.items() if not np.isfinite(w).all()), None)
    if broken:
        raise CheckpointError(f"{path}: {broken} has values that are not finite")
    return Checkpoint(spec, weights, meta, _pair(path, handle), _quotes(path, handle), _themes(path, handle), idiom)


def _weights(handle: TensorFile, shapes: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """Return all weights as float32 views of one block of memory, which is freed as a whole."""
    block = np.empty(sum(math.prod(shape) for shape in shapes.values()), np.float32)
    weights, start = {}, 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        weights[name] = block[start:end].reshape(shape)
        weights[name][...] = handle.read(name)
        start = end
    return weights


def _header(path: Path, metadata: dict[str, str] | None) -> tuple[NetworkSpec, dict[str, Any], Idiom]:
    try:
        header = dict(json.loads((metadata or {})["livebach"]))
        written, architecture, meta = header["format"], header["architecture"], dict(header["meta"])
        spec = NetworkSpec.from_dict(architecture) if written == FORMAT else None
        idiom = Idiom.from_json(dict(header["idiom"])) if "idiom" in header else BACH
    except KeyError as error:
        raise CheckpointError(f"{path}: a safetensors file, but not a livebach checkpoint (no {error})") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged: {error}") from error
    if spec is None:
        raise CheckpointError(f"{path}: format must be {FORMAT}, got {written!r}")
    return spec, meta, idiom


def _pair(path: Path, handle: TensorFile) -> dict[str, NDArray[Any]]:
    ticks = (handle.entries["pair.frames"].shape or [0])[0]
    if not 1 <= ticks <= MAX_PAIR:
        raise CheckpointError(f"{path}: its stored pair must be 1..{MAX_PAIR} frames long, got {ticks}")
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "pair.frames": ("U8", (ticks, KEYS)),
        "pair.given": ("U8", (ticks, KEYS)),
        "pair.coming": ("U8", (ticks, KEYS)),
        "pair.condition": ("F32", (ticks, CONDITION_FEATURES)),
        "pair.logits": ("F32", (ticks, KEYS, STATES)),
    }
    for name, wanted in shapes.items():
        part = handle.entries[name]
        got = part.dtype, tuple(part.shape)
        if got != wanted:
            raise CheckpointError(f"{path}: {name} must be {wanted}, got {got}")
    pair = {name: handle.read(name) for name in PAIR}
    for name, high in (("pair.frames", HOLD), ("pair.coming", HOLD), ("pair.given", UNKNOWN)):
        if pair[name].max() > high:
            raise CheckpointError(f"{path}: {name} must be states in 0..{high}, got {pair[name].max()}")
    return pair


def _quotes(path: Path, handle: TensorFile) -> Quotes:
    """Return the runs of the training music; none where an older file lacks them."""
    found, there = {}, set(handle.entries)
    for name in (n for n in STREAMS if f"quotes.{n}" in there):
        part = handle.entries[f"quotes.{name}"]
        shape = part.shape
        if part.dtype != "U32" or len(shape) != 1 or shape[0] > MOST_RUNS:
            raise CheckpointError(f"{path}: quotes.{name} must be at most {MOST_RUNS} U32, got {part.dtype} {shape}")
        found[name] = handle.read(f"quotes.{name}")
        if (found[name][1:] <= found[name][:-1]).any():
            raise CheckpointError(f"{path}: quotes.{name} must be in rising order")
    return Quotes(**found)


def _themes(path: Path, handle: TensorFile) -> ThemeWeights | None:
    """Return the weights of the theme memory; None where an older file lacks them."""
    there = set(handle.entries)
    if "themes.hidden" not in there:
        return None
    version = json.loads(handle.metadata["livebach"]).get("themes")
    if version != THEMES_VERSION:
        raise CheckpointError(f"{path}: its theme weights must be of version {THEMES_VERSION}, got {version!r}")
    units = (handle.entries["themes.hidden"].shape or [0])[0]
    if not 1 <= units <= MOST_THEME_UNITS:
        raise CheckpointError(f"{path}: themes.hidden must have 1..{MOST_THEME_UNITS} units, got {units}")
    found = []
    for name, wanted in (("themes.hidden", (units, len(FEATURES) + 1)), ("themes.out", (STATES, units + 1))):
        part = handle.entries[name] if name in there else None
        got = (part.dtype, tuple(part.shape)) if part is not None else "nothing"
        if got != ("F32", wanted):
            raise CheckpointError(f"{path}: {name} must be F32 {wanted}, got {got}")
        found.append(handle.read(name))
        if not np.isfinite(found[-1]).all():
            raise CheckpointError(f"{path}: {name} has values that are not finite")
    return ThemeWeights(*found)


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file in hex. A take's log identifies a checkpoint by it.

    Raises:
        OSError: The file cannot be read.

    """
    digest = _sha256()
    with open_regular(path) as handle:
        while part := handle.read(1 << 16):
            digest.update(part)
    return str(digest.hexdigest())


def _sha256() -> Any:
    """Return a SHA-256 hash object of Python's own implementation. hashlib would load OpenSSL, 3.4 MB of memory."""
    try:
        return importlib.import_module("_sha2" if sys.version_info >= (3, 12) else "_sha256").sha256()
    except ImportError:  # not CPython, or built without the module
        return importlib.import_module("hashlib").sha256()
