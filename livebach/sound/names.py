"""The names of what the settings of sound may choose. Light: the settings need no numpy."""

from __future__ import annotations

from livebach.sound.temperaments import HIGHEST_A_HZ, LOWEST_A_HZ, TEMPERAMENTS

INSTRUMENT_NAMES = ("piano", "harpsichord", "organ")
TEMPERAMENT_NAMES = tuple(TEMPERAMENTS)
PITCHES_HZ = LOWEST_A_HZ, HIGHEST_A_HZ
LATENCIES_MS = 5.0, 200.0
