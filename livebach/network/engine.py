"""The step engine: runs the trained network one frame at a time, in numpy, with ring buffers instead of recomputation.

Over time the engine uses Fast WaveNet generation (Le Paine et al. 2016). Over the keys it uses fixed-point iteration:
it guesses a frame and corrects the guess until the draws agree with it. The result equals that of drawing one key after
another. State is a value apart from the network: `push` writes to the state, `draw` and `logits` only read it. This
module knows no clock, no port and no torch.
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
"""Sizes of a pass over the keys, counted from the top key. They suit matrix products; each has its own buffers."""
ONE = np.ones((), np.float32)
NOTHING = np.full(KEYS, UNKNOWN, np.uint8)
NO_NUMBERS = np.zeros(KEYS)
MOST_RECALL = np.float32(14.0)
"""Most nats that the theme memory adds to ONSET while `recall` is above 1."""
AS_IT_IS = SamplingParams()
PAIR_TOLERANCE = 1e-3
"""Largest allowed error of the logits at load. Rounding differs between machines by less than a tenth of this."""


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
    """The buffers of one pass over the keys from `first` up, with views of the taps that all passes share."""

    def __init__(self, stack: KeyStack, first: int) -> None:
        k, n, depth = stack.channels, KEYS - first, len(stack.dilations)
        self.first = first
        gates, hidden = np.zeros((2 * k, n), np.float32), _ones_below(k, n, depth)
        parts = zip(stack.weights, stack.out, stack.taps[:, :, first:], hidden, strict=True)
        self.layers = [GatedLayer(weights, out, taps, gates, kept) for weights, out, taps, kept in parts]
        self.shifts = []
        for taps, dilation in zip(stack.taps, stack.dilations, strict=True):
            start = max(first, dilation)  # keys below have no past
            self.shifts.append((taps[:k, start:], taps[k : 2 * k, start - dilation : max(0, KEYS - dilation)]))
        self.hidden = hidden.reshape(-1, n)
        self.total = _ones_below(k, n)


class KeyStack:
    """The WaveNet over the keys of the coming frame. One pass evaluates all keys; each key sees the states below it."""

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
        """Return the logits of the keys of one pass.

        Args:
            base: [K, 88] features of the context and the given keys.
            frame: [88] states; a key's logits depend on the states below it.
            run: The pass; None for all keys. The taps below its first key must be left from an earlier pass.

        Returns:
            Logits [3, n] of the n keys of the pass.

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
        first = 0
        while first < KEYS:
            run = self.passes[first]
            drawn = prepared.states(self.logits(base, guess, run), run.first)[first - run.first :]
            changed = np.flatnonzero(drawn != guess[first:])
            if not len(changed):
                break
            guess[first:] = drawn
            first += int(changed[0]) + 1
        return guess


class Engine:
    """A network that is ready to play: computes logits and draws frames from a state.

    All states share the engine's buffers, so use an engine on one thread at a time.

    Attributes:
        spec: The shape of the network.
        quotes: Runs of notes in the training music, which the network must not repeat.
        themes: Weights of the theme memory; None where the checkpoint has none.

    """

    key_stack: type[KeyStack] = KeyStack

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Fold the weights and compare the stored output with the network's.

        The engine copies the arrays it needs, so the caller may drop the checkpoint.

        Args:
            checkpoint: A loaded checkpoint.

        Raises:
            CheckpointError: The output differs from the stored one by PAIR_TOLERANCE or more.

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
        """Return a state that holds one empty frame, on the tick before `first`.

        Args:
            first: The place of the first frame to come.
            texture: The texture wanted of that frame; any where None.

        """
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
        """Take in a frame, and prepare the prediction of the next one.

        Args:
            state: The state of the music so far; written to.
            frame: uint8 [88], states of the keys.
            place: The place of the frame in the bar.
            coming: The place of the next frame.
            texture: The texture wanted of the next frame.
            adapt: Whether to learn from the frame first, as from the player's frames. The theme memory moves frames
                that were learnt from to its archive; it forgets all others in the end.

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
        """Return the logits of the coming frame, teacher forced.

        Args:
            state: The state before the coming frame.
            frame: uint8 [88], the coming frame; the logits of a key depend on the states below it.
            given: uint8 [88], states that are given, UNKNOWN for other keys; every key sees all of these.

        Returns:
            float32 [88, 3], for OFF, ONSET and HOLD. HOLD is not masked: see `sampling.masked`.

        """
        return self._network_logits(state, frame, given) + state.theme_shift.T

    def _network_logits(self, state: State, frame: Frame, given: Frame) -> Array:
        """Return the logits without the theme memory's part. The learning layer learns from these."""
        return (self.keys.logits(state.context + self.given(given), frame) + state.adaptation.shift).T

    def draw(self, state: State, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """Sample the coming frame. The state stays unchanged.

        Args:
            state: The state before the coming frame.
            given: uint8 [88], states that are given, UNKNOWN for keys to draw.
            uniforms: float64 [88], random numbers in [0, 1).
            params: How to sample.

        Returns:
            uint8 [88] states. Equal arguments give equal frames.

        """
        prepared = PreparedDraw.of(state.frame, given, uniforms, params, self._shift(state, params))
        return self.keys.draw(state.context + self.given(given), prepared, _held_on(state.frame, given))

    def onset_chance(self, state: State, given: Frame, params: SamplingParams) -> float:
        """Return an estimate of the probability that any key is struck in the coming frame.

        The estimate assumes that all sounding keys are held.

        Args:
            state: The state before the coming frame.
            given: uint8 [88], states that are given, UNKNOWN for other keys.
            params: How to sample.

        """
        prepared = PreparedDraw.of(state.frame, given, NO_NUMBERS, params, self._shift(state, params))
        odds = prepared.odds(self.keys.logits(state.context + self.given(given), _held_on(state.frame, given)))
        struck = odds[ONSET] / odds.sum(axis=0)
        return float(1 - np.prod(1 - struck))

    @staticmethod
    def _shift(state: State, params: SamplingParams) -> Array:
        """Return the sum of the shifts of the logits, [3, 88]. `params.recall` scales the theme memory's onsets."""
        shift = state.adaptation.shift + state.theme_shift
        if params.recall != 1:
            struck = state.theme_shift[ONSET]
            more = np.minimum(struck * np.float32(params.recall), np.maximum(struck, MOST_RECALL)) - struck
            shift[ONSET] += np.where(struck > 0, more, 0)
        return np.asarray(shift)

    def _check(self, checkpoint: Checkpoint) -> None:
        pair, state = checkpoint.pair, self._blank()
        found = np.empty_like(pair["pair.logits"])
        with np.errstate(all="ignore"):  # damaged weights may give any numbers
            for t in range(len(found)):
                self._push(state, pair["pair.frames"][t], pair["pair.condition"][t])
                found[t] = self.logits(state, pair["pair.coming"][t], pair["pair.given"][t])
            worst = float(np.abs(found - pair["pair.logits"]).max(initial=0))
        if not worst < PAIR_TOLERANCE:  # also true of NaN
            raise CheckpointError(
                f"the checkpoint's stored output differs from what its weights give by {worst:.2g}: it is damaged"
            )


def _held_on(frame: Frame, given: Frame) -> Frame:
    """Return the first guess of the coming frame: sounding keys are held, given keys are as given."""
    return with_given(np.minimum(frame, 1) * np.uint8(HOLD), given)


def condition_row(place: Place, coming: Place, texture: Texture) -> Array:
    """Return the conditioning input: the metre of this tick, the metre of the coming tick, and the texture.

    Args:
        place: The place of this tick.
        coming: The place of the coming tick.
        texture: The texture wanted of the coming frame.

    Returns:
        float32 [CONDITION_FEATURES].

    """
    row = np.zeros(2 * METRE_FEATURES + 2 * (TEXTURE_LEVELS + 1), np.float32)
    row[:METRE_FEATURES] = metre_features(*place)
    row[METRE_FEATURES : 2 * METRE_FEATURES] = metre_features(*coming)
    for i, level in enumerate((texture.density, texture.polyphony)):
        row[2 * METRE_FEATURES + i * (TEXTURE_LEVELS + 1) + (TEXTURE_LEVELS if level is None else level)] = 1
    return row


__all__ = ["START", "Array", "Engine", "Place", "State", "condition_row"]
