"""Generate long roll-outs: the network plays on alone after a prime of a few bars of a real piece.

Several roll-outs run at once in separate processes. `rollout_report` measures them.
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
"""Sampling settings, each with the figure that it controls."""
LEVELS = {"low": 1, "middle": 4, "high": 6}
"""Levels of a knob in the measurement of its effect."""


@dataclass(frozen=True, slots=True)
class RollOutRecord:
    """A finished roll-out.

    Attributes:
        prime: Name of the piece of the prime.
        seed: Seed of the sampling.
        primed: uint8 [P, 88], the prime.
        frames: uint8 [T, 88], the network's music.
        metre: Metre of the network's music.
        places: int16 [T, 3], position in the bar, beat length and bar length of each frame, in ticks.

    """

    prime: str
    seed: int
    primed: Frames
    frames: Frames
    metre: Metre
    places: NDArray[np.int16]

    @property
    def bar(self) -> int:
        """Length of a bar in ticks."""
        return int(self.places[0, 2])

    def save(self, path: Path, bpm: float, steps_per_quarter: int) -> None:
        """Write the roll-out with its prime as `path`.mid, and the arrays as `path`.npz."""
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
    """An order for a roll-out of `frames` frames."""

    config: Config
    piece: Piece
    frames: int
    seed: int


def metre_of(beat: int, bar: int, steps_per_quarter: int) -> Metre:
    """Return a time signature with this beat length and bar length, in ticks.

    Raises:
        ValueError: If no time signature fits.

    """
    for denominator, numerator in itertools.product((4, 8, 2, 16, 32), range(1, 33)):
        metre = Metre(numerator, denominator)
        if (metre.beat_ticks(steps_per_quarter), metre.bar_ticks(steps_per_quarter)) == (beat, bar):
            return metre
    raise ValueError(f"no metre has a beat of {beat} and a bar of {bar} ticks at {steps_per_quarter} a quarter")


def tasks(config: Config, pieces: Sequence[Piece], frames: int, count: int) -> list[Task]:
    """Return `count` tasks. The pieces take turns, and the seeds count up from `sampling.seed`."""
    first = config.sampling.seed or 0
    return [
        Task(config, piece, frames, first + i) for i, piece in zip(range(count), itertools.cycle(pieces), strict=False)
    ]


def play(engine: Engine, task: Task) -> RollOutRecord:
    """Prime the network with the first bars of the piece, and let the network play with the settings of the task."""
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
    """Play all tasks, and return their records in order.

    Args:
        checkpoint: Path of the network.
        todo: The tasks.
        jobs: Number of processes.
        done: Function called with the number of finished roll-outs after each one.

    """
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
"""The engine of a worker process, loaded once per process."""


def _begin(checkpoint: Path) -> None:
    _engine.append(Engine(load(checkpoint)))


def _play_here(task: Task) -> RollOutRecord:
    return play(_engine[0], task)


def described(config: Config, frames: int) -> dict[str, Any]:
    """Return the settings of the roll-outs as plain JSON values."""
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
    """Return the settings with one knob at each of LEVELS."""
    return {name: with_value(config, f"sampling.{knob}", level) for name, level in LEVELS.items()}
