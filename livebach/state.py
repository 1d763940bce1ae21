"""What the step engine remembers, as a value beside the network: exactly, or sketched in a quarter of the room.

Knows no weights: how it is read and written is the engine's affair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.adaptation import Adaptation
from livebach.roll import Frame

Array = NDArray[np.float32]

TINY = 1e-30
"""Divides nothing into nothing."""


@dataclass(slots=True)
class State:
    """What the network remembers: ring buffers of past features, the last frame, and the context for the coming one."""

    rings: Array  # [sum of dilations, C, 88]
    frame_rings: Array  # [sum of frame dilations, F, 1]: of the stack that takes frames as vectors
    tick: int
    frame: Frame
    context: Array  # [K, 88]: what the key pass adds its own to
    adaptation: Adaptation

    def copy(self) -> State:
        """An independent snapshot."""
        rings, frame_rings = self.rings.copy(), self.frame_rings.copy()
        return State(rings, frame_rings, self.tick, self.frame.copy(), self.context.copy(), self.adaptation.copy())

    def sketch(self) -> Sketch:
        """A snapshot in a quarter of the room: to be gone back to."""
        rings, steps = np.zeros(self.rings.shape, np.int8), np.zeros(len(self.rings), np.float32)
        frame, context, learnt = self.frame.copy(), self.context.copy(), self.adaptation.copy()
        sketch = Sketch(rings, steps, self.frame_rings.copy(), self.tick, frame, context, learnt)
        sketch.copy_from(self)
        return sketch

    def copy_from(self, other: State | Sketch) -> None:
        """Become equal to a snapshot, or as near as a sketch is, without allocating."""
        if isinstance(other, Sketch):
            np.multiply(other.rings, other.steps[:, None, None], out=self.rings)
        else:
            np.copyto(self.rings, other.rings)
        np.copyto(self.frame_rings, other.frame_rings)
        np.copyto(self.frame, other.frame)
        np.copyto(self.context, other.context)
        self.adaptation.copy_from(other.adaptation)
        self.tick = other.tick


@dataclass(slots=True)
class Sketch:
    """A state, each tick's features rounded to 127ths of the largest: it leads to odds that differ by a few percent."""

    rings: NDArray[np.int8]  # [sum of dilations, C, 88]
    steps: Array  # [sum of dilations]: what 1 stands for
    frame_rings: Array  # [sum of frame dilations, F, 1]: small, and kept as they are
    tick: int
    frame: Frame
    context: Array  # [K, 88]
    adaptation: Adaptation

    def copy_from(self, state: State) -> None:
        """Sketch another state, or the same one later."""
        for i, features in enumerate(state.rings):
            self.steps[i] = max(float(np.abs(features).max()) / 127, TINY)
            np.rint(features / self.steps[i], out=self.rings[i], casting="unsafe")
        np.copyto(self.frame_rings, state.frame_rings)
        np.copyto(self.frame, state.frame)
        np.copyto(self.context, state.context)
        self.adaptation.copy_from(state.adaptation)
        self.tick = state.tick
