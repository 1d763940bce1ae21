"""Where the player's theme is stated again in a take: notes in seconds, as they were played.

The theme is the line that the player began with. A statement has its rhythm, give or take a part of a beat, and its
intervals in any key and voice, each note up to a semitone beside: a diatonic or tonal answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from livebach.evaluation.musical_figures import LEAST_THEME, MOST_THEME
from livebach.evaluation.pictures import Sounding

TOGETHER_S = 0.03
"""Notes of the player's that begin so soon after each other are a chord, and its top is the line."""


def theme_of(notes: Sequence[Sounding]) -> list[Sounding]:
    """Return the first notes of the player's upper line, 12 at most; none where there are fewer than 6."""
    line: list[Sounding] = []
    for note in sorted((note for note in notes if not note.own), key=lambda note: note.start_s):
        if line and note.start_s - line[-1].start_s < TOGETHER_S:
            line[-1] = max(line[-1], note, key=lambda one: one.key)
        elif len(line) < MOST_THEME:
            line.append(note)
    return line if len(line) >= LEAST_THEME else []


def statements(notes: Sequence[Sounding], theme: Sequence[Sounding], tolerance_s: float) -> list[list[Sounding]]:
    """Return the notes of every statement of the theme by livebach, in order of time."""
    if not theme:
        return []
    own = sorted((note for note in notes if note.own), key=lambda note: (note.start_s, note.key))
    found = [_from(first, own, theme, tolerance_s) for first in own]
    return [statement for statement in found if statement]


def _from(
    first: Sounding, own: Sequence[Sounding], theme: Sequence[Sounding], tolerance_s: float
) -> list[Sounding] | None:
    """Return the notes of a statement that begins with `first`; None where there is none."""
    statement = [first]
    for wanted in theme[1:]:
        start_s = first.start_s + wanted.start_s - theme[0].start_s
        key = first.key + wanted.key - theme[0].key
        near = [n for n in own if abs(n.start_s - start_s) <= tolerance_s and abs(n.key - key) <= 1]
        if not near:
            return None
        statement.append(min(near, key=lambda note: (abs(note.key - key), abs(note.start_s - start_s))))
    return statement
