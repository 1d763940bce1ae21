"""The names of what the settings of sound may choose. Light: the settings need no numpy."""

from __future__ import annotations

from livebach.music.general_midi import PROGRAMS
from livebach.sound.temperaments import HIGHEST_A_HZ, LOWEST_A_HZ, TEMPERAMENTS

INSTRUMENT_NAMES = tuple(PROGRAMS)
TEMPERAMENT_NAMES = tuple(TEMPERAMENTS)
PITCHES_HZ = LOWEST_A_HZ, HIGHEST_A_HZ
LATENCIES_MS = 5.0, 200.0
