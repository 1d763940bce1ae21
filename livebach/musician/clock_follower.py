"""Follows a MIDI clock: 24 pulses a quarter note, which come unevenly, made into an even grid.

A line is laid through the pulses of the last bars. Where the newest stray from it together, the tempo has changed, and
it begins anew with them. Pulses that are missing are counted by the time that they would have taken. Is told the times;
reads no clock, and knows neither bars nor notes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

import numpy as np

from livebach.music.events import CONTINUE, MAX_DATA, PULSE, START, STOP

PULSES = 24  # a quarter note
MOST = 16 * PULSES
"""Pulses that the line goes through: with ±5 ms on each, its end is within 1 ms in 99 of 100 cases."""
NEWEST = 12
STRAYED_S = 0.006
"""The newest pulses are on average so far off only if the tempo has changed."""
BRIDGED_BEATS = 2
"""More than these missing, and the clock is lost."""
SETTLED = 2 * PULSES
GAP, UNSETTLED_GAP = 1.55, 3.0
"""After so many pulses' time some are missing: once the line has settled, and before."""
UNEVEN_S = 0.0068
"""A pulse that is late by no more is only uneven, however fast they come."""
FEWEST = 7
"""Pulses after which there is a tempo."""


class ClockFollower:
    """Takes pulses, and says when each pulse is, was or will be, evenly. A beat is a quarter note, or longer."""

    def __init__(self, beat_pulses: int = PULSES) -> None:
        self._bridged = BRIDGED_BEATS * max(PULSES, beat_pulses)
        self._pulses: deque[tuple[int, float]] = deque(maxlen=MOST)
        self._slope_s = 0.0  # seconds a pulse
        self._newest_s = 0.0  # when the newest pulse should have been
        self.count = -1
        """The newest pulse's number."""

    def pulse(self, time_s: float) -> None:
        """Take a pulse."""
        self.count += self._steps(time_s)
        self._pulses.append((self.count, time_s))
        if len(self._pulses) > 1:
            self._lay()

    def _steps(self, time_s: float) -> int:
        """How many pulses after the newest this one is: more than one where some are missing."""
        if not self.known:
            return 1
        by_line, by_last = ((time_s - since_s) / self._slope_s for since_s in (self._newest_s, self._pulses[-1][1]))
        if by_line > self._bridged + 0.5:
            self._pulses.clear()
            return 1
        least = GAP if len(self._pulses) >= SETTLED else UNSETTLED_GAP
        gap = min(by_line, by_last) >= max(
            least, 1 + UNEVEN_S / self._slope_s
        )  # both, for neither unevenness nor a new tempo is a gap
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
        """Whether there is a tempo."""
        return len(self._pulses) >= FEWEST and self._slope_s > 0

    @property
    def pulse_s(self) -> float:
        """Seconds from pulse to pulse."""
        return self._slope_s

    def time_s(self, number: int) -> float:
        """When a pulse is, by the line."""
        return self._newest_s + (number - self.count) * self._slope_s

    def lost(self, now_s: float) -> bool:
        """Whether it has been away for so long that it is not bridged."""
        return self.known and now_s > self.time_s(self.count + self._bridged)


class ClockKind(StrEnum):
    """What a message of a MIDI clock says."""

    PULSE = "pulse"
    START = "start"
    CONTINUE = "continue"
    STOP = "stop"
    POSITION = "position"


@dataclass(frozen=True, slots=True)
class ClockMessage:
    """A message of a MIDI clock (MIDI 1.0, System Common and System Real Time)."""

    kind: ClockKind
    position: int = 0
    """Of `POSITION`: how many 16th notes after the beginning of the song."""

    @property
    def text(self) -> str:
        """The message in words, as the log of a take has it: «pulse» or «position 21»."""
        return f"{self.kind} {self.position}" if self.kind is ClockKind.POSITION else str(self.kind)

    @classmethod
    def parse(cls, text: str) -> ClockMessage:
        """Read the message in words; ValueError where there is no such message."""
        word, _, number = text.partition(" ")
        return cls(ClockKind(word), int(number or 0))


_KINDS = {PULSE: ClockKind.PULSE, START: ClockKind.START, CONTINUE: ClockKind.CONTINUE, STOP: ClockKind.STOP}
SONG_POSITION = 0xF2


def clock_message(data: bytes) -> ClockMessage | None:
    """Read a message of a MIDI clock; None where the bytes are another message."""
    if len(data) == 1 and data[0] in _KINDS:
        return ClockMessage(_KINDS[data[0]])
    if len(data) == 3 and data[0] == SONG_POSITION and max(data[1:]) <= MAX_DATA:
        return ClockMessage(ClockKind.POSITION, data[1] | data[2] << 7)
    return None


class TransportState(Enum):
    """What the sender of a MIDI clock does."""

    STOPPED = auto()
    STARTING = auto()
    """The next pulse is the first."""
    RUNNING = auto()


@dataclass(slots=True)
class Transport:
    """Start, stop and place of the sender; the place is counted in 16th notes, as MIDI does."""

    position: int = 0
    state: TransportState = TransportState.STOPPED
    seat: tuple[int, int] = (0, 0)
    """A pulse's number, and the tick of the grid that it is."""

    def receive(self, message: ClockMessage) -> bool:
        """Take any message but a pulse; True where the music that was running has ended."""
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
        """Run from a pulse on, which is a tick of the grid."""
        self.state, self.seat = TransportState.RUNNING, (pulse, tick)

    def halt(self) -> None:
        """Run no longer; a start that has been told still holds."""
        if self.state is TransportState.RUNNING:
            self.state = TransportState.STOPPED


def _line(numbers: np.ndarray[tuple[int], np.dtype[np.float64]], times: np.ndarray) -> tuple[float, float]:
    """Slope, and value at 0, of the line nearest to the points."""
    mean, mean_s = numbers.mean(), times.mean()
    apart = numbers - mean
    slope = float(apart @ (times - mean_s) / (apart @ apart))
    return slope, float(mean_s - slope * mean)
