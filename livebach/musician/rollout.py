"""The network left to itself: frame after frame from the step engine, on a metre that runs on.

Knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
from numpy.random import Generator

from livebach.config import Config
from livebach.music.metre import Metre
from livebach.music.prime import Prime
from livebach.music.roll import KEYS, UNKNOWN, Frame, Frames, Note, notes_from_frames
from livebach.music.texture import Texture
from livebach.musician.governor import Governor
from livebach.musician.texture_follower import asked, followed
from livebach.musician.vetoes import QuoteWatch, RepeatWatch, playable
from livebach.network.engine import Engine, Place, State
from livebach.network.sampling import SamplingParams


@dataclass(slots=True)
class RollOut:
    """A network playing on: `prime` it, then take frames from `play`."""

    engine: Engine
    metre: Metre
    rng: Generator
    params: SamplingParams = field(default_factory=SamplingParams)
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

    def prime(self, prime: Prime) -> None:
        """Begin with the frames of a prime, each at its own place, and go on from the place that follows it."""
        places: list[Place] = [(int(tick), int(beat), int(bar)) for tick, beat, bar in prime.places]
        self.state = self.engine.new_state(places[0], self.texture)
        for frame, here, coming in zip(prime.frames, places, places[1:], strict=False):
            self.engine.push(self.state, frame, here, coming, self.texture, self.adapts)
        self.tick = places[-1][0]

    def play(self, given: Frame | None = None) -> Iterator[Frame]:
        """Frames [88] without end, each remembered as it is drawn; it does not stay silent for long."""
        watches = QuoteWatch(self.engine.quotes, self.quotes), RepeatWatch(self._place(0)[2])
        nothing = np.full(KEYS, UNKNOWN, np.uint8) if given is None else given
        while True:
            params = self.governor.steer(self.params, self.texture)
            draw = partial(self.engine.draw, self.state, nothing, self.rng.random(KEYS))
            frame = playable(draw, params, watches)
            self.take(frame)
            self.governor.hear(frame)
            for watch in watches:
                watch.hear(frame)
            yield frame


PRIME_BARS = 4


VELOCITY = 72


def music(engine: Engine, config: Config, bars: int, prime: Prime | None = None) -> tuple[Frames, int]:
    """Return frames [T, 88] of the prime and of so many bars that follow it, and the number of the prime's frames."""
    metre = prime.metre if prime else config.time.metre
    start = prime.frames if prime else np.zeros((0, KEYS), np.uint8)
    texture = texture_from(config, start)
    rng = np.random.default_rng(config.sampling.seed)
    roll = RollOut(engine, metre, rng, params_from(config), texture, config.engine.adapt, config.sampling.longest_quote)
    if prime:
        roll.prime(prime)
    played = np.array(list(islice(roll.play(), bars * metre.bar_ticks(engine.spec.steps_per_quarter))))
    return np.concatenate([start, played]), len(start)


def params_from(config: Config) -> SamplingParams:
    """The sampling settings."""
    return SamplingParams(config.sampling.temperature, config.sampling.min_p)


def texture_from(config: Config, heard: Frames) -> Texture:
    """The texture settings; «follow» follows what was heard, where there was anything."""
    return asked(config.sampling.density, config.sampling.polyphony, followed(heard) if len(heard) else Texture())


def tracks(frames: Frames, primed: int) -> list[tuple[str, list[Note]]]:
    """Return the notes of frames [T, 88] as the MIDI tracks «prime», up to the tick `primed`, and «livebach»."""
    notes = notes_from_frames(frames, VELOCITY)
    prime, own = ([n for n in notes if (n.start < primed) is first] for first in (True, False))
    return [("prime", prime), ("livebach", own)] if prime else [("livebach", own)]
