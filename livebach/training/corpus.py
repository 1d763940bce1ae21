"""Read folders of MIDI files as pieces on the grid, and split them into training, validation and test.

An unreadable file is reported by name. The module does not know the network.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from livebach.music.score_reader import (
    CorpusError,
    Piece,
    piece_of,
    read_score,
)
from livebach.training.frame_cache import FrameCache
from livebach.training.licence_index import SPLITS, Origin, read_index, read_list
from livebach.training.near_duplicates import alike, fingerprint


@dataclass(slots=True)
class Corpus:
    """Pieces by split, and the names of the files left out, each with a reason."""

    splits: dict[str, list[Piece]]
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def summary(self) -> str:
        """Return one line per split (pieces, frames, onsets) and one line per file left out."""
        rows = [
            f"{name:5} {len(pieces):4} pieces {sum(len(p.frames) for p in pieces):8} frames "
            f"{sum(p.onsets for p in pieces):8} onsets"
            for name, pieces in self.splits.items()
        ]
        return "\n".join(rows + [f"left out {name}: {why}" for name, why in self.left_out])


# -- a folder ---------------------------------------------------------------------------------------------------------


SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
"""The suffixes of MIDI files, in upper or lower case."""
_PACKED = "is compressed: unpack it first"
_NOTATION = "is a score in another format: export it as MIDI"
NOT_READ = {
    **dict.fromkeys((".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz"), _PACKED),
    **dict.fromkeys((".mxl", ".musicxml", ".mscz", ".mscx", ".krn", ".ly", ".abc", ".mei", ".sib", ".musx"), _NOTATION),
}
"""Suffixes of music files that the corpus reader does not support, each with the reason."""


def midi_files(folder: Path) -> list[Path]:
    """Return every MIDI file below a folder, sorted by name.

    Raises:
        CorpusError: If the folder does not exist or holds no MIDI file.

    """
    files = _files(folder, SUFFIXES)
    if not files:
        others = ", ".join(path.name for path in _files(folder, NOT_READ)[:3])
        found = f"; {others} cannot be read: unpack it, or export it as MIDI" if others else ""
        raise CorpusError(f"{folder}: no MIDI file below it ({', '.join(SUFFIXES)}){found}")
    return files


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the regular files below a folder with one of these suffixes, sorted by name."""
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder")
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())


def split_of(name: str) -> str:
    """Return the split of a piece by its name: "train", "valid" or "test".

    In both books of the Well-Tempered Clavier (files named like wtc1p06), numbers 6, 13 and 20 are for validation, and
    3, 10 and 17 for testing. Of all other pieces, the SHA-256 of the stem sends a tenth to validation and a tenth to
    testing. If a corpus contains the Well-Tempered Clavier, `split_pieces` uses all other pieces for training. If
    training or validation would be empty, `split_pieces` moves the piece with the highest hash there.
    """
    number = _wtc_number(name)
    if number is not None:
        return {6: "valid", 13: "valid", 20: "valid", 3: "test", 10: "test", 17: "test"}.get(number, "train")
    return {0: "valid", 1: "test"}.get(_lot(name)[0] % 10, "train")


def _lot(name: str) -> bytes:
    return hashlib.sha256(Path(name).stem.encode(errors="surrogateescape")).digest()


def _wtc_number(name: str) -> int | None:
    match = re.fullmatch(r"wtc[12][pf](\d\d)", Path(name).stem.lower())
    return int(match.group(1)) if match else None


DRAWING = 2
"""Version of the conversion from scores to frames. Cached frames of another version are ignored."""


def load_corpus(
    folder: Path,
    steps_per_quarter: int = 4,
    report: Callable[[str], None] = lambda _: None,
    cache: Path | None = None,
    index: Path | None = None,
) -> Corpus:
    """Read a folder of MIDI files and split the pieces by work.

    Args:
        folder: Folder of MIDI files; subfolders are included.
        steps_per_quarter: Grid steps per quarter note.
        report: Function called with one line per file left out.
        cache: Folder for the cached frames. With a cache the pieces are memory-mapped and may exceed the memory.
        index: CSV file that lists the files to read, with their works and splits. Without an index, all files are
            read, and works and splits come from INDEX.csv in the folder.

    Returns:
        The pieces of each split, and the files left out.

    Raises:
        CorpusError: If the folder cannot be read or has no piece for training.
        UserError: If the index is damaged.

    """
    origins = read_index(folder) if index is None else read_list(index)
    if index is not None and not any((folder / name).exists() for name in origins):
        raise CorpusError(f"{index}: none of its {len(origins)} files is in {folder}, where their paths begin")
    pieces, left_out = _parted(folder, steps_per_quarter, cache, None if index is None else origins)
    corpus = split_pieces(pieces, origins)
    if not corpus.splits["train"]:
        raise CorpusError(f"{folder}: none of the {len(pieces)} pieces is left to train on")
    corpus.left_out[:0] = left_out
    for name, why in corpus.left_out:
        report(f"left out {name}: {why}")
    return corpus


def load_pieces(
    folder: Path, steps_per_quarter: int = 4, report: Callable[[str], None] = lambda _: None, cache: Path | None = None
) -> list[Piece]:
    """Read all pieces of a folder without a split.

    The arguments are those of `load_corpus`.

    Raises:
        CorpusError: If no piece can be read.

    """
    pieces, left_out = _parted(folder, steps_per_quarter, cache)
    for name, why in left_out:
        report(f"left out {name}: {why}")
    return pieces


def _parted(
    folder: Path, steps: int, cache: Path | None, listed: Iterable[str] | None = None
) -> tuple[list[Piece], list[LeftOut]]:
    """Return the pieces of a folder, or of the `listed` files in the folder, and the files left out."""
    try:
        paths = midi_files(folder) if listed is None else [folder / name for name in sorted(listed)]
        foreign = _files(folder, NOT_READ) if listed is None else []
        found = _read_all(folder, paths, steps) if cache is None else _mapped(folder, paths, steps, cache)
    except OSError as error:
        raise CorpusError(f"{error.filename or folder}: {error.strerror or error}") from error
    pieces = [piece for piece in found if isinstance(piece, Piece)]
    left_out = [entry for entry in found if not isinstance(entry, Piece)]
    left_out += [(path.relative_to(folder).as_posix(), NOT_READ[path.suffix.lower()]) for path in foreign]
    if not pieces:
        raise CorpusError(f"{folder}: none of the {len(left_out)} MIDI files can be read")
    return pieces, left_out


LeftOut = tuple[str, str]


def _read_all(folder: Path, paths: Iterable[Path], steps: int) -> list[Piece | LeftOut]:
    """Return a piece in memory for each readable file, and name and reason for each unreadable file."""
    found: list[Piece | LeftOut] = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            found.append(piece_of(name, read_score(path, steps)))
        except CorpusError as error:
            found.append((name, str(error)))
    return found


def _mapped(folder: Path, paths: Iterable[Path], steps: int, cache: Path) -> list[Piece | LeftOut]:
    """Return the same as `_read_all`, through a cache. Files with cached contents are not converted again."""
    kept, keys, found = FrameCache(cache), {}, list[Piece | LeftOut]()
    try:
        for path in paths:
            name = path.relative_to(folder).as_posix()
            try:
                keys[name] = _keep(kept, path, steps)
            except CorpusError as error:
                found.append((name, str(error)))
        kept.finish()
    finally:
        kept.discard()
    return found + [Piece(name, *kept.arrays(key)) for name, key in keys.items()]


def _keep(cache: FrameCache, path: Path, steps: int) -> str:
    """Put the frames of a file into the cache. Return the key, made of version, grid and contents."""
    try:
        with path.open("rb") as handle:
            key = f"{DRAWING} {steps} {hashlib.file_digest(handle, 'sha256').hexdigest()}"
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from error
    if key not in cache:
        piece = piece_of(path.name, read_score(path, steps))
        cache.add(key, piece.frames, piece.places)
    return key


def split_pieces(pieces: Sequence[Piece], origins: Mapping[str, Origin] = MappingProxyType({})) -> Corpus:
    """Split pieces by work, and leave out near-duplicates of held-out pieces.

    So no piece is in two splits. The function keeps fingerprints of held-out pieces only, because the training music
    may exceed the memory.
    """
    sides = _sides([p.name for p in pieces], origins)
    corpus = Corpus({name: [] for name in SPLITS})
    held_out: list[tuple[Piece, frozenset[int]]] = []
    kept: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: (-SPLITS.index(sides[p.name]), p.name)):
        side, own = sides[piece.name], fingerprint(piece.frames)
        twin = next((k.name for k, other in held_out if sides[k.name] != side and alike(other, own)), None)
        if twin:
            corpus.left_out.append((piece.name, f"near-duplicate of {twin} ({sides[twin]})"))
            continue
        kept.append(piece)
        if side != "train":
            held_out.append((piece, own))
    for piece in sorted(kept, key=lambda p: p.name):
        corpus.splits[sides[piece.name]].append(piece)
    return corpus


def _sides(names: Sequence[str], origins: Mapping[str, Origin] = MappingProxyType({})) -> dict[str, str]:
    """Return the split of each file name. The index states the split, or else the name of the work decides."""
    works = {name: _work(name, origins) for name in names}
    stated = {works[n]: origins[n].split for n in names if n in origins and origins[n].split}
    has_wtc = any(_wtc_number(name) is not None for name in names)
    sides = {
        w: stated.get(w) or ("train" if has_wtc and _wtc_number(w) is None else split_of(w)) for w in works.values()
    }
    ranked = sorted((w for w in sides if w not in stated), key=_lot)
    if ranked and "train" not in sides.values():
        sides[ranked[-1]] = "train"
    spare = [w for w in ranked if sides[w] == "train"][1:] or [w for w in ranked if sides[w] == "test"]
    if spare and "valid" not in sides.values():
        sides[spare[-1]] = "valid"
    return {name: sides[work] for name, work in works.items()}


def _work(name: str, origins: Mapping[str, Origin]) -> str:
    """Return the name of a file's work. A file without a stated work is its own work."""
    return (origins[name].work if name in origins else "") or name
