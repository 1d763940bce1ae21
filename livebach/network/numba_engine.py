"""The pass over the keys, compiled by numba (the extra `fast`): the draws of `layers.KeyStack` in about half the time.

Four keys are evaluated at once, so that each weight is read once for four keys. The states below each key are guessed
first. From the first key that is drawn differently, the keys are evaluated again. This module is imported only where
the settings ask for the fast engine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, STATES, UNKNOWN, Frame
from livebach.network.checkpoint import Checkpoint
from livebach.network.engine import Engine
from livebach.network.layers import KeyStack
from livebach.network.numba_compiler import compiled
from livebach.network.numba_themes import FastThemes, evidence
from livebach.network.sampling import PreparedDraw, SamplingParams
from livebach.network.spec import NetworkSpec
from livebach.network.state import Array
from livebach.network.themes import SOURCE_TICKS, WINDOW

ABREAST = 4
"""Keys at once. The loops below are written out for four keys, which keeps their sums in registers."""

Width = tuple[None, ...]
"""A number of channels as the length of a tuple. The length is part of the type, so the compiler knows the loops."""


@compiled
def _tanh(x: Array, width: Width) -> None:
    """Compute tanh of [2K] in place, by Eigen's rational approximation; errors are a few units in the last place."""
    for j in range(2 * len(width)):
        v = min(max(x[j], np.float32(-7.90531110763549805)), np.float32(7.90531110763549805))
        s = v * v
        p = s * np.float32(-2.76076847742355e-16) + np.float32(2.00018790482477e-13)
        p = s * p + np.float32(-8.60467152213735e-11)
        p = s * p + np.float32(5.12229709037114e-08)
        p = s * p + np.float32(1.48572235717979e-05)
        p = s * p + np.float32(6.37261928875436e-04)
        p = s * p + np.float32(4.89352455891786e-03)
        q = s * np.float32(1.19825839466702e-06) + np.float32(1.18534705686654e-04)
        q = s * q + np.float32(2.26843463243900e-03)
        q = s * q + np.float32(4.89352518554385e-03)
        x[j] = v * p / q


@compiled
def _product(x: Array, weights: Array, bias: Array, out: Array, inputs: Width, width: Width) -> None:
    """Write x [4, inputs] @ weights [inputs, 2K] + bias [2K] to `out`."""
    out0, out1, out2, out3 = out[0], out[1], out[2], out[3]
    for j in range(2 * len(width)):
        out0[j] = out1[j] = out2[j] = out3[j] = bias[j]
    for i in range(0, len(inputs), 4):
        row0, row1, row2, row3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        a0, a1, a2, a3 = x[0, i], x[0, i + 1], x[0, i + 2], x[0, i + 3]
        b0, b1, b2, b3 = x[1, i], x[1, i + 1], x[1, i + 2], x[1, i + 3]
        c0, c1, c2, c3 = x[2, i], x[2, i + 1], x[2, i + 2], x[2, i + 3]
        d0, d1, d2, d3 = x[3, i], x[3, i + 1], x[3, i + 2], x[3, i + 3]
        for j in range(2 * len(width)):
            w0, w1, w2, w3 = row0[j], row1[j], row2[j], row3[j]
            out0[j] += (a0 * w0 + a1 * w1) + (a2 * w2 + a3 * w3)
            out1[j] += (b0 * w0 + b1 * w1) + (b2 * w2 + b3 * w3)
            out2[j] += (c0 * w0 + c1 * w1) + (c2 * w2 + c3 * w3)
            out3[j] += (d0 * w0 + d1 * w1) + (d2 * w2 + d3 * w3)


@compiled
def _state(logits: Array, added: Any, mark: float, temperature: float, min_p: float) -> int:
    """Return one key's state by the rule of `PreparedDraw.states`: logits [3], biases [3], a number in [0, 1)."""
    off = (logits[OFF] + added[OFF]) / temperature
    onset = (logits[ONSET] + added[ONSET]) / temperature
    hold = (logits[HOLD] + added[HOLD]) / temperature
    top = max(off, onset, hold)
    off, onset, hold = math.exp(off - top), math.exp(onset - top), math.exp(hold - top)
    off = off if off >= min_p else 0.0
    onset = onset if onset >= min_p else 0.0
    hold = hold if hold >= min_p else 0.0
    mark *= off + onset + hold
    if mark < off:
        return OFF
    return HOLD if mark >= off + onset and hold > 0 else ONSET


@compiled
def _layers(key: int, inputs: Array, network: Any, buffers: Any, width: Width) -> None:
    """Evaluate four keys, from `key` up, through all layers; the summed skips go to the last buffer."""
    dilations, (gate_weights, gate_biases), (out_weights, out_biases) = network
    taps, hidden, work, total = buffers
    k = len(width)
    total[:] = 0
    for i in range(len(dilations)):
        x = inputs[i]  # [88 empty + 88 + 3, K]: the layer's input, key by key
        for c in range(ABREAST):
            here = KEYS + key + c
            for j in range(k):
                taps[c, j] = x[here - dilations[i], j]
                taps[c, k + j] = x[here, j]
        _product(taps, gate_weights[i], gate_biases[i], work, width + width, width)
        for c in range(ABREAST):
            _tanh(work[c], width)
            for j in range(k):
                hidden[c, j] = work[c, j] * (1 + work[c, k + j])
        _product(hidden, out_weights[i], out_biases[i], work, width, width)
        for c in range(ABREAST):
            for j in range(k):
                inputs[i + 1, KEYS + key + c, j] = x[KEYS + key + c, j] + work[c, j]
                total[c, j] += work[c, k + j]


@compiled
def _logits(total: Array, to_logits: Array, out: Array, width: Width) -> None:
    """Compute one key's logits [3] from its summed skips [K]."""
    for s in range(STATES):
        out[s] = to_logits[s, len(width)]
        for j in range(len(width)):
            out[s] += to_logits[s, j] * max(total[j], np.float32(0))


@compiled
def _draw(base: Array, tables: Any, network: Any, arrays: Any, prepared: Any, states: Frame, width: Width) -> None:
    """Draw all keys into `states` [88], which holds the guess."""
    below, to_logits = tables
    inputs, logits, buffers = arrays
    added, uniforms, temperature, min_p = prepared
    key = 0
    while key < KEYS:
        for c in range(ABREAST):
            here = min(key + c, KEYS - 1)  # values past the last key are not used
            for j in range(len(base)):
                inputs[0, KEYS + key + c, j] = base[j, here] + (below[states[here - 1], j] if here > 0 else 0)
        _layers(key, inputs, network, buffers, width)
        for c in range(min(ABREAST, KEYS - key)):
            _logits(buffers[3][c], to_logits, logits, width)
            drawn = _state(logits, added[:, key], uniforms[key], temperature, min_p)
            as_guessed = drawn == states[key]
            states[key] = drawn
            key += 1
            if not as_guessed:
                break


def _padded(weights: Array, *sizes: int) -> Array:
    """Return the weights, padded with zeros to these sizes."""
    out = np.zeros(sizes, np.float32)
    out[tuple(slice(n) for n in weights.shape)] = weights
    return out


def _stacked(weights: list[Array]) -> Array:
    """Stack the weights in one array with a contiguous last axis, which is read four times as fast."""
    return np.ascontiguousarray(np.stack(weights))


class FastKeys(KeyStack):
    """The key stack with a compiled draw. Channels are padded with zeros to a multiple of four."""

    def __init__(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        super().__init__(spec, w)
        width = -(-self.channels // ABREAST) * ABREAST
        self._tables = _padded(self.below.T, STATES, width), self._logit_table(width)
        dilations = np.minimum(self.dilations, KEYS)
        self._network = dilations, self._gate_tables(width), self._out_tables(width)
        sizes = (ABREAST, 2 * width), (ABREAST, width), (ABREAST, 2 * width), (ABREAST, width)
        inputs = np.zeros((len(dilations) + 1, 2 * KEYS + ABREAST, width), np.float32)
        self._arrays = inputs, np.zeros(STATES, np.float32), tuple(np.zeros(size, np.float32) for size in sizes)
        self._width: Width = (None,) * width

    def draw(self, base: Array, prepared: PreparedDraw, guess: Frame) -> Frame:
        """Draw a frame as `KeyStack.draw` does; `guess` is overwritten."""
        numbers = prepared.added, prepared.uniforms, float(prepared.temperature), float(prepared.min_p)
        _draw(base, self._tables, self._network, self._arrays, numbers, guess, self._width)
        return guess

    def _logit_table(self, width: int) -> Array:
        """Return the weights of the logits [3, width + 1], the bias in the last column."""
        table = _padded(self.to_logits[:, :-1], STATES, width + 1)
        table[:, width] = self.to_logits[:, -1]
        return table

    def _gate_tables(self, width: int) -> tuple[Array, Array]:
        """Return weights [L, past and present, signal and gate] and biases [L, signal and gate]."""
        k = self.channels
        weights = [
            _padded(w[:, :-1].reshape(2, k, 2, k), 2, width, 2, width).transpose(2, 3, 0, 1) for w in self.weights
        ]
        biases = [_padded(w[:, -1].reshape(2, k), 2, width) for w in self.weights]
        return _stacked(weights).reshape(-1, 2 * width, 2 * width), np.stack(biases).reshape(-1, 2 * width)

    def _out_tables(self, width: int) -> tuple[Array, Array]:
        """Return weights [L, hidden, residual and skip] and biases [L, residual and skip]."""
        skips = np.split(self.skip, len(self.out), axis=1)
        both = [np.stack([out, skip]) for out, skip in zip(self.out, skips, strict=True)]  # [2, K, K + 1] each
        weights = [_padded(w[:, :, :-1], 2, width, width).transpose(2, 0, 1) for w in both]
        biases = [_padded(w[:, :, -1], 2, width) for w in both]
        return _stacked(weights).reshape(-1, width, 2 * width), np.stack(biases).reshape(-1, 2 * width)


class FastEngine(Engine):
    """The step engine with the compiled key pass and theme memory.

    The first one of a shape is compiled, which takes some seconds.
    """

    key_stack = FastKeys
    theme_memory = FastThemes
    evidence = staticmethod(evidence)

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Do what `Engine` does, and compile. Raises CheckpointError as `Engine` does."""
        super().__init__(checkpoint)
        memory = FastThemes.blank(WINDOW * SOURCE_TICKS, SOURCE_TICKS)
        for tick in range(2 * WINDOW):  # notes on every beat, so that there are alignments
            frame = np.zeros(KEYS, np.uint8)
            frame[KEYS // 2] = ONSET if tick % SOURCE_TICKS == 0 else OFF
            memory.observe(frame, (tick % 16, 4, 16), ((tick + 1) % 16, 4, 16), players=True)
            evidence(memory)
        self.draw(self._blank(), np.full(KEYS, UNKNOWN, np.uint8), np.zeros(KEYS), SamplingParams())
