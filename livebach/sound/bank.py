"""A bank: the rendered keys of one instrument in one tuning, in a file that several processes may map at once.

The file has a head that says what it is, a table with a record for each layer of each key, and the samples, 16 bits
each. A record is valid when the checksum of its samples is right; otherwise the layer is rendered again. So a bank may
be half finished, damaged, or written by two processes at the same time: they write the same bytes.

Banks lie in the user's cache folder. Their names hold the version of the rendering and the settings; a bank of another
version is never read.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import mmap
import os
import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livebach.sound.instruments import INSTRUMENTS, Instrument
from livebach.sound.partials import RATE
from livebach.sound.temperaments import frequency
from livebach.sound.tone import KEYS, Layer

RENDERING = 5
"""The version of the rendering: to be raised whenever a note would come out differently."""
MIDDLE_KEYS = range(48, 77)
"""The keys that most music consists of; a bank with these is ready to be played."""
_HEAD = 512  # bytes

_PAGE = mmap.ALLOCATIONGRANULARITY
_RECORD = struct.Struct("<IIif")  # samples, CRC-32, loop start or -1, scale
_PEAK = 32_000  # of 32,767: the loudest sample of every layer
Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Tuning:
    """The settings that determine the pitches of a bank."""

    temperament: str = "equal"
    a4_hz: float = 440.0

    def hz(self, key: int) -> float:
        """Return the frequency of a MIDI key."""
        return frequency(key, self.temperament, self.a4_hz)


@dataclass(frozen=True, slots=True)
class Stored:
    """One layer of one key, as it lies in the bank: `samples` * `scale` is the sound."""

    samples: Samples
    scale: float
    loop_start: int  # -1: it ends


@dataclass(frozen=True, slots=True)
class _Place:
    """A layer's position in the file in bytes, and its capacity in samples."""

    record: int
    start: int
    capacity: int


def cache_folder() -> Path:
    """Return the folder for banks: in the user's cache folder, as each system has it."""
    if sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "livebach" / "sound"


class Bank:
    """The keys of one instrument in one tuning."""

    def __init__(self, name: str, tuning: Tuning | None = None, folder: Path | None = None) -> None:
        """Open a bank, a new and empty one where there is none; OSError where it cannot be kept.

        Args:
            name: the instrument, one of `INSTRUMENTS`.
            tuning: temperament and pitch; None: equal temperament at 440 Hz.
            folder: where banks lie; None: the user's cache folder.

        """
        self.instrument = INSTRUMENTS[name]
        self.tuning = tuning or Tuning()
        folder = folder or cache_folder()
        self.path = folder / _file_name(name, self.tuning)
        head, self._places, size = _layout(self.instrument, self.tuning)
        self._map = _mapped(self.path, head, size)
        self._checked: dict[int, dict[str, Stored]] = {}

    def key(self, key: int) -> dict[str, Stored] | None:
        """Return the layers of a key; None where they are not rendered yet, or damaged.

        The first call for a key reads all its samples to check them, so they are in memory when they are played.
        """
        if key in self._checked:
            return self._checked[key]
        layers: dict[str, Stored] = {}
        for name, place in self._places[key].items():
            layer = self._read(place)
            if layer is None:
                return None
            layers[name] = layer
        self._checked[key] = layers
        return layers

    def render(self, key: int) -> dict[str, Stored]:
        """Render a key, store it and return its layers."""
        for name, layer in self.instrument.tone(key, self.tuning.hz(key)).items():
            self._write(self._places[key][name], layer)
        layers = self.key(key)
        if layers is None:
            raise OSError(f"{self.path}: cannot be read back")
        return layers

    def obtain(self, key: int) -> dict[str, Stored]:
        """Return the layers of a key, rendered now where that is necessary."""
        return self.key(key) or self.render(key)

    def missing(self, keys: Iterable[int] = KEYS) -> list[int]:
        """Return which of these keys have no record yet; a damaged one is found when it is first used."""
        return [key for key in keys if not all(map(self._has_record, self._places[key].values()))]

    def rest(self, key: int) -> None:
        """Let the system take back the memory of a key's samples; they are read again when the key is next used."""
        self._checked.pop(key, None)
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        for place in self._places[key].values():
            with contextlib.suppress(OSError, ValueError):
                self._map.madvise(mmap.MADV_DONTNEED, place.start, _pages(2 * place.capacity))

    def size(self, key: int) -> int:
        """Return how many bytes of samples a key has."""
        return sum(2 * place.capacity for place in self._places[key].values())

    def close(self) -> None:
        """Unmap the file, unless some of its samples are still in use."""
        self._checked.clear()
        with contextlib.suppress(BufferError):
            self._map.close()

    def _has_record(self, place: _Place) -> bool:
        return 0 < int(_RECORD.unpack_from(self._map, place.record)[0]) <= place.capacity

    def _read(self, place: _Place) -> Stored | None:
        count, crc, loop_start, scale = _RECORD.unpack_from(self._map, place.record)
        if not 0 < count <= place.capacity or not -1 <= loop_start < count:
            return None
        samples = np.frombuffer(self._map, np.int16, count, place.start)
        if crc != _checksum(samples, loop_start, scale):
            return None
        return Stored(samples, scale, loop_start)

    def _write(self, place: _Place, layer: Layer) -> None:
        """Write the samples first and their record last: until then the layer is not there."""
        if len(layer.samples) > place.capacity:
            raise ValueError(f"a layer of {len(layer.samples)} samples does not fit in {place.capacity}")
        made = stored(layer)
        self._map[place.start : place.start + made.samples.nbytes] = made.samples.tobytes()
        checksum = _checksum(made.samples, made.loop_start, made.scale)
        record = _RECORD.pack(len(made.samples), checksum, made.loop_start, made.scale)
        self._map[place.record : place.record + _RECORD.size] = record


def obtainable(name: str, tuning: Tuning, folder: Path | None = None) -> Bank:
    """Return a bank in a folder, or in a temporary one where nothing can be kept; OSError where that fails too."""
    try:
        return Bank(name, tuning, folder)
    except OSError:
        temporary = Path(tempfile.mkdtemp(prefix="livebach-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return Bank(name, tuning, temporary)


def stored(layer: Layer) -> Stored:
    """Return a layer as a bank keeps it: 16 bits a sample, as loud as they allow, and the scale that undoes that."""
    scale = float(np.float32(max(float(np.abs(layer.samples).max()), 1e-9) / _PEAK))
    loop_start = -1 if layer.loop_start is None else layer.loop_start
    return Stored(np.rint(layer.samples / scale).astype(np.int16), scale, loop_start)


def _checksum(samples: Samples, loop_start: int, scale: float) -> int:
    return zlib.crc32(samples.data, zlib.crc32(struct.pack("<if", loop_start, scale)))


def _pages(size: int) -> int:
    """Round a size up to whole pages."""
    return -(-size // _PAGE) * _PAGE


def _file_name(name: str, tuning: Tuning) -> str:
    return f"{name}-{tuning.temperament}-{tuning.a4_hz:g}-{RENDERING}.bank"


def _layout(instrument: Instrument, tuning: Tuning) -> tuple[bytes, dict[int, dict[str, _Place]], int]:
    """Return the head of the file, where every layer lies, and the size of the file."""
    what = {"livebach": RENDERING, "instrument": instrument.name, "tuning": [tuning.temperament, tuning.a4_hz]}
    head = json.dumps({**what, "rate": RATE, "keys": [KEYS.start, KEYS.stop]}).encode().ljust(_HEAD)
    lengths = [(key, name, length_s) for key in KEYS for name, length_s in instrument.lengths(key).items()]
    start = _pages(_HEAD + len(lengths) * _RECORD.size)
    places: dict[int, dict[str, _Place]] = {key: {} for key in KEYS}
    for number, (key, name, length_s) in enumerate(lengths):
        capacity = round(length_s * RATE)
        places[key][name] = _Place(_HEAD + number * _RECORD.size, start, capacity)
        start += _pages(2 * capacity)
    return head, places, start


def _mapped(path: Path, head: bytes, size: int) -> mmap.mmap:
    """Map the file; one with another head or size is replaced by an empty one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
            if file.read(len(head)) == head and os.fstat(file.fileno()).st_size == size:
                return mmap.mmap(file.fileno(), size)
        _create(path, head, size)
    raise OSError(f"{path}: changes while it is opened")


def _create(path: Path, head: bytes, size: int) -> None:
    """Put an empty bank in place, whole, at once."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(number, "wb") as file:
        file.write(head)
        file.truncate(size)
    Path(name).replace(path)
