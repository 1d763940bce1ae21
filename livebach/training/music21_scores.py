"""Convert the scores of music21's corpus to MIDI files. The corpus is part of music21; nothing is downloaded.

Ties are joined, grace notes are left out, and repeats are not written out. Rests complete an upbeat to a whole bar,
because a MIDI file cannot mark an upbeat. The module does not know frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import mido

from livebach.errors import UserError
from livebach.music.score_reader import CorpusError
from livebach.training.licence_index import Origin

PPQ = 960
NEEDS_MUSIC21 = "this needs music21: pip install 'livebach[corpus]'"
LICENCE = "as music21's corpus: for study and performance, see its licence.txt"
SUFFIXES = {".mxl", ".xml", ".musicxml", ".krn", ".abc"}


def _music21() -> Any:
    try:
        import music21
    except ImportError as error:
        raise UserError(f"{NEEDS_MUSIC21} ({error})") from error
    return music21


def works(composer: str) -> list[Path]:
    """Return the files of a composer in music21's corpus, one per name, sorted by name.

    Raises:
        UserError: If music21 is missing or has no file of this composer.

    """
    corpus = _music21().corpus
    found = sorted(Path(path) for path in corpus.getComposer(composer) if Path(path).suffix in SUFFIXES)
    by_name = {path.stem: path for path in found}
    if not by_name:
        there = sorted({Path(path).parent.name for path in corpus.getCorePaths()})
        raise UserError(f"music21 has nothing of {composer!r}; it has {', '.join(there)}")
    return [by_name[name] for name in sorted(by_name)]


def scores(path: Path) -> Iterator[tuple[str, bytes, Origin]]:
    """Yield each score of a file: name, contents of the MIDI file, origin.

    Raises:
        CorpusError: If music21 cannot read the file.
        UserError: If music21 is missing.

    """
    music21 = _music21()
    try:
        parsed = music21.converter.parse(path)
        pieces = list(parsed.scores) if isinstance(parsed, music21.stream.Opus) else [parsed]
        for number, piece in enumerate(pieces, 1):
            name = path.stem if len(pieces) == 1 else f"{path.stem}-{number}"
            yield f"{name}.mid", midi_of(piece), Origin(_licence(piece), f"music21 {music21.__version__}, {path.name}")
    except (music21.exceptions21.Music21Exception, ValueError, LookupError, AttributeError, TypeError) as error:
        raise CorpusError(f"{path.name}: music21 cannot read the file: {' '.join(str(error).split())}") from error


def _licence(score: Any) -> str:
    rights = str(getattr(score.metadata, "copyright", None) or "")
    return " ".join(rights.split())[:80] or LICENCE


def midi_of(score: Any) -> bytes:
    """Return a music21 score as a MIDI file, with one track of time signatures and one track per part."""
    parts = list(score.parts) or [score]
    rests = _rests_before(parts[0])
    tracks = [_metres(parts[0], rests), *(_notes(part, rests) for part in parts)]
    out = BytesIO()
    mido.MidiFile(type=1, ticks_per_beat=PPQ, tracks=tracks).save(file=out)
    return out.getvalue()


def _rests_before(part: Any) -> float:
    """Return the quarter notes that are missing from the first bar."""
    first = part.getElementsByClass("Measure").first()
    metre = part.recurse().getElementsByClass("TimeSignature").first()
    if first is None or metre is None:
        return 0.0
    whole, there = float(metre.barDuration.quarterLength), float(first.highestTime)
    return whole - there if 0 < there < whole else 0.0


def _metres(part: Any, rests: float) -> mido.MidiTrack:
    timed = []
    for metre in part.flatten().getElementsByClass("TimeSignature"):
        start = _tick(metre.offset + rests if metre.offset else 0)
        timed.append((start, "time_signature", {"numerator": metre.numerator, "denominator": metre.denominator}))
    return _track(timed, mido.MetaMessage)


def _notes(part: Any, rests: float) -> mido.MidiTrack:
    timed = []
    for sound in part.toSoundingPitch().stripTies().flatten().notes:
        start = float(sound.offset) + rests
        stop = start + float(sound.quarterLength)
        if stop > start:  # a grace note has no length
            for pitch in sound.pitches:
                timed.append((_tick(start), "note_on", {"note": pitch.midi, "velocity": 64}))
                timed.append((_tick(stop), "note_off", {"note": pitch.midi, "velocity": 0}))
    return _track(timed, mido.Message)


def _tick(quarters: float) -> int:
    return round(float(quarters) * PPQ)


def _track(timed: list[tuple[int, str, dict[str, int]]], kind: Any) -> mido.MidiTrack:
    """Return a track of messages sorted by time. At equal times note-offs come first."""
    track, now = mido.MidiTrack(), 0
    for tick, name, values in sorted(timed, key=lambda t: (t[0], t[1] == "note_on")):
        track.append(kind(name, time=tick - now, **values))
        now = tick
    return track
