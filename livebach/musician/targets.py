"""What a turn of the network keeps to: the size of chords, the register and the density, after the music heard.

This module knows no time but ticks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from livebach.music.idiom import Idiom
from livebach.music.roll import LOW_KEY, ONSET, Frames
from livebach.music.texture import DENSITY_CENTRES, density_and_polyphony, texture_levels
from livebach.musician.texture_follower import MOST, expected

HEARD_CHORDS, HEARD_NOTES = 6, 400
"""Number of struck ticks, and of notes, of which the size and register count as much as those of the idiom."""
SINGLE_LINE = 1.02
"""Mean size of chords up to which the music heard is a single line, which other voices are to join."""
IDIOM_WEIGHT = 0.4
"""Weight of the idiom's density beside that of the music heard: music that goes on is nearer to the usual."""
MOST_STRUCK = 0.97
"""Most of the ticks that may be asked to be struck."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Figures between those of the idiom and of the last bars heard.

    Attributes:
        chord: Mean number of keys struck on ticks with any.
        middle: Mean MIDI key.
        density: Mean number of keys struck per tick.
        level: The level of texture that an answer to the music heard has; None before any music.

    """

    chord: float
    middle: float
    density: float
    level: int | None

    @classmethod
    def of(cls, heard: Frames, idiom: Idiom) -> Targets:
        """Return the targets after heard frames [T, 88]. Rests at their end do not count: the player has stopped."""
        sounding = np.flatnonzero(heard.any(axis=1))
        heard = heard[: sounding[-1] + 1 if len(sounding) else 0]
        density, level = _density(heard, idiom)
        return cls(_chord(heard, idiom), _middle(heard, idiom), density, level)

    def share_struck(self, level: int) -> float:
        """Return the share of ticks to strike for a level of density: that of the music heard, if it has this level."""
        density = self.density if level == self.level else DENSITY_CENTRES[level]
        return min(MOST_STRUCK, density / self.chord)


def _chord(heard: Frames, idiom: Idiom) -> float:
    struck = heard == ONSET
    notes, chords = int(struck.sum()), int(struck.any(axis=1).sum())
    if notes <= SINGLE_LINE * chords:
        return idiom.chord
    if not idiom.contrapuntal:
        return idiom.chord_after(notes / chords, len(heard))
    return (notes + HEARD_CHORDS * idiom.chord) / (chords + HEARD_CHORDS)


def _middle(heard: Frames, idiom: Idiom) -> float:
    keys = np.nonzero(heard == ONSET)[1] + LOW_KEY
    return (float(keys.sum()) + HEARD_NOTES * idiom.middle) / (len(keys) + HEARD_NOTES)


def _density(heard: Frames, idiom: Idiom) -> tuple[float, int | None]:
    """Return the density, and the level of the density heard."""
    if not (heard == ONSET).any():
        return idiom.density, None
    onsets = density_and_polyphony(heard)[0]
    if not idiom.contrapuntal:
        return idiom.density_after(onsets, len(heard)), expected(heard, idiom).density
    level = min(texture_levels(heard).density or 0, MOST.density or 0)
    return onsets ** (1 - IDIOM_WEIGHT) * idiom.density**IDIOM_WEIGHT, level
