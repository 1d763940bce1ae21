"""The open tick, the next one to be closed, and the moments that every tick has.

A tick's frame is chosen a little before the tick, sounds at its time, and is final half a tick later. Plain values: no
clock is read here.
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
"""Leads before a tick that its frame is chosen where the network plays alone."""
MAX_EARLY = 0.45
"""No tick is drawn or sent earlier than this part of a tick before it sounds: the tick before must be closed."""
CLOSE = 0.5
"""A tick closes this part of a tick after it sounds, or later."""
READY = 0.05
"""This part of a tick is left to remember a frame before the next one is chosen."""
MAX_DELAY = 0.25
"""No tick of a duet is drawn or sent later than this part of a tick after its time."""

SILENCE: Frame = np.zeros(KEYS, np.uint8)
"""A frame without a key down; read-only."""
SILENCE.setflags(write=False)


@dataclass(frozen=True, slots=True)
class OpenTick:
    """What is known of the open tick."""

    number: int
    """Counted from the first downbeat on; negative in a count-in."""
    drawn: Frame | None = None
    """The network's frame, [88]; None until it is chosen."""
    touch: TickTouch = NO_TOUCH
    """How it is to be played."""
    own: Frame = field(default_factory=lambda: SILENCE)
    """What sounds of it, [88]."""
    sounded: bool = False
    """Whether its moment has passed."""
    clicked: bool = False
    """Whether its click has sounded."""

    def with_onsets_only(self) -> OpenTick:
        """Return the tick with its notes cut short: struck, and not held."""
        return replace(self, own=np.where(self.own == ONSET, ONSET, OFF).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Moments:
    """When a tick's frame is chosen, sounds and is final, in absolute seconds."""

    grid: Grid
    early_s: float
    """Notes leave this much before their tick, for a synth that sounds late."""
    lead_s: float
    """A frame is chosen this much before its notes leave."""
    gap_s: float
    """From a note's end to the tick that ends it."""
    delay_s: float
    """In a duet notes leave this much later: what the player strikes on the tick is known by then.

    The onsets of people who play together are 30 to 50 ms apart (Rasch, Acustica 43, 1979).
    """

    @classmethod
    def of(cls, grid: Grid, settings: Config, between: bool = False) -> Moments:
        """Return the moments of a grid's ticks; what is longer than a part of a tick is cut.

        A tick closes half way to the next. Where the player plays `between` the ticks it takes in what is struck up to
        `BOUNDARY`, or less where the next frame has to be chosen sooner.
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
        """A 24th of a quarter note, where a tick is a 16th: what offsets are counted in."""
        return self.grid.tick_s / PARTS

    def click_s(self, tick: int) -> float:
        """Return when a click on this tick leaves."""
        return self.grid.time_s(tick) - self.early_s

    def sound_s(self, tick: int, delayed: bool) -> float:
        """Return when the notes of this tick leave; `delayed` in a duet."""
        return self.grid.time_s(tick) - self.early_s + (self.delay_s if delayed else 0.0)

    def draw_s(self, tick: int, delayed: bool, takes_over: bool, alone: bool = False) -> float:
        """Return when the frame of this tick is chosen.

        A takeover may need several draws, and the player is silent anyway: it takes all the time there is. Where the
        network plays alone, some draws are refused and repeated, and there is nobody to wait for.
        """
        lead_s = ALONE_LEADS * self.lead_s if alone else self.lead_s
        ahead = math.inf if takes_over else self.early_s + max(lead_s, self.gap_s)
        early_s = min(ahead, MAX_EARLY * self.grid.tick_s, (1 - self.grid.closes) * self.grid.tick_s)
        return self.grid.time_s(tick) - early_s + (self.delay_s if delayed else 0.0)

    def close_s(self, tick: int) -> float:
        """Return when the frame of this tick is final."""
        return self.grid.close_s(tick)

    def too_late(self, tick: int, now_s: float) -> bool:
        """Return whether it is no use sounding this tick any more."""
        return now_s > self.grid.close_s(tick) - self.early_s
