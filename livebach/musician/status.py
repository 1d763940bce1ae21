"""What there is to show of the musician."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from livebach.config import Config
from livebach.music.grid import Mark


class State(StrEnum):
    """What the musician does; each is its own name in JSON."""

    IDLE = "idle"
    """The grid is at rest: the musician waits for the player's first key."""
    LISTENING = "listening"
    PLAYING = "playing"


@dataclass(frozen=True, slots=True)
class Status:
    """What there is to show. Bar and beat count from 1, `tick` is the tick in the bar; idle, all three are 0."""

    state: State
    mode: str  # the mode's name
    bpm: float  # beats a minute
    metre: str
    bar: int
    beat: int
    tick: int
    player_keys: tuple[int, ...]  # MIDI keys
    own_keys: tuple[int, ...]
    missed: int  # deadlines
    tick_s: float = 0.0  # how long a tick is
    load: float | None = None  # of the last tick, the share that its work took; None where nobody has measured it
    mark: Mark | None = None  # the newest beat that is over, or tick from which on the tempo is another
    settings: Config | None = None  # as they stand now; another object once something was changed
    muted: bool = False
    holding: bool = False
