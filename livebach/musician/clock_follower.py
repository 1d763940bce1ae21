"""Follows a MIDI clock: turns 24 uneven pulses per quarter note into an even grid (MIDI 1.0).

A regression line is fitted to the pulses of the last bars. Where the newest pulses leave the line together, the tempo
has changed, and a new line begins with them. Missing pulses are counted by the time that has passed. The caller gives
the times. This module reads no clock, and knows neither bars nor notes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

import numpy as np

from livebach.music.events import CONTINUE, MAX_DATA, PULSE, START, STOP

PULSES = 24  # a quarter note
MOST = 16 * PULSES
"""Most pulses of the line. With ±5 ms on each pulse, the line's end is within 1 ms in 99 of 100 cases."""
NEWEST = 12
STRAYED_S = 0.006
"""Mean distance of the newest pulses from the line above which the tempo has changed."""
BRIDGED_BEATS = 2
"""Beats without pulses after which the clock is lost."""
SETTLED = 2 * PULSES
GAP, UNSETTLED_GAP = 1.55, 3.0
"""Time in pulses after which pulses are missing: with SETTLED pulses or more, and with fewer."""
UNEVEN_S = 0.0068
"""Delay up to which a pulse is only uneven, at any tempo."""
FEWEST = 7
"""Number of pulses from which the tempo is known."""


class ClockFollower:
    """Takes in pulses, and tells the even time of any past or future pulse. A beat is a quarter note or longer."""

    def __init__(self, beat_pulses: int = PULSES) -> None:
        self._bridged = BRIDGED_BEATS * max(PULSES, beat_pulses)
        self._pulses: deque[tuple[int, float]] = deque(maxlen=MOST)
        self._slope_s = 0.0  # seconds a pulse
        self._newest_s = 0.0  # when the newest pulse should have been
        self.count = -1
        """Number of the newest pulse."""

    def pulse(self, time_s: float) -> None:
        """Take in a pulse at a time in seconds."""
        self.count += self._steps(time_s)
        self._pulses.append((self.count, time_s))
        if len(self._pulses) > 1:
            self._lay()

    def _steps(self, time_s: float) -> int:
        """Return the distance in pulses from the newest pulse: more than 1 where pulses are missing."""
        if not self.known:
            return 1
        by_line, by_last = ((time_s - since_s) / self._slope_s for since_s in (self._newest_s, self._pulses[-1][1]))
        if by_line > self._bridged + 0.5:
            self._pulses.clear()
            return 1
        least = GAP if len(self._pulses) >= SETTLED else UNSETTLED_GAP
        gap = min(by_line, by_last) >= max(
            least, 1 + UNEVEN_S / self._slope_s
        )  # both must exceed it: neither unevenness nor a new tempo is a gap
        return max(1, round(by_line)) if gap else 1

    def _lay(self) -> None:
        numbers, times = (np.array(column, np.float64) for column in zip(*self._pulses, strict=True))
        numbers -= self.count
        slope, end = _line(numbers, times)
        if len(numbers) > 2 * NEWEST:
            off = times[-NEWEST:] - (end + slope * numbers[-NEWEST:])
            if abs(off.mean()) > STRAYED_S:
                self._pulses = deque(list(self._pulses)[-NEWEST:], MOST)
                slope, end = _line(numbers[-NEWEST:], times[-NEWEST:])
        self._slope_s, self._newest_s = slope, end

    @property
    def known(self) -> bool:
        """Whether the tempo is known."""
        return len(self._pulses) >= FEWEST and self._slope_s > 0

    @property
    def pulse_s(self) -> float:
        """Seconds from pulse to pulse."""
        return self._slope_s

    def time_s(self, number: int) -> float:
        """Return the even time of a pulse, in seconds."""
        return self._newest_s + (number - self.count) * self._slope_s

    def lost(self, now_s: float) -> bool:
        """Return whether the clock has been silent for longer than is bridged."""
        return self.known and now_s > self.time_s(self.count + self._bridged)


class ClockKind(StrEnum):
    """The kind of a MIDI clock's message."""

    PULSE = "pulse"
    START = "start"
    CONTINUE = "continue"
    STOP = "stop"
    POSITION = "position"


@dataclass(frozen=True, slots=True)
class ClockMessage:
    """A message of a MIDI clock (MIDI 1.0, System Common and System Real Time).

    Attributes:
        kind: The kind of message.
        position: For `POSITION`, the 16th notes since the start of the song.

    """

    kind: ClockKind
    position: int = 0

    @property
    def text(self) -> str:
        """The message in words, as in a take's log: «pulse» or «position 21»."""
        return f"{self.kind} {self.position}" if self.kind is ClockKind.POSITION else str(self.kind)

    @classmethod
    def parse(cls, text: str) -> ClockMessage:
        """Return the message from its words. Raises ValueError where no message has these words."""
        word, _, number = text.partition(" ")
        return cls(ClockKind(word), int(number or 0))


_KINDS = {PULSE: ClockKind.PULSE, START: ClockKind.START, CONTINUE: ClockKind.CONTINUE, STOP: ClockKind.STOP}
SONG_POSITION = 0xF2


def clock_message(data: bytes) -> ClockMessage | None:
    """Return the MIDI clock's message in these bytes; None where the bytes are another message."""
    if len(data) == 1 and data[0] in _KINDS:
        return ClockMessage(_KINDS[data[0]])
    if len(data) == 3 and data[0] == SONG_POSITION and max(data[1:]) <= MAX_DATA:
        return ClockMessage(ClockKind.POSITION, data[1] | data[2] << 7)
    return None


class TransportState(Enum):
    """The state of a MIDI clock's sender."""

    STOPPED = auto()
    STARTING = auto()
    """The next pulse is the first of the music."""
    RUNNING = auto()


@dataclass(slots=True)
class Transport:
    """State and position of the sender.

    Attributes:
        position: Song position in 16th notes, the unit of MIDI.
        state: Whether the sender runs.
        seat: The number of a pulse, and the tick of the grid on which this pulse falls.

    """

    position: int = 0
    state: TransportState = TransportState.STOPPED
    seat: tuple[int, int] = (0, 0)

    def receive(self, message: ClockMessage) -> bool:
        """Take in a message other than a pulse; return whether running music has ended."""
        if message.kind is ClockKind.POSITION:
            self.position = message.position
            return False
        ran = self.state is TransportState.RUNNING
        if message.kind is ClockKind.START:
            self.position = 0
        starts = message.kind in (ClockKind.START, ClockKind.CONTINUE)
        self.state = TransportState.STARTING if starts else TransportState.STOPPED
        return ran

    def begin(self, pulse: int, tick: int) -> None:
        """Run from a pulse on that falls on a tick of the grid."""
        self.state, self.seat = TransportState.RUNNING, (pulse, tick)

    def halt(self) -> None:
        """Stop running. A start that was received stays valid."""
        if self.state is TransportState.RUNNING:
            self.state = TransportState.STOPPED


def _line(numbers: np.ndarray[tuple[int], np.dtype[np.float64]], times: np.ndarray) -> tuple[float, float]:
    """Return slope and value at 0 of the least-squares line through the points."""
    mean, mean_s = numbers.mean(), times.mean()
    apart = numbers - mean
    slope = float(apart @ (times - mean_s) / (apart @ apart))
    return slope, float(mean_s - slope * mean)
