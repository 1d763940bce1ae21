"""Read MIDI files of performances as pieces on the grid with velocity, offset and pedal, and split them by work.

All times are in ticks of the file, so tempo maps do not matter. The module does not know the network.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from livebach.music.performed_score import performance_of
from livebach.music.score_reader import CorpusError, read_score
from livebach.music.touch import PARTS, STEPS_PER_QUARTER, Performance
from livebach.training.corpus import midi_files
from livebach.training.licence_index import SPLITS

TEST_SHARE, VALID_SHARE = 0.25, 0.1
"""Share of a composer's notes for testing and for validation."""
MOST_OVER = 1.4
"""A work is not held out if the held-out notes would then exceed this multiple of the share."""
READING = 3
"""Version of the conversion. Cached performances of another version are ignored."""
_MOVEMENT = re.compile(r"(?:[-_]|(?<=[-_])[epn])*\d+$")
_OPUS = re.compile(r"op(?:us)?\d+$")
SUITES = ("deb_", "ty_", "burg_")
"""File name prefixes of works at piano-midi.de whose movements have only the prefix in common.

They are the Suite bergamasque, The Seasons, and Burgmüller's studies.
"""
ARRANGED = {"god_alb_esp": "alb_esp", "god_chpn_op10": "chpn_op10"}
"""Arrangements at piano-midi.de, and the arranged works."""


# --- one file --------------------------------------------------------------------------------------------------------


def read_performance(path: Path, name: str) -> Performance:
    """Read a MIDI file with its velocities, offsets and pedal.

    If a key is struck twice within one tick, the first note is kept.

    Raises:
        CorpusError: If the file cannot be read. The message names the file.

    """
    return performance_of(name, read_score(path, STEPS_PER_QUARTER * PARTS))


# --- a folder --------------------------------------------------------------------------------------------------------


def load_performances(
    folder: Path, cache: Path | None = None, report: Callable[[str], None] = lambda _: None
) -> list[Performance]:
    """Read every MIDI file below a folder.

    Args:
        folder: Folder of MIDI files; subfolders are included.
        cache: Folder for cached performances.
        report: Function called with one line per unreadable file.

    Raises:
        CorpusError: If no file can be read.

    """
    pieces = []
    for path in midi_files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            pieces.append(_cached(path, name, cache) if cache else read_performance(path, name))
        except CorpusError as error:
            report(f"left out {name}: {error}")
    if not pieces:
        raise CorpusError(f"{folder}: none of the MIDI files can be read")
    return pieces


def lost_line(pieces: Sequence[Performance]) -> str:
    """Return a line that tells how many notes are left out because their key is struck twice in one tick."""
    return f"left out: {sum(int(piece.lost.sum()) for piece in pieces)} notes whose key is struck twice in one 16th"


def _cached(path: Path, name: str, cache: Path) -> Performance:
    """Return the same as `read_performance`, through a cache. The hash of the MIDI file names the cached file."""
    with path.open("rb") as handle:
        kept = cache / f"{READING}-{hashlib.file_digest(handle, 'sha256').hexdigest()}.npz"
    arrays = [item.name for item in fields(Performance)][1:]
    try:
        with np.load(kept) as found:
            return Performance(name, *(found[array] for array in arrays))
    except (OSError, KeyError, ValueError, EOFError):
        piece = read_performance(path, name)
    cache.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part.npz")
    np.savez(part, **{array: getattr(piece, array) for array in arrays})
    part.replace(kept)
    return piece


# --- the split -------------------------------------------------------------------------------------------------------


def work_of(name: str) -> str:
    """Return the work of a file: the file name without the number of the movement."""
    stem = Path(name).stem.lower()
    work = stem if _OPUS.search(stem) else _MOVEMENT.sub("", stem)
    suite = next((suite for suite in SUITES if work.startswith(suite)), None)
    return suite.rstrip("_") if suite else ARRANGED.get(work, work)


def split_works(notes: Mapping[str, int]) -> dict[str, str]:
    """Return the split (train, valid or test) of each file.

    No work is in two splits. Each folder is a composer. The works of a composer are taken in the order of the SHA-256
    of their names: first a quarter of the composer's notes for testing, then a tenth for validation. Works that are
    too large for the rest of a share are skipped.

    Args:
        notes: Number of notes of each file.

    """
    files: dict[str, list[str]] = defaultdict(list)
    for name in sorted(notes):
        files[work_of(name)].append(name)
    works: dict[str, list[str]] = defaultdict(list)
    for work, names in files.items():
        originals = [name for name in names if not Path(name).stem.lower().startswith("god_")] or names
        works[Path(originals[0]).parent.as_posix()].append(work)
    sides: dict[str, str] = {}
    for of_composer in works.values():
        size = {work: sum(notes[name] for name in files[work]) for work in of_composer}
        for work, side in _dealt(size).items():
            sides |= dict.fromkeys(files[work], side)
    return sides


def _dealt(size: Mapping[str, int]) -> dict[str, str]:
    """Return the split of each work of one composer. `size` has the number of notes of each work."""
    total = sum(size.values())
    sides = dict.fromkeys(
        sorted(size, key=lambda work: hashlib.sha256(work.encode("utf-8", "surrogateescape")).digest()), "train"
    )
    for side, share in (("test", TEST_SHARE), ("valid", VALID_SHARE)):
        taken = 0
        for work in [work for work, where in sides.items() if where == "train"]:
            if taken + size[work] / 2 <= share * total and taken + size[work] <= MOST_OVER * share * total:
                taken += size[work]
                sides[work] = side
    return sides


def split_performances(pieces: Sequence[Performance]) -> dict[str, list[Performance]]:
    """Return the pieces by split.

    Raises:
        CorpusError: If no piece is left for training or validation.

    """
    sides = split_works({piece.name: len(piece.key) + int(piece.lost.sum()) for piece in pieces})
    parts = {side: [piece for piece in pieces if sides[piece.name] == side] for side in SPLITS}
    for side in ("train", "valid"):
        if not parts[side]:
            raise CorpusError(f"of {len(pieces)} pieces none is left for {side}: more works are needed")
    return parts
