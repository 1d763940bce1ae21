"""Describe a folder of MIDI files: pieces, notes, metres, grids, near-duplicates and licences. Writes no file."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from livebach.music.score_reader import CorpusError, Piece, Score, piece_of, read_score
from livebach.music.touch import STEPS_PER_QUARTER
from livebach.training.corpus import midi_files, split_pieces
from livebach.training.licence_index import SPLITS, UNSTATED, read_index
from livebach.training.near_duplicates import ALIKE, fingerprint

FINE = 48
"""Ticks per quarter note in the search for a grid."""
GRIDS = (1, 2, 3, 4, 6, 8, 12, 16, 24)
"""Candidate grids, in steps per quarter note."""
ON_GRID = 0.99
"""The grid of a piece is the coarsest grid that contains at least this share of the onsets."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Description of one piece."""

    name: str
    licence: str
    notes: int
    frames: int
    metres: tuple[str, ...]
    grid: int
    """Steps per quarter note; 0 if no grid fits. Then the file is a performance, not a score."""
    lost: int
    """Number of notes that are lost because their key is struck twice within one 16th."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Description of a folder."""

    entries: list[Entry]
    twins: list[tuple[str, str, float]]
    """Near-duplicates: the names of two pieces, and the share of melodic runs in common."""
    splits: dict[str, int]
    left_out: list[tuple[str, str]]

    def to_dict(self) -> dict[str, Any]:
        """Return the survey as plain JSON values."""
        return asdict(self)

    def counts(self, what: str) -> Counter[Any]:
        """Return the number of pieces per value of a field of `Entry`, for example licence, metres or grid."""
        values = (getattr(entry, what) for entry in self.entries)
        return Counter(v for value in values for v in (value if isinstance(value, tuple) else (value,)))

    def lines(self) -> list[str]:
        """Return the survey as lines of text."""
        total = [sum(getattr(e, what) for e in self.entries) for what in ("notes", "frames")]
        grids = {0: "on no grid"} | {n: f"{n} to a quarter" for n in GRIDS}
        return [
            f"{len(self.entries)} pieces, {total[0]} notes, {total[1]} frames",
            "splits: " + ", ".join(f"{name} {count}" for name, count in self.splits.items()),
            "metres: " + _words(self.counts("metres")),
            "grids: " + _words(Counter({grids[n]: count for n, count in self.counts("grid").items()})),
            f"lost: {sum(e.lost for e in self.entries)} notes whose key is struck twice in one 16th",
            "licences: " + _words(self.counts("licence")),
            f"near-duplicates: {len(self.twins)} pairs",
            *(f"  {a} and {b}: {share:.0%} in common" for a, b, share in self.twins),
            *(f"left out {name}: {why}" for name, why in self.left_out),
        ]


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common())


def survey(folder: Path) -> Survey:
    """Describe every MIDI file below a folder.

    Raises:
        CorpusError: If the folder has no readable MIDI file.
        UserError: If INDEX.csv is damaged.

    """
    index = read_index(folder)
    entries, pieces, left_out = [], [], []
    for path in midi_files(folder):
        name = path.relative_to(folder).as_posix()
        licence = index[name].licence if name in index else UNSTATED
        try:
            entry, piece = _entry(path, name, licence)
        except CorpusError as error:
            left_out.append((name, str(error)))
        else:
            entries.append(entry)
            pieces.append(piece)
    if not pieces:
        raise CorpusError(f"{folder}: none of the {len(left_out)} MIDI files can be read")
    corpus = split_pieces(pieces, index)
    splits = {name: len(corpus.splits[name]) for name in SPLITS}
    return Survey(entries, near_duplicates(pieces), splits, left_out + corpus.left_out)


def _entry(path: Path, name: str, licence: str) -> tuple[Entry, Piece]:
    score = read_score(path)
    metres = tuple(sorted({str(metre) for _, metre in score.metres}))
    piece, fine = piece_of(name, score), read_score(path, FINE)
    return Entry(name, licence, len(score.notes), len(piece.frames), metres, grid_of(fine), lost_notes(fine)), piece


def grid_of(score: Score) -> int:
    """Return the coarsest of GRIDS that contains nearly all onsets of a score with FINE ticks to a quarter, or 0."""
    starts = [note.start for note in score.notes]
    there = (n for n in GRIDS if sum(s % (FINE // n) == 0 for s in starts) >= ON_GRID * len(starts))
    return next(there, 0)


def lost_notes(score: Score) -> int:
    """Return how many strokes of a score, with FINE ticks to a quarter, follow one of the same key in the same 16th.

    Two voices that strike a key together are one stroke.
    """
    strokes = {(note.key, note.start) for note in score.notes}
    return len(strokes) - len({(key, round(start * STEPS_PER_QUARTER / FINE)) for key, start in strokes})


def near_duplicates(pieces: list[Piece]) -> list[tuple[str, str, float]]:
    """Return every pair of near-duplicates with the share of melodic runs in common, largest share first."""
    prints = [fingerprint(piece.frames) for piece in pieces]
    having: dict[int, list[int]] = defaultdict(list)
    for number, grams in enumerate(prints):
        for gram in grams:
            having[gram].append(number)
    common = Counter((a, b) for numbers in having.values() for i, a in enumerate(numbers) for b in numbers[i + 1 :])
    shares = ((a, b, count / min(len(prints[a]), len(prints[b]))) for (a, b), count in common.items())
    found = [(pieces[a].name, pieces[b].name, share) for a, b, share in shares if share > ALIKE]
    return sorted(found, key=lambda pair: -pair[2])
