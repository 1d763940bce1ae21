"""Run a whole training of the touch network: folder, settings and checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from livebach.network import touch_checkpoint
from livebach.network.touch_shape import TouchShape
from livebach.training.performances import load_performances, lost_line, split_performances
from livebach.training.run_files import TrainingError
from livebach.training.touch_loop import (
    CHECKPOINT_FILE,
    FINE_TUNING,
    STATE_FILE,
    TouchConfig,
    TouchTrainer,
    read_header,
    run,
)
from livebach.training.touch_model import to_checkpoint

CACHE = "performances"


@dataclass(frozen=True, slots=True)
class Run:
    """The order to train.

    Attributes:
        data: Folder of performances.
        out: Folder for the files of the run.
        cache: Folder for cached performances; below `out` by default.
        resume: Whether to continue the saved run in `out`.
        minutes: Time limit in minutes.
        start: A touch network to start from.
        licence: Licence stated in the checkpoint.

    """

    data: Path
    out: Path
    cache: Path | None = None
    resume: bool = False
    minutes: float | None = None
    start: Path | None = None
    licence: str = "unstated"


def begun(order: Run) -> tuple[TouchShape, TouchConfig]:
    """Return the initial settings of a run: the defaults, those for a network to start from, or those resumed.

    Raises:
        TouchError: If the network to start from cannot be read.
        TrainingError: If the folder holds a run that is not resumed, or the saved run is missing or damaged.

    """
    if not order.resume:
        if (order.out / STATE_FILE).exists():
            raise TrainingError(
                f"{order.out}: holds a run already: --resume continues the run, another --out starts a new run"
            )
        if order.start is not None:
            return touch_checkpoint.load(order.start).shape, replace(TouchConfig(), **FINE_TUNING)
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
    """Train, and write the checkpoint.

    Args:
        order: Folders and limits of the run.
        shape: Shape of the network.
        config: Settings of the run.
        say: Function called with one line per message.
        stop: Function called after each update. The run ends if it returns true.

    Returns:
        Whether `stop` ended the run.

    Raises:
        CorpusError: If the performances cannot be read or split.
        TrainingError: If the saved run cannot be resumed.

    """
    pieces = load_performances(order.data, order.cache or order.out / CACHE, say)
    parts = split_performances(pieces)
    for side, of_side in parts.items():
        say(f"{side:5} {len(of_side):4} pieces {sum(len(p.key) for p in of_side):8} notes")
    say(lost_line(pieces))
    order.out.mkdir(parents=True, exist_ok=True)
    trainer = TouchTrainer(shape, config, parts, order.out)
    if order.resume:
        trainer.resume()
    elif order.start is not None:
        trainer.start_from(touch_checkpoint.load(order.start))
        say(f"{order.start.name}: {_costs(trainer)}")
    stopped = run(trainer, _teller(say), stop, order.minutes)
    path = order.out / CHECKPOINT_FILE
    data = {side: {"pieces": len(of), "notes": sum(len(p.key) for p in of)} for side, of in parts.items()}
    best = {part: value for part, value in trainer.best.items() if math.isfinite(value)}
    meta: dict[str, Any] = {"data": data, "licence": order.licence, "validation": best, "config": asdict(config)}
    touch_checkpoint.save(path, to_checkpoint(trainer.best_model(), {**meta, "update": trainer.update}))
    say(f"update {trainer.update} of {trainer.updates}; wrote {path}")
    return stopped


def _teller(say: Callable[[str], None]) -> Callable[[TouchTrainer, float], None]:
    """Return a function that reports the losses after each epoch."""

    def show(trainer: TouchTrainer, loss: float) -> None:
        if trainer.update % trainer.epoch_updates == 0:
            say(f"update {trainer.update}/{trainer.updates}  loss {loss:.3f}  {_costs(trainer)}")

    return show


def _costs(trainer: TouchTrainer) -> str:
    return "validation: " + ", ".join(f"{name} {value:.3f}" for name, value in asdict(trainer.valid).items())
