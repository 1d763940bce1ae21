"""The files of a training run: settings, saved state, and the errors that occur while reading them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from livebach.network.spec import NetworkSpec
from livebach.training.batches import Augment

STATE_FILE = "state.safetensors"
BEST_FILE = "best.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
LOG_FILE = "log.jsonl"
LIMITS = {
    "updates": (1, 10_000_000),
    "batch": (1, 65_536),
    "crop": (1, 65_536),
    "learning_rate": (0, 1),
    "warmup": (0, 10_000_000),
    "weight_decay": (0, 10),
    **dict.fromkeys(("dropout", "frame_dropout", "input_dropout", "onset_dropout"), (0, 0.95)),
    "ema_decay": (0, 0.99999),
    "validate_every": (1, 10_000_000),
    "seed": (0, 2**32 - 1),
    "transpose": (0, 24),
    **dict.fromkeys(("given", "gap", "texture_dropout", "texture_noise", "label_weight"), (0, 1)),
    "synthetic_share": (0, 0.99),
}
"""Minimum and maximum of each number in `TrainConfig`."""


class TrainingError(ValueError):
    """A run cannot start or continue. The message is one line for the user."""


RENAMED = {
    "rate": "learning_rate",
    "average": "ema_decay",
    "forgotten": "input_dropout",
    "written": "label_weight",
    "played": "synthetic_share",
    "texture_dropped": "texture_dropout",
    "thinned": "onset_dropout",
}
"""Former names of training settings, each with the current name."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """All settings of a run except the data. The checkpoint contains these settings.

    Raises:
        ValueError: If a number is outside its LIMITS.

    """

    updates: int = 3500
    batch: int = 8
    """Crops per update, over all processes."""
    crop: int = 512
    """Frames per crop."""
    learning_rate: float = 3e-3
    """Learning rate after `warmup` updates. Afterwards the rate falls to 0 along a cosine."""
    warmup: int = 100
    """Updates during which the learning rate rises linearly."""
    weight_decay: float = 0.1
    dropout: float = 0.3
    frame_dropout: float = 0.5
    """Dropout of the stack that reads frames as vectors. This stack overfits sooner than the other layers."""
    input_dropout: float = 0.05
    """Share of the past's pressed keys that are hidden from the network, drawn separately for each frame."""
    ema_decay: float = 0.998
    """Decay of the exponential average of the weights, per update."""
    validate_every: int = 100
    """Updates between two validations."""
    seed: int = 1
    transpose: int = 6
    given: float = 0.35
    gap: float = 0.05
    texture_dropout: float = 0.5
    texture_noise: float = 0.3
    onset_dropout: float = 0.0
    label_weight: float = 0.5
    """With teachers: the weight of the score in the target. The teachers' predictions have the rest."""
    synthetic_share: float = 0.3
    """Share of crops from generated music, if there is any."""
    device: str = "auto"
    """cpu, cuda, mps, or auto for the fastest available type."""
    bf16: bool = True
    compile: bool = True

    @property
    def augment(self) -> Augment:
        """The settings of the data augmentation."""
        texture = self.texture_dropout, self.texture_noise
        return Augment(self.transpose, self.given, self.gap, *texture, self.onset_dropout)

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be {low:g}..{high:g}, got {getattr(self, name)}")

    def rate_at(self, update: int) -> float:
        """Return the learning rate of an update. Updates count from 0."""
        return self.learning_rate * rising_and_falling(update, self.warmup, self.updates)


FINE_TUNING: dict[str, Any] = {
    "updates": 150,
    "batch": 4,
    "learning_rate": 1e-3,
    "warmup": 10,
    "dropout": 0.1,
    "ema_decay": 0.95,
    "validate_every": 25,
}
"""Defaults of a run that starts from a network of the same shape."""


def rising_and_falling(update: int, warmup: int, updates: int) -> float:
    """Return the factor of the learning rate at an update: a linear rise to 1, then a cosine to 0.

    The cosine is that of Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", without
    restarts. Updates count from 0.
    """
    if update < warmup:
        return (update + 1) / warmup
    done = (update - warmup) / max(1, updates - warmup)
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically."""
    part = path.with_name(path.name + ".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata)
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(path)


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix. The prefix is removed from the names."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def read_state_header(path: Path) -> dict[str, Any]:
    """Return the header of a saved run: settings, network shape and counters, as JSON values.

    Raises:
        TrainingError: If the file is missing or damaged.

    """
    try:
        with safe_open(path, "pt") as handle:
            header: dict[str, Any] = dict(json.loads((handle.metadata() or {})["state"]))
            header["config"] = {RENAMED.get(name, name): value for name, value in header["config"].items()}
            NetworkSpec.from_dict(header["spec"]), TrainConfig(**header["config"])
    except OSError as error:
        raise TrainingError(f"{path}: no saved run to resume: {error.strerror or error}") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: the saved run is damaged: {error}") from error
    return header
