"""A fixed network with random weights for timing engines, the count of its multiply-adds, and a player for it.

The size of the shipped network may change; this one stays, so that timings can be compared. This module knows no clock
and no file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, STATES, UNKNOWN, Frame
from livebach.music.texture import Texture
from livebach.network.checkpoint import Checkpoint, weight_shapes
from livebach.network.engine import Engine, Place
from livebach.network.sampling import SamplingParams
from livebach.network.spec import CONDITION_FEATURES, NetworkSpec

REFERENCE = NetworkSpec(
    time_channels=64,
    time_dilations=(1, 2, 4, 8, 16, 32, 64, 128, 1, 4, 16),
    mixing_layers=(5,),
    mixing_heads=8,
    context_channels=64,
    condition_channels=48,
    key_channels=32,
    key_dilations=(1, 2, 4, 8, 16, 32),
    given_channels=16,
    given_dilations=(1, 3, 9, 27, 54),
    reach=12,
)
"""11 time layers of 64 channels and 6 key layers of 32: about 29 million multiply-adds a frame."""

SPARSE = (3.5, 0.0, 2.5)
"""Biases of the logits of OFF, ONSET and HOLD. With these, random weights play about as many notes as Bach."""


def multiply_adds(spec: NetworkSpec) -> int:
    """Return the multiply-adds of one frame if each is done once, without biases, tables and activations.

    A gated layer of C channels takes, for each of 88 keys, 2C·C for the past, 2C·C for the present, S·C for the skip,
    and C·C for the next layer, which the last layer lacks. The input is two states of 2·reach + 1 keys, the output
    three logits. The stack that takes a frame as one vector runs once for all keys.
    """
    c, k, g, s, d = (
        spec.time_channels,
        spec.key_channels,
        spec.given_channels,
        spec.context_channels,
        spec.condition_channels,
    )
    layers, key_layers = len(spec.time_dilations), len(spec.key_dilations)
    embedding = 2 * (2 * spec.reach + 1) * c
    time = _of_gated_layers(layers, c, s)
    mixing = len(spec.mixing_layers) * (KEYS * c + 2 * c * c)
    given = len(spec.given_dilations) * 3 * g * g + g * k
    keys = _of_gated_layers(key_layers, k, k)
    once = CONDITION_FEATURES * d + layers * 2 * c * d + _of_frames(spec)
    return KEYS * (embedding + time + mixing + spec.context_width * k + given + keys + STATES * k) + once


def _of_gated_layers(layers: int, channels: int, skip: int) -> int:
    return layers * (4 * channels + skip) * channels + (layers - 1) * channels * channels


def _of_frames(spec: NetworkSpec) -> int:
    """Return the multiply-adds of the stack that takes a frame as one vector; 0 where it has no channels."""
    f, layers = spec.frame_channels, len(spec.frame_dilations)
    condition = layers * 2 * f * spec.condition_channels
    return 2 * KEYS * f + condition + _of_gated_layers(layers, f, f) + f * KEYS * spec.frame_features


def random_checkpoint(spec: NetworkSpec = REFERENCE, seed: int = 0) -> Checkpoint:
    """Return an untrained network, with weights drawn as torch draws initial weights, and an empty stored pair."""
    rng = np.random.default_rng(seed)
    weights = {name: _drawn(rng, name, shape) for name, shape in weight_shapes(spec).items()}
    weights["to_logits.bias"][:] = SPARSE
    pair: dict[str, NDArray[Any]] = {
        "pair.frames": np.zeros((0, KEYS), np.uint8),
        "pair.condition": np.zeros((0, CONDITION_FEATURES), np.float32),
        "pair.given": np.zeros((0, KEYS), np.uint8),
        "pair.coming": np.zeros((0, KEYS), np.uint8),
        "pair.logits": np.zeros((0, KEYS, STATES), np.float32),
    }
    return Checkpoint(spec, weights, {}, pair)


def _drawn(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if name.endswith("bias"):
        return np.zeros(shape, np.float32)
    inputs = KEYS if name.endswith("by_interval") else int(np.prod(shape[1:]))
    return np.asarray(rng.uniform(-1, 1, shape) / inputs**0.5, np.float32)


BAR: tuple[int, int] = (4, 16)
LOWEST_GIVEN = 48
"""The keys (0..87) from here up are given: a note on each beat, and OFF elsewhere."""


class Player:
    """Plays on an engine without end, below a given part that strikes a note on each beat."""

    def __init__(self, engine: Engine, seed: int = 0) -> None:
        self.engine = engine
        self.state = engine.new_state()
        self.tick = 0
        self.params, self.texture = SamplingParams(min_p=0.02), Texture(4, 4)
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._melody = LOWEST_GIVEN
        self.coming()

    def coming(self) -> None:
        """Choose the given keys of the coming frame, and its random numbers."""
        self.given: Frame = np.full(KEYS, UNKNOWN, np.uint8)
        self.given[LOWEST_GIVEN:] = OFF
        struck = self.tick % BAR[0] == 0
        if struck:
            self._melody = int(self._rng.integers(LOWEST_GIVEN, KEYS - 12))
        self.given[self._melody] = ONSET if struck else HOLD
        self.uniforms = self._rng.random(KEYS)

    def draw(self) -> Frame:
        """Sample the coming frame."""
        return self.engine.draw(self.state, self.given, self.uniforms, self.params)

    def push(self, frame: Frame) -> None:
        """Take in a frame [88]."""
        self.engine.push(self.state, frame, self.place(self.tick), self.place(self.tick + 1), self.texture)
        self.tick += 1

    @staticmethod
    def place(tick: int) -> Place:
        """Return the place of a tick."""
        return tick % BAR[1], *BAR
