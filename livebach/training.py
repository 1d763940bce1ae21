"""The training loop: updates, validation, an average of the weights, saving and exact resumption.

Knows the network and the pieces; where they come from and how progress is shown is the caller's.
"""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from livebach.batches import UNKNOWN_TEXTURE, Augment, Batch, Sampler, before, condition_rows
from livebach.checkpoint import Checkpoint
from livebach.corpus import Corpus, Piece
from livebach.growth import grown
from livebach.model import TwoAxisWaveNet
from livebach.roll import KEYS, UNKNOWN
from livebach.spec import NetworkSpec

STATE_FILE = "state.safetensors"
BEST_FILE = "best.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
LOG_FILE = "log.jsonl"


class TrainingError(ValueError):
    """A run that cannot start or go on, in one line."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything a run depends on besides the data; goes into the checkpoint."""

    updates: int = 2400
    batch: int = 4
    crop: int = 512
    """Frames of a crop."""
    rate: float = 4e-3
    """Learning rate after `warmup` updates, falling to nothing by a cosine."""
    warmup: int = 60
    weight_decay: float = 0.05
    dropout: float = 0.15
    average: float = 0.996
    """Decay of the exponential average of the weights, per update."""
    validate_every: int = 100
    seed: int = 1
    transpose: int = 6
    given: float = 0.5
    gap: float = 0.1
    texture_dropped: float = 0.4
    texture_noise: float = 0.3
    device: str = "auto"
    """cpu, cuda, mps, or auto: the best there is."""
    bf16: bool = True
    compile: bool = True

    @property
    def augment(self) -> Augment:
        """The part of it that varies crops."""
        return Augment(self.transpose, self.given, self.gap, self.texture_dropped, self.texture_noise)

    def rate_at(self, update: int) -> float:
        """The learning rate of an update, counted from 0."""
        if update < self.warmup:
            return self.rate * (update + 1) / self.warmup
        done = (update - self.warmup) / max(1, self.updates - self.warmup)
        return self.rate * 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))


@dataclass(slots=True)
class Progress:
    """Where a run is: what a progress bar shows."""

    update: int
    updates: int
    loss: float
    valid: float
    best: float
    frames_per_s: float
    seconds_left: float


def pick_device(name: str) -> torch.device:
    """The device to train on. Raises TrainingError for one that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name not in there:
        raise TrainingError(f"device must be one of auto, {', '.join(there)}, got {name!r}")
    if not there[name]:
        raise TrainingError(f"device {name} is not available on this machine")
    return torch.device(name)


def on_device(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The arrays of a batch as tensors, in the order of the model's `forward`."""
    arrays = (batch.frames, batch.condition, batch.coming, batch.given)
    tensors = [torch.from_numpy(np.ascontiguousarray(a)).to(device, non_blocking=True) for a in arrays]
    return tensors[0], tensors[1], tensors[2], tensors[3]


def whole_piece(piece: Piece) -> Batch:
    """A piece from its first frame, nothing given, texture unknown: what every likelihood is stated on."""
    texture = np.full((len(piece.frames), 2), UNKNOWN_TEXTURE, np.int8)
    inputs = np.concatenate([np.zeros((1, KEYS), np.uint8), piece.frames[:-1]])
    condition = condition_rows(piece.places, before(piece.places), texture)
    return Batch(inputs[None], condition[None], piece.frames[None], np.full_like(inputs, UNKNOWN)[None])


def _averaging(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]:
    """An exponential average that forgets the random weights it began with: its decay rises to `decay`."""

    @torch.no_grad()
    def take_in(average: Sequence[Tensor], weights: Sequence[Tensor], taken: Any) -> None:
        kept = min(decay, (1 + int(taken)) / (10 + int(taken)))
        for old, new in zip(average, weights, strict=True):
            old.lerp_(new, 1 - kept)

    return take_in


def worthwhile(config: TrainConfig, device: torch.device) -> tuple[bool, bool]:
    """Whether to compile and whether to use bf16: where it was asked for, and the machine can and gains by it.

    On a processor compiling needs a C++ compiler and Python's headers, and bf16 is slower than float32 without AVX-512.
    On MPS neither serves.
    """
    if device.type == "cuda":
        return config.compile, config.bf16 and torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False, False
    compiler = any(map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++", "cl")))
    headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return config.compile and compiler and headers, config.bf16 and wide


class Trainer:
    """A run: model, optimizer, averages and random state. `step` until `finished`, `save` at any time."""

    def __init__(self, spec: NetworkSpec, config: TrainConfig, corpus: Corpus, folder: Path) -> None:
        self.spec, self.config, self.folder = spec, config, folder
        self.device = pick_device(config.device)
        torch.manual_seed(config.seed)
        self.rng = np.random.Generator(np.random.PCG64(config.seed))
        self.model = TwoAxisWaveNet(spec).to(self.device)
        self.average = AveragedModel(self.model, multi_avg_fn=_averaging(config.average))
        self.averaged: TwoAxisWaveNet = cast(TwoAxisWaveNet, self.average.module)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=config.rate, weight_decay=config.weight_decay)
        self.sampler = Sampler(corpus.splits["train"], config.crop, config.batch, config.augment)
        self.held_out = corpus.splits["valid"]
        self.update, self.best, self.valid, self.seconds = 0, float("inf"), float("nan"), 0.0
        compiled, self.bf16 = worthwhile(config, self.device)
        self._loss: Callable[..., Tensor] = torch.compile(self._forward) if compiled else self._forward

    @property
    def finished(self) -> bool:
        """Whether every update has been made."""
        return self.update >= self.config.updates

    def _forward(self, frames: Tensor, condition: Tensor, coming: Tensor, given: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            nats = self.model(frames, condition, coming, given, self.config.dropout)
        counted = (given == UNKNOWN).any(dim=-1).sum().clamp(min=1)
        loss: Tensor = nats.sum() / counted
        return loss

    def step(self) -> float:
        """One update; the loss in nats per frame of what was not given."""
        started = time.monotonic()
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate_at(self.update)
        loss = self._loss(*on_device(self.sampler.draw(self.rng), self.device))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.model)
        self.update += 1
        self.seconds += time.monotonic() - started
        return float(loss.detach())

    def validate(self) -> float:
        """Nats per frame of the averaged weights over the validation pieces, pooled; keeps the best weights."""
        self.valid = likelihood(self.averaged, self.held_out, self.device)
        if self.valid < self.best:
            self.best = self.valid
            _write(self.folder / BEST_FILE, dict(self.averaged.state_dict()), {})
        return self.valid

    def start_from(self, checkpoint: Checkpoint) -> None:
        """Begin with a checkpoint's weights instead of random ones, grown where the run's network is larger."""
        weights = grown(checkpoint, self.spec).state_dict()
        for model in (self.model, self.averaged):
            model.load_state_dict(weights)

    def best_model(self) -> TwoAxisWaveNet:
        """The averaged weights that validated best; before any validation those of now."""
        model = TwoAxisWaveNet(self.spec)
        validated = self.best < float("inf")  # else a file of that name is another run's
        model.load_state_dict(load_file(self.folder / BEST_FILE) if validated else self.averaged.state_dict())
        return model

    # -- saving and going on ------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the whole state of the run, or nothing: the file before stays until the new one is complete."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": value for name, value in moments.items()}
        tensors["random.torch"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        numbers = {"update": self.update, "best": self.best, "valid": self.valid, "seconds": self.seconds}
        header = {
            **numbers,
            "numpy": self.rng.bit_generator.state,
            "spec": self.spec.to_dict(),
            "config": asdict(self.config),
        }
        _write(self.folder / STATE_FILE, tensors, {"state": json.dumps(header)})

    def resume(self) -> None:
        """Take up what `save` wrote. Raises TrainingError where it is missing, damaged or of another network."""
        path = self.folder / STATE_FILE
        header = read_state_header(path)
        try:
            self._same_shape(path, NetworkSpec.from_dict(header["spec"]))
            self._take_up(header, load_file(path))
        except TrainingError:
            raise
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise TrainingError(f"{path}: not a whole saved run: {' '.join(str(error).split())}") from error

    def _same_shape(self, path: Path, spec: NetworkSpec) -> None:
        if spec != self.spec:
            raise TrainingError(f"{path}: is of a network of another shape; give the same options or another --out")

    def _take_up(self, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.model.load_state_dict(_under(tensors, "model."))
        self.average.load_state_dict(_under(tensors, "average."))
        self._resume_optimizer(_under(tensors, "optimizer."))
        torch.set_rng_state(tensors["random.torch"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        self.rng.bit_generator.state = header["numpy"]
        self.update, self.best, self.valid, self.seconds = (header[k] for k in ("update", "best", "valid", "seconds"))

    def _resume_optimizer(self, moments: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in moments.items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        if any(set(part) != {"step", "exp_avg", "exp_avg_sq"} for part in state.values()):
            raise KeyError("a part of the optimizer's state")
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    part = path.with_name(path.name + ".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata)
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(path)


def read_state_header(path: Path) -> dict[str, Any]:
    """What a saved run says of itself. Raises TrainingError."""
    try:
        with safe_open(path, "pt") as handle:
            header: dict[str, Any] = dict(json.loads((handle.metadata() or {})["state"]))
            NetworkSpec.from_dict(header["spec"]), TrainConfig(**header["config"])
    except OSError as error:
        raise TrainingError(f"{path}: no saved run to resume: {error.strerror or error}") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: not a whole saved run: {error}") from error
    return header


@torch.no_grad()
def likelihood(model: TwoAxisWaveNet, pieces: Sequence[Piece], device: torch.device) -> float:
    """Nats per frame, pooled over whole pieces; texture dropped, nothing given; float32. Of no piece it is nan."""
    model.eval()
    total, frames = 0.0, 0
    for piece in pieces:
        total += float(model(*on_device(whole_piece(piece), device)).double().sum())
        frames += len(piece.frames)
    return total / frames if frames else float("nan")


def run(
    trainer: Trainer,
    show: Callable[[Progress], None],
    stop: Callable[[], bool] = lambda: False,
    minutes: float | None = None,
) -> None:
    """Train until finished, `stop()` or the minutes are over; validates, logs and saves as it goes and at the end."""
    began, smooth = time.monotonic(), float("nan")
    start_update, start_seconds = trainer.update, trainer.seconds
    while not trainer.finished and not stop() and (minutes is None or time.monotonic() - began < minutes * 60):
        loss = trainer.step()
        smooth = loss if smooth != smooth else 0.95 * smooth + 0.05 * loss
        if trainer.update % trainer.config.validate_every == 0 or trainer.finished:
            trainer.validate()
            trainer.save()
            _log(trainer, smooth)
        per_update = (trainer.seconds - start_seconds) / (trainer.update - start_update)
        left = (trainer.config.updates - trainer.update) * per_update
        left = left if minutes is None else min(left, minutes * 60 - (time.monotonic() - began))
        speed = trainer.config.batch * trainer.config.crop / per_update
        show(
            Progress(trainer.update, trainer.config.updates, smooth, trainer.valid, trainer.best, speed, max(0.0, left))
        )
    if trainer.update % trainer.config.validate_every and not trainer.finished and not stop():
        trainer.validate()  # the last updates count too; Ctrl-C does not wait for it
        _log(trainer, smooth)
    trainer.save()


def _log(trainer: Trainer, loss: float) -> None:
    row = {
        "update": trainer.update,
        "loss": round(loss, 4),
        "valid": round(trainer.valid, 4),
        "best": round(trainer.best, 4),
        "seconds": round(trainer.seconds, 1),
    }
    with (trainer.folder / LOG_FILE).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(row) + "\n")
