"""Openings of Bach, written out by hand for the tests: (tick, length in ticks, MIDI keys), four ticks a quarter."""

from __future__ import annotations

from livebach.music.roll import Note


def line(text: str, tick: int = 0) -> list[Note]:
    """Notes of one voice: «60:2 62:2 -:4 67:4» is key:ticks, a dash rests, 60+64 sounds together."""
    notes = []
    for word in text.split():
        keys, _, length = word.partition(":")
        ticks = int(length)
        if keys != "-":
            notes += [Note(int(key), tick, tick + ticks) for key in keys.split("+")]
        tick += ticks
    return notes


def _prelude(*bars: tuple[int, int, int, int, int]) -> list[Note]:
    """The figure of the first prelude: two held notes, three broken ones twice."""
    notes = []
    for bar, (bass, tenor, *upper) in enumerate(bars):
        for half in range(2):
            at = 16 * bar + 8 * half
            notes += [Note(bass, at, at + 8), Note(tenor, at + 1, at + 8)]
            notes += [Note(key, at + 2 + i, at + 3 + i) for i, key in enumerate([*upper, *upper])]
    return notes


OPENINGS: dict[str, list[Note]] = {
    "prelude in C (BWV 846)": _prelude(
        (60, 64, 67, 72, 76), (60, 62, 69, 74, 77), (59, 62, 67, 74, 77), (60, 64, 67, 72, 76)
    ),
    "fugue in C (BWV 846)": line(
        "-:2 60:2 62:2 64:2 65:3 67:1 65:1 64:1 69:2 62:2 67:3 69:1 67:1 65:1 64:1 65:1 64:1 62:1 60:2"
    ),
    "fugue in C minor (BWV 847)": line(
        "-:2 72:1 71:1 72:2 67:2 68:2 72:1 71:1 72:2 74:2 67:2 72:1 71:1 72:2 74:2 65:1 67:1 68:4 67:1 65:1 63:4"
    ),
    "invention in C (BWV 772)": [
        *line("-:1 60:1 62:1 64:1 65:1 62:1 64:1 60:1 67:2 72:2 71:2 72:2 74:4"),
        *line("-:1 48:1 50:1 52:1 53:1 50:1 52:1 48:1 55:4", 8),
    ],
    "invention in D minor (BWV 775)": line(
        "62:1 64:1 65:1 67:1 69:1 70:1 61:1 70:1 69:1 67:1 65:1 64:1 65:2 69:2 74:2 67:2 73:2 76:2"
    ),
    "invention in F (BWV 779)": line(
        "-:2 65:2 69:2 65:2 72:2 65:2 77:1 76:1 74:1 72:1 74:1 72:1 70:1 69:1 70:1 69:1 67:1 65:4"
    ),
    "minuet in G (BWV Anh. 114)": [
        *line("74:4 67:2 69:2 71:2 72:2 74:4 67:4 67:4 76:4 72:2 74:2 76:2 78:2 79:4 67:4 67:4"),
        *line("55+59+62:8 57:4 59:12 60:12 59:12"),
    ],
    "aria (BWV 988)": [
        *line("79:4 79:4 81:3 83:1 81:6 79:1 78:1 76:2 74:8"),
        *line("55:12 54:12 52:6"),
    ],
    "chorale (BWV 244)": [
        *line("64:4 69:4 67:4 65:4 64:4 62:8 64:4"),
        *line("60:4 60:4 60:4 60:4 60:4 59:8 56:4"),
        *line("57:4 53:4 55:4 57:4 55:4 53:8 52:4"),
        *line("45:4 41:4 40:4 41:4 48:4 50:8 40:4"),
    ],
    "toccata's theme (BWV 565)": line(
        "69:1 67:1 69:1 65:1 69:1 64:1 69:1 62:1 69:1 61:1 69:1 62:1 69:1 64:1 69:1 65:1 69:4"
    ),
}


def transposed(notes: list[Note], by: int) -> list[Note]:
    """The same notes some semitones up or down."""
    return [Note(note.key + by, note.start, note.end, note.velocity) for note in notes]
