"""What the network remembers: the frames that were played, given to it once each, rests held back.

A frame's prediction depends on where the next one stands in the bar. So a frame is handed over when it is known what
follows it: the next frame that sounds, or the tick on which the network itself goes on. Rests in which the player has
merely stopped are kept out, as in Bach a long rest is an ending.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from livebach.controls import MOST_BACK
from livebach.music.grid import Place
from livebach.music.roll import KEYS, Frame
from livebach.music.texture import Texture
from livebach.network.quotes import Quotes
from livebach.network.sampling import SamplingParams

START: Place = (0, 4, 16)
"""The downbeat of a bar of 4/4 in 16ths."""
BARS_APART = 4
"""Bars between two snapshots of the state: each is 1 MB, and a bar that is told again takes 10 ms."""
HistoryEntry = tuple[Frame, Place, Place, Texture, bool]
"""What the network was told: a frame, its place, the next one's, the texture asked for, whether to learn from it."""


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

    @property
    def quotes(self) -> Quotes:
        """What it must not quote at length."""

    def new_state(self, first: Place, texture: Texture) -> Any:
        """A memory in which nothing has been played, and the first frame is going to stand at a place."""

    def push(
        self, state: Any, frame: Frame, place: Place, coming: Place, texture: Texture, adapt: bool = False
    ) -> None:
        """Remember a frame, and where the coming one stands; learn from it first where it is another's."""

    def draw(self, state: Any, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """Sample the coming frame; changes nothing that is remembered."""

    def onset_chance(self, state: Any, given: Frame, params: SamplingParams) -> float | None:
        """Return how likely any key is to be struck in the coming frame; None where that cannot be told."""


@dataclass(frozen=True, slots=True)
class HistoryView:
    """What a network was told, from the frame number `first` on, as far as that is kept."""

    first: int
    pushed: tuple[HistoryEntry, ...]


class History:
    """What one network was told, from the frame number `first` on: its state, and the way back."""

    def __init__(self, network: Network, first: int = 0, place: Place = START) -> None:
        """Begin before the frame number `first`; `place` is where the first frame will probably stand."""
        self._network = network
        self._place = place
        self._state = network.new_state(place, Texture())
        self._pushed: deque[HistoryEntry] = deque()  # since the oldest snapshot
        self._snapshots: deque[tuple[int, Any]] = deque()  # how many frames had been pushed, the state then
        self.first = first
        self.count = first

    @property
    def told(self) -> HistoryView:
        """What is kept of what it was told."""
        return HistoryView(self.count - len(self._pushed), tuple(self._pushed))

    @property
    def newest(self) -> Frame:
        """The last frame that it was told."""
        return self._pushed[-1][0] if self._pushed else np.zeros(KEYS, np.uint8)

    def catch_up(self, told: HistoryView) -> bool:
        """Take what another was told since; False where that other has forgotten something since, or gone back."""
        since = self.first - told.first
        mine, theirs = self.told, told.pushed[since:]
        if since < 0 or self.count > told.first + len(told.pushed):
            return False
        if any(a is not b for a, b in zip(mine.pushed, theirs[mine.first - self.first :], strict=False)):
            return False
        for pushed in theirs[self.count - self.first :]:
            self.push(pushed)
        return True

    def push(self, pushed: HistoryEntry) -> None:
        """Tell it one frame more. A first one that stands elsewhere than was expected begins a state of its own."""
        if not self._pushed and not self._snapshots and pushed[1] != self._place:
            self._state.copy_from(self._network.new_state(pushed[1], pushed[3]))
        if not self._snapshots or self.count % (BARS_APART * pushed[1][2]) == 0:
            self._snap()
        self._network.push(self._state, *pushed)
        self._pushed.append(pushed)
        self.count += 1

    def _snap(self) -> None:
        """Keep the state as it is now; the oldest snapshot makes room."""
        if len(self._snapshots) <= MOST_BACK // BARS_APART:
            self._snapshots.append((self.count, self._state.sketch()))
            return
        _, oldest = self._snapshots.popleft()
        oldest.copy_from(self._state)
        self._snapshots.append((self.count, oldest))
        while self.count - len(self._pushed) < self._snapshots[0][0]:
            self._pushed.popleft()

    def back(self, frames: int) -> None:
        """Forget the newest frames, as many as are kept at most: the snapshot before, and what followed it again."""
        if frames <= 0 or not self._snapshots:
            return
        count = max(self._snapshots[0][0], self.count - frames)
        while self._snapshots[-1][0] > count:
            self._snapshots.pop()
        while self.count > count:
            self._pushed.pop()
            self.count -= 1
        start, state = self._snapshots[-1]
        self._state.copy_from(state)
        first = len(self._pushed) - (count - start)
        for i in range(first, len(self._pushed)):
            self._network.push(self._state, *self._pushed[i])

    def draw(self, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """A sample of the coming frame, the caller's to change."""
        return self._network.draw(self._state, given, uniforms, params).copy()

    def onset_chance(self, given: Frame, params: SamplingParams) -> float | None:
        """Return how likely any key is to be struck in the coming frame, where that can be told."""
        return self._network.onset_chance(self._state, given, params)


class Memory:
    """A network's past, and the frames on their way into it."""

    def __init__(self, network: Network, adapts: bool = True, place: Place = START) -> None:
        """Begin with a network; `place` is that of a downbeat."""
        self._network = network
        self._place = place
        self._adapts = adapts  # whether the network learns from the frames that are the player's alone
        self._past = History(network, place=place)
        self._waiting: list[tuple[Frame, Place, bool]] = []
        self._rests = 0
        self._blank = True
        self.last: Frame = np.zeros(KEYS, np.uint8)
        """The newest frame that is remembered or about to be."""

    def note(self, frame: Frame, place: Place, players: bool) -> None:
        """Take a final frame, which may be the player's alone; does no work on the network.

        The player's rests are held back. If a frame that sounds follows them, they lead up to it, a bar at most; before
        the first frame of all there is nothing to rest from. They teach nothing: the player may only be thinking.
        """
        if players and not frame.any():
            self._rests += not self._blank
            return
        position, beat, bar = place
        for before in range(min(self._rests, bar), 0, -1):
            self._waiting.append((np.zeros(KEYS, np.uint8), ((position - before) % bar, beat, bar), False))
        self._waiting.append((frame, place, players and self._adapts))
        self._rests, self._blank, self.last = 0, False, frame

    def settle(self, texture: Texture) -> None:
        """Hand over every frame of which the following one is known."""
        while len(self._waiting) > 1:
            frame, place, adapt = self._waiting.pop(0)
            self._past.push((frame, place, self._waiting[0][1], texture, adapt))

    def make_ready(self, place: Place, texture: Texture) -> None:
        """Hand over everything, so that the frame at `place` can be drawn; rests held back are dropped."""
        self._rests = 0
        self.settle(texture)
        for frame, at, adapt in self._waiting:
            self._past.push((frame, at, place, texture, adapt))
        self._waiting.clear()

    def back(self, frames: int) -> None:
        """Forget the newest frames, as many as are kept at most."""
        drop = min(frames, len(self._waiting))
        del self._waiting[len(self._waiting) - drop :]
        self._rests = 0
        self._past.back(frames - drop)
        self.last = self._waiting[-1][0] if self._waiting else self._past.newest

    def forget(self) -> None:
        """Begin as if nothing had been played."""
        self._past = History(self._network, place=self._place)
        self._waiting.clear()
        self._rests, self._blank = 0, True
        self.last = self._past.newest

    @property
    def told(self) -> HistoryView:
        """What is kept of what the network was told."""
        return self._past.told

    @property
    def quotes(self) -> Quotes:
        """What the network must not quote at length."""
        return self._network.quotes

    def exchange(self, network: Network, past: History) -> bool:
        """Go on with another network, which was told the same; False, and nothing changed, where it was not."""
        if not past.catch_up(self.told):
            return False
        self._network, self._past = network, past
        return True

    def draw(self, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """A sample of the coming frame, the caller's to change."""
        return self._past.draw(given, uniforms, params)

    def onset_chance(self, given: Frame, params: SamplingParams) -> float | None:
        """Return how likely any key is to be struck in the coming frame, where that can be told."""
        return self._past.onset_chance(given, params)
