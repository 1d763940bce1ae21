"""The state of the step engine: exact, or sketched in an eighth of the memory.

A state is a value apart from the network. The engine reads and writes states. This module knows no weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, STATES, Frame
from livebach.network.adaptation import Adaptation
from livebach.network.themes import PackedThemes, ThemeMemory

Array = NDArray[np.float32]

TINY = np.float32(1e-30)
"""Keeps the step of an all-zero slot positive."""


def _no_shift() -> Array:
    return np.zeros((STATES, KEYS), np.float32)


def _nothing_recalled() -> Array:
    return np.zeros(KEYS, np.float32)


@dataclass(slots=True)
class State:
    """The memory of the network: past features, the last frame, and the context of the coming frame.

    Attributes:
        rings: [sum of dilations, C, 88] past features of the time layers, as ring buffers.
        frame_rings: [sum of frame dilations, F, 1] the same of the stack that takes frames as vectors.
        tick: Number of frames taken in.
        frame: [88] the last frame.
        context: [K, 88] features of the past, the input of the pass over the keys.
        adaptation: The learning layer.
        themes: The theme memory; None for a network without weights for one.
        theme_shift: [3, 88] shift of the coming frame's logits by the theme memory, in nats.
        recalled: [88] shift of the coming frame's logits of ONSET by what the player has played, in nats; for sampling.
        returning: [88] the same by all music that is some bars ago.

    """

    rings: Array
    frame_rings: Array
    tick: int
    frame: Frame
    context: Array
    adaptation: Adaptation
    themes: ThemeMemory | None = None
    theme_shift: Array = field(default_factory=_no_shift)
    recalled: Array = field(default_factory=_nothing_recalled)
    returning: Array = field(default_factory=_nothing_recalled)

    def copy(self) -> State:
        """Return an independent snapshot."""
        rings, frame_rings, frame = self.rings.copy(), self.frame_rings.copy(), self.frame.copy()
        context, learnt, themes = self.context.copy(), self.adaptation.copy(), _copy_of(self.themes)
        shift, recalled, returning = self.theme_shift.copy(), self.recalled.copy(), self.returning.copy()
        return State(rings, frame_rings, self.tick, frame, context, learnt, themes, shift, recalled, returning)

    def sketch(self) -> Sketch:
        """Return an approximate snapshot that takes an eighth of the memory."""
        ticks, size = len(self.rings), self.rings[0].size
        rings, steps = np.zeros((ticks, size // 2), np.int8), np.zeros(ticks, np.float32)
        features, learnt = np.zeros((1, self.adaptation.features.size // 2), np.int8), Adaptation.blank(0)
        learnt.weights, learnt.squares = np.empty_like(self.adaptation.weights), np.empty_like(self.adaptation.squares)
        sketch = Sketch(
            rings=rings,
            steps=steps,
            features=features,
            features_step=np.zeros(1, np.float32),
            frame_rings=self.frame_rings.copy(),
            tick=self.tick,
            frame=self.frame.copy(),
            context=self.context.copy(),
            adaptation=learnt,
            themes=None if self.themes is None else PackedThemes.of(self.themes),
            theme_shift=self.theme_shift.copy(),
            recalled=self.recalled.copy(),
            returning=self.returning.copy(),
        )
        sketch.copy_from(self)
        return sketch

    def copy_from(self, other: State | Sketch) -> None:
        """Restore a snapshot, exactly from a `State` and approximately from a `Sketch`, without allocating."""
        if isinstance(other, Sketch):
            for features, numbers, step in zip(self.rings, other.rings, other.steps, strict=True):
                _restore(features, numbers, step)
            _restore(self.adaptation.features, other.features[0], other.features_step[0])
        else:
            np.copyto(self.rings, other.rings)
            np.copyto(self.adaptation.features, other.adaptation.features)
        _copy_the_rest(other, self)


@dataclass(slots=True)
class Sketch:
    """A state with four bits for each feature of its rings, and for each feature that the learning layer learns from.

    After a sketch is restored, probabilities differ by a few hundredths. After half a bar of music they differ by one
    hundredth.

    Attributes:
        rings: [sum of dilations, C * 88 / 2] two features in a byte.
        steps: [sum of dilations] the unit of each tick's numbers.
        features: [1, F * 88 / 2] the features of the learning layer, two in a byte.
        features_step: [1] their unit.
        frame_rings: As in `State`; small, so stored unchanged.
        tick: As in `State`.
        frame: As in `State`.
        context: As in `State`.
        adaptation: As in `State`, without features.
        themes: As in `State`, packed.
        theme_shift: As in `State`.
        recalled: As in `State`.
        returning: As in `State`.

    """

    rings: NDArray[np.int8]
    steps: Array
    features: NDArray[np.int8]
    features_step: Array
    frame_rings: Array
    tick: int
    frame: Frame
    context: Array
    adaptation: Adaptation
    themes: PackedThemes | None
    theme_shift: Array
    recalled: Array
    returning: Array

    def copy_from(self, state: State) -> None:
        """Overwrite this sketch with one of `state`, without allocating."""
        _sketch(state.rings.reshape(len(self.rings), -1), self.rings, self.steps)
        _sketch(state.adaptation.features.reshape(1, -1), self.features, self.features_step)
        _copy_the_rest(state, self)


def _copy_of(themes: ThemeMemory | None) -> ThemeMemory | None:
    return None if themes is None else themes.copy()


def _copy_the_rest(source: State | Sketch, target: State | Sketch) -> None:
    """Copy everything but the rings and the learning layer's features, which a sketch stores in another form."""
    np.copyto(target.frame_rings, source.frame_rings)
    np.copyto(target.frame, source.frame)
    np.copyto(target.context, source.context)
    target.adaptation.copy_learnt(source.adaptation)
    if isinstance(target.themes, ThemeMemory) and source.themes is not None:
        target.themes.copy_from(source.themes)
    elif isinstance(target.themes, PackedThemes) and isinstance(source.themes, ThemeMemory):
        target.themes.pack(source.themes)
    np.copyto(target.theme_shift, source.theme_shift)
    np.copyto(target.recalled, source.recalled)
    np.copyto(target.returning, source.returning)
    target.tick = source.tick


# -- four bits a feature ----------------------------------------------------------------------------------------------

LARGEST = 7
WIDE = 3
"""Range of the numbers, in root mean squares of a tick's features. Larger features are clipped."""
_ROUNDING = np.float32(1.5 * 2**23)
"""A number in this range has no fraction, so adding it rounds; the last bits of the sum are the whole number's."""
_ROWS = 12
"""Ticks that are sketched at once. Their numbers fit into the fast part of a processor's memory."""


def _sketch(features: Array, numbers: NDArray[np.int8], steps: Array) -> None:
    """Write features as whole numbers from -7 to 7.

    Args:
        features: [n, size] features of n ticks.
        numbers: [n, size / 2] written to: the numbers of the first half in the lower bits, of the second in the upper.
        steps: [n] written to: the unit of each tick's numbers.

    """
    half = numbers.shape[1]
    for start in range(0, len(features), _ROWS):
        some = features[start : start + _ROWS]
        step = np.sqrt(np.einsum("ij,ij->i", some, some) / np.float32(some.shape[1]))
        step = step * np.float32(WIDE / LARGEST) + TINY
        scaled = some * (1 / step)[:, None]
        np.clip(scaled, -LARGEST, LARGEST, out=scaled)
        scaled += _ROUNDING
        bits = scaled.view(np.int32)
        first, second = bits[:, :half], bits[:, half:]
        first &= 0x0F
        second <<= 4
        first |= second
        numbers[start : start + _ROWS] = first  # the lowest byte
        steps[start : start + _ROWS] = step


def _restore(features: Array, numbers: NDArray[np.int8], step: np.float32) -> None:
    """Write the features that `_sketch` stored, up to rounding. A shift of int8 to the right keeps the sign."""
    flat = features.reshape(-1)
    flat[: len(numbers)] = (numbers << 4) >> 4
    flat[len(numbers) :] = numbers >> 4
    flat *= step
