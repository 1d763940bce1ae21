"""The player's part: what the player does, and what is known of the music by it.

Brings together the hands (`Listener`), the last bar, and what follows the player: texture and key. Knows no grid.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from livebach.config import Config
from livebach.music.events import Event
from livebach.music.grid import Grid
from livebach.music.roll import LOW_KEY, Frame
from livebach.music.touch import Pedal, Sounded, played_offset
from livebach.musician.listener import Listener
from livebach.musician.texture_follower import KeyLock, TextureFollower

TIMED = 16
"""So many of the keys struck last tell whether the player plays between the ticks."""
OFF_TICK = 0.25
"""A key that is struck so far from the nearest tick, in ticks, is between two."""
BEGINS, STAYS = 4 / TIMED, 2 / TIMED
"""From which share of such keys on it is taken for meant, and down to which it stays so."""


class PlayerPart:
    """One player's keys and pedal, frame by frame."""

    def __init__(self, settings: Config, bar_ticks: int) -> None:
        channel = settings.midi.input_channel
        self.listener = Listener(
            None if channel is None else channel - 1, settings.turns.pedal_counts, settings.sound.velocity_default
        )
        self._follows = settings.time.clock == "player"  # a grid that is still finding the beat judges no timing
        self.follower = TextureFollower(settings, bar_ticks)
        self.key_lock = KeyLock(settings, bar_ticks)
        self.recent: deque[Frame] = deque(maxlen=bar_ticks)
        """The frames of the last bar, each [88]."""
        self.last_key: int | None = None
        """The highest key (0..87) of the last frame that had any."""
        self.between = False
        """Whether the player plays between the ticks, as in triplets or with swing, rather than early or late."""
        self._off_tick: deque[bool] = deque(maxlen=TIMED)
        self.pedal = Pedal.UP
        """What the sustain pedal did on the last tick."""
        self.silent_ticks = 0
        """For how many whole ticks the player has been at rest."""

    def close_tick(self, until_s: float, follow: bool) -> Frame:
        """Return the player's final frame of a tick that ends at this time; `follow` if its texture is to be followed.

        Each call is one tick further.
        """
        frame = self.listener.frame(until_s)
        self.pedal = Pedal.of(self.pedal.down, self.listener.pedal_lifted(), self.listener.pedal_down)
        self.key_lock.observe(frame)
        self.recent.append(frame)
        if frame.any():
            self.last_key = int(np.flatnonzero(frame)[-1])
        self.silent_ticks = self.silent_ticks + 1 if self.listener.at_rest and not frame.any() else 0
        if follow:
            self.follower.observe(frame)
        return frame

    def struck(self, grid: Grid, tick: int) -> dict[int, Sounded]:
        """Return how the player struck the keys (0..87) of the open tick, as far as that is known."""
        start_s, strikes = grid.time_s(tick), self.listener.strikes(grid.close_s(tick))
        return {
            key: Sounded(strike.velocity, played_offset((strike.time_s - start_s) / grid.tick_s) if self.between else 0)
            for key, strike in strikes.items()
        }

    def judge_timing(self, grid: Grid, tick: int) -> None:
        """Judge by the keys that were struck on this tick, too, whether the player plays between the ticks."""
        for strike in self.listener.strikes(grid.close_s(tick)).values():
            place = (strike.time_s - grid.origin_s) / grid.tick_s
            self._off_tick.append(abs(place - round(place)) > OFF_TICK)
        share = 0.0 if self._follows else sum(self._off_tick) / TIMED
        self.between = share >= (STAYS if self.between else BEGINS)

    def strikes(self, event: Event, now_s: float) -> bool:
        """Take in an event; True where it is a key of the 88 being struck."""
        return self.listener.receive(event, now_s)

    def set(self, settings: Config) -> None:
        """Follow texture and key as other settings say from here on; what was heard is kept."""
        self.follower.set(settings)
        self.key_lock.set(settings)

    def forget(self) -> None:
        """Forget which texture and key the player's music had."""
        self.key_lock.forget()
        self.follower.forget()

    @property
    def midi_keys(self) -> tuple[int, ...]:
        """The MIDI keys that are down now."""
        return tuple(key + LOW_KEY for key in self.listener.held)
