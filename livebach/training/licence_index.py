"""A folder of scores in the making, with INDEX.csv: of each file its licence and where it came from."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from livebach.errors import UserError

INDEX = "INDEX.csv"
UNSTATED = "unstated"
_FIELDS = ("file", "licence", "source")


@dataclass(frozen=True, slots=True)
class Origin:
    """Under which licence a file is, and where it came from."""

    licence: str
    source: str


class Collection:
    """Adds files to a folder, never over others; `save` writes the index of all that it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.origins = read_index(folder)

    def add(self, name: str, data: bytes, origin: Origin) -> None:
        """Write a file. Raises UserError where there is another of that name, or it cannot be written."""
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
            raise UserError(f"{name!r} is no name for a file in {self.folder}")
        path = self.folder.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(data)
            elif path.read_bytes() != data:
                raise UserError(f"{path}: there is another such file already, and nothing is overwritten")
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
        self.origins["/".join(parts)] = origin

    def save(self) -> None:
        """Write the index, whole."""
        path = self.folder / INDEX
        part = path.with_name(INDEX + ".part")
        with part.open("w", encoding="utf-8", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(_FIELDS)
            rows.writerows((name, origin.licence, origin.source) for name, origin in sorted(self.origins.items()))
        part.replace(path)


def read_index(folder: Path) -> dict[str, Origin]:
    """What INDEX.csv in a folder says of its files; nothing where there is none. Raises UserError if it is damaged."""
    path = folder / INDEX
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            if not {"file", "licence"} <= set(rows.fieldnames or ()):
                raise UserError(f"{path}: must have the columns file and licence, got {rows.fieldnames}")
            return {row["file"]: Origin(row["licence"] or UNSTATED, row.get("source") or "") for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
