"""The step engine: runs the trained network one frame at a time, in numpy, with ring buffers instead of recomputation.

Over time the engine uses Fast WaveNet generation (Le Paine et al. 2016). Over the keys it uses fixed-point iteration:
it guesses a frame and corrects the guess until the draws agree with it. The result equals that of drawing one key after
another. State is a value apart from the network: `push` writes to the state, `draw` and `logits` only read it. This
module knows no clock, no port and no torch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from livebach.music.metre import METRE_FEATURES, metre_features
from livebach.music.roll import HOLD, KEYS, ONSET, UNKNOWN, Frame
from livebach.music.texture import TEXTURE_LEVELS, Texture
from livebach.network.adaptation import Adaptation
from livebach.network.checkpoint import Checkpoint, CheckpointError
from livebach.network.layers import FrameStack, GivenStack, KeyStack, TimeStack
from livebach.network.sampling import PreparedDraw, SamplingParams, probabilities, with_given
from livebach.network.state import Array, State
from livebach.network.theme_evidence import ThemeWeights, evidence
from livebach.network.themes import ThemeMemory

Place = tuple[int, int, int]
"""Tick in the bar, beat length, bar length, in ticks."""

START: Place = (0, 4, 16)
NOTHING = np.full(KEYS, UNKNOWN, np.uint8)
NO_NUMBERS = np.zeros(KEYS)
RECALLED = 16
"""Most alignments with the player's music alone."""
RETURNING, RETURNING_BARS = 4, 5
"""Most alignments with any music that may return, and its least distance in bars. With few of them the keys of a tick
come from one passage, and agree. Without the distance the music would go round in circles."""
LEAST_RECALLED, MOST_RECALLED = np.float32(0.1), np.float32(11.0)
"""Nats of evidence from which `SamplingParams.recall` scales it, and the most nats that it adds to ONSET."""
MOST_AGAIN = np.float32(10.0)
"""Most nats that `SamplingParams.again` adds to ONSET."""
RECALLED_OUTSIDE, RETURNING_OUTSIDE = np.float32(0.4), np.float32(0.6)
"""Part of the player's and of any earlier music's evidence that counts for keys outside the scale."""
ALL_KEYS = np.arange(KEYS)
AS_IT_IS = SamplingParams()
PAIR_TOLERANCE = 1e-3
"""Largest allowed error of the logits at load. Rounding differs between machines by less than a tenth of this."""


class Engine:
    """A network that is ready to play: computes logits and draws frames from a state.

    All states share the engine's buffers, so use an engine on one thread at a time.

    Attributes:
        spec: The shape of the network.
        quotes: Runs of notes in the training music, which the network must not repeat.
        themes: Weights of the theme memory; None where the checkpoint has none.
        idiom: Figures of the training music, to play by.

    """

    key_stack: type[KeyStack] = KeyStack
    theme_memory: type[ThemeMemory] = ThemeMemory
    evidence: Callable[[ThemeMemory], Array] = staticmethod(evidence)

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
        self.idiom = checkpoint.idiom
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
        themes = None if self.themes is None else self.theme_memory.blank()
        return State(self.time.blank(), frame_rings, 0, np.zeros(KEYS, np.uint8), context, adaptation, themes)

    def push(
        self,
        state: State,
        frame: Frame,
        place: Place,
        coming: Place,
        texture: Texture,
        adapt: bool = False,
        keep: bool | None = None,
    ) -> None:
        """Take in a frame, and prepare the prediction of the next one.

        Args:
            state: The state of the music so far; written to.
            frame: uint8 [88], states of the keys.
            place: The place of the frame in the bar.
            coming: The place of the next frame.
            texture: The texture wanted of the next frame.
            adapt: Whether to learn from the frame first, as from the player's frames.
            keep: Whether the theme memory keeps the frame in its archive, as the player's frames; it forgets all others
                in the end. None: those that are learnt from.

        """
        if adapt:
            logits = self._network_logits(state, frame, NOTHING)
            state.adaptation.learn(probabilities(logits, state.frame, AS_IT_IS).T, frame)
        else:
            state.adaptation.fade()
        self._push(state, frame, condition_row(place, coming, texture))
        if self.themes is not None and state.themes is not None:
            players = adapt if keep is None else keep
            state.themes.observe(frame, place, coming, players)
            np.copyto(state.theme_shift, self.themes.shift(self.evidence(state.themes)))
            if not players:  # the first strokes of a turn are sampled without recall
                self._recall(self.themes, state.themes, state, RETURNING_BARS * coming[2])

    @staticmethod
    def _recall(weights: ThemeWeights, memory: ThemeMemory, state: State, far: int) -> None:
        """Write what the player's music, and any music at least `far` ticks ago, says of the coming onsets."""
        rows = memory.rows
        for target, sources, most in (
            (state.recalled, memory.player_rows, RECALLED),
            (state.returning, rows[(rows + 1) * memory.beat >= far], RETURNING),
        ):
            np.copyto(target, weights.shift(evidence(memory, memory.alignments(sources, most)))[ONSET])

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
        odds = prepared.odds(self.keys.first_logits(state.context + self.given(given), _held_on(state.frame, given)))
        struck = odds[ONSET] / odds.sum(axis=0)
        return float(1 - np.prod(1 - struck))

    @staticmethod
    def _shift(state: State, params: SamplingParams) -> Array:
        """Return the sum of the shifts of the logits, [3, 88]."""
        shift = state.adaptation.shift + state.theme_shift
        if params.recall:
            above = np.maximum(state.recalled - LEAST_RECALLED, 0)
            more = np.minimum(np.float32(params.recall) * above, MOST_RECALLED)
            if params.tonal is not None:
                more = _less_outside(more, params.tonal, RECALLED_OUTSIDE)
                np.maximum.at(more, params.tonal, more.copy())
            shift[ONSET] += more
        if params.again:
            more = np.minimum(np.float32(params.again) * np.maximum(state.returning, 0), MOST_AGAIN)
            if params.tonal is not None:
                more = _less_outside(more, params.tonal, RETURNING_OUTSIDE)
            shift[ONSET] += more
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


def _less_outside(more: Array, tonal: NDArray[np.intp], share: np.float32) -> Array:
    """Return evidence [88] of which a share counts for keys outside the scale: see `SamplingParams.tonal`."""
    return np.asarray(np.where(tonal == ALL_KEYS, 1, share) * more)


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
