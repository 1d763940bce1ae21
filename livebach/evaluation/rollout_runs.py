"""Roll-outs to be measured: the network primed with a few bars of a real piece, then left to itself for long.

Several play at once in processes of their own. What they are like is `rollreport`'s to say.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.config import Config, with_value
from livebach.files import write_new
from livebach.music.metre import Metre
from livebach.music.midi_writer import Ruler, score_to_midi
from livebach.music.prime import Prime
from livebach.music.roll import Frames
from livebach.music.score_reader import Piece
from livebach.musician.rollout import PRIME_BARS, music, tracks
from livebach.network.checkpoint import load
from livebach.network.engine import Engine

KNOBS = {"density": "onset_rate", "polyphony": "polyphony"}
"""Settings of the sampling, and the figure that each sets."""
LEVELS = {"low": 1, "middle": 4, "high": 6}
"""What a knob is turned to when its effect is measured."""


@dataclass(frozen=True, slots=True)
class RollOutRecord:
    """What a network played: frames [T, 88] without the prime, `places` of them, and what it was primed with."""

    prime: str
    seed: int
    primed: Frames
    frames: Frames
    metre: Metre
    places: NDArray[np.int16]

    @property
    def bar(self) -> int:
        """The length of a bar in ticks."""
        return int(self.places[0, 2])

    def save(self, path: Path, bpm: float, steps_per_quarter: int) -> None:
        """Write the notes beside each other as `path`.mid, prime and all, and `path`.npz."""
        notes = tracks(np.concatenate([self.primed, self.frames]), len(self.primed))
        tempo = Ruler(bpm, self.metre).quarter_us
        write_new(
            path.with_suffix(".mid"),
            score_to_midi(notes, [(0, self.metre)], [(0, tempo)], steps_per_quarter),
        )
        np.savez_compressed(
            path.with_suffix(".npz"), frames=self.frames, places=self.places, primed=self.primed, seed=self.seed
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A roll-out to be played."""

    config: Config
    piece: Piece
    frames: int
    seed: int


def metre_of(beat: int, bar: int, steps_per_quarter: int) -> Metre:
    """A time signature with such a beat and bar, in ticks."""
    for denominator, numerator in itertools.product((4, 8, 2, 16, 32), range(1, 33)):
        metre = Metre(numerator, denominator)
        if (metre.beat_ticks(steps_per_quarter), metre.bar_ticks(steps_per_quarter)) == (beat, bar):
            return metre
    raise ValueError(f"no metre has a beat of {beat} and a bar of {bar} ticks at {steps_per_quarter} a quarter")


def tasks(config: Config, pieces: Sequence[Piece], frames: int, count: int) -> list[Task]:
    """`count` roll-outs: the pieces in turn, a seed for each, from the settings' own on."""
    first = config.sampling.seed or 0
    return [
        Task(config, piece, frames, first + i) for i, piece in zip(range(count), itertools.cycle(pieces), strict=False)
    ]


def play(engine: Engine, task: Task) -> RollOutRecord:
    """Prime with the first bars of the piece and let the network play, as the settings say."""
    piece = task.piece
    offset, _, first_bar = (int(x) for x in piece.places[0])
    end = min(PRIME_BARS * first_bar - offset, len(piece.frames) - 1)
    at, beat, bar = (int(x) for x in piece.places[end])
    metre = metre_of(beat, bar, engine.spec.steps_per_quarter)
    prime = Prime(piece.frames[:end], piece.places[: end + 1], ((0, metre),), ())
    config = with_value(task.config, "sampling.seed", task.seed)
    everything, primed = music(engine, config, -(-task.frames // bar), prime)
    played = everything[primed : primed + task.frames]
    ticks = np.arange(len(played)) + at
    places = np.stack([ticks % bar, np.full_like(ticks, beat), np.full_like(ticks, bar)], axis=1).astype(np.int16)
    return RollOutRecord(piece.name, task.seed, everything[:primed], played, metre, places)


def play_all(
    checkpoint: Path, todo: Sequence[Task], jobs: int = 1, done: Callable[[int], None] = lambda _: None
) -> list[RollOutRecord]:
    """Every task's record, in order; `done` hears how many there are, as they come in."""
    found = []
    for record in _played(checkpoint, todo, min(jobs, len(todo))):
        found.append(record)
        done(len(found))
    return found


def _played(checkpoint: Path, todo: Sequence[Task], jobs: int) -> Iterator[RollOutRecord]:
    if jobs <= 1:
        engine = Engine(load(checkpoint))
        yield from (play(engine, task) for task in todo)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (checkpoint,)) as pool:
        yield from pool.map(_play_here, todo)


_engine: list[Engine] = []
"""In a process of its own: the engine, loaded once."""


def _begin(checkpoint: Path) -> None:
    _engine.append(Engine(load(checkpoint)))


def _play_here(task: Task) -> RollOutRecord:
    return play(_engine[0], task)


def described(config: Config, frames: int) -> dict[str, Any]:
    """How roll-outs were made, as plain JSON values."""
    sampling = config.sampling
    return {
        "frames": frames,
        "prime_bars": PRIME_BARS,
        "temperature": sampling.temperature,
        "min_p": sampling.min_p,
        "density": sampling.density,
        "polyphony": sampling.polyphony,
        "first_seed": sampling.seed or 0,
    }


def turned(config: Config, knob: str) -> dict[str, Config]:
    """The settings with one knob low, in the middle and high."""
    return {name: with_value(config, f"sampling.{knob}", level) for name, level in LEVELS.items()}
