"""The step engine: the trained network one frame at a time, in numpy, with ring buffers instead of recomputation.

Fast WaveNet generation (Le Paine et al. 2016) over time; over the keys a guess that is corrected until the draws agree
with it, which gives what one pass after another would give. Knows no clock, no port and no torch. State is a value
beside the network: `push` writes into it, `draw` and `logits` only read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from livebach.checkpoint import Checkpoint, CheckpointError
from livebach.roll import KEYS, METRE_FEATURES, OFF, STATES, TEXTURE_LEVELS, UNKNOWN, Frame, Texture, metre_features
from livebach.sampling import Policy, choose, probabilities, with_given
from livebach.spec import NetworkSpec

Array = NDArray[np.float32]
Place = tuple[int, int, int]
"""Tick in the bar, beat length, bar length, in ticks."""

START: Place = (0, 4, 16)
PAIR_TOLERANCE = 1e-3
"""How far logits may be from the stored ones at load: rounding differs between machines by less than a tenth of it."""


@dataclass(slots=True)
class State:
    """What the network remembers: ring buffers of past features, the last frame, and the context for the coming one."""

    rings: Array  # [sum of dilations, 88, C]
    tick: int
    frame: Frame
    context: Array  # [88, K]: what the key pass adds its own to

    def copy(self) -> State:
        """An independent snapshot."""
        return State(self.rings.copy(), self.tick, self.frame.copy(), self.context.copy())

    def copy_from(self, other: State) -> None:
        """Become equal to a snapshot, without allocating."""
        np.copyto(self.rings, other.rings)
        np.copyto(self.frame, other.frame)
        np.copyto(self.context, other.context)
        self.tick = other.tick


def _half_gates(weight: Array) -> Array:
    """Halve the gate half of the outputs (last axis), so that one tanh serves: sigmoid(x) = (1 + tanh(x / 2)) / 2."""
    out = weight.copy()
    out[..., out.shape[-1] // 2 :] *= np.float32(0.5)
    return out


def _activate(gates: Array, hidden: Array) -> None:
    """tanh(signal) * (1 + tanh(gate)) of [88, 2C] into [88, C]; the missing half is folded into the next product."""
    np.tanh(gates, out=gates)
    half = hidden.shape[1]
    np.add(gates[:, half:], 1, out=hidden)
    hidden *= gates[:, :half]


class TimeStack:
    """The WaveNet over time, all keys at once; one call a frame."""

    def __init__(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        c, layers = spec.time_channels, range(len(spec.time_dilations))
        self.channels, self.mixing = c, spec.mixing_layers
        self.dilations = np.array(spec.time_dilations)
        self.starts = np.cumsum(self.dilations) - self.dilations
        names = [f"time_layers.{i}" for i in layers]
        self.past = np.stack([_half_gates(w[f"{n}.past.weight"].T) for n in names])  # [L, C, 2C]
        self.present = np.stack([_half_gates(w[f"{n}.present.weight"].T) for n in names])
        self.bias = np.stack([_half_gates(w[f"{n}.present.bias"]) for n in names])  # [L, 2C]
        self.condition = np.stack([_half_gates(w[f"{n}.condition.weight"].T) for n in names])  # [L, D, 2C]
        self.out = np.stack([w[f"{n}.out.weight"].T * np.float32(0.5) for n in names])  # [L, C, C + S]
        self.out_bias = np.stack([w[f"{n}.out.bias"] for n in names])
        self.heads, self.to_gates = self._mixing(w)
        self._embedding(spec, w)
        self.of_condition = np.ascontiguousarray(w["condition.weight"].T), w["condition.bias"]
        self._allocate(spec)

    def _mixing(self, w: dict[str, Array]) -> tuple[dict[int, Array], dict[int, Array]]:
        index = np.arange(KEYS)[:, None] - np.arange(KEYS)[None, :] + KEYS - 1
        heads = {i: np.ascontiguousarray(w[f"time_layers.{i}.mixing.by_interval"][:, index]) for i in self.mixing}
        gates = {i: _half_gates(w[f"time_layers.{i}.mixing.to_gates.weight"].T) for i in self.mixing}
        return heads, gates

    def _embedding(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        width = 2 * spec.reach + 1
        weight = w["embed.weight"].T.reshape(STATES, width, -1)  # struck, held, "there is a key"
        self.of_frame = np.ascontiguousarray(weight[:2].reshape(2 * width, -1))
        there = np.pad(np.ones(KEYS, np.float32), spec.reach)
        self.of_nothing = sliding_window_view(there, width) @ weight[2] + w["embed.bias"] + w["place"]
        self.padded = np.zeros((2, KEYS + 2 * spec.reach), np.float32)
        self.planes = self.padded[:, spec.reach : spec.reach + KEYS]
        self.windows = sliding_window_view(self.padded, width, axis=1).transpose(1, 0, 2)  # [88, 2, width], a view

    def _allocate(self, spec: NetworkSpec) -> None:
        c, s, layers = spec.time_channels, spec.context_channels, len(spec.time_dilations)
        self.inputs = np.zeros((layers + 1, KEYS, c), np.float32)
        self.gates = np.zeros((layers, KEYS, 2 * c), np.float32)
        self.product = np.zeros((KEYS, 2 * c), np.float32)
        self.hidden = np.zeros((KEYS, c), np.float32)
        self.mixed = np.zeros((spec.mixing_heads, KEYS, c // spec.mixing_heads), np.float32)
        self.result = np.zeros((KEYS, c + s), np.float32)
        self.total = np.zeros((KEYS, s), np.float32)

    @property
    def ring_slots(self) -> int:
        """Slots of all rings together: a ring of d slots for dilation d needs no wrapping."""
        return int(self.dilations.sum())

    def step(self, state: State, condition: Array) -> Array:
        """Take in `state.frame` and its condition [D]; the summed skips [88, S], in a buffer used again by the next."""
        slots = self.starts + state.tick % self.dilations
        np.matmul(state.rings[slots], self.past, out=self.gates)
        self.gates += (self.bias + condition @ self.condition)[:, None, :]
        self._embed(state.frame)
        self.total.fill(0)
        for i in range(len(self.dilations)):
            self._layer(i)
        state.rings[slots] = self.inputs[:-1]
        state.tick += 1
        return self.total

    def _embed(self, frame: Frame) -> None:
        np.equal(frame, 1, out=self.planes[0], casting="unsafe")
        np.equal(frame, 2, out=self.planes[1], casting="unsafe")
        np.matmul(self.windows.reshape(KEYS, -1), self.of_frame, out=self.inputs[0])
        self.inputs[0] += self.of_nothing

    def _layer(self, i: int) -> None:
        x, gates = self.inputs[i], self.gates[i]
        np.matmul(x, self.present[i], out=self.product)
        gates += self.product
        if i in self.heads:
            heads = x.reshape(KEYS, len(self.mixed), -1).transpose(1, 0, 2)
            np.matmul(self.heads[i], heads, out=self.mixed)
            np.matmul(self.mixed.transpose(1, 0, 2).reshape(KEYS, -1), self.to_gates[i], out=self.product)
            gates += self.product
        _activate(gates, self.hidden)
        np.matmul(self.hidden, self.out[i], out=self.result)
        self.result += self.out_bias[i]
        np.add(x, self.result[:, : self.channels], out=self.inputs[i + 1])
        self.total += self.result[:, self.channels :]


class GivenStack:
    """What is known of the coming frame, seen from every key: [88] states or UNKNOWN -> [88, K]."""

    def __init__(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        self.dilations = spec.given_dilations
        embed = w["given.embed.weight"].T
        self.table = np.concatenate([embed, np.zeros((1, embed.shape[1]), np.float32)]) + w["given.embed.bias"]
        # torch's [out, in, tap] as [tap * in, out]: one product a layer
        self.taps = [
            w[f"given.layers.{i}.weight"].transpose(2, 1, 0).reshape(-1, embed.shape[1])
            for i in range(len(self.dilations))
        ]
        self.biases = [w[f"given.layers.{i}.bias"] for i in range(len(self.dilations))]
        self.to_keys = w["from_given.weight"].T
        self.of_nothing = self._run(np.full(KEYS, UNKNOWN, np.uint8))

    def __call__(self, given: Frame) -> Array:
        return self.of_nothing if (given == UNKNOWN).all() else self._run(given)

    def _run(self, given: Frame) -> Array:
        x = self.table[given]
        for dilation, taps, bias in zip(self.dilations, self.taps, self.biases, strict=True):
            padded = np.pad(x, ((dilation, dilation), (0, 0)))
            below, above = padded[:KEYS], padded[2 * dilation :]
            x = x + np.maximum(np.concatenate([below, x, above], axis=1) @ taps + bias, 0)
        return np.asarray(x @ self.to_keys, np.float32)


class KeyStack:
    """The WaveNet over the keys of the coming frame, all keys in one pass, each seeing the states below it."""

    def __init__(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        k = spec.key_channels
        self.dilations, self.channels = spec.key_dilations, k
        names = [f"key_layers.{i}" for i in range(len(self.dilations))]
        stacked = [np.concatenate([w[f"{n}.past.weight"].T, w[f"{n}.present.weight"].T]) for n in names]
        self.gate_weights = [_half_gates(s) for s in stacked]  # [2K, 2K]
        self.gate_biases = [_half_gates(w[f"{n}.present.bias"]) for n in names]
        self.out = [w[f"{n}.out.weight"].T * np.float32(0.5) for n in names]
        self.out_bias = [w[f"{n}.out.bias"] for n in names]
        self.below = np.ascontiguousarray(w["from_below.weight"].T)  # [3, K]
        self.to_logits = np.ascontiguousarray(w["to_logits.weight"].T), w["to_logits.bias"]
        self.taps = np.zeros((KEYS, 2 * k), np.float32)
        self.gates = np.zeros((KEYS, 2 * k), np.float32)
        self.hidden = np.zeros((KEYS, k), np.float32)
        self.total = np.zeros((KEYS, k), np.float32)

    def logits(self, base: Array, frame: Frame) -> Array:
        """[88, K] of context and given keys, states [88] -> logits [88, 3]."""
        y = base.copy()
        y[1:] += self.below[frame[:-1]]
        self.total.fill(0)
        for i, dilation in enumerate(self.dilations):
            self._layer(i, dilation, y)
        np.maximum(self.total, 0, out=self.total)
        return np.asarray(self.total @ self.to_logits[0] + self.to_logits[1])

    def _layer(self, i: int, dilation: int, y: Array) -> None:
        k = self.channels
        self.taps[:dilation, :k] = 0
        self.taps[dilation:, :k] = y[: KEYS - dilation]
        self.taps[:, k:] = y
        np.matmul(self.taps, self.gate_weights[i], out=self.gates)
        self.gates += self.gate_biases[i]
        _activate(self.gates, self.hidden)
        result = self.hidden @ self.out[i] + self.out_bias[i]
        y += result[:, :k]
        self.total += result[:, k:]


class Engine:
    """A checkpoint made ready to play. Not for several threads at once: the buffers are shared by all states."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Fold the weights and check the stored pair. Raises CheckpointError where they disagree."""
        w = checkpoint.weights
        self.spec = checkpoint.spec
        self.time = TimeStack(self.spec, w)
        self.given = GivenStack(self.spec, w)
        self.keys = KeyStack(self.spec, w)
        self.to_keys = np.ascontiguousarray(w["from_context.weight"].T), w["from_context.bias"]
        self._check(checkpoint)

    def new_state(self, first: Place = START, texture: Texture | None = None) -> State:
        """A memory of one empty frame, just before the tick at `first`."""
        state = self._blank()
        earlier = ((first[0] - 1) % first[2], first[1], first[2])
        self.push(state, np.zeros(KEYS, np.uint8), earlier, first, texture or Texture())
        return state

    def _blank(self) -> State:
        rings = np.zeros((self.time.ring_slots, KEYS, self.spec.time_channels), np.float32)
        return State(rings, 0, np.zeros(KEYS, np.uint8), np.zeros((KEYS, self.spec.key_channels), np.float32))

    def push(self, state: State, frame: Frame, place: Place, coming: Place, texture: Texture) -> None:
        """Remember a frame [88] that sounded at `place`; `coming` is the place of the next, whose texture is wanted."""
        self._push(state, frame, condition_row(place, coming, texture))

    def _push(self, state: State, frame: Frame, row: Array) -> None:
        np.copyto(state.frame, frame)
        skips = self.time.step(state, np.tanh(row @ self.time.of_condition[0] + self.time.of_condition[1]))
        np.matmul(np.maximum(skips, 0), self.to_keys[0], out=state.context)
        state.context += self.to_keys[1]

    def logits(self, state: State, frame: Frame, given: Frame) -> Array:
        """Of the coming frame, teacher forced: [88, 3], key k sees the keys of `frame` below it. HOLD is not masked."""
        return self.keys.logits(state.context + self.given(given), frame)

    def draw(self, state: State, given: Frame, uniforms: NDArray[np.float64], policy: Policy) -> Frame:
        """Sample the coming frame: given [88] states or UNKNOWN, uniforms float64 [88] in [0, 1).

        Equal to 88 passes from the lowest key up, each drawn before the next: a guess is evaluated for all keys at once
        and corrected until the draws repeat it. Every pass settles at least one more key.
        """
        base = state.context + self.given(given)
        guess = with_given(np.zeros(KEYS, np.uint8), given)
        for _ in range(KEYS + 1):
            drawn = with_given(
                choose(probabilities(self.keys.logits(base, guess), state.frame, policy), uniforms), given
            )
            if np.array_equal(drawn, guess):
                break
            guess = drawn
        return guess

    def _check(self, checkpoint: Checkpoint) -> None:
        pair, state = checkpoint.pair, self._blank()
        found = np.empty_like(pair["pair.logits"])
        with np.errstate(all="ignore"):  # of damaged weights anything may come
            for t in range(len(found)):
                self._push(state, pair["pair.frames"][t], pair["pair.condition"][t])
                found[t] = self.logits(state, pair["pair.coming"][t], pair["pair.given"][t])
            worst = float(np.abs(found - pair["pair.logits"]).max())
        if not worst < PAIR_TOLERANCE:  # nan is damaged too
            raise CheckpointError(
                f"the checkpoint's stored output differs from what its weights give by {worst:.2g}: it is damaged"
            )


def condition_row(place: Place, coming: Place, texture: Texture) -> Array:
    """Metre of this tick, metre of the coming one, texture: float32 [CONDITION_FEATURES]."""
    row = np.zeros(2 * METRE_FEATURES + 2 * (TEXTURE_LEVELS + 1), np.float32)
    row[:METRE_FEATURES] = metre_features(*place)
    row[METRE_FEATURES : 2 * METRE_FEATURES] = metre_features(*coming)
    for i, level in enumerate((texture.density, texture.polyphony)):
        row[2 * METRE_FEATURES + i * (TEXTURE_LEVELS + 1) + (TEXTURE_LEVELS if level is None else level)] = 1
    return row


__all__ = ["OFF", "START", "Engine", "Place", "State", "condition_row"]
