"""Find statements of the player's theme in a take. Times are in seconds.

The theme is the player's first upper line. A statement has the rhythm of the theme within a tolerance. A statement
also has the intervals of the theme, in any key and voice. Each note may be a semitone higher or lower, so diatonic and
tonal answers count.
"""

from __future__ import annotations

from collections.abc import Sequence

from livebach.evaluation.musical_figures import LEAST_THEME, MOST_THEME
from livebach.evaluation.pictures import Sounding

TOGETHER_S = 0.03
"""Player's notes that begin within this time form a chord. The top note of a chord belongs to the line."""


def theme_of(notes: Sequence[Sounding]) -> list[Sounding]:
    """Return the first notes of the player's upper line, at most 12, or no notes if there are fewer than 6."""
    line: list[Sounding] = []
    for note in sorted((note for note in notes if not note.own), key=lambda note: note.start_s):
        if line and note.start_s - line[-1].start_s < TOGETHER_S:
            line[-1] = max(line[-1], note, key=lambda one: one.key)
        elif len(line) < MOST_THEME:
            line.append(note)
    return line if len(line) >= LEAST_THEME else []


def statements(notes: Sequence[Sounding], theme: Sequence[Sounding], tolerance_s: float) -> list[list[Sounding]]:
    """Return the notes of every statement of the theme by livebach, sorted by time.

    Args:
        notes: All notes of the take.
        theme: Notes of the theme.
        tolerance_s: Maximum deviation of an onset from the rhythm of the theme, in seconds.

    """
    if not theme:
        return []
    own = sorted((note for note in notes if note.own), key=lambda note: (note.start_s, note.key))
    found = [_from(first, own, theme, tolerance_s) for first in own]
    return [statement for statement in found if statement]


def _from(
    first: Sounding, own: Sequence[Sounding], theme: Sequence[Sounding], tolerance_s: float
) -> list[Sounding] | None:
    """Return the notes of the statement that begins with `first`, or None if there is no such statement."""
    statement = [first]
    for wanted in theme[1:]:
        start_s = first.start_s + wanted.start_s - theme[0].start_s
        key = first.key + wanted.key - theme[0].key
        near = [n for n in own if abs(n.start_s - start_s) <= tolerance_s and abs(n.key - key) <= 1]
        if not near:
            return None
        statement.append(min(near, key=lambda note: (abs(note.key - key), abs(note.start_s - start_s))))
    return statement
