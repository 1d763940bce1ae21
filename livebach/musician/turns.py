"""Turns: the states of a turn, the transitions between them, and the end of the network's turn.

This module knows no time but ticks, and no notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from livebach.music.grid import Grid
from livebach.musician.cadence import Cadence


class Turn(Enum):
    """Whose turn it is."""

    LISTENING = auto()
    """The player's."""
    ASKED = auto()
    """The player's. The network has been asked to play, and begins on the next beat."""
    PLAYING = auto()
    """The network's, which plays alone or together with the player."""
    ENDED = auto()
    """The player's. The network has ended, and stays silent until the player begins a new phrase."""
    CLOSED = auto()
    """Nobody's: the session is over."""


class Change(Enum):
    """An event that may change the turn."""

    ASK = auto()
    """The network is asked to play."""
    TAKE_UP = auto()
    """The mode lets the network play on the coming tick."""
    LET_GO = auto()
    """The network stops playing, for the player or by the mode's decision."""
    END = auto()
    """The network has ended, or all notes were silenced."""
    NEW_PHRASE = auto()
    """The player begins a new phrase."""
    CLOSE = auto()
    """The session ends."""


TRANSITIONS: dict[tuple[Turn, Change], Turn] = {
    (Turn.LISTENING, Change.ASK): Turn.ASKED,
    (Turn.LISTENING, Change.TAKE_UP): Turn.PLAYING,
    (Turn.LISTENING, Change.END): Turn.ENDED,
    (Turn.LISTENING, Change.CLOSE): Turn.CLOSED,
    (Turn.ASKED, Change.TAKE_UP): Turn.PLAYING,
    (Turn.ASKED, Change.END): Turn.ENDED,
    (Turn.ASKED, Change.CLOSE): Turn.CLOSED,
    (Turn.PLAYING, Change.LET_GO): Turn.LISTENING,
    (Turn.PLAYING, Change.END): Turn.ENDED,
    (Turn.PLAYING, Change.CLOSE): Turn.CLOSED,
    (Turn.ENDED, Change.ASK): Turn.ASKED,
    (Turn.ENDED, Change.NEW_PHRASE): Turn.LISTENING,
    (Turn.ENDED, Change.CLOSE): Turn.CLOSED,
}
"""The next turn. Pairs that are not listed change nothing."""


def after(turn: Turn, change: Change) -> Turn:
    """Return whose turn it is after a change."""
    return TRANSITIONS.get((turn, change), turn)


@dataclass(frozen=True, slots=True)
class Ending:
    """The planned end of the network's turn: on a tick, with or without a cadence; by default none."""

    leave: int | None = None
    """The tick on which the network hands over to the player; None: when the player returns."""
    cadence: Cadence | None = None

    @property
    def tick(self) -> int | None:
        """The tick from which the network is silent; None where not decided."""
        return self.leave if self.cadence is None else self.cadence.end

    def in_metre(self, before: Grid, after: Grid) -> Ending:
        """Return the ending as many bars ahead, where another metre begins on the downbeat of `after`."""

        def moved(tick: int) -> int:
            return after.downbeat + (tick - after.downbeat) // before.bar_ticks * after.bar_ticks

        cadence = self.cadence
        if cadence is not None:
            cadence = Cadence(cadence.key, moved(cadence.due), moved(cadence.end), after.beat_ticks)
        return Ending(None if self.leave is None else moved(self.leave), cadence)


@dataclass(frozen=True, slots=True)
class Switches:
    """The switches of the controls."""

    mute: bool = False
    """The network is silent, and goes on listening."""
    hold: bool = False
    """The network's sounding notes go on, and nothing new is struck."""
