"""A small checkpoint of random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, STATES
from livebach.network.checkpoint import (
    Checkpoint,
    weight_shapes,
)
from livebach.network.reference import random_checkpoint
from livebach.network.spec import CONDITION_FEATURES, NetworkSpec

SPEC = NetworkSpec(
    time_channels=4,
    time_dilations=(1, 2),
    mixing_layers=(1,),
    mixing_heads=2,
    context_channels=2,
    condition_channels=2,
    key_channels=2,
    key_dilations=(1,),
    given_channels=2,
    given_dilations=(1,),
    reach=1,
)
META = {"data": "none", "licence": "CC0-1.0", "metrics": {"valid": 3.5}, "title": "Präludium"}


def made() -> Checkpoint:
    """A checkpoint of random weights whose stored pair nobody has checked."""
    rng = np.random.default_rng(0)
    weights = {k: rng.normal(0, 1, shape).astype(np.float32) for k, shape in weight_shapes(SPEC).items()}
    pair: dict[str, Any] = {
        f"pair.{n}": rng.integers(0, 3, (5, KEYS)).astype(np.uint8) for n in ("frames", "coming", "given")
    }
    pair["pair.condition"] = np.zeros((5, CONDITION_FEATURES), np.float32)
    pair["pair.logits"] = np.zeros((5, KEYS, STATES), np.float32)
    return Checkpoint(SPEC, weights, META, pair)


def plain() -> Checkpoint:
    """A network of next to no arithmetic that is whole: its odds are the same for every key and tick."""
    whole = random_checkpoint(SPEC)
    whole.weights["to_logits.weight"][:] = 0
    states = np.zeros((1, KEYS), np.uint8)
    logits = np.broadcast_to(whole.weights["to_logits.bias"], (1, KEYS, STATES)).astype(np.float32)
    condition = np.zeros((1, CONDITION_FEATURES), np.float32)
    names: dict[str, NDArray[Any]] = {
        "frames": states,
        "coming": states,
        "given": states,
        "condition": condition,
        "logits": logits,
    }
    return Checkpoint(SPEC, whole.weights, META, {f"pair.{name}": value for name, value in names.items()})
