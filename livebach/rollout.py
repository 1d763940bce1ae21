"""The network left to itself: frame after frame from the step engine, on a metre that runs on.

Knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.random import Generator

from livebach.engine import Engine, Place, State
from livebach.governor import Governor, playable
from livebach.quotes import QuoteWatch
from livebach.repeats import RepeatWatch
from livebach.roll import KEYS, UNKNOWN, Frame, Frames, Metre, Texture
from livebach.sampling import Policy


@dataclass(slots=True)
class RollOut:
    """A network playing on: `prime` it, then take frames from `play`."""

    engine: Engine
    metre: Metre
    rng: Generator
    policy: Policy = field(default_factory=Policy)
    texture: Texture = field(default_factory=Texture)
    adapts: bool = True
    """Whether it learns from what it is primed with."""
    quotes: int | None = None
    """The most notes on end that it takes over from its training music; None: any number."""
    tick: int = 0
    """Ticks since a downbeat, of the coming frame."""
    state: State = field(init=False)
    governor: Governor = field(init=False)

    def __post_init__(self) -> None:
        self.governor = Governor(self._place(0)[2])
        self.state = self.engine.new_state(self._place(self.tick), self.texture)

    def _place(self, tick: int) -> Place:
        steps = self.engine.spec.steps_per_quarter
        bar = self.metre.bar_ticks(steps)
        return tick % bar, self.metre.beat_ticks(steps), bar

    def take(self, frame: Frame, adapt: bool = False) -> None:
        """Remember a frame [88] as what sounded now."""
        here, coming = self._place(self.tick), self._place(self.tick + 1)
        self.engine.push(self.state, frame, here, coming, self.texture, adapt)
        self.tick += 1

    def prime(self, frames: Frames) -> None:
        """Remember frames [T, 88]."""
        for frame in frames:
            self.take(frame, self.adapts)

    def play(self, given: Frame | None = None) -> Iterator[Frame]:
        """Frames [88] without end, each remembered as it is drawn; it does not stay silent for long."""
        watches = QuoteWatch(self.engine.quotes, self.quotes), RepeatWatch(self._place(0)[2])
        nothing = np.full(KEYS, UNKNOWN, np.uint8) if given is None else given
        while True:
            policy = self.governor.steer(self.policy, self.texture)
            draw = partial(self.engine.draw, self.state, nothing, self.rng.random(KEYS))
            frame = playable(draw, policy, watches)
            self.take(frame)
            self.governor.hear(frame)
            for watch in watches:
                watch.hear(frame)
            yield frame
