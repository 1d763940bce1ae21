"""The musician's status, for displays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from livebach.config import Config
from livebach.music.grid import Mark


class State(StrEnum):
    """The musician's activity. The values are the names in JSON."""

    IDLE = "idle"
    """The grid does not run, and the musician waits for the player's first key."""
    LISTENING = "listening"
    PLAYING = "playing"


@dataclass(frozen=True, slots=True)
class Status:
    """The values to display. Bar and beat count from 1; `tick` is the tick in the bar. All three are 0 while idle."""

    state: State
    mode: str  # the mode's name
    bpm: float  # beats per minute
    metre: str
    bar: int
    beat: int
    tick: int
    player_keys: tuple[int, ...]  # MIDI keys
    own_keys: tuple[int, ...]
    missed: int  # number of missed deadlines
    tick_s: float = 0.0  # length of a tick in seconds
    load: float | None = None  # share of the last tick that its work took; None where not measured
    mark: Mark | None = None  # the newest beat that is over, or the tick from which the tempo changed
    settings: Config | None = None  # the present settings; a new object after every change
    muted: bool = False
    holding: bool = False
