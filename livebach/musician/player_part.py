"""The player's part: keys and pedal (`Listener`), the last bar, and the texture and key that follow the player."""

from __future__ import annotations

from collections import deque

import numpy as np

from livebach.config import Config
from livebach.music.events import Event
from livebach.music.grid import Grid
from livebach.music.roll import LOW_KEY, Frame
from livebach.music.touch import Pedal, Sounded
from livebach.musician.listener import Listener, Strike
from livebach.musician.player_timing import PlayerTiming
from livebach.musician.texture_follower import KeyLock, TextureFollower


class PlayerPart:
    """One player's keys and pedal, frame by frame."""

    def __init__(self, settings: Config, bar_ticks: int) -> None:
        channel = settings.midi.input_channel
        self.listener = Listener(
            None if channel is None else channel - 1, settings.turns.pedal_counts, settings.sound.velocity_default
        )
        self._follows = settings.time.clock == "player"  # a grid that follows the player cannot judge timing
        self.timing = PlayerTiming()
        self.follower = TextureFollower(settings, bar_ticks)
        self.key_lock = KeyLock(settings, bar_ticks)
        self.recent: deque[Frame] = deque(maxlen=bar_ticks)
        """The frames of the last bar, each [88]."""
        self.last_key: int | None = None
        """The highest key (0..87) of the last frame with a key down."""
        self.pedal = Pedal.UP
        """The move of the sustain pedal on the last tick."""
        self.silent_ticks = 0
        """Number of whole ticks for which the player has been at rest."""

    def close_tick(self, until_s: float, follow: bool) -> Frame:
        """Close a tick that ends at this time, and return the player's final frame [88].

        `follow` tells whether the texture follows this frame. Each call advances by a tick.
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
        """Return the velocity and offset of the player's keys (0..87) on the open tick, as far as known."""
        strikes = self.listener.strikes(grid.close_s(tick))
        return {
            key: Sounded(strike.velocity, self.timing.offset(_distance(strike, grid, tick)))
            for key, strike in strikes.items()
        }

    def judge_timing(self, grid: Grid, tick: int) -> None:
        """Take in how far from this tick its keys were struck."""
        if not self._follows:
            strikes = self.listener.strikes(grid.close_s(tick)).values()
            self.timing.observe([_distance(strike, grid, tick) for strike in strikes], grid.place(tick))

    def strikes(self, event: Event, now_s: float) -> bool:
        """Take in an event; return whether it strikes one of the 88 keys."""
        return self.listener.receive(event, now_s)

    def set(self, settings: Config) -> None:
        """Use other settings from now on. The music heard so far is kept."""
        self.follower.set(settings)
        self.key_lock.set(settings)

    def set_bar(self, bar_ticks: int) -> None:
        """Have bars of another length count. The music heard so far is kept."""
        self.follower.set_bar(bar_ticks)
        self.key_lock.set_bar(bar_ticks)
        self.recent = deque(self.recent, bar_ticks)

    def forget(self) -> None:
        """Forget the texture and the key of the player's music."""
        self.key_lock.forget()
        self.follower.forget()

    @property
    def midi_keys(self) -> tuple[int, ...]:
        """The MIDI keys that are down now."""
        return tuple(key + LOW_KEY for key in self.listener.held)


def _distance(strike: Strike, grid: Grid, tick: int) -> float:
    """Return the distance of a stroke from a tick, in ticks."""
    return (strike.time_s - grid.time_s(tick)) / grid.tick_s
