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
from livebach.music.events import NoteOff, NoteOn
from livebach.music.metre import Metre
from livebach.music.midi_writer import Ruler, Timed
from livebach.music.roll import KEYS, UNKNOWN, Frame, Frames, notes_from_frames
from livebach.music.score_reader import Piece
from livebach.music.texture import Texture
from livebach.musician.governor import Governor
from livebach.musician.texture_follower import asked, followed
from livebach.musician.vetoes import QuoteWatch, RepeatWatch, playable
from livebach.network.engine import Engine, Place, State
from livebach.network.sampling import Policy


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


PRIME_BARS = 4


VELOCITY = 72


def music(
    engine: Engine, config: Config, bars: int, prime: tuple[Piece, Metre] | None = None, prime_bars: int = PRIME_BARS
) -> tuple[Frames, Metre, int]:
    """Frames [T, 88] of the prime and what follows it, their metre, and how many of them are the prime."""
    metre = prime[1] if prime else config.time.metre
    bar = metre.bar_ticks(engine.spec.steps_per_quarter)
    start, offset = np.zeros((0, KEYS), np.uint8), 0
    if prime:
        offset = int(prime[0].places[0, 0])
        start = prime[0].frames[: prime_bars * bar - offset]
    texture = texture_from(config, start)
    seed = config.sampling.seed
    rng = np.random.default_rng(seed)
    quotes = config.sampling.longest_quote
    roll = RollOut(engine, metre, rng, policy_from(config), texture, config.engine.adapt, quotes, offset)
    roll.prime(start)
    played = np.array(list(islice(roll.play(), bars * bar)))
    return np.concatenate([start, played]), metre, len(start)


def policy_from(config: Config) -> Policy:
    """The sampling settings."""
    return Policy(config.sampling.temperature, config.sampling.min_p)


def texture_from(config: Config, heard: Frames) -> Texture:
    """The texture settings; «follow» follows what was heard, where there was anything."""
    return asked(config.sampling.density, config.sampling.polyphony, followed(heard) if len(heard) else Texture())


def tracks(frames: Frames, primed: int, ruler: Ruler, steps_per_quarter: int) -> list[tuple[str, list[Timed]]]:
    """The notes as the MIDI tracks «prime» and «livebach»."""
    tick_s = ruler.quarter_us / 1e6 / steps_per_quarter
    events: dict[str, list[Timed]] = {"prime": [], "livebach": []}
    for note in notes_from_frames(frames):
        events["prime" if note.start < primed else "livebach"] += [
            (note.start * tick_s, NoteOn(note.key, VELOCITY)),
            (note.end * tick_s, NoteOff(note.key)),
        ]
    return [(name, sorted(timed, key=_order)) for name, timed in events.items() if timed or name == "livebach"]


def _order(timed: Timed) -> tuple[float, bool]:
    """In time; at one time the note-offs first, so that a key struck again is not cut."""
    return timed[0], isinstance(timed[1], NoteOn)
