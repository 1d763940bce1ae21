"""The layers of the step engine, in numpy: stacks over time with ring buffers, over given keys, and over the keys.

All buffers are allocated once. The stacks read and write states, and know no sampling parameters, clock or port.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from livebach.music.roll import KEYS, STATES, UNKNOWN, Frame
from livebach.network.sampling import PreparedDraw
from livebach.network.spec import NetworkSpec
from livebach.network.state import Array, State

SPANS = (88, 80, 64, 48, 32, 16)
"""Sizes of a pass over the keys, counted from the top key. They suit matrix products; each has its own buffers."""
ONE = np.ones((), np.float32)


def _folded(w: dict[str, Array], name: str, *more: Array) -> Array:
    """Return a gated layer's weights as one matrix [2C, inputs]; the inputs are past, present, 1 and `more`.

    One product then serves all inputs. The gate's half is multiplied by 0.5, so that one tanh serves signal and gate:
    sigmoid(x) = (1 + tanh(x / 2)) / 2.
    """
    bias = w[f"{name}.present.bias"][:, None]
    out = np.concatenate([w[f"{name}.past.weight"], w[f"{name}.present.weight"], bias, *more], axis=1)
    out[len(out) // 2 :] *= np.float32(0.5)
    return out


def _with_bias(weight: Array, bias: Array) -> Array:
    """Join a weight [outputs, inputs] and a bias [outputs] to [outputs, inputs + 1], for a last input that is 1."""
    return np.ascontiguousarray(np.concatenate([weight, bias[:, None]], axis=1))


def _ones_below(rows: int, columns: int, *stacked: int) -> Array:
    """Return a buffer of `rows` rows of zeros and one row of ones."""
    out = np.zeros((*stacked, rows + 1, columns), np.float32)
    out[..., rows, :] = 1
    return out


class GatedLayer:
    """A gated residual layer, bound to its buffers: the block of both axes. It takes n keys at once, channels first."""

    def __init__(self, weights: Array, out: Array, taps: Array, gates: Array, hidden: Array) -> None:
        c = len(hidden) - 1
        self.weights = weights  # [2C, inputs]
        self.out = out[:c]  # [C, C + 1]
        self.taps = taps  # [inputs, n]: past, present, 1, and further inputs of the layer
        self.past, self.present = taps[:c], taps[c : 2 * c]
        self.gates, self.signal, self.gate = gates, gates[:c], gates[c:]
        self.hidden, self.activity = hidden, hidden[:c]  # [C + 1, n], the last row 1; the skips are read from here

    def activate(self) -> None:
        """Compute `hidden` = tanh(signal) * (1 + tanh(gate)) from `taps`. `out` holds the missing factor 0.5."""
        np.matmul(self.weights, self.taps, out=self.gates)
        np.tanh(self.gates, out=self.gates)
        np.add(self.gate, ONE, out=self.activity)
        np.multiply(self.activity, self.signal, out=self.activity)

    def pass_on(self, present: Array) -> None:
        """Write the input of the next layer to `present` [C, n]."""
        result = self.signal  # no longer needed
        np.matmul(self.out, self.hidden, out=result)
        np.add(self.present, result, out=present)


def _out_weights(w: dict[str, Array], names: list[str]) -> tuple[list[Array], Array]:
    """Return the residual weights, [C, C + 1] for each layer, and the joint skip weights, [S, L * (C + 1)]."""
    each = [_with_bias(w[f"{n}.out.weight"] * np.float32(0.5), w[f"{n}.out.bias"]) for n in names]
    c = each[0].shape[1] - 1
    return [out[:c] for out in each], np.concatenate([out[c:] for out in each], axis=1)


class RingStack:
    """Gated layers over time, for n columns at once and one tick per call. Each layer keeps its past in a ring buffer.

    Dilation d needs a ring of d slots: a slot is read just before it is overwritten.
    """

    def __init__(self, w: dict[str, Array], names: list[str], dilations: tuple[int, ...], n: int) -> None:
        self.dilations = dilations
        self.starts = [sum(dilations[:i]) for i in range(len(names))]
        self.condition = np.stack([w[f"{name}.condition.weight"] for name in names])  # [L, 2C, D]
        self.channels = c = self.condition.shape[1] // 2
        self.condition[:, c:] *= np.float32(0.5)
        out, self.skip = _out_weights(w, names)
        gates, hidden = np.zeros((2 * c, n), np.float32), _ones_below(c, n, len(names))
        # A layer reads its taps and writes the next one's, so two buffers serve all layers.
        both = [np.concatenate([_ones_below(2 * c, n), np.zeros((c, n), np.float32)]) for _ in range(2)]
        self.layers, self.mixed = [], []
        for i, name in enumerate(names):
            mixing = [w[key] for key in (f"{name}.mixing.to_gates.weight",) if key in w]
            taps = both[i % 2][: 2 * c + 1 + c * len(mixing)]
            self.layers.append(GatedLayer(_folded(w, name, *mixing), out[i], taps, gates, hidden[i]))
            self.mixed.append(taps[2 * c + 1 :])
        self.bias = np.stack([layer.weights[:, 2 * c] for layer in self.layers])  # [L, 2C]
        self.hidden = hidden.reshape(-1, n)
        self.total = np.zeros((len(self.skip), n), np.float32)

    def blank(self) -> Array:
        """Return rings without any past: [sum of dilations, C, n]."""
        return np.zeros((sum(self.dilations), self.channels, self.hidden.shape[1]), np.float32)

    def run(self, rings: Array, tick: int, condition: Array) -> Array:
        """Run all layers on one tick.

        Args:
            rings: [sum of dilations, C, n] past of each layer; written to.
            tick: Number of the tick since the start of the rings.
            condition: [D] embedding of metre and texture.

        Returns:
            The summed and rectified skips [S, n], in a buffer that the next call overwrites.

        The input must be in the first layer's `present`.
        """
        rows = self.bias + self.condition @ condition
        for i, layer in enumerate(self.layers):
            slot = rings[self.starts[i] + tick % self.dilations[i]]
            layer.past[:] = slot
            slot[:] = layer.present
            layer.weights[:, 2 * len(slot)] = rows[i]
            self._mix(i, layer.present)
            layer.activate()
            if i + 1 < len(self.layers):
                layer.pass_on(self.layers[i + 1].present)
        np.matmul(self.skip, self.hidden, out=self.total)
        return np.maximum(self.total, 0, out=self.total)

    def _mix(self, i: int, x: Array) -> None:
        """Fill the further inputs of layer `i` from its present. This class has none."""


class TimeStack(RingStack):
    """The WaveNet over time (van den Oord et al. 2016), for all keys at once."""

    def __init__(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        super().__init__(w, [f"time_layers.{i}" for i in range(len(spec.time_dilations))], spec.time_dilations, KEYS)
        self.heads = {i: self._heads(w[f"time_layers.{i}.mixing.by_interval"]) for i in spec.mixing_layers}
        self._embedding(spec, w)

    @staticmethod
    def _heads(by_interval: Array) -> Array:
        """Expand weights by interval [H, 175] to weights from key to key [H, 88, 88]."""
        index = np.arange(KEYS)[None, :] - np.arange(KEYS)[:, None] + KEYS - 1
        return np.ascontiguousarray(by_interval[:, index])

    def _embedding(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        width = 2 * spec.reach + 1
        weight = w["embed.weight"].reshape(-1, STATES, width)  # struck, held, "there is a key"
        self.of_frame = np.ascontiguousarray(weight[:, :2].reshape(-1, 2 * width))
        there = np.pad(np.ones(KEYS, np.float32), spec.reach)
        self.of_nothing = weight[:, 2] @ sliding_window_view(there, KEYS) + w["embed.bias"][:, None] + w["place"].T
        self.padded = np.zeros((2, KEYS + 2 * spec.reach), np.float32)
        self.planes = self.padded[:, spec.reach : spec.reach + KEYS]
        self.windows = sliding_window_view(self.padded, KEYS, axis=1)  # [2, width, 88], a view

    def step(self, state: State, condition: Array) -> Array:
        """Take in `state.frame` and its condition [D]; return [S, 88] in a buffer that the next call overwrites."""
        self._embed(state.frame, self.layers[0].present)
        return self.run(state.rings, state.tick, condition)

    def _embed(self, frame: Frame, out: Array) -> None:
        np.equal(frame, 1, out=self.planes[0], casting="unsafe")
        np.equal(frame, 2, out=self.planes[1], casting="unsafe")
        np.matmul(self.of_frame, self.windows.reshape(-1, KEYS), out=out)
        out += self.of_nothing

    def _mix(self, i: int, x: Array) -> None:
        """Mix the features of all keys, weighted by interval."""
        if i in self.heads:
            heads = len(self.heads[i])
            np.matmul(x.reshape(heads, -1, KEYS), self.heads[i], out=self.mixed[i].reshape(heads, -1, KEYS))


class FrameStack(RingStack):
    """The WaveNet over time that takes a frame as one vector of its keys."""

    def __init__(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        names = [f"frame.layers.{i}" for i in range(len(spec.frame_dilations))]
        super().__init__(w, names, spec.frame_dilations, 1)
        self.embed = w["frame.embed.weight"].copy(), w["frame.embed.bias"].copy()
        self.to_keys = w["frame.to_keys.weight"].copy(), w["frame.to_keys.bias"].copy()
        self.present = np.zeros(2 * KEYS, np.float32)

    def step(self, state: State, condition: Array) -> Array:
        """Take in `state.frame` and its condition [D]; return the features of each key, [features, 88]."""
        np.equal(state.frame, 1, out=self.present[:KEYS], casting="unsafe")
        np.equal(state.frame, 2, out=self.present[KEYS:], casting="unsafe")
        self.layers[0].present[:, 0] = self.embed[0] @ self.present + self.embed[1]
        total = self.run(state.frame_rings, state.tick, condition)
        said: Array = self.to_keys[0] @ total[:, 0] + self.to_keys[1]
        return said.reshape(KEYS, -1).T


class GivenStack:
    """Convolutions over the given keys of the coming frame: states or UNKNOWN [88] -> features [K, 88]."""

    def __init__(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        g = spec.given_channels
        self.dilations = spec.given_dilations
        embed = np.concatenate([w["given.embed.weight"], np.zeros((g, 1), np.float32)], axis=1)
        self.table = embed + w["given.embed.bias"][:, None]  # [G, 4]
        names = [f"given.layers.{i}" for i in range(len(self.dilations))]
        # torch's [out, in, tap] as [out, tap * in]: one product a layer
        weights = [w[f"{n}.weight"].transpose(0, 2, 1).reshape(g, -1) for n in names]
        self.weights = [_with_bias(v, w[f"{n}.bias"]) for v, n in zip(weights, names, strict=True)]
        self.taps = _ones_below(3 * g, KEYS, len(names))  # the keys below, this one, the keys above, 1
        self.to_keys = w["from_given.weight"].copy()
        self.last = np.full(KEYS, UNKNOWN, np.uint8)
        self.result = self._run(self.last)

    def __call__(self, given: Frame) -> Array:
        """Return the features [K, 88] of given keys [88]. The last result is cached: many calls repeat the last one."""
        if not np.array_equal(given, self.last):
            self.result, self.last = self._run(given), given.copy()
        return self.result

    def _run(self, given: Frame) -> Array:
        x = np.take(self.table, given, axis=1)
        g = len(x)
        for dilation, weights, taps in zip(self.dilations, self.weights, self.taps, strict=True):
            taps[:g, dilation:] = x[:, : max(0, KEYS - dilation)]
            taps[g : 2 * g] = x
            taps[2 * g : 3 * g, : max(0, KEYS - dilation)] = x[:, dilation:]
            x += np.maximum(weights @ taps, 0)
        return self.to_keys @ x


class KeyPass:
    """One pass over the keys from `first` up: views of the buffers that all passes share.

    Attributes:
        first: The lowest key.
        layers: The layers, bound to the views.
        shifts: For each layer, the taps of the past, and the taps of the present that go there.
        hidden: [L * (K + 1), n] features of all layers, with a row of ones for each.
        total: [K + 1, n] the summed skips, and a row of ones.
        ones: The rows of ones. Passes of other sizes overwrite them.

    """

    def __init__(self, stack: KeyStack, first: int) -> None:
        k, n, depth = stack.channels, KEYS - first, len(stack.dilations)
        self.first = first
        gates = stack.gates[: 2 * k * n].reshape(2 * k, n)
        hidden = stack.hidden[: depth * (k + 1) * n].reshape(depth, k + 1, n)
        parts = zip(stack.weights, stack.out, stack.taps[:, :, first:], hidden, strict=True)
        self.layers = [GatedLayer(weights, out, taps, gates, kept) for weights, out, taps, kept in parts]
        self.shifts = []
        for taps, dilation in zip(stack.taps, stack.dilations, strict=True):
            start = max(first, dilation)  # keys below have no past
            self.shifts.append((taps[:k, start:], taps[k : 2 * k, start - dilation : max(0, KEYS - dilation)]))
        self.hidden = hidden.reshape(-1, n)
        self.total = stack.total[: (k + 1) * n].reshape(k + 1, n)
        self.ones = hidden[:, k], self.total[k]


class KeyStack:
    """The WaveNet over the keys of the coming frame. One pass evaluates all keys; each key sees the states below it.

    A tick may be drawn several times, always from the same first guess. Its pass over all keys is computed once: see
    `first_logits`.
    """

    def __init__(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        self.dilations, self.channels = spec.key_dilations, spec.key_channels
        names = [f"key_layers.{i}" for i in range(len(self.dilations))]
        self.weights = [_folded(w, n) for n in names]  # [2K, 2K + 1]
        self.out, self.skip = _out_weights(w, names)
        self.below = w["from_below.weight"].copy()  # [K, 3]
        self.to_logits = _with_bias(w["to_logits.weight"], w["to_logits.bias"])
        k, depth = self.channels, len(names)
        self.taps = _ones_below(2 * k, KEYS, depth)
        self.presents = self.taps[:, k : 2 * k]
        self.gates, self.hidden = np.zeros(2 * k * KEYS, np.float32), np.zeros(depth * (k + 1) * KEYS, np.float32)
        self.total = np.zeros((k + 1) * KEYS, np.float32)
        self.base, self.guess = np.full((k, KEYS), np.nan, np.float32), np.zeros(KEYS, np.uint8)
        self.kept = np.zeros((STATES, KEYS), np.float32), self.presents.copy()
        self.intact = False
        passes = [KeyPass(self, KEYS - n) for n in SPANS]
        self.passes = [next(p for p in reversed(passes) if p.first <= key) for key in range(KEYS)]

    def logits(self, base: Array, frame: Frame, run: KeyPass | None = None) -> Array:
        """Return the logits of the keys of one pass.

        Args:
            base: [K, 88] features of the context and the given keys.
            frame: [88] states; a key's logits depend on the states below it.
            run: The pass; None for all keys. The taps below its first key must be left from an earlier pass.

        Returns:
            Logits [3, n] of the n keys of the pass.

        """
        run = run or self.passes[0]
        first, self.intact = run.first, False
        for ones in run.ones:
            ones[...] = 1
        np.copyto(run.layers[0].present, base[:, first:])
        lowest = max(first, 1)
        run.layers[0].present[:, lowest - first :] += np.take(self.below, frame[lowest - 1 : -1], axis=1)
        for i, layer in enumerate(run.layers):
            np.copyto(*run.shifts[i])
            layer.activate()
            if i + 1 < len(run.layers):
                layer.pass_on(run.layers[i + 1].present)
        total = np.matmul(self.skip, run.hidden, out=run.total[:-1])
        np.maximum(total, 0, out=total)
        return np.asarray(self.to_logits @ run.total)

    def first_logits(self, base: Array, guess: Frame) -> Array:
        """Return the logits [3, 88] of a first guess; do not change them. Equal calls in a row compute them once.

        Afterwards the taps are those of the guess, so that passes over the upper keys may follow.
        """
        if not (np.array_equal(base, self.base) and np.array_equal(guess, self.guess)):
            np.copyto(self.base, base)
            np.copyto(self.guess, guess)
            self.kept = self.logits(base, guess), self.kept[1]
            np.copyto(self.kept[1], self.presents)
        elif not self.intact:
            np.copyto(self.presents, self.kept[1])
        self.intact = True
        return self.kept[0]

    def draw(self, base: Array, prepared: PreparedDraw, guess: Frame) -> Frame:
        """Draw a frame, each key conditioned on the states below it.

        The result equals that of 88 passes, one key after another from the lowest up. The guess is evaluated for all
        keys at once and replaced by the draws, until the draws repeat the guess. Keys up to the lowest one that changed
        are final, so every pass settles at least one more key.

        Args:
            base: [K, 88] features of the context and the given keys.
            prepared: The prepared draw.
            guess: [88] states to begin with; overwritten.

        Returns:
            The states [88].

        """
        first, run, logits = 0, self.passes[0], self.first_logits(base, guess)
        while True:
            drawn = prepared.states(logits, run.first)[first - run.first :]
            changed = np.flatnonzero(drawn != guess[first:])
            if not len(changed):
                break
            guess[first:] = drawn
            first += int(changed[0]) + 1
            if first == KEYS:
                break
            run = self.passes[first]
            logits = self.logits(base, guess, run)
        return guess
