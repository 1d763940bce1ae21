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
from livebach.music.touch import BOUNDARY, NO_TOUCH, PARTS, TickTouch

ALONE_LEADS = 4
"""Leads (`engine.lead_ms`) by which a frame is chosen early where the network plays alone."""
MAX_EARLY = 0.45
"""Earliest time of drawing or sending, in ticks before a tick sounds, because the tick before must be closed."""
CLOSE = 0.5
"""Earliest time at which a tick closes, in ticks after it sounds."""
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
    def of(cls, grid: Grid, settings: Config, between: bool = False) -> Moments:
        """Return the moments of a grid's ticks. Times are limited to parts of a tick.

        A tick closes half way to the next. Where the player plays `between` the ticks, a tick takes in keys struck up
        to `BOUNDARY`, or less where the next frame must be chosen sooner.
        """
        early_s = min(settings.midi.latency_ms / 1000, MAX_EARLY * grid.tick_s)
        lead_s, gap_s = settings.engine.lead_ms / 1000, (1 - settings.sound.articulation) * grid.tick_s
        ahead = (early_s + max(lead_s, gap_s)) / grid.tick_s
        closes = max(CLOSE, min(BOUNDARY, 1 - READY - ahead)) if between else CLOSE
        return cls(
            replace(grid, closes=closes),
            early_s=early_s,
            lead_s=lead_s,
            gap_s=gap_s,
            delay_s=min(settings.turns.delay_ms / 1000, MAX_DELAY * grid.tick_s),
        )

    @property
    def part_s(self) -> float:
        """The unit of offsets in seconds: a 24th of a quarter note, where a tick is a 16th."""
        return self.grid.tick_s / PARTS

    def click_s(self, tick: int) -> float:
        """Return the time at which a click on this tick is sent."""
        return self.grid.time_s(tick) - self.early_s

    def sound_s(self, tick: int, delayed: bool) -> float:
        """Return the time at which the notes of this tick are sent; `delayed` in a duet."""
        return self.grid.time_s(tick) - self.early_s + (self.delay_s if delayed else 0.0)

    def draw_s(self, tick: int, delayed: bool, takes_over: bool, alone: bool = False) -> float:
        """Return the time at which the frame of this tick is chosen.

        A takeover may need several draws, so it takes all the time there is: the player is silent. Where the network
        plays alone, draws may be refused and repeated, so the frame is chosen earlier.
        """
        lead_s = ALONE_LEADS * self.lead_s if alone else self.lead_s
        ahead = math.inf if takes_over else self.early_s + max(lead_s, self.gap_s)
        early_s = min(ahead, MAX_EARLY * self.grid.tick_s, (1 - self.grid.closes) * self.grid.tick_s)
        return self.grid.time_s(tick) - early_s + (self.delay_s if delayed else 0.0)

    def close_s(self, tick: int) -> float:
        """Return the time at which the frame of this tick is final."""
        return self.grid.close_s(tick)

    def too_late(self, tick: int, now_s: float) -> bool:
        """Return whether it is too late to sound this tick."""
        return now_s > self.grid.close_s(tick) - self.early_s
