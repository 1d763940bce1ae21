"""Temperaments: the frequency of every key, from the way in which the twelve fifths share the Pythagorean comma.

Each temperament is a row of twelve numbers: by how many cents each fifth is narrower than a pure one, along the chain
C G D A E B F# C# G# Eb Bb F (C). The twelve numbers sum to the Pythagorean comma, so the circle closes.
"""

from __future__ import annotations

from math import log2

PYTHAGOREAN = 1200 * (12 * log2(3 / 2) - 7)
"""The Pythagorean comma in cents: twelve pure fifths exceed seven octaves by so much."""
SYNTONIC = 1200 * log2(81 / 80)
"""The syntonic comma in cents: four pure fifths exceed two octaves and a pure third by so much."""
_SCHISMA = PYTHAGOREAN - SYNTONIC
_PURE_FIFTH = 1200 * log2(3 / 2)
_A = 9  # the pitch class that the pitch standard names
_P4, _P6, _P12, _S4 = PYTHAGOREAN / 4, PYTHAGOREAN / 6, PYTHAGOREAN / 12, SYNTONIC / 4

TEMPERAMENTS: dict[str, tuple[float, ...]] = {
    # C-G   G-D  D-A  A-E  E-B  B-F# F#-C#     C#-G# G#-Eb Eb-Bb Bb-F F-C
    "equal": (_P12,) * 12,
    "werckmeister3": (_P4, _P4, _P4, 0, 0, _P4, 0, 0, 0, 0, 0, 0),
    "kirnberger3": (_S4, _S4, _S4, _S4, 0, 0, _SCHISMA, 0, 0, 0, 0, 0),
    "vallotti": (_P6, _P6, _P6, _P6, _P6, 0, 0, 0, 0, 0, 0, _P6),
}
"""Equal; Werckmeister III (1691); Kirnberger III (1779); Vallotti (about 1728, as in Barbour 1951)."""

LOWEST_A_HZ, HIGHEST_A_HZ = 380.0, 500.0
"""The pitches that are allowed for the A above middle C: from French opera pitch to high choir pitch."""


def cents(temperament: str) -> list[float]:
    """Return the twelve pitch classes in cents above C, from C to B."""
    pitches = [0.0] * 12
    height = 0.0
    for step, narrowed in enumerate(TEMPERAMENTS[temperament][:-1]):
        height += _PURE_FIFTH - narrowed
        pitches[7 * (step + 1) % 12] = height % 1200
    return pitches


def frequency(key: int, temperament: str = "equal", a4_hz: float = 440.0) -> float:
    """Return the frequency of a MIDI key in Hz; the A above middle C (key 69) is `a4_hz` in every temperament."""
    octave, pitch_class = divmod(key, 12)
    row = cents(temperament)
    above_a4 = 1200 * (octave - 5) + row[pitch_class] - row[_A]
    return float(a4_hz * 2 ** (above_a4 / 1200))
