"""Openings of pieces for the demo, as notes on a grid of sixteenths. All are in the public domain.

A voice is written as names with lengths in sixteenths: «c4:2» is middle C for an eighth, and «-» is a rest. A name
without a length lasts one sixteenth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from livebach.music.events import NoteOff, NoteOn, to_bytes
from livebach.music.metre import Metre
from livebach.music.roll import Note
from livebach.music.touch import PARTS

STEPS_PER_QUARTER = 4
_LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SIGNS = {"": 0, "#": 1, "b": -1}
_ACCENTS = {0: 10, 1: 3}  # downbeat, other beats


@dataclass(frozen=True, slots=True)
class Phrase:
    """A few bars: title, tempo in beats a minute, metre, and the voices as text.

    `late` tells, for each tick of a beat, how many 24ths of a quarter note after it its notes begin and end: triplets
    are on the ticks 0, 1 and 2 of a beat with (0, 2, 4, 0), swung eighths with (0, 0, 4, 0).
    """

    title: str
    bpm: float
    metre: Metre
    voices: tuple[str, ...]
    late: tuple[int, ...] = (0,)

    def notes(self) -> list[Note]:
        """Return the notes of all voices in order, a little louder on the beats."""
        found = [note for voice in self.voices for note in _voice(voice, self._velocity)]
        return sorted(found, key=lambda note: (note.start, note.key))

    def upper(self) -> Phrase:
        """Return the highest voice alone: one hand, which leaves room for another player."""
        highest = max(self.voices, key=lambda voice: max(note.key for note in _voice(voice, self._velocity)))
        return replace(self, title=f"{self.title}, the upper voice", voices=(highest,))

    def _velocity(self, tick: int) -> int:
        bar, beat = self.metre.bar_ticks(STEPS_PER_QUARTER), self.metre.beat_ticks(STEPS_PER_QUARTER)
        return 70 + (_ACCENTS[0] if tick % bar == 0 else _ACCENTS[1] if tick % bar % beat == 0 else 0)

    @property
    def bars(self) -> int:
        """The number of bars; the last one may be incomplete."""
        return -(-max(note.end for note in self.notes()) // self.metre.bar_ticks(STEPS_PER_QUARTER))

    @property
    def length_s(self) -> float:
        """The length of the bars in seconds."""
        return self.bars * self.metre.bar_ticks(STEPS_PER_QUARTER) * self._tick_s

    @property
    def _tick_s(self) -> float:
        return 60 / (self.bpm * self.metre.beat_ticks(STEPS_PER_QUARTER))

    def score(self, start_s: float) -> list[tuple[float, bytes]]:
        """Return MIDI messages with the times at which they are played, note-offs before note-ons."""
        notes, part_s = self.notes(), self._tick_s / PARTS
        moments = [(self.part(note.end), 0, to_bytes(NoteOff(note.key))) for note in notes]
        moments += [(self.part(note.start), 1, to_bytes(NoteOn(note.key, note.velocity))) for note in notes]
        return [(start_s + part * part_s, data) for part, _, data in sorted(moments)]

    def part(self, tick: int) -> int:
        """Return the time at which a tick's notes are played, in 24ths of a quarter note."""
        return tick * PARTS + self.late[tick % len(self.late)]


def _key(name: str) -> int:
    """Return the MIDI key of a name: 63 for «eb4»."""
    return 12 * (int(name[-1]) + 1) + _LETTERS[name[0]] + _SIGNS[name[1:-1]]


def _voice(text: str, velocity: Callable[[int], int]) -> list[Note]:
    notes, tick = [], 0
    for word in text.split():
        name, _, length = word.partition(":")
        ticks = int(length or 1)
        if name != "-":
            notes.append(Note(_key(name), tick, tick + ticks, velocity(tick)))
        tick += ticks
    return notes


def _broken(*chords: str) -> tuple[str, str, str]:
    """Return the voices of a prelude in broken chords: bass, tenor, and three keys above them, twice a bar."""
    bass, tenor, upper = [], [], []
    for chord in chords:
        low, second, *three = chord.split()
        bass += [f"{low}:8"] * 2
        tenor += ["-", f"{second}:7"] * 2
        upper += ["-:2", *three, *three] * 2
    return " ".join(bass), " ".join(tenor), " ".join(upper)


def _turning(*halves: str) -> str:
    """Return a voice in which each half bar comes twice, as in the prelude in C minor."""
    return " ".join(f"{half} {half}" for half in halves)


PHRASES = {
    "prelude": Phrase(
        "Prelude in C, Well-Tempered Clavier I, bars 1 to 4",
        72,
        Metre(4, 4),
        _broken("c4 e4 g4 c5 e5", "c4 d4 a4 d5 f5", "b3 d4 g4 d5 f5", "c4 e4 g4 c5 e5"),
    ),
    "c-minor": Phrase(
        "Prelude in C minor, Well-Tempered Clavier I, bars 1 to 4",
        92,
        Metre(4, 4),
        (
            _turning(
                "c5 eb4 d4 eb4 c4 eb4 d4 eb4",
                "ab4 f4 e4 f4 c4 f4 e4 f4",
                "b4 f4 eb4 f4 d4 f4 eb4 f4",
                "c5 g4 f4 g4 eb4 g4 f4 g4",
            ),
            _turning(
                "c3 g3 f3 g3 eb3 g3 f3 g3",
                "c3 ab3 g3 ab3 f3 ab3 g3 ab3",
                "c3 ab3 g3 ab3 f3 ab3 g3 ab3",
                "c3 eb3 d3 eb3 g3 eb3 d3 eb3",
            ),
        ),
    ),
    "little": Phrase(
        "Little Prelude in C minor, BWV 934, bars 1 to 4",
        96,
        Metre(3, 4),
        (
            (
                "c5:2 d5:2 eb5:2 g4:2 d5:2 f4:2 eb4:2 d4:2 c4:2 eb4:2 g4:2 c5:2 "
                "f4:2 eb5:2 d5:2 f5:2 ab5:2 c5:2 b4:2 a4:2 g4:2 b4:2 d5:2 f5:2"
            ),
            "c3:4 c4:4 g3:4 ab3:4 ab2:4 -:4 ab3:4 f3:4 d3:4 g3:4 g2:4",
        ),
    ),
    "invention": Phrase(
        "Invention in D minor, BWV 775, bars 1 to 8",
        132,
        Metre(3, 8),
        (
            (
                "d4 e4 f4 g4 a4 bb4 c#4 bb4 a4 g4 f4 e4 f4:2 a4:2 d5:2 g4:2 c#5:2 e5:2 "
                "d5 e5 f5 g5 a5 bb5 c#5 bb5 a5 g5 f5 e5 f5 d5 e5 f5 g5 a5 bb4 a5 g5 f5 e5 d5"
            ),
            (
                "-:12 d3 e3 f3 g3 a3 bb3 c#3 bb3 a3 g3 f3 e3 f3:2 a3:2 d4:2 e3:2 g3:2 c#4:2 "
                "d3:2 d4:2 f3:2 g3:2 a3:2 bb3:2"
            ),
        ),
    ),
    "scarlatti": Phrase(
        "Scarlatti, Sonata in C minor, K. 11, bars 1 to 4, without the trills",
        88,
        Metre(4, 4),
        (
            (
                "g4:4 b4:4 c5:6 d5:2 eb5:2 f5:2 g5:2 c5:2 b4:2 a4:2 g4:2 f4:2 "
                "eb4:2 f4:2 g4:2 c4:2 -:6 d5:2 eb5:2 f5:2 g5:2 c5:2 b4:2 a4:2 g4:4"
            ),
            "eb4:4 f4:4 g4:2 f4:2 eb4:2 d4:2",
            (
                "c4:4 d4:4 eb4:2 d4:2 c4:2 b3:2 c4:2 d4:2 eb4:2 f4:2 g3:2 a3:2 b3:2 g3:2 "
                "c3:2 d3:2 eb3:2 f3:2 g3:2 a3:2 g3:2 b3:2 c4:2 d4:2 eb4:2 f4:2 g3:8"
            ),
            "-:40 g2:6",
        ),
    ),
    "beethoven": Phrase(
        "Beethoven, Sonata in G, op. 79, Vivace, bars 1 to 8",
        126,
        Metre(2, 4),
        (
            (
                "b4:2 c5 b4 d5:2 e5 d5 g4:2 a4 g4 b4:4 e4:2 f#4 e4 g4:2 a4 g4 a4:2 b4 a4 b4:4 "
                "b4:2 c5 b4 d5:2 e5 d5 g5:2 a5 g5 f#5:4 e5:2 f#5 e5 c#5:2 b4 c#5 d5:8"
            ),
            "b3:4 a3:4 g3:4 f#3:4 e3:4 d3:4 f#3:4 g3:4 b3:4 a3:4 c#4:4 d4:4 b3:4 e4:4 d4:8",
            "g3:4 f#3:4 e3:4 d3:4 c3:4 b2:4 d3:4 g2:4 g3:4 f#3:4 e3:4 d3:4 g3:4 a3:4 d3:8",
        ),
    ),
    "chopin": Phrase(
        "Chopin, Prelude in D flat, op. 28 no. 15, bars 1 to 4",
        66,
        Metre(4, 4),
        (
            "f5:3 db5 ab4:8 bb4:4 c5:12 db5:4 eb5:3 f5 gb5:8 f5:4 f5:6 eb5:2 db5:4 eb5:4",
            "-:4 f4:8 f4:4 gb4:12 f4:4 gb4:4 bb4:8 ab4:4 ab4:4 gb4:4 f4:4 gb4:4",
            "-:4 db4:8 db4:4 eb4:12 db4:4 c4:12 db4:4 c4:8 db4:4 c4:4",
            (
                "db3:2 ab3:2 -:2 ab3:2 ab3:2 ab3:2 -:2 ab3:2 -:2 ab3:2 ab3:2 ab3:2 bb3:2 ab3:2 -:2 ab3:2 "
                "-:2 ab3:2 ab3:2 ab3:2 ab3:2 ab3:2 -:2 ab3:2 -:2 ab3:2 ab3:2 ab3:2 -:2 ab3:2 -:2 ab3:2"
            ),
        ),
    ),
    "joplin": Phrase(
        "Joplin, Wall Street Rag, bars 1 to 8",
        76,
        Metre(2, 4),
        (
            (
                "c5:3 a4 d4:2 c4 d4 e4:2 f4:4 g4:2 e4:2 d4 e4 f4 a4:2 ab4 g4:4 g5:2 -:2 "
                "e4 f4 g4 a4:2 eb5 e5 c5 d5:2 d5 e5 d5 c5 d4 f4 "
                "e4 f4 g4 a4:2 eb5 e5 c5 d5:2 e5 d5 c5 d5 e5 g4"
            ),
            (
                "c4:3 a3 d3:2 c3 d3 e3:2 f3:4 g3:2 e3:2 d3 e3 f3 a3:2 ab3 g3:4 b4:2 -:2 "
                "c4 d4 e4 eb4:2 f#4 g4 e4 f4:6 c4:2 c4 d4 e4 eb4:2 f#4 g4 e4 f4:6 e4:2"
            ),
            "-:28 g3:2 -:2 g3:3 f#3 -:2 g3:2 ab3:6 ab3:2 g3:3 f#3 -:2 g3:2 ab3:6 g3:2",
            "-:28 g2:2 -:2 c3:8 c3:8 c3:8 c3:6 c3:2",
        ),
    ),
    "triplets": Phrase(
        "Beethoven, Sonata in C sharp minor, op. 27 no. 2, bars 1 to 4, in triplets",
        58,
        Metre(4, 4),
        (
            " ".join(["g#3 c#4 e4:2"] * 8 + ["a3 c#4 e4:2"] * 2 + ["a3 d4 f#4:2"] * 2)
            + " g#3 c4 f#4:2 g#3 c#4 e4:2 g#3 c#4 d#4:2 f#3 c4 d#4:2",
            "c#3:16 b2:16 a2:8 f#2:8 g#2:8 g#2:8",
        ),
        (0, 2, 4, 0),
    ),
}
PHRASES["swing"] = replace(PHRASES["little"], title=f"{PHRASES['little'].title}, swung", late=(0, 0, 4, 0))
"""The phrases by the name that `demo --phrase` takes."""
