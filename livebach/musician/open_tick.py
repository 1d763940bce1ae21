"""The open tick, which is the next one to close, and the moments of every tick.

A tick's frame is chosen a little before the tick, sounds at its time, and is final half a tick later. This module reads
no clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from livebach.config import Config
from livebach.music.grid import Grid
from livebach.music.roll import KEYS, OFF, ONSET, Frame
from livebach.music.touch import NO_TOUCH, PARTS, TickTouch
from livebach.musician.player_timing import Between

ALONE_LEADS = 4
"""Leads (`engine.lead_ms`) by which a frame is chosen early where the network plays alone, and up to 16 are drawn."""
MAX_EARLY = 0.45
"""Longest time by which notes are sent early for a synth with latency, in ticks."""
CLOSE = 0.5
"""Part of a tick after which it closes."""
HALVES_CLOSE = 7 / 12
"""The same for even ticks where the player plays 32nds: half way from these to the last note of a triplet. Odd ticks
close so much sooner, because a 32nd belongs to the even tick beside it."""
ALONE_CLOSE = 0.4
"""The same where the network plays alone: then no key is to be heard, and the next tick may sound early."""
READY = 0.05
"""Part of a tick reserved for remembering a frame before the next one is chosen."""
MAX_DELAY = 0.25
"""Longest delay of a duet's notes, in ticks."""

SILENCE: Frame = np.zeros(KEYS, np.uint8)
"""A frame without a key down; read-only."""
SILENCE.setflags(write=False)


@dataclass(frozen=True, slots=True)
class OpenTick:
    """The values of the open tick."""

    number: int
    """Counted from the first downbeat on; negative in a count-in."""
    drawn: Frame | None = None
    """The network's frame, [88]; None until it is chosen."""
    touch: TickTouch = NO_TOUCH
    """Velocities, offsets and pedal of the frame."""
    own: Frame = field(default_factory=lambda: SILENCE)
    """The part of the frame that sounds, [88]."""
    sounded: bool = False
    """Whether the time of its notes has passed."""
    clicked: bool = False
    """Whether its click has sounded."""

    def with_onsets_only(self) -> OpenTick:
        """Return the tick with onsets only, without held notes."""
        return replace(self, own=np.where(self.own == ONSET, ONSET, OFF).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Moments:
    """When a tick's frame is chosen, sounds and is final, in absolute seconds."""

    grid: Grid
    early_s: float
    """Time by which notes are sent before their tick, for a synth with latency."""
    lead_s: float
    """Time by which a frame is chosen before its notes are sent."""
    gap_s: float
    """Time from a note's end to the tick that ends it."""
    delay_s: float
    """Delay of notes in a duet, so that the player's keys on the tick are known by then.

    The onsets of people who play together are 30 to 50 ms apart (Rasch, Acustica 43, 1979).
    """

    @classmethod
    def of(cls, grid: Grid, settings: Config, between: Between = Between.NOTHING, alone: bool = False) -> Moments:
        """Return the moments of a grid's ticks. Times are limited to parts of a tick.

        Args:
            grid: The grid.
            settings: The settings.
            between: What the player plays between the ticks.
            alone: Whether the network plays alone.

        """
        closes = CLOSE
        if between:
            closes = ALONE_CLOSE if alone else HALVES_CLOSE if between is Between.HALVES else CLOSE
        return cls(
            replace(grid, closes=closes, odd_closes=min(closes, 1 - closes)),
            early_s=min(settings.midi.latency_ms / 1000, MAX_EARLY * grid.tick_s),
            lead_s=settings.engine.lead_ms / 1000,
            gap_s=(1 - settings.sound.articulation) * grid.tick_s,
            delay_s=min(settings.turns.delay_ms / 1000, MAX_DELAY * grid.tick_s),
        )

    @property
    def part_s(self) -> float:
        """The unit of offsets in seconds: a 24th of a quarter note, where a tick is a 16th."""
        return self.grid.tick_s / PARTS

    def _room_s(self, tick: int) -> float:
        """Return how long before a tick its frame can be chosen, because the tick before must be closed."""
        return (1 - READY - self.grid.part_taken(tick - 1)) * self.grid.tick_s

    def ahead_s(self, tick: int, offset: int) -> float:
        """Return by how much earlier a tick sounds whose first note has this offset, in seconds.

        Notes for a synth with a high latency are sent early anyway, so there may be less room.
        """
        return max(0.0, min(-offset * self.part_s, self._room_s(tick) - self.early_s))

    def click_s(self, tick: int) -> float:
        """Return the time at which a click on this tick is sent."""
        return self.grid.time_s(tick) - self.early_s

    def sound_s(self, tick: int, delayed: bool, offset: int = 0) -> float:
        """Return the time at which the notes of this tick are sent, the first with this offset; `delayed` in a duet."""
        early_s = self.early_s + self.ahead_s(tick, offset)
        return self.grid.time_s(tick) - early_s + (self.delay_s if delayed else 0.0)

    def draw_s(self, tick: int, delayed: bool, takes_over: bool, alone: bool = False, offset: int = 0) -> float:
        """Return the time at which the frame of this tick is chosen.

        A takeover may need several draws, so it takes all the time there is: the player is silent. Where the network
        plays alone, draws may be refused and repeated, so the frame is chosen earlier.

        Args:
            tick: The tick.
            delayed: Whether its notes are delayed, as in a duet.
            takes_over: Whether the network takes over.
            alone: Whether the network plays alone.
            offset: The smallest offset that a note may get.

        """
        lead_s = ALONE_LEADS * self.lead_s if alone else self.lead_s
        ahead_s = math.inf if takes_over else self.early_s + self.ahead_s(tick, offset) + max(lead_s, self.gap_s)
        return self.grid.time_s(tick) - min(ahead_s, self._room_s(tick)) + (self.delay_s if delayed else 0.0)

    def close_s(self, tick: int) -> float:
        """Return the time at which the frame of this tick is final."""
        return self.grid.close_s(tick)

    def too_late(self, tick: int, now_s: float) -> bool:
        """Return whether it is too late to sound this tick."""
        return now_s > self.grid.close_s(tick) - self.early_s
