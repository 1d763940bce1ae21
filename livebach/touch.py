"""How loud its own notes are: as set, or as the player plays, with light accents where the metre has them."""

from __future__ import annotations

from livebach.events import MAX_DATA
from livebach.grid import Grid

DOWNBEAT_ACCENT, BEAT_ACCENT, OFFBEAT_ACCENT = 8, 3, -3


def velocity(setting: str | int, touch: float, grid: Grid, tick: int) -> int:
    """The velocity of a note on this tick; `touch` is the player's mean of late."""
    if isinstance(setting, int):
        return setting
    beat = BEAT_ACCENT if grid.on_beat(tick) else OFFBEAT_ACCENT
    accent = DOWNBEAT_ACCENT if grid.on_downbeat(tick) else beat
    return max(1, min(MAX_DATA, round(touch) + accent))
