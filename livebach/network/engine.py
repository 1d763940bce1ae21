"""The step engine: the trained network one frame at a time, in numpy, with ring buffers instead of recomputation.

Fast WaveNet generation (Le Paine et al. 2016) over time; over the keys a guess that is corrected until the draws agree
with it, which gives what one pass after another would give. Knows no clock, no port and no torch. State is a value
beside the network: `push` writes into it, `draw` and `logits` only read.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from livebach.music.metre import METRE_FEATURES, metre_features
from livebach.music.roll import HOLD, KEYS, ONSET, STATES, UNKNOWN, Frame
from livebach.music.texture import TEXTURE_LEVELS, Texture
from livebach.network.adaptation import Adaptation
from livebach.network.checkpoint import Checkpoint, CheckpointError
from livebach.network.sampling import PreparedDraw, SamplingParams, probabilities, with_given
from livebach.network.spec import NetworkSpec
from livebach.network.state import Array, State
from livebach.network.theme_evidence import evidence
from livebach.network.themes import ThemeMemory

Place = tuple[int, int, int]
"""Tick in the bar, beat length, bar length, in ticks."""

START: Place = (0, 4, 16)
SPANS = (88, 80, 64, 48, 32, 16)
"""How many keys, from the top, a pass may run over: what a product of matrices likes, each with buffers of its own."""
ONE = np.ones((), np.float32)
NOTHING = np.full(KEYS, UNKNOWN, np.uint8)
NO_NUMBERS = np.zeros(KEYS)
MOST_RECALL = np.float32(14.0)
"""Nats that the theme memory adds for a stroke at most where it is trusted more than it was fitted to be."""
AS_IT_IS = SamplingParams()
PAIR_TOLERANCE = 1e-3
"""How far logits may be from the stored ones at load: rounding differs between machines by less than a tenth of it."""


def _folded(w: dict[str, Array], name: str, *more: Array) -> Array:
    """A gated layer's weights as one [2C, inputs] for inputs past, present, 1, and `more`; the gate half is halved.

    So one product serves all, and one tanh serves signal and gate: sigmoid(x) = (1 + tanh(x / 2)) / 2.
    """
    bias = w[f"{name}.present.bias"][:, None]
    out = np.concatenate([w[f"{name}.past.weight"], w[f"{name}.present.weight"], bias, *more], axis=1)
    out[len(out) // 2 :] *= np.float32(0.5)
    return out


def _with_bias(weight: Array, bias: Array) -> Array:
    """[outputs, inputs] and [outputs] as one [outputs, inputs + 1]: biases are weights of an input that is always 1."""
    return np.ascontiguousarray(np.concatenate([weight, bias[:, None]], axis=1))


def _ones_below(rows: int, columns: int, *stacked: int) -> Array:
    """A buffer of `rows` rows of zeros and one of ones."""
    out = np.zeros((*stacked, rows + 1, columns), np.float32)
    out[..., rows, :] = 1
    return out


class GatedLayer:
    """A gated residual layer bound to its buffers: the same block on both axes, for n keys at once, channels first."""

    def __init__(self, weights: Array, out: Array, taps: Array, gates: Array, hidden: Array) -> None:
        c = len(hidden) - 1
        self.weights = weights  # [2C, inputs]
        self.out = out[:c]  # [C, C + 1]
        self.taps = taps  # [inputs, n]: past, present, 1, and what else the layer takes in
        self.past, self.present = taps[:c], taps[c : 2 * c]
        self.gates, self.signal, self.gate = gates, gates[:c], gates[c:]
        self.hidden, self.activity = hidden, hidden[:c]  # [C + 1, n], the last row 1; the skips are read from here

    def activate(self) -> None:
        """Taps to hidden: tanh(signal) * (1 + tanh(gate)); the missing half is folded into the next product."""
        np.matmul(self.weights, self.taps, out=self.gates)
        np.tanh(self.gates, out=self.gates)
        np.add(self.gate, ONE, out=self.activity)
        np.multiply(self.activity, self.signal, out=self.activity)

    def pass_on(self, present: Array) -> None:
        """Write what the next layer takes for the present."""
        result = self.signal  # free by now
        np.matmul(self.out, self.hidden, out=result)
        np.add(self.present, result, out=present)


def _out_weights(w: dict[str, Array], names: list[str]) -> tuple[list[Array], Array]:
    """What each layer adds to the next one's input, [C, C + 1] a layer; all their skips as one, [S, L * (C + 1)]."""
    each = [_with_bias(w[f"{n}.out.weight"] * np.float32(0.5), w[f"{n}.out.bias"]) for n in names]
    c = each[0].shape[1] - 1
    return [out[:c] for out in each], np.concatenate([out[c:] for out in each], axis=1)


class RingStack:
    """Gated layers over time, n columns at once, one call a tick; of each layer's past a ring buffer is kept.

    A ring of d slots for dilation d needs no wrapping: it is read just before it is overwritten.
    """

    def __init__(self, w: dict[str, Array], names: list[str], dilations: tuple[int, ...], n: int) -> None:
        self.dilations = dilations
        self.starts = [sum(dilations[:i]) for i in range(len(names))]
        self.condition = np.stack([w[f"{name}.condition.weight"] for name in names])  # [L, 2C, D]
        self.channels = c = self.condition.shape[1] // 2
        self.condition[:, c:] *= np.float32(0.5)
        out, self.skip = _out_weights(w, names)
        gates, hidden = np.zeros((2 * c, n), np.float32), _ones_below(c, n, len(names))
        self.layers, self.mixed = [], []
        for i, name in enumerate(names):
            mixing = [w[key] for key in (f"{name}.mixing.to_gates.weight",) if key in w]
            taps = np.concatenate([_ones_below(2 * c, n), *(np.zeros((c, n), np.float32) for _ in mixing)])
            self.layers.append(GatedLayer(_folded(w, name, *mixing), out[i], taps, gates, hidden[i]))
            self.mixed.append(taps[2 * c + 1 :])
        self.bias = np.stack([layer.weights[:, 2 * c] for layer in self.layers])  # [L, 2C]
        self.hidden = hidden.reshape(-1, n)
        self.total = np.zeros((len(self.skip), n), np.float32)

    def blank(self) -> Array:
        """Rings of silence: [slots, C, n]."""
        return np.zeros((sum(self.dilations), self.channels, self.hidden.shape[1]), np.float32)

    def run(self, rings: Array, tick: int, condition: Array) -> Array:
        """From what is in the first layer's present, and a condition [D]: the summed skips [S, n], rectified."""
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
        """What else layer `i` takes in, besides its past and present: nothing."""


class TimeStack(RingStack):
    """The WaveNet over time, all keys at once."""

    def __init__(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        super().__init__(w, [f"time_layers.{i}" for i in range(len(spec.time_dilations))], spec.time_dilations, KEYS)
        self.heads = {i: self._heads(w[f"time_layers.{i}.mixing.by_interval"]) for i in spec.mixing_layers}
        self._embedding(spec, w)

    @staticmethod
    def _heads(by_interval: Array) -> Array:
        """[H, 175] weights by interval -> [H, 88, 88], from key to key."""
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
        """Take in `state.frame` and its condition [D]: [S, 88], in a buffer used again by the next."""
        self._embed(state.frame, self.layers[0].present)
        return self.run(state.rings, state.tick, condition)

    def _embed(self, frame: Frame, out: Array) -> None:
        np.equal(frame, 1, out=self.planes[0], casting="unsafe")
        np.equal(frame, 2, out=self.planes[1], casting="unsafe")
        np.matmul(self.of_frame, self.windows.reshape(-1, KEYS), out=out)
        out += self.of_nothing

    def _mix(self, i: int, x: Array) -> None:
        """Let every key hear every other, by their distance."""
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
        """Take in `state.frame` and its condition [D]: what it has to say of each key, [features, 88]."""
        np.equal(state.frame, 1, out=self.present[:KEYS], casting="unsafe")
        np.equal(state.frame, 2, out=self.present[KEYS:], casting="unsafe")
        self.layers[0].present[:, 0] = self.embed[0] @ self.present + self.embed[1]
        total = self.run(state.frame_rings, state.tick, condition)
        said: Array = self.to_keys[0] @ total[:, 0] + self.to_keys[1]
        return said.reshape(KEYS, -1).T


class GivenStack:
    """What is known of the coming frame, seen from every key: [88] states or UNKNOWN -> [K, 88]."""

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
        """Of the last one asked for, the answer is kept: often nothing is given, or the same is asked again."""
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
    """The buffers of one pass over the keys from `first` up, and its views of the taps that all passes share."""

    def __init__(self, stack: KeyStack, first: int) -> None:
        k, n, depth = stack.channels, KEYS - first, len(stack.dilations)
        self.first = first
        gates, hidden = np.zeros((2 * k, n), np.float32), _ones_below(k, n, depth)
        parts = zip(stack.weights, stack.out, stack.taps[:, :, first:], hidden, strict=True)
        self.layers = [GatedLayer(weights, out, taps, gates, kept) for weights, out, taps, kept in parts]
        self.shifts = []
        for taps, dilation in zip(stack.taps, stack.dilations, strict=True):
            start = max(first, dilation)  # below it the past is empty
            self.shifts.append((taps[:k, start:], taps[k : 2 * k, start - dilation : max(0, KEYS - dilation)]))
        self.hidden = hidden.reshape(-1, n)
        self.total = _ones_below(k, n)


class KeyStack:
    """The WaveNet over the keys of the coming frame, all keys in one pass, each seeing the states below it."""

    def __init__(self, spec: NetworkSpec, w: dict[str, Array]) -> None:
        self.dilations, self.channels = spec.key_dilations, spec.key_channels
        names = [f"key_layers.{i}" for i in range(len(self.dilations))]
        self.weights = [_folded(w, n) for n in names]  # [2K, 2K + 1]
        self.out, self.skip = _out_weights(w, names)
        self.below = w["from_below.weight"].copy()  # [K, 3]
        self.to_logits = _with_bias(w["to_logits.weight"], w["to_logits.bias"])
        self.taps = _ones_below(2 * self.channels, KEYS, len(names))
        passes = [KeyPass(self, KEYS - n) for n in SPANS]
        self.passes = [next(p for p in reversed(passes) if p.first <= key) for key in range(KEYS)]

    def logits(self, base: Array, frame: Frame, run: KeyPass | None = None) -> Array:
        """[K, 88] of context and given keys, states [88] -> logits [3, n] of the n keys of a pass, or of all.

        What the keys below those left in the taps stands from an earlier pass.
        """
        run = run or self.passes[0]
        first = run.first
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

    def draw(self, base: Array, lottery: PreparedDraw, guess: Frame) -> Frame:
        """The states that the lottery draws, each key knowing those below it; `guess` is where to begin, and is lost.

        Equal to 88 passes from the lowest key up, each drawn before the next: the guess is evaluated for all keys at
        once and replaced by what the draws say, until they repeat it. Below the lowest key that changed nothing is run
        again, so that every pass settles at least one more.
        """
        first = 0
        while first < KEYS:
            run = self.passes[first]
            drawn = lottery.states(self.logits(base, guess, run), run.first)[first - run.first :]
            changed = np.flatnonzero(drawn != guess[first:])
            if not len(changed):
                break
            guess[first:] = drawn
            first += int(changed[0]) + 1
        return guess


class Engine:
    """A checkpoint made ready to play. Not for several threads at once: the buffers are shared by all states."""

    key_stack: type[KeyStack] = KeyStack

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Fold the weights and check the stored pair. Raises CheckpointError where they disagree.

        What it needs of the checkpoint is copied, so that it can be let go as a whole.
        """
        w = checkpoint.weights
        self.spec = checkpoint.spec
        self.quotes = checkpoint.quotes
        self.themes = checkpoint.themes
        self.time = TimeStack(self.spec, w)
        self.frame = FrameStack(self.spec, w) if self.spec.frame_channels else None
        self.given = GivenStack(self.spec, w)
        self.keys = self.key_stack(self.spec, w)
        self.of_condition = w["condition.weight"].copy(), w["condition.bias"].copy()
        context = w["from_context.weight"]
        self.to_keys = context[:, : self.spec.context_channels].copy(), w["from_context.bias"].copy()[:, None]
        self.from_frame = context[:, self.spec.context_channels :].copy()
        self._check(checkpoint)

    def new_state(self, first: Place = START, texture: Texture | None = None) -> State:
        """A memory of one empty frame, just before the tick at `first`."""
        state = self._blank()
        earlier = ((first[0] - 1) % first[2], first[1], first[2])
        self.push(state, np.zeros(KEYS, np.uint8), earlier, first, texture or Texture())
        return state

    def _blank(self) -> State:
        frame_rings = self.frame.blank() if self.frame else np.zeros((0, 0, 1), np.float32)
        context = np.zeros((self.spec.key_channels, KEYS), np.float32)
        adaptation = Adaptation.blank(len(self.time.hidden))
        themes = None if self.themes is None else ThemeMemory.blank()
        return State(self.time.blank(), frame_rings, 0, np.zeros(KEYS, np.uint8), context, adaptation, themes)

    def push(
        self, state: State, frame: Frame, place: Place, coming: Place, texture: Texture, adapt: bool = False
    ) -> None:
        """Remember a frame, and prepare the prediction of the next one.

        Args:
            state: What was played before; written to.
            frame: [88] states of the keys.
            place: Where the frame stands in the bar.
            coming: Where the next frame stands.
            texture: The texture wanted of the next frame.
            adapt: Learn from the frame first: for frames that others play. The theme memory keeps these for good.

        """
        if adapt:
            logits = self._network_logits(state, frame, NOTHING)
            state.adaptation.learn(probabilities(logits, state.frame, AS_IT_IS).T, frame)
        else:
            state.adaptation.fade()
        self._push(state, frame, condition_row(place, coming, texture))
        if self.themes is not None and state.themes is not None:
            state.themes.observe(frame, place, coming, adapt)
            np.copyto(state.theme_shift, self.themes.shift(evidence(state.themes)))

    def _push(self, state: State, frame: Frame, row: Array) -> None:
        np.copyto(state.frame, frame)
        condition = np.tanh(self.of_condition[0] @ row + self.of_condition[1])
        np.matmul(self.to_keys[0], self.time.step(state, condition), out=state.context)
        state.context += self.to_keys[1]
        if self.frame is not None:
            state.context += self.from_frame @ self.frame.step(state, condition)
        state.adaptation.look(self.time.hidden)
        state.tick += 1

    def logits(self, state: State, frame: Frame, given: Frame) -> Array:
        """Return the logits of the coming frame, teacher forced: [88, 3], HOLD not masked.

        Key k sees the keys of `frame` below it, and the keys that are given.
        """
        return self._network_logits(state, frame, given) + state.theme_shift.T

    def _network_logits(self, state: State, frame: Frame, given: Frame) -> Array:
        """Return the logits without the theme memory: those that the adapting layer learns from."""
        return (self.keys.logits(state.context + self.given(given), frame) + state.adaptation.shift).T

    def draw(self, state: State, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """Sample the coming frame: given [88] states or UNKNOWN, uniforms float64 [88] in [0, 1)."""
        prepared = PreparedDraw.of(state.frame, given, uniforms, params, self._shift(state, params))
        return self.keys.draw(state.context + self.given(given), prepared, _held_on(state.frame, given))

    def onset_chance(self, state: State, given: Frame, params: SamplingParams) -> float:
        """Return how likely any key is to be struck in the coming frame: an estimate, as if what is down were held."""
        prepared = PreparedDraw.of(state.frame, given, NO_NUMBERS, params, self._shift(state, params))
        odds = prepared.odds(self.keys.logits(state.context + self.given(given), _held_on(state.frame, given)))
        struck = odds[ONSET] / odds.sum(axis=0)
        return float(1 - np.prod(1 - struck))

    @staticmethod
    def _shift(state: State, params: SamplingParams) -> Array:
        """Return what is added to the logits, [3, 88]; what speaks for a stroke is trusted as far as is asked for."""
        shift = state.adaptation.shift + state.theme_shift
        if params.recall != 1:
            struck = state.theme_shift[ONSET]
            more = np.minimum(struck * np.float32(params.recall), np.maximum(struck, MOST_RECALL)) - struck
            shift[ONSET] += np.where(struck > 0, more, 0)
        return np.asarray(shift)

    def _check(self, checkpoint: Checkpoint) -> None:
        pair, state = checkpoint.pair, self._blank()
        found = np.empty_like(pair["pair.logits"])
        with np.errstate(all="ignore"):  # of damaged weights anything may come
            for t in range(len(found)):
                self._push(state, pair["pair.frames"][t], pair["pair.condition"][t])
                found[t] = self.logits(state, pair["pair.coming"][t], pair["pair.given"][t])
            worst = float(np.abs(found - pair["pair.logits"]).max(initial=0))
        if not worst < PAIR_TOLERANCE:  # nan is damaged too
            raise CheckpointError(
                f"the checkpoint's stored output differs from what its weights give by {worst:.2g}: it is damaged"
            )


def _held_on(frame: Frame, given: Frame) -> Frame:
    """Return the coming frame if what is down stays down, with the given keys: where the passes begin."""
    return with_given(np.minimum(frame, 1) * np.uint8(HOLD), given)


def condition_row(place: Place, coming: Place, texture: Texture) -> Array:
    """Metre of this tick, metre of the coming one, texture: float32 [CONDITION_FEATURES]."""
    row = np.zeros(2 * METRE_FEATURES + 2 * (TEXTURE_LEVELS + 1), np.float32)
    row[:METRE_FEATURES] = metre_features(*place)
    row[METRE_FEATURES : 2 * METRE_FEATURES] = metre_features(*coming)
    for i, level in enumerate((texture.density, texture.polyphony)):
        row[2 * METRE_FEATURES + i * (TEXTURE_LEVELS + 1) + (TEXTURE_LEVELS if level is None else level)] = 1
    return row


__all__ = ["START", "Array", "Engine", "Place", "State", "condition_row"]
