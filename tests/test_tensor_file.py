"""The reader of safetensors files: what the package writes, and what is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from livebach.network.tensor_file import TensorFile, TensorFileError

ARRAYS = {
    "half": np.linspace(-1, 1, 12, dtype=np.float16).reshape(3, 4),
    "whole": np.arange(5, dtype=np.uint32),
    "states": np.array([[1, 2]], np.uint8),
    "empty": np.zeros((0, 88), np.float32),
    "one": np.array(3.5, np.float32),
}


def written(path: Path, header: Any, body: bytes = b"") -> Path:
    """A file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def test_it_reads_what_the_package_writes(tmp_path: Path) -> None:
    """Every type and shape, and the texts."""
    save_file(ARRAYS, tmp_path / "a", {"livebach": "{}"})
    with (tmp_path / "a").open("rb") as handle:
        file = TensorFile(handle, (tmp_path / "a").stat().st_size)
        assert file.metadata == {"livebach": "{}"}
        assert set(file.entries) == set(ARRAYS)
        for name, array in ARRAYS.items():
            found = file.read(name)
            assert found.dtype == array.dtype
            assert found.shape == file.entries[name].shape == array.shape
            assert np.array_equal(found, array)
            found[...] = 0  # it is the caller's own


def one(**changes: Any) -> dict[str, Any]:
    """A header with one array of two bytes, changed."""
    return {"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2], **changes}}


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"{", b""),
        (b"[]", b""),
        (b"[" * 100_000, b""),
        ({"__metadata__": {"livebach": 1}}, b""),
        ({"a": 1}, b"ab"),
        (one(dtype="U4"), b"ab"),
        (one(dtype=["U8"]), b"ab"),
        (one(shape=[3]), b"ab"),
        (one(shape=[-1, -2]), b"ab"),
        (one(shape=[2.0]), b"ab"),
        (one(shape=[True, 2]), b"ab"),
        (one(shape=2), b"ab"),
        (one(data_offsets=[0]), b"ab"),
        (one(data_offsets=[1, 3]), b"abc"),
        (one(data_offsets=[-2, 0]), b"ab"),
        (one(), b"a"),
        (one(), b"abc"),
        ({**one(), "b": one()["a"]}, b"ab"),
        ({**one(), "b": {"dtype": "U8", "shape": [1], "data_offsets": [3, 4]}}, b"abcd"),
    ],
)
def test_a_damaged_file_is_refused(header: Any, body: bytes, tmp_path: Path) -> None:
    """Before any array is read, in one line."""
    path = written(tmp_path / "a", header, body)
    with path.open("rb") as handle, pytest.raises(TensorFileError) as caught:
        TensorFile(handle, path.stat().st_size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\x02\0\0", b"\xff" * 8 + b"{}", b"\x03\0\0\0\0\0\0\0{}"])
def test_a_file_that_is_cut_is_refused(data: bytes, tmp_path: Path) -> None:
    """Within its header."""
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as handle, pytest.raises(TensorFileError):
        TensorFile(handle, len(data))


def test_a_file_that_shrinks_meanwhile_is_refused(tmp_path: Path) -> None:
    """Its header was whole."""
    path = written(tmp_path / "a", one(), b"ab")
    with path.open("r+b") as handle:
        file = TensorFile(handle, path.stat().st_size)
        handle.truncate(path.stat().st_size - 1)
        with pytest.raises(TensorFileError):
            file.read("a")


def test_a_type_that_no_checkpoint_has_is_not_read(tmp_path: Path) -> None:
    """It is known by name and size alone."""
    path = written(tmp_path / "a", one(dtype="BF16", shape=[1]), b"ab")
    with path.open("rb") as handle:
        file = TensorFile(handle, path.stat().st_size)
        assert file.entries["a"].dtype == "BF16"
        with pytest.raises(TensorFileError, match="BF16"):
            file.read("a")
