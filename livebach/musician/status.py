"""What there is to show of the state of affairs."""

from __future__ import annotations

from dataclasses import dataclass

from livebach.config import Config
from livebach.music.grid import Mark


@dataclass(frozen=True, slots=True)
class Status:
    """What there is to show. Bar and beat count from 1, `tick` is the tick in the bar; idle, all three are 0."""

    state: str  # idle, listening or playing
    mode: str
    bpm: float
    metre: str
    bar: int
    beat: int
    tick: int
    player_keys: tuple[int, ...]  # MIDI keys
    own_keys: tuple[int, ...]
    missed: int
    tick_s: float = 0.0  # how long a tick is
    load: float | None = None  # of the last tick, the share that its work took; None where nobody has measured it
    mark: Mark | None = None  # the newest beat that is over, or tick from which on the tempo is another
    settings: Config | None = None  # as they stand now; another object once something was changed
