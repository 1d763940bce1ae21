"""Checkpoints: writing and reading them, and one-line errors for wrong files."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from livebach.music.roll import KEYS, UNKNOWN
from livebach.network import checkpoint as checkpoints
from livebach.network.checkpoint import (
    FORMAT,
    PAIR,
    Checkpoint,
    CheckpointError,
    fingerprint,
    load,
    save,
    weight_shapes,
)
from livebach.network.spec import NetworkSpec
from tests.support.small_checkpoint import META, SPEC, made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole checkpoint."""
    save(tmp_path / "a.safetensors", made())
    return tmp_path / "a.safetensors"


def refusal(path: Path) -> str:
    """The one line that a wrong file gets."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert len(line) < 600 + len(str(path))
    return line


def header(**changes: Any) -> dict[str, str]:
    """The metadata of a file, changed."""
    return {"livebach": json.dumps({"format": FORMAT, "architecture": SPEC.to_dict(), "meta": META, **changes})}


def tensors(**changes: Any) -> dict[str, np.ndarray]:
    """The tensors of a file, changed; None takes one out."""
    whole = made()
    named = {**whole.weights, **whole.pair, **{k.replace("__", "."): v for k, v in changes.items()}}
    return {k: v for k, v in named.items() if v is not None}


def test_there_and_back(path: Path) -> None:
    """Shape, weights, metadata and stored pair are what they were, and the same contents are the same file."""
    again, first = load(path), made()
    assert again.spec == SPEC
    assert again.meta == META
    for a, b in ((again.weights, first.weights), (again.pair, first.pair)):
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)
    save(path.with_name("b.safetensors"), again)
    assert fingerprint(path.with_name("b.safetensors")) == fingerprint(path)


def test_half_precision_is_read(path: Path) -> None:
    """Weights stored in 16 bits come as 32."""
    half = {k: v.astype(np.float16) if k not in PAIR else v for k, v in tensors().items()}
    save_file(half, path, header())
    assert all(w.dtype == np.float32 for w in load(path).weights.values())


def test_a_truncated_file(path: Path) -> None:
    """In the length, in the header, before, within and at the end of the numbers, and with something added."""
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    for size in (0, 1, 7, 8, 9, start // 2, start - 1, start, start + 1, len(data) // 2, len(data) - 4, len(data) - 1):
        path.write_bytes(data[:size])
        refusal(path)
    path.write_bytes(data + b"more")
    refusal(path)


WRONG: dict[str, Callable[[Path], Any]] = {
    "text": lambda p: p.write_text("a checkpoint?\n" * 50, encoding="utf-8"),
    "a pickle": lambda p: p.write_bytes(pickle.dumps({"weights": [1.0] * 100})),
    "zeros": lambda p: p.write_bytes(bytes(5000)),
    "another program's": lambda p: save_file({"x": np.zeros(3)}, p),
    "another program's metadata": lambda p: save_file({"x": np.zeros(3)}, p, {"format": "pt"}),
    "another format": lambda p: save_file(tensors(), p, header(format="livebach-0\n")),
    "metadata no JSON": lambda p: save_file(tensors(), p, {"livebach": "{"}),
    "metadata a list": lambda p: save_file(tensors(), p, {"livebach": "[1, 2]"}),
    "metadata a number": lambda p: save_file(tensors(), p, {"livebach": "3"}),
    "metadata very deep": lambda p: save_file(tensors(), p, {"livebach": "[" * 100_000}),
    "meta no mapping": lambda p: save_file(tensors(), p, header(meta=[1])),
    "no architecture": lambda p: save_file(tensors(), p, {"livebach": json.dumps({"format": FORMAT, "meta": {}})}),
    "architecture a word": lambda p: save_file(tensors(), p, header(architecture="wavenet")),
    "a size missing": lambda p: save_file(tensors(), p, header(architecture={"reach": 3})),
    "a size unknown": lambda p: save_file(tensors(), p, header(architecture=SPEC.to_dict() | {"a\nb": 1})),
    "a size of nothing": lambda p: save_file(tensors(), p, header(architecture=SPEC.to_dict() | {"key_channels": 0})),
    "a size too large": lambda p: save_file(
        tensors(), p, header(architecture=SPEC.to_dict() | {"key_channels": 10**9})
    ),
    "a size in words": lambda p: save_file(tensors(), p, header(architecture=SPEC.to_dict() | {"reach": "two"})),
    "a list for a size": lambda p: save_file(tensors(), p, header(architecture=SPEC.to_dict() | {"reach": [1]})),
    "a size for a list": lambda p: save_file(
        tensors(), p, header(architecture=SPEC.to_dict() | {"given_dilations": 5})
    ),
    "no layer": lambda p: save_file(tensors(), p, header(architecture=SPEC.to_dict() | {"key_dilations": []})),
    "another architecture": lambda p: save_file(tensors(), p, header(architecture=NetworkSpec().to_dict())),
    "a weight missing": lambda p: save_file(tensors(place=None), p, header()),
    "all missing": lambda p: save_file({"x": np.zeros(3)}, p, header()),
    "a weight of another shape": lambda p: save_file(tensors(place=np.zeros((KEYS, 5), np.float32)), p, header()),
    "a weight of whole numbers": lambda p: save_file(tensors(place=np.zeros((KEYS, 4), np.int32)), p, header()),
    "a weight of doubles": lambda p: save_file(tensors(place=np.zeros((KEYS, 4))), p, header()),
    "not a number": lambda p: save_file(tensors(place=np.full((KEYS, 4), np.nan, np.float32)), p, header()),
    "infinity": lambda p: save_file(tensors(place=np.full((KEYS, 4), -np.inf, np.float32)), p, header()),
    "no pair": lambda p: save_file({k: v for k, v in tensors().items() if k not in PAIR}, p, header()),
    "an empty pair": lambda p: save_file(tensors(pair__frames=np.zeros((0, KEYS), np.uint8)), p, header()),
    "a pair of one number": lambda p: save_file(tensors(pair__frames=np.array(3, np.uint8)), p, header()),
    "a pair of two lengths": lambda p: save_file(tensors(pair__given=np.zeros((4, KEYS), np.uint8)), p, header()),
    "a pair of floats": lambda p: save_file(tensors(pair__frames=np.zeros((5, KEYS), np.float32)), p, header()),
    "a pair of no states": lambda p: save_file(tensors(pair__coming=np.full((5, KEYS), 3, np.uint8)), p, header()),
    "a pair of no given": lambda p: save_file(tensors(pair__given=np.full((5, KEYS), 4, np.uint8)), p, header()),
    "a folder": lambda p: p.mkdir(),
    "missing": lambda p: None,
    "behind a file": lambda p: None,
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_gets_one_line(tmp_path: Path, kind: str) -> None:
    """Whatever it is, the line names the file."""
    path = tmp_path / "a.safetensors"
    WRONG[kind](path)
    if kind == "behind a file":
        path.write_text("x", encoding="utf-8")
        path = path / "b.safetensors"
    refusal(path)


def test_the_line_says_what_is_wrong(path: Path) -> None:
    """A missing tensor, a shape and a format are named."""
    save_file(tensors(place=None), path, header())
    assert "lacks place" in refusal(path)
    save_file(tensors(place=np.zeros((KEYS, 5), np.float32)), path, header())
    assert "place must be float (88, 4), got F32 (88, 5)" in refusal(path)
    save_file(tensors(), path, header(format="livebach-9"))
    assert "format must be livebach-1, got 'livebach-9'" in refusal(path)


def test_a_file_that_is_too_large_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its size, before anything else."""
    monkeypatch.setattr(checkpoints, "MAX_BYTES", 1 << 20)
    with path.open("wb") as handle:
        handle.truncate((1 << 20) + 1)
    assert "larger than 1 MiB" in refusal(path)


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_changed_bytes_are_a_checkpoint_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, seed: int, many: int
) -> None:
    """Nothing but a CheckpointError comes of damage in the header; what loads has the right shapes."""
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    save(path, made())
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, min(len(data), 6000), many):
        data[at] = rng.integers(256)
    path.write_bytes(data)
    found = load_or_none(path)
    if found is not None:
        assert {k: v.shape for k, v in found.weights.items()} == weight_shapes(found.spec)
        assert found.pair["pair.given"].max() <= UNKNOWN


def load_or_none(path: Path) -> Checkpoint | None:
    """A checkpoint, or None where it is refused in one line."""
    try:
        return load(path)
    except CheckpointError as error:
        if "\n" in str(error):
            raise
        return None


def test_written_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writing fails, the file before is as it was."""
    kept = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(checkpoints.os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        save(path, made())
    assert path.read_bytes() == kept


def test_the_file_before_is_replaced(path: Path) -> None:
    """And nothing else is left beside it."""
    save(path, Checkpoint(SPEC, made().weights, {"second": True}, made().pair))
    assert load(path).meta == {"second": True}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"mixing_heads": 3}, "mixing_heads must divide time_channels, got 3 and 64"),
        ({"mixing_layers": (2, 12)}, r"mixing_layers must be below 12, got \(2, 12\)"),
        ({"time_dilations": ()}, "time_dilations must have at least one layer, got none"),
        ({"reach": -1}, r"reach must be 0\.\.4096, got -1"),
        ({"key_channels": True}, r"key_channels must be 1\.\.4096, got True"),
        ({"key_dilations": 3}, "key_dilations must be a list, got 3"),
        ({"frame_channels": 8}, r"frame_channels and frame_dilations go together, got 8 and \(\)"),
    ],
)
def test_a_spec_that_cannot_be(change: dict[str, Any], line: str) -> None:
    """The line names the size."""
    with pytest.raises(ValueError, match=f"^{line}$"):
        NetworkSpec(**change)


def test_a_spec_there_and_back() -> None:
    """As plain JSON."""
    assert NetworkSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC
    assert NetworkSpec().receptive_field == 325
    assert NetworkSpec(frame_channels=1, frame_dilations=(400,)).receptive_field == 401


def test_a_spec_from_before_frames_were_taken_as_vectors() -> None:
    """It has no such stack."""
    older = {name: value for name, value in SPEC.to_dict().items() if not name.startswith("frame_")}
    assert NetworkSpec.from_dict(older) == SPEC
    with pytest.raises(ValueError, match="architecture must name exactly"):
        NetworkSpec.from_dict({**older, "reach": 1, "bells": 2})
