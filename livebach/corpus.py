"""MIDI files -> pieces on the grid, and their split into training, validation and test.

Knows files and music on paper; nothing of the network. A broken file is reported by name, never passed over in silence.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from operator import itemgetter
from pathlib import Path

import mido
import numpy as np
from mido.midifiles.meta import KeySignatureError
from numpy.typing import NDArray

from livebach.framecache import FrameCache
from livebach.roll import HIGH_KEY, LOW_KEY, ONSET, Frames, Metre, Note, frames_from_notes, metre_track

SPLITS = ("train", "valid", "test")
PERCUSSION_CHANNEL = 9
MAX_TICKS = 200_000
"""A longer piece (14 hours at 60 quarters a minute) is a broken file."""


MAX_BYTES = 16 << 20
_BROKEN = (OSError, EOFError, ValueError, LookupError, TypeError, OverflowError, struct.error, KeySignatureError)
"""What mido raises on files that are not what they should be."""


class CorpusError(ValueError):
    """A file or folder that cannot be read, in one line."""


@dataclass(frozen=True, slots=True)
class Score:
    """A MIDI file on the grid: notes, the metres with the tick where each starts, ticks in all."""

    notes: tuple[Note, ...]
    metres: tuple[tuple[int, Metre], ...]
    length: int
    steps_per_quarter: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What the network is trained on: `frames` uint8[T, 88] and `places` int16[T, 3] (tick in bar, beat, bar)."""

    name: str
    frames: Frames
    places: NDArray[np.int16]

    @property
    def onsets(self) -> int:
        """How many notes are struck."""
        return int((self.frames == ONSET).sum())


@dataclass(slots=True)
class Corpus:
    """Pieces by split, and what was left out with the reason."""

    splits: dict[str, list[Piece]]
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def summary(self) -> str:
        """A line for each split (pieces, frames, onsets) and one for each file left out."""
        rows = [
            f"{name:5} {len(pieces):4} pieces {sum(len(p.frames) for p in pieces):8} frames "
            f"{sum(p.onsets for p in pieces):8} onsets"
            for name, pieces in self.splits.items()
        ]
        return "\n".join(rows + [f"left out {name}: {why}" for name, why in self.left_out])


# -- one file ---------------------------------------------------------------------------------------------------------


def read_score(path: Path, steps_per_quarter: int = 4) -> Score:
    """Read a MIDI file onto the grid.

    Note times are rounded to ticks; overlapping notes on one key are paired first on, first off; percussion is left
    out. Raises CorpusError with the file's name.
    """
    try:
        midi = mido.MidiFile(file=BytesIO(_bytes_of(path)), clip=True)
    except _BROKEN as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise CorpusError(f"{path}: not a MIDI file that can be read: {why}") from error
    if midi.ticks_per_beat <= 0:
        raise CorpusError(f"{path}: its division is {midi.ticks_per_beat}: only files in ticks per quarter can be read")
    return _score_of(path, _timed(midi), steps_per_quarter / midi.ticks_per_beat, steps_per_quarter)


def _bytes_of(path: Path) -> bytes:
    """A file's contents, unless reading them as MIDI would take forever: delta times have no end of their own."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    data = path.read_bytes()
    if re.search(rb"[\x80-\xff]{65536}", data):
        raise ValueError("a run of 64 KiB in it is no MIDI")
    return data


def _timed(midi: mido.MidiFile) -> list[tuple[int, mido.Message]]:
    """All messages with their times, in order; the tracks of type 2 one after the other."""
    clock, timed = 0, []
    for track in midi.tracks:
        clock = clock if midi.type == 2 else 0
        for message in track:
            clock += message.time
            timed.append((clock, message))
    return sorted(timed, key=itemgetter(0))


def _score_of(path: Path, timed: Iterable[tuple[int, mido.Message]], scale: float, steps_per_quarter: int) -> Score:
    open_notes: dict[tuple[int, int], list[tuple[int, int]]] = {}
    notes: list[Note] = []
    metres: dict[int, Metre] = {}
    clock, last = 0, MAX_TICKS / scale
    for clock, message in timed:
        if clock > last:
            raise CorpusError(f"{path}: more than {MAX_TICKS} ticks long")
        tick = round(clock * scale)
        if message.type == "time_signature":
            metres[tick] = _metre_of(path, message.numerator, message.denominator)
        elif message.type in ("note_on", "note_off") and message.channel != PERCUSSION_CHANNEL:
            sounding = open_notes.setdefault((message.channel, message.note), [])
            if message.type == "note_on" and message.velocity > 0:
                sounding.append((tick, message.velocity))
            elif sounding:
                start, velocity = sounding.pop(0)
                notes.append(Note(message.note, start, max(tick, start + 1), velocity))
    end = round(clock * scale)
    notes += [Note(key, s, max(end, s + 1), v) for (_, key), rest in open_notes.items() for s, v in rest]
    return _checked(path, notes, metres, steps_per_quarter)


def _metre_of(path: Path, numerator: int, denominator: int) -> Metre:
    try:
        return Metre(numerator, denominator)
    except ValueError as error:
        raise CorpusError(f"{path}: {error}") from error


def _checked(path: Path, notes: list[Note], metres: dict[int, Metre], steps_per_quarter: int) -> Score:
    if not any(LOW_KEY <= n.key <= HIGH_KEY for n in notes):
        raise CorpusError(f"{path}: no note between {LOW_KEY} and {HIGH_KEY}")
    length = max(n.end for n in notes)
    changes = sorted((t, m) for t, m in metres.items() if t < length)
    if not changes or changes[0][0] > 0:
        changes.insert(0, (0, Metre(4, 4)))
    notes.sort(key=lambda n: (n.start, n.key))
    return Score(tuple(notes), tuple(changes), length, steps_per_quarter)


def upbeat_ticks(score: Score) -> int:
    """How many ticks of upbeat the first metre begins with: 0, or what the accents say where they say it clearly.

    MIDI has no sign for an upbeat: an engraver's file starts its first bar with it. The downbeat is looked for where
    long and low notes start and where many start together.
    """
    metre = score.metres[0][1]
    bar, beat = metre.bar_ticks(score.steps_per_quarter), metre.beat_ticks(score.steps_per_quarter)
    stop = score.metres[1][0] if len(score.metres) > 1 else score.length
    accent = np.zeros(bar)
    for note in score.notes:
        if note.start < stop:
            accent[note.start % bar] += min(note.end - note.start, bar) * (1.5 if note.key < 55 else 1.0)
    strength = np.array([accent[phase] + 0.3 * accent[phase::beat].sum() for phase in range(bar)])
    best = int(strength.argmax())
    clear = strength[best] > 1.3 * strength[0]
    return best if clear else 0


def piece_of(name: str, score: Score) -> Piece:
    """Draw a score into frames with the metre beside them."""
    frames = frames_from_notes(score.notes, score.length)
    places = metre_track(score.length, score.metres, score.steps_per_quarter, upbeat_ticks(score))
    return Piece(name, frames, places)


# -- a folder ---------------------------------------------------------------------------------------------------------


def midi_files(folder: Path) -> list[Path]:
    """Every MIDI file below a folder, in order of name. Raises CorpusError where there is none."""
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".mid", ".midi") and p.is_file())
    if not files:
        raise CorpusError(f"{folder}: no .mid or .midi file below it")
    return files


def split_of(name: str) -> str:
    """The split that a piece belongs to by its name.

    Of the Well-Tempered Clavier (files named like wtc1p06) numbers 6, 13 and 20 of both books validate and 3, 10 and 17
    test. Of anything else a tenth each does, by the SHA-256 of the file's stem, except where a Well-Tempered Clavier is
    in the same corpus: then the rest is for training (see `split_pieces`). Where that leaves training or validation
    without any piece, the one whose hash is highest goes there.
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
"""Counts the ways that frames have been drawn: a cache of another one is not used."""


def load_corpus(
    folder: Path, steps_per_quarter: int = 4, report: Callable[[str], None] = lambda _: None, cache: Path | None = None
) -> Corpus:
    """Read a folder and split it by piece; `report` hears of each file that is left out.

    With a `cache` folder the frames are kept there, and the pieces are memory-mapped: they need not fit into memory.
    """
    pieces, left_out = _parted(folder, steps_per_quarter, cache)
    corpus = split_pieces(pieces)
    if not corpus.splits["train"]:
        raise CorpusError(f"{folder}: none of its {len(pieces)} pieces is left to train on")
    corpus.left_out[:0] = left_out
    for name, why in corpus.left_out:
        report(f"left out {name}: {why}")
    return corpus


def load_pieces(
    folder: Path, steps_per_quarter: int = 4, report: Callable[[str], None] = lambda _: None, cache: Path | None = None
) -> list[Piece]:
    """Read a folder of pieces of which none is to be held out."""
    pieces, left_out = _parted(folder, steps_per_quarter, cache)
    for name, why in left_out:
        report(f"left out {name}: {why}")
    return pieces


def _parted(folder: Path, steps: int, cache: Path | None) -> tuple[list[Piece], list[LeftOut]]:
    """The pieces of a folder, and what cannot be read."""
    try:
        found = _read_all(folder, steps) if cache is None else _mapped(folder, steps, cache)
    except OSError as error:
        raise CorpusError(f"{error.filename or folder}: {error.strerror or error}") from error
    pieces = [piece for piece in found if isinstance(piece, Piece)]
    left_out = [entry for entry in found if not isinstance(entry, Piece)]
    if not pieces:
        raise CorpusError(f"{folder}: none of its {len(left_out)} MIDI files can be read")
    return pieces, left_out


LeftOut = tuple[str, str]


def _read_all(folder: Path, steps: int) -> list[Piece | LeftOut]:
    """Every piece of a folder in memory, and for what is no piece its name and why."""
    found: list[Piece | LeftOut] = []
    for path in midi_files(folder):
        name = str(path.relative_to(folder))
        try:
            found.append(piece_of(name, read_score(path, steps)))
        except CorpusError as error:
            found.append((name, str(error)))
    return found


def _mapped(folder: Path, steps: int, cache: Path) -> list[Piece | LeftOut]:
    """The same by way of a cache: a file whose contents it has is not drawn again."""
    kept, keys, found = FrameCache(cache), {}, list[Piece | LeftOut]()
    try:
        for path in midi_files(folder):
            name = str(path.relative_to(folder))
            try:
                keys[name] = _keep(kept, path, steps)
            except CorpusError as error:
                found.append((name, str(error)))
        kept.finish()
    finally:
        kept.discard()
    return found + [Piece(name, *kept.arrays(key)) for name, key in keys.items()]


def _keep(cache: FrameCache, path: Path, steps: int) -> str:
    """Have a file's frames in the cache; the key that they have there tells its contents and how it was drawn."""
    try:
        with path.open("rb") as handle:
            key = f"{DRAWING} {steps} {hashlib.file_digest(handle, 'sha256').hexdigest()}"
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror or error}") from error
    if key not in cache:
        piece = piece_of(path.name, read_score(path, steps))
        cache.add(key, piece.frames, piece.places)
    return key


def split_pieces(pieces: Sequence[Piece]) -> Corpus:
    """Split by piece; near-duplicates of a held-out piece are left out, so that none is on two sides.

    Fingerprints are kept of the held-out pieces alone: there may be more music to train on than fits into memory.
    """
    sides = _sides([p.name for p in pieces])
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


def _sides(names: Sequence[str]) -> dict[str, str]:
    has_wtc = any(_wtc_number(name) is not None for name in names)
    sides = {n: "train" if has_wtc and _wtc_number(n) is None else split_of(n) for n in names}
    ranked = sorted(names, key=_lot)
    if ranked and "train" not in sides.values():
        sides[ranked[-1]] = "train"
    spare = [n for n in ranked if sides[n] == "train"][1:] or [n for n in ranked if sides[n] == "test"]
    if spare and "valid" not in sides.values():
        sides[spare[-1]] = "valid"
    return sides


# -- near-duplicates --------------------------------------------------------------------------------------------------

_GRAM = 12
ALIKE = 0.05
"""Share of common melodic runs above which two pieces are editions of one: other pairs of Bach stay below 0.04."""


def fingerprint(frames: Frames) -> frozenset[int]:
    """Hashes of every run of 12 steps of the upper line, as intervals: the same in every key and tempo."""
    lines = [_skyline(frames), _skyline(frames[:, ::-1])]
    grams = set()
    for line in lines:
        steps = np.diff(line)
        runs = max(len(steps) - _GRAM + 1, min(len(steps), 1))  # a shorter line is one run
        grams |= {hash(steps[i : i + _GRAM].tobytes()) for i in range(runs)}
    return frozenset(grams)


def _skyline(frames: Frames) -> NDArray[np.int16]:
    struck = frames == ONSET
    ticks = np.flatnonzero(struck.any(axis=1))
    return np.asarray(frames.shape[1] - 1 - struck[ticks, ::-1].argmax(axis=1), np.int16)


def alike(a: frozenset[int], b: frozenset[int]) -> bool:
    """Whether two fingerprints are those of one piece in two editions, or of a piece and a part of it."""
    return bool(a and b) and len(a & b) > ALIKE * min(len(a), len(b))
