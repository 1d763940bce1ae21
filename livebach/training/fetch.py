"""Download public collections of MIDI files, and check their SHA-256 hashes.

A YAML file lists the sources:

    - name: inventions
      url: https://example.org/inventions.zip
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      licence: CC BY-SA 4.0

A source is a MIDI file or an archive (zip, tar). Only the MIDI files of an archive are used. A download with another
hash is rejected.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from livebach.errors import UserError
from livebach.music.score_reader import MAX_BYTES
from livebach.training.licence_index import Origin

NEEDS_POOCH = "this needs pooch: pip install 'livebach[corpus]'"
MIDI = (".mid", ".midi")
SCHEMES = ("https://", "http://", "ftp://")


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of a list of sources.

    Raises:
        ValueError: If a field is invalid.

    """

    name: str
    url: str
    sha256: str
    licence: str

    def __post_init__(self) -> None:
        for field in fields(self):
            if not isinstance(value := getattr(self, field.name), str) or not value.strip():
                raise ValueError(f"{field.name} must be a non-empty text, got {value!r}")
        if PurePosixPath(self.name).name != self.name or self.name in (".", ".."):
            raise ValueError(f"name must be a folder name, got {self.name!r}")
        if not self.url.startswith(SCHEMES):
            raise ValueError(f"url must begin with {', '.join(SCHEMES)}, got {self.url!r}")
        if len(self.sha256) != 64 or set(self.sha256.lower()) - set("0123456789abcdef"):
            raise ValueError(f"sha256 must be 64 hexadecimal digits, got {self.sha256!r}")


def read_sources(path: Path) -> list[Source]:
    """Read a list of sources from a YAML file.

    Raises:
        UserError: If the file or an entry is invalid. The message names the file and the entry.

    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: must be a list of sources, each with name, url, sha256 and licence")
    sources = [_source(path, number, entry) for number, entry in enumerate(entries, 1)]
    names = [source.name for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path}: two sources have the name {twice[0]!r}")
    return sources


def _source(path: Path, number: int, entry: Any) -> Source:
    known = {field.name for field in fields(Source)}
    if not isinstance(entry, dict) or set(entry) != known:
        raise UserError(f"{path}: source {number} must have name, url, sha256 and licence, and nothing else")
    try:
        return Source(**entry)
    except ValueError as error:
        raise UserError(f"{path}: source {number}: {error}") from error


def fetch(source: Source, cache: Path) -> Path:
    """Return the path of a source's file, and download the file if the cache does not hold it.

    Raises:
        UserError: If pooch is missing, the download fails, or the hash differs.

    """
    try:
        import pooch
        from requests import RequestException
    except ImportError as error:
        raise UserError(f"{NEEDS_POOCH} ({error})") from error
    pooch.get_logger().setLevel("ERROR")  # livebach prints the progress itself
    name = f"{source.sha256.lower()}.fetched"  # not .mid: the cache may be inside a folder of scores
    try:
        found = pooch.retrieve(source.url, f"sha256:{source.sha256.lower()}", fname=name, path=cache)
    except RequestException as error:
        raise UserError(f"{source.name}: {source.url} cannot be fetched: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise UserError(f"{source.name}: {cache}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{source.name}: {source.url} has another SHA-256 hash; the file was not kept") from error
    return Path(found)


def midi_files(source: Source, path: Path) -> Iterator[tuple[str, bytes, Origin]]:
    """Yield the MIDI files of a fetched source: path below the source's name, contents, origin.

    Raises:
        UserError: If the archive is damaged.

    """
    origin = Origin(source.licence, source.url)
    try:
        if zipfile.is_zipfile(path):
            found = _zipped(path)
        elif tarfile.is_tarfile(path):
            found = _tarred(path)
        else:
            found = iter([(PurePosixPath(source.url).name, path.read_bytes())])
        yield from ((f"{source.name}/{name}", data, origin) for name, data in found)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, RuntimeError) as error:
        raise UserError(f"{source.name}: {path}: a damaged archive: {error}") from error


def _zipped(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if _wanted(member.filename, member.file_size):
                yield member.filename, archive.read(member)


def _tarred(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and _wanted(member.name, member.size):
                opened = archive.extractfile(member)
                assert opened is not None
                yield member.name.removeprefix("./"), opened.read()


def _wanted(name: str, size: int) -> bool:
    return name.lower().endswith(MIDI) and size <= MAX_BYTES
