"""Whose turn it is: the states of a turn, what changes them, and how a turn of the network's ends.

Knows nothing of time but ticks, and nothing of notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from livebach.musician.cadence import Cadence


class Turn(Enum):
    """Whose turn it is."""

    LISTENING = auto()
    """The player's."""
    ASKED = auto()
    """The player's, and the network has been asked to play: it begins on the next beat."""
    PLAYING = auto()
    """The network's, alone or together with the player."""
    ENDED = auto()
    """The player's: the network has come to its end, and stays silent until the player begins a new phrase."""
    CLOSED = auto()
    """Nobody's: the session is over."""


class Change(Enum):
    """What may change whose turn it is."""

    ASK = auto()
    """The network is asked to play."""
    TAKE_UP = auto()
    """The mode lets the network play on the coming tick."""
    LET_GO = auto()
    """The network stops playing, for the player or because the mode says so."""
    END = auto()
    """The network has made an end, or everything was silenced."""
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
"""The next turn. What is not listed changes nothing."""


def after(turn: Turn, change: Change) -> Turn:
    """Return whose turn it is after a change."""
    return TRANSITIONS.get((turn, change), turn)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the network's turn is going to end: on a given tick, with or without a cadence; by default neither."""

    leave: int | None = None
    """The tick on which the network hands over to the player; None: when the player returns."""
    cadence: Cadence | None = None

    @property
    def tick(self) -> int | None:
        """The tick from which on the network is silent, where that is decided."""
        return self.leave if self.cadence is None else self.cadence.end


@dataclass(frozen=True, slots=True)
class Switches:
    """What the person has switched on."""

    mute: bool = False
    """The network is silent, and goes on listening."""
    hold: bool = False
    """What sounds of the network goes on sounding, and nothing new is struck."""
