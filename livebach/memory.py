"""What the network remembers: the frames that were played, given to it once each, rests held back.

A frame's prediction depends on where the next one stands in the bar. So a frame is handed over when it is known what
follows it: the next frame that sounds, or the tick on which the network itself goes on. Rests in which the player has
merely stopped are kept out, as in Bach a long rest is an ending.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from livebach.controls import MOST_BACK
from livebach.grid import Place
from livebach.roll import KEYS, Frame, Texture
from livebach.sampling import Policy

BARS_APART = 4
"""Bars between two snapshots of the state: each is 4 MB, and a bar that is told again takes 10 ms."""
Pushed = tuple[Frame, Place, Place, Texture]
"""What the network was told: a frame, its place, the next one's, and the texture asked for."""


class Spec(Protocol):
    """What must be known of a network's architecture."""

    @property
    def steps_per_quarter(self) -> int:
        """Ticks in a quarter note."""


class Network(Protocol):
    """The part of `engine.Engine` that playing needs; its state is the engine's own affair."""

    @property
    def spec(self) -> Spec:
        """The architecture."""

    def new_state(self) -> Any:
        """A memory in which nothing has been played."""

    def push(self, state: Any, frame: Frame, place: Place, next_place: Place, texture: Texture) -> None:
        """Remember a frame, and where the coming one stands."""

    def draw(self, state: Any, given: Frame, uniforms: NDArray[np.float64], policy: Policy) -> Frame:
        """Sample the coming frame; changes nothing that is remembered."""


class Memory:
    """The network's state and the frames on their way into it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._state = network.new_state()
        self._waiting: list[tuple[Frame, Place]] = []
        self._rests = 0
        self._blank = True
        self._pushed: deque[Pushed] = deque()  # since the oldest snapshot
        self._snapshots: deque[tuple[int, Any]] = deque()  # how many frames had been pushed, the state then
        self._count = 0
        self.last: Frame = np.zeros(KEYS, np.uint8)
        """The newest frame that is remembered or about to be."""

    def note(self, frame: Frame, place: Place, hold_back: bool) -> None:
        """Take a final frame; does no work on the network.

        Rests may be held back. If a frame that sounds follows them, they lead up to it, a bar at most; before the first
        frame of all there is nothing to rest from.
        """
        if hold_back and not frame.any():
            self._rests += not self._blank
            return
        position, beat, bar = place
        for before in range(min(self._rests, bar), 0, -1):
            self._waiting.append((np.zeros(KEYS, np.uint8), ((position - before) % bar, beat, bar)))
        self._waiting.append((frame, place))
        self._rests, self._blank, self.last = 0, False, frame

    def settle(self, texture: Texture) -> None:
        """Hand over every frame of which the following one is known."""
        while len(self._waiting) > 1:
            frame, place = self._waiting.pop(0)
            self._push(frame, place, self._waiting[0][1], texture)

    def make_ready(self, place: Place, texture: Texture) -> None:
        """Hand over everything, so that the frame at `place` can be drawn; rests held back are dropped."""
        self._rests = 0
        self.settle(texture)
        for frame, at in self._waiting:
            self._push(frame, at, place, texture)
        self._waiting.clear()

    def _push(self, *pushed: *Pushed) -> None:
        if self._count % (BARS_APART * pushed[1][2]) == 0:
            self._snap()
        self._network.push(self._state, *pushed)
        self._pushed.append(pushed)
        self._count += 1

    def _snap(self) -> None:
        """Keep the state as it is now; the oldest snapshot makes room."""
        if len(self._snapshots) <= MOST_BACK // BARS_APART:
            self._snapshots.append((self._count, self._state.copy()))
            return
        _, oldest = self._snapshots.popleft()
        oldest.copy_from(self._state)
        self._snapshots.append((self._count, oldest))
        while self._count - len(self._pushed) < self._snapshots[0][0]:
            self._pushed.popleft()

    def back(self, frames: int) -> None:
        """Forget the newest frames, as many as are kept at most: the snapshot before, and what followed it again."""
        drop = min(frames, len(self._waiting))
        del self._waiting[len(self._waiting) - drop :]
        self._rests = 0
        if frames > drop and self._snapshots:
            self._rewind(max(self._snapshots[0][0], self._count - frames + drop))
        self.last = self._newest()

    def _rewind(self, count: int) -> None:
        while self._snapshots[-1][0] > count:
            self._snapshots.pop()
        while self._count > count:
            self._pushed.pop()
            self._count -= 1
        start, state = self._snapshots[-1]
        self._state.copy_from(state)
        first = len(self._pushed) - (count - start)
        for i in range(first, len(self._pushed)):
            self._network.push(self._state, *self._pushed[i])

    def _newest(self) -> Frame:
        if self._waiting:
            return self._waiting[-1][0]
        return self._pushed[-1][0] if self._pushed else np.zeros(KEYS, np.uint8)

    def forget(self) -> None:
        """Begin as if nothing had been played."""
        self._state = self._network.new_state()
        self._waiting.clear()
        self._pushed.clear()
        self._snapshots.clear()
        self._rests, self._blank, self._count = 0, True, 0
        self.last = self._newest()

    def draw(self, given: Frame, uniforms: NDArray[np.float64], policy: Policy) -> Frame:
        """A sample of the coming frame, the caller's to change."""
        return self._network.draw(self._state, given, uniforms, policy).copy()
