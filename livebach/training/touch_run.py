"""A whole training run of the touch network: its folder, its settings, its checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from livebach.network import touch_checkpoint
from livebach.network.touch_shape import TouchShape
from livebach.training.performances import load_performances, split_performances
from livebach.training.run_files import TrainingError
from livebach.training.touch_loop import CHECKPOINT_FILE, STATE_FILE, TouchConfig, TouchTrainer, read_header, run
from livebach.training.touch_model import to_checkpoint

CACHE = "performances"


@dataclass(frozen=True, slots=True)
class Run:
    """Where the music is, where the run's folder, and what becomes of it."""

    data: Path
    out: Path
    cache: Path | None = None
    resume: bool = False
    minutes: float | None = None
    licence: str = "unstated"


def begun(order: Run) -> tuple[TouchShape, TouchConfig]:
    """The settings that a run begins with: the defaults, or those of the run that is resumed. Raises TrainingError."""
    if not order.resume:
        if (order.out / STATE_FILE).exists():
            raise TrainingError(
                f"{order.out}: holds a run already: --resume goes on with it, another --out starts anew"
            )
        return TouchShape(), TouchConfig()
    header = read_header(order.out / STATE_FILE)
    return TouchShape.from_dict(header["shape"]), TouchConfig(**header["config"])


def train(
    order: Run,
    shape: TouchShape,
    config: TouchConfig,
    say: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train, and write the checkpoint; whether `stop` has ended it. Raises CorpusError and TrainingError."""
    pieces = load_performances(order.data, order.cache or order.out / CACHE, say)
    parts = split_performances(pieces)
    for side, of_side in parts.items():
        say(f"{side:5} {len(of_side):4} pieces {sum(len(p.key) for p in of_side):8} notes")
    say(f"left out: {sum(int(piece.lost) for piece in pieces)} notes whose key is struck twice in one 16th")
    order.out.mkdir(parents=True, exist_ok=True)
    trainer = TouchTrainer(shape, config, parts, order.out)
    if order.resume:
        trainer.resume()
    stopped = run(trainer, _teller(say), stop, order.minutes)
    path = order.out / CHECKPOINT_FILE
    data = {side: {"pieces": len(of), "notes": sum(len(p.key) for p in of)} for side, of in parts.items()}
    best = {part: value for part, value in trainer.best.items() if math.isfinite(value)}
    meta: dict[str, Any] = {"data": data, "licence": order.licence, "validation": best, "config": asdict(config)}
    touch_checkpoint.save(path, to_checkpoint(trainer.best_model(), {**meta, "update": trainer.update}))
    say(f"update {trainer.update} of {trainer.updates}; wrote {path}")
    return stopped


def _teller(say: Callable[[str], None]) -> Callable[[TouchTrainer, float], None]:
    """A line after each epoch."""

    def show(trainer: TouchTrainer, loss: float) -> None:
        if trainer.update % trainer.epoch_updates == 0:
            costs = ", ".join(f"{name} {value:.3f}" for name, value in asdict(trainer.valid).items())
            say(f"update {trainer.update}/{trainer.updates}  loss {loss:.3f}  validation: {costs}")

    return show
