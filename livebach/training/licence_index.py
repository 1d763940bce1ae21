"""Read and write the index of a folder of scores: licence, source, work and split of each file.

INDEX.csv in the folder is the default index, if it exists. Another CSV file can list a selection of the folder's files.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from livebach.errors import UserError

INDEX = "INDEX.csv"
UNSTATED = "unstated"
SPLITS = ("train", "valid", "test")
_FIELDS = ("file", "licence", "source")


@dataclass(frozen=True, slots=True)
class Origin:
    """The row of an index for one file."""

    licence: str
    source: str
    work: str = ""
    """Name of the work, if the file is a movement or an edition. Empty: the file is a work of its own."""
    split: str = ""
    """One of SPLITS. Empty: the name of the work decides."""


class Collection:
    """Add files to a folder without overwriting. `save` writes the index of all files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.origins = read_index(folder)

    def add(self, name: str, data: bytes, origin: Origin) -> None:
        """Write a file below the folder, and add its origin to the index.

        Raises:
            UserError: If the name leaves the folder, a different file has this name, or the file cannot be written.

        """
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
            raise UserError(f"{name!r} is not a valid file name in {self.folder}")
        path = self.folder.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(data)
            elif path.read_bytes() != data:
                raise UserError(f"{path}: a different file of this name exists already, and nothing is overwritten")
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
        self.origins["/".join(parts)] = origin

    def save(self) -> None:
        """Write the index atomically."""
        path = self.folder / INDEX
        part = path.with_name(INDEX + ".part")
        with part.open("w", encoding="utf-8", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(_FIELDS)
            rows.writerows((name, origin.licence, origin.source) for name, origin in sorted(self.origins.items()))
        part.replace(path)


def read_index(folder: Path) -> dict[str, Origin]:
    """Return the origin of each file from INDEX.csv in a folder. Without INDEX.csv the result is empty.

    Raises:
        UserError: If the index is damaged.

    """
    path = folder / INDEX
    return read_list(path) if path.exists() else {}


def read_list(path: Path) -> dict[str, Origin]:
    """Read a CSV file with one row per score.

    The column `file` is required. The columns `licence`, `source`, `work` and `split` are optional. All files of one
    work must have the same split.

    Raises:
        UserError: If the file cannot be read or a row is invalid. The message names the file and the row or work.

    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if "file" not in (rows.fieldnames or ()):
                raise UserError(f"{path}: must have the column file, got {rows.fieldnames}")
            origins = {row["file"]: _origin(path, rows.line_num, row) for row in rows}
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    splits: dict[str, str] = {}
    for origin in origins.values():
        if origin.work and splits.setdefault(origin.work, origin.split) != origin.split:
            raise UserError(f"{path}: the files of the work {origin.work!r} must all have the same split")
    return origins


def _origin(path: Path, line: int, row: dict[str, str | None]) -> Origin:
    """Return the origin in one row of the index."""
    licence, source, work, split = ((row.get(name) or "").strip() for name in ("licence", "source", "work", "split"))
    if split not in ("", *SPLITS):
        raise UserError(f"{path}: line {line}: split must be one of {', '.join(SPLITS)} or empty, got {split!r}")
    return Origin(licence or UNSTATED, source, work, split)
