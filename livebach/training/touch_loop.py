"""Train the touch network: updates, validation, averaged weights, saving and exact resumption.

The seed of the run and the number of the epoch or update determine all random numbers. So there is no random state to
save.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from livebach.music.touch import LATEST, Performance
from livebach.network.touch_checkpoint import TouchCheckpoint
from livebach.network.touch_memory import VELOCITY_UNIT
from livebach.network.touch_shape import HEARD_INPUTS, TouchShape
from livebach.network.velocity_kernels import REFERENCE
from livebach.training import touch_rows
from livebach.training.loop import adamw, averaging, seed_of
from livebach.training.run_files import LOG_FILE, TrainingError, rising_and_falling, under, write_tensors
from livebach.training.touch_model import TouchModel, from_checkpoint
from livebach.training.touch_rows import Score, VelocityRows

STATE_FILE, BEST_FILE, CHECKPOINT_FILE = "touch-state.safetensors", "touch-best.safetensors", "touch.safetensors"
PARTS = ("velocity", "offset", "pedal")
_REFERENCE = HEARD_INPUTS + REFERENCE
_SEEN = 50_000
"""Number of rows for the estimate of the features' mean and scale."""
MOMENTS_WEIGHT = 0.5
"""Weight of the moments' loss against the nats of the velocity."""
_VALID_SEED = 7
LIMITS: dict[str, tuple[float, float]] = {
    "epochs": (1, 10_000),
    "batch": (1, 65_536),
    "learning_rate": (0, 1),
    "warmup": (0, 10_000_000),
    "weight_decay": (0, 10),
    "dropout": (0, 0.95),
    "louder": (0, 40),
    "ema_decay": (0, 0.99999),
    "seed": (0, 2**32 - 1),
}

FINE_TUNING: dict[str, Any] = {"learning_rate": 5e-4, "warmup": 20, "epochs": 4, "ema_decay": 0.98}
"""Settings for a run that starts from a trained network."""


@dataclass(frozen=True, slots=True)
class TouchConfig:
    """All settings of a run except the data. The checkpoint contains these settings.

    Raises:
        ValueError: If a number is outside its LIMITS.

    """

    epochs: int = 8
    batch: int = 1024
    """Rows per update, for each of velocity, offset and pedal."""
    learning_rate: float = 4e-3
    """Learning rate after `warmup` updates. Afterwards the rate falls to 0 along a cosine."""
    warmup: int = 100
    """Updates during which the learning rate rises linearly."""
    weight_decay: float = 0.02
    dropout: float = 0.1
    louder: float = 6.0
    """Standard deviation of the random shift of all velocities of a row, in MIDI velocity units."""
    ema_decay: float = 0.998
    """Decay of the exponential average of the weights, per update."""
    seed: int = 1

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be {low:g}..{high:g}, got {getattr(self, name)}")


@dataclass(slots=True)
class Rows:
    """The rows of one split as numpy arrays, for each of velocity, offset and pedal."""

    velocity: VelocityRows
    offset: tuple[np.ndarray, np.ndarray, np.ndarray]  # features, offsets of the next higher notes, offsets
    pedal: tuple[np.ndarray, np.ndarray, np.ndarray]  # features, was down, pedal

    @classmethod
    def of(cls, scores: Sequence[Score], alone: Sequence[VelocityRows]) -> Rows:
        """Return all rows of these pieces, and the velocity rows of the passages `alone`."""
        return cls(
            VelocityRows.joined([*map(touch_rows.forced, scores), *alone]),
            (
                np.concatenate([s.offsets for s in scores]),
                np.concatenate([s.above for s in scores]),
                np.concatenate([s.piece.offset + LATEST for s in scores]),
            ),
            (
                np.concatenate([s.pedals for s in scores]),
                np.concatenate([s.was_down for s in scores]),
                np.concatenate([s.piece.pedal for s in scores]),
            ),
        )


@dataclass(slots=True)
class Valid:
    """Validation losses of the averaged weights, in nats.

    Attributes:
        velocity: Per note, with all earlier velocities known.
        alone: Velocity loss per note in passages that livebach would play alone.
        offset: Per note.
        pedal: Per tick.

    """

    velocity: float = float("inf")
    alone: float = float("inf")
    offset: float = float("inf")
    pedal: float = float("inf")

    def of(self, part: str) -> float:
        """Return the loss that selects the best weights of a part of the network."""
        return (self.velocity + self.alone) / 2 if part == "velocity" else float(getattr(self, part))


@dataclass(slots=True)
class Held:
    """The rows of the validation pieces."""

    forced: VelocityRows
    alone: VelocityRows
    rows: Rows


class TouchTrainer:
    """A run: model, optimizer and averaged weights. Call `step` until `finished`; call `save` at any time.

    Args:
        shape: Shape of the network.
        config: Settings of the run.
        parts: Performances of the splits `train` and `valid`.
        folder: Existing folder for the files of the run.

    """

    def __init__(
        self, shape: TouchShape, config: TouchConfig, parts: Mapping[str, Sequence[Performance]], folder: Path
    ) -> None:
        self.shape, self.config, self.folder = shape, config, folder
        torch.manual_seed(config.seed)
        self.model = TouchModel(shape, config.dropout)
        self._train = [touch_rows.read_score(piece) for piece in parts["train"]]
        self._rows = Rows.of(self._train, [])
        held = [touch_rows.read_score(piece) for piece in parts["valid"]]
        alone = self._alone(held, _VALID_SEED)
        rows = Rows.of(held, [])
        self._held = Held(rows.velocity, VelocityRows.joined(alone), rows)
        self._scale_features()
        self.average = AveragedModel(self.model, multi_avg_fn=averaging(config.ema_decay))
        self.averaged = cast(TouchModel, self.average.module)
        self.optimizer = adamw(self.model, config.learning_rate, config.weight_decay)
        self.update, self.seconds, self.best, self.valid = 0, 0.0, {part: float("inf") for part in PARTS}, Valid()
        self._size = sum(len(score.first) for score in self._train)
        self.epoch_updates = max(1, 2 * self._size // config.batch)
        self._epoch: tuple[int, VelocityRows] | None = None
        self._ticks = len(self._rows.pedal[0])

    @property
    def updates(self) -> int:
        """Number of updates of the whole run."""
        return self.config.epochs * self.epoch_updates

    @property
    def finished(self) -> bool:
        """Whether all updates are done."""
        return self.update >= self.updates

    def _alone(self, scores: Sequence[Score], *seed: int) -> list[VelocityRows]:
        rng = np.random.default_rng(seed)
        return [rows for score in scores for rows in touch_rows.alone(score, rng)]

    def _scale_features(self) -> None:
        rng = np.random.default_rng(self.config.seed)
        for part, rows in (
            (self.model.velocity, self._rows.velocity.features),
            (self.model.offset, self._rows.offset[0]),
            (self.model.pedal, self._rows.pedal[0]),
        ):
            chosen = rows[rng.integers(0, len(rows), min(_SEEN, len(rows)))].astype(np.float32)
            part.look_at(torch.from_numpy(chosen[:, : len(part.mean)]))

    # --- updates -----------------------------------------------------------------------------------------------------

    def step(self) -> float:
        """Make one update. Return the sum of the mean losses: velocity and its moments, offset, pedal; in nats."""
        began = time.monotonic()
        self.model.train()
        rate = self.config.learning_rate * rising_and_falling(self.update, self.config.warmup, self.updates)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(seed_of(self.config.seed, self.update))
        rng = np.random.default_rng((self.config.seed, self.update))
        loss = sum(nats.mean() for nats in self._nats(rng))
        assert isinstance(loss, Tensor)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.update += 1
        self.seconds += time.monotonic() - began
        return float(loss.detach())

    def _nats(self, rng: np.random.Generator) -> Iterator[Tensor]:
        batch, size = self.config.batch, self._size
        half = batch // 2
        for rows, count in ((self._rows.velocity, batch - half), (self._alone_now(), half)):
            if count:
                inputs = velocity_tensors(rows, np.sort(rng.integers(0, len(rows.mean), count)))
                nats, moments = self.model.velocity_nats(*self._louder(inputs, rng))
                yield (nats + MOMENTS_WEIGHT * moments) * (2 * count / batch)
        which = np.sort(rng.integers(0, size, batch))
        yield self.model.offset_nats(*_offset_tensors(*(part[which] for part in self._rows.offset)))
        which = np.sort(rng.integers(0, self._ticks, batch))
        yield self.model.pedal_nats(*_pedal_tensors(*(part[which] for part in self._rows.pedal)))

    def _alone_now(self) -> VelocityRows:
        """Return the rows of passages that livebach would play alone. Each epoch has other passages."""
        epoch = self.update // self.epoch_updates
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, VelocityRows.joined(self._alone(self._train, self.config.seed, epoch))
        return self._epoch[1]

    def _louder(self, inputs: tuple[Tensor, ...], rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Return the rows with a random velocity shift per row. Rows that would leave 1..127 are not shifted."""
        features, mean, matched, velocity = inputs
        shift = torch.from_numpy(np.round(rng.normal(size=len(mean)) * self.config.louder).astype(np.float32))
        shift = torch.where((velocity + shift >= 1) & (velocity + shift <= 127), shift, torch.zeros_like(shift))
        units = shift / VELOCITY_UNIT
        features[:, _REFERENCE] += units
        return features, mean + units, matched + units[:, None], velocity + shift

    # --- validation --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self) -> Valid:
        """Return the validation losses of the averaged weights, and keep the best weights of each part."""
        model, held = self.averaged.eval(), self._held
        self.valid = Valid(
            float(model.velocity_nats(*velocity_tensors(held.forced))[0].mean()),
            float(model.velocity_nats(*velocity_tensors(held.alone))[0].mean()),
            float(model.offset_nats(*_offset_tensors(*held.rows.offset)).mean()),
            float(model.pedal_nats(*_pedal_tensors(*held.rows.pedal)).mean()),
        )
        better = [part for part in PARTS if self.valid.of(part) < self.best[part]]
        self.best |= {part: self.valid.of(part) for part in better}
        if better:
            kept = load_file(self.folder / BEST_FILE) if set(better) != set(PARTS) else {}
            new = {name: value for name, value in model.state_dict().items() if name.split(".")[0] in better}
            write_tensors(self.folder / BEST_FILE, {**kept, **new}, {})
        return self.valid

    def best_model(self) -> TouchModel:
        """Return a network with the best weights of each part, or the current average before any validation."""
        model = TouchModel(self.shape)
        validated = max(self.best.values()) < float("inf")
        model.load_state_dict(load_file(self.folder / BEST_FILE) if validated else self.averaged.state_dict())
        return model

    # --- saving and going on -----------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the state of the run atomically."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": value for name, value in moments.items()}
        header = {"update": self.update, "best": self.best, "seconds": self.seconds, "notes": self._size}
        header |= {"shape": self.shape.to_dict(), "config": asdict(self.config)}
        write_tensors(self.folder / STATE_FILE, tensors, {"state": json.dumps(header)})

    def start_from(self, checkpoint: TouchCheckpoint) -> None:
        """Start with the weights of a checkpoint of the same shape, which are kept if training does not better them."""
        state = from_checkpoint(checkpoint).state_dict()
        self.model.load_state_dict(state)
        self.averaged.load_state_dict(state)
        self.validate()

    def resume(self) -> None:
        """Restore the state that `save` wrote.

        Raises:
            TrainingError: If the file is missing, damaged, or of a run with another shape or other music.

        """
        path = self.folder / STATE_FILE
        header = read_header(path)
        if header["shape"] != self.shape.to_dict() or header["notes"] != self._size:
            raise TrainingError(
                f"{path}: the saved run has another shape or other music: give the same --data and --set"
            )
        try:
            tensors = load_file(path)
            self.model.load_state_dict(under(tensors, "model."))
            self.average.load_state_dict(under(tensors, "average."))
            self._resume_optimizer(under(tensors, "optimizer."))
        except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise TrainingError(f"{path}: the saved run is damaged: {' '.join(str(error).split())}") from error
        self.update, self.seconds, self.best = header["update"], header["seconds"], dict(header["best"])

    def _resume_optimizer(self, moments: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in moments.items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})


def read_header(path: Path) -> dict[str, Any]:
    """Return the header of a saved run: shape, settings and counters, as JSON values.

    Raises:
        TrainingError: If the file is missing or damaged.

    """
    try:
        with safe_open(path, "pt") as handle:
            header: dict[str, Any] = dict(json.loads((handle.metadata() or {})["state"]))
        TouchShape.from_dict(header["shape"]), TouchConfig(**header["config"])
        header["update"], header["best"], header["seconds"], header["notes"]
    except OSError as error:
        raise TrainingError(f"{path}: no saved run to resume: {error.strerror or error}") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: the saved run is damaged: {error}") from error
    return header


def velocity_tensors(rows: VelocityRows, which: Any = slice(None)) -> tuple[Tensor, ...]:
    """Return the selected rows as the arguments of `TouchModel.velocity_nats`."""
    features, mean, matched = rows.features[which].astype(np.float32), rows.mean[which], rows.matched[which]
    velocity = rows.velocity[which].astype(np.float32)
    return tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in (features, mean, matched, velocity))


def _offset_tensors(features: np.ndarray, above: np.ndarray, offset: np.ndarray) -> tuple[Tensor, ...]:
    """Return rows as the arguments of `TouchModel.offset_nats`."""
    return _float(features), torch.from_numpy(above), torch.from_numpy(offset.astype(np.int64))


def _pedal_tensors(features: np.ndarray, was_down: np.ndarray, pedal: np.ndarray) -> tuple[Tensor, ...]:
    """Return rows as the arguments of `TouchModel.pedal_nats`."""
    return _float(features), torch.from_numpy(was_down), torch.from_numpy(pedal.astype(np.int64))


def _float(rows: np.ndarray) -> Tensor:
    return torch.from_numpy(rows.astype(np.float32))


def run(
    trainer: TouchTrainer,
    show: Callable[[TouchTrainer, float], None],
    stop: Callable[[], bool] = lambda: False,
    minutes: float | None = None,
) -> bool:
    """Train until the run is finished, `stop()` is true, or the minutes are over.

    The function validates, logs and saves after each epoch, and saves at the end.

    Args:
        trainer: The run.
        show: Function called with the trainer and the smoothed loss after each update.
        stop: Function called after each update. The run ends if it returns true.
        minutes: Time limit in minutes.

    Returns:
        Whether `stop` ended the run.

    """
    began, smooth, stopped = time.monotonic(), float("nan"), stop()
    if not trainer.update:
        trainer.save()
    while not trainer.finished and not stopped and (minutes is None or time.monotonic() - began < minutes * 60):
        loss = trainer.step()
        smooth = loss if smooth != smooth else 0.98 * smooth + 0.02 * loss
        if trainer.update % trainer.epoch_updates == 0:
            trainer.validate()
            trainer.save()
            _log(trainer, smooth)
        show(trainer, smooth)
        stopped = stop()
    trainer.save()
    return stopped


def _log(trainer: TouchTrainer, loss: float) -> None:
    row = {"update": trainer.update, "loss": round(loss, 4), "seconds": round(trainer.seconds, 1)}
    row |= {name: round(value, 4) for name, value in asdict(trainer.valid).items()}
    with (trainer.folder / LOG_FILE).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(row) + "\n")
