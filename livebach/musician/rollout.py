"""Roll-outs: music that the network plays alone, frame by frame, in a fixed metre.

This module knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from random import Random

import numpy as np
from numpy.random import Generator

from livebach.config import Config
from livebach.music.idiom import BACH, Idiom
from livebach.music.key import Key, KeyHearing
from livebach.music.metre import Metre
from livebach.music.prime import Prime
from livebach.music.roll import KEYS, OFF, UNKNOWN, Frame, Frames, Note, notes_from_frames
from livebach.music.texture import Texture
from livebach.music.touch import PARTS
from livebach.musician.guides import Guides
from livebach.musician.player_timing import PlayerTiming
from livebach.musician.texture_follower import KeyLock, asked, followed
from livebach.musician.voices_enter import grown
from livebach.network.engine import Engine, Place, State
from livebach.network.sampling import SamplingParams


@dataclass(slots=True)
class RollOut:
    """A network that plays alone. Call `prime` first if it continues other music, then take frames from `play`."""

    engine: Engine
    metre: Metre
    rng: Generator
    params: SamplingParams = field(default_factory=SamplingParams)
    texture: Texture = field(default_factory=Texture)
    adapts: bool = True
    """Whether the network learns from the prime."""
    quotes: int | None = None
    """Most notes of a quote from the training music; None allows any number."""
    tick: int = 0
    """The coming frame's tick, counted from a downbeat."""
    home: Key | None = None
    """The home key; None is the key of the prime."""
    register: int | None = None
    """The MIDI key to play around; None for any."""
    timing: PlayerTiming | None = None
    """How the prime is played between the ticks; None where that does not matter."""
    state: State = field(init=False)
    guides: Guides = field(init=False)

    def __post_init__(self) -> None:
        _, beat, bar = self._place(0)
        numbers, decisions = (Random(int(self.rng.integers(2**63))) for _ in range(2))  # nosec B311
        self.guides = Guides(beat, bar, numbers, decisions, self.quotes)
        self.state = self.engine.new_state(self._place(self.tick), self.texture)

    def _place(self, tick: int) -> Place:
        steps = self.engine.spec.steps_per_quarter
        bar = self.metre.bar_ticks(steps)
        return tick % bar, self.metre.beat_ticks(steps), bar

    def take(self, frame: Frame, adapt: bool = False) -> None:
        """Take in a frame [88] that sounds on the present tick; with `adapt`, learn from it."""
        here, coming = self._place(self.tick), self._place(self.tick + 1)
        self.engine.push(self.state, frame, here, coming, self.texture, adapt)
        self.tick += 1

    def prime(self, prime: Prime) -> None:
        """Begin with the frames of a prime at their places, and continue from the place after it."""
        places: list[Place] = [(int(tick), int(beat), int(bar)) for tick, beat, bar in prime.places]
        self.state = self.engine.new_state(places[0], self.texture)
        hearing = KeyHearing(len(prime.frames))
        for frame, here, coming in zip(prime.frames, places, places[1:], strict=False):
            self.engine.push(self.state, frame, here, coming, self.texture, self.adapts, keep=True)
            self.guides.listen(frame, frame)
            hearing.observe(frame)
        self.home = self.home or hearing.home()
        self.tick = places[-1][0]

    def play(self) -> Iterator[Frame]:
        """Yield frames [88] without end. Each is remembered as it is drawn."""
        nothing, silence = np.full(KEYS, UNKNOWN, np.uint8), np.full(KEYS, OFF, np.uint8)
        self.guides.restart(self.engine.quotes, self.home, self.engine.idiom)
        while True:
            frame = self.guides.draw(
                lambda params, uniforms: self.engine.draw(self.state, nothing, uniforms, params),
                self.params,
                self.texture,
                self.register,
                chance=lambda params: self.engine.onset_chance(self.state, nothing, params),
                lean=0.0 if self.timing is None else self.timing.lean(self._place(self.tick)),
            )
            self.take(frame)
            self.guides.listen(frame, silence)
            self.guides.played(frame, frame)
            yield frame


PRIME_BARS = 4
VELOCITY = 72


def music(engine: Engine, config: Config, bars: int, prime: Prime | None = None) -> tuple[Frames, int]:
    """Play a prime and a continuation.

    Args:
        engine: The network.
        config: The settings.
        bars: Number of bars after the prime, and after the bar in which it breaks off.
        prime: The music to continue, if any.

    Returns:
        Frames uint8 [T, 88] of prime and continuation, and the number of the prime's frames.

    """
    metre = prime.metre if prime else config.time.metre
    start = prime.frames if prime else np.zeros((0, KEYS), np.uint8)
    texture = texture_from(config, start, metre.bar_ticks(engine.spec.steps_per_quarter), engine.idiom)
    rng = np.random.default_rng(config.sampling.seed)
    sampling = config.sampling
    roll = RollOut(engine, metre, rng, params_from(config), texture, config.engine.adapt, sampling.longest_quote)
    roll.home = None if sampling.key in (None, "auto") else Key.parse(sampling.key)
    roll.register = sampling.register if isinstance(sampling.register, int) else None
    if prime:
        roll.prime(prime)
        if config.sound.touch == "learned":
            roll.timing = timing_of(prime)
    bar = metre.bar_ticks(engine.spec.steps_per_quarter)
    broken_off = -int(prime.places[-1, 0]) % bar if prime else 0
    played = np.array(list(islice(roll.play(), broken_off + bars * bar)))
    return np.concatenate([start, played]), len(start)


def timing_of(prime: Prime) -> PlayerTiming:
    """Return how a prime is played between the ticks."""
    timing = PlayerTiming()
    for touch, (position, beat, bar) in zip(prime.touches, prime.places.tolist(), strict=False):
        timing.observe([sounded.offset / PARTS for sounded in touch.notes.values()], (position, beat, bar))
    return timing


def params_from(config: Config) -> SamplingParams:
    """Return the sampling parameters of the settings. With a key, pitches outside the key are rarer, as live."""
    bias = KeyLock(config, bar_ticks=1).bias  # «auto» is the prime's key, which the roll-out keeps to by itself
    return SamplingParams(config.sampling.temperature, config.sampling.min_p, key_bias=bias)


def texture_from(config: Config, heard: Frames, bar_ticks: int, idiom: Idiom = BACH) -> Texture:
    """Return the texture of the settings; «follow» continues the heard frames [T, 88], if any, in an idiom."""
    following = grown(followed(heard, idiom), heard, bar_ticks) if len(heard) else Texture()
    return asked(config.sampling.density, config.sampling.polyphony, following)


def tracks(frames: Frames, primed: int) -> list[tuple[str, list[Note]]]:
    """Return the notes of frames [T, 88] as MIDI tracks: «prime» before the tick `primed`, then «livebach»."""
    notes = notes_from_frames(frames, VELOCITY)
    prime, own = ([n for n in notes if (n.start < primed) is first] for first in (True, False))
    return [("prime", prime), ("livebach", own)] if prime else [("livebach", own)]
