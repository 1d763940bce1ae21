"""The network's memory: passes each frame to the network once, and holds back rests.

The network's input for a frame includes the place of the next one. So a frame is passed on once its successor is known:
the next frame that sounds, or the tick on which the network continues. Rests in which the player has merely stopped are
left out, because in Bach a long rest is an ending.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from livebach.controls import MOST_BACK
from livebach.music.grid import Place
from livebach.music.idiom import Idiom
from livebach.music.roll import HOLD, KEYS, OFF, ONSET, Frame
from livebach.music.texture import Texture
from livebach.network.quotes import Quotes
from livebach.network.sampling import SamplingParams

START: Place = (0, 4, 16)
"""The downbeat of a bar of 4/4 in 16ths."""
BARS_APART = 4
"""Bars between two snapshots of the state. A snapshot takes 1 MB, and replaying a bar takes 10 ms."""
HistoryEntry = tuple[Frame, Place, Place, Texture, bool, bool]
"""An input of the network: a frame, its place, the next place, the texture asked for, whether to learn from it, and
whether it is the player's alone, so that its themes are kept."""


class Spec(Protocol):
    """The part of a network's architecture that the musician needs."""

    @property
    def steps_per_quarter(self) -> int:
        """Ticks per quarter note."""


class Network(Protocol):
    """The part of `engine.Engine` that playing needs. Its state is opaque, with `copy_from` and `sketch`."""

    @property
    def spec(self) -> Spec:
        """The architecture."""

    @property
    def quotes(self) -> Quotes:
        """Runs of the training music that must not be repeated at length."""

    @property
    def idiom(self) -> Idiom:
        """The figures of the training music."""

    def new_state(self, first: Place, texture: Texture) -> Any:
        """Return a state without any music, for a first frame at this place."""

    def push(
        self,
        state: Any,
        frame: Frame,
        place: Place,
        coming: Place,
        texture: Texture,
        adapt: bool = False,
        keep: bool | None = None,
    ) -> None:
        """Take in a frame [88] and the place of the coming one; with `adapt`, learn from the frame first.

        With `keep`, themes in the frame are kept for the whole session; None: where the network learns from it.
        """

    def draw(self, state: Any, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """Sample the coming frame [88]. The state stays unchanged."""

    def onset_chance(self, state: Any, given: Frame, params: SamplingParams) -> float | None:
        """Return the probability that any key is struck in the coming frame; None where unknown."""


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The kept inputs of a network, from the frame with the number `first` on."""

    first: int
    pushed: tuple[HistoryEntry, ...]


class History:
    """One network's state and inputs, from the frame with the number `first` on, with snapshots for going back."""

    def __init__(self, network: Network, first: int = 0, place: Place = START) -> None:
        """Begin before the frame with the number `first`; `place` is its probable place."""
        self._network = network
        self._place = place
        self._state = network.new_state(place, Texture())
        self._pushed: deque[HistoryEntry] = deque()  # since the oldest snapshot
        self._snapshots: deque[tuple[int, Any]] = deque()  # number of frames pushed, and the state then
        self.first = first
        self.count = first

    @property
    def told(self) -> HistoryView:
        """The kept inputs."""
        return HistoryView(self.count - len(self._pushed), tuple(self._pushed))

    @property
    def newest(self) -> Frame:
        """The last frame, [88]."""
        return self._pushed[-1][0] if self._pushed else np.zeros(KEYS, np.uint8)

    def catch_up(self, told: HistoryView) -> bool:
        """Take in the inputs that another history has in addition.

        Returns:
            Whether the histories agree; False where the other one has gone back, or no longer keeps the frames needed.

        """
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
        """Take in an input. A first frame at an unexpected place begins a new state."""
        if not self._pushed and not self._snapshots and pushed[1] != self._place:
            self._state.copy_from(self._network.new_state(pushed[1], pushed[3]))
        if not self._snapshots or self.count % (BARS_APART * pushed[1][2]) == 0:
            self._snap()
        self._network.push(self._state, *pushed)
        self._pushed.append(pushed)
        self.count += 1

    def _snap(self) -> None:
        """Store a snapshot of the state. Where the store is full, the oldest snapshot is overwritten."""
        if len(self._snapshots) <= MOST_BACK // BARS_APART:
            self._snapshots.append((self.count, self._state.sketch()))
            return
        _, oldest = self._snapshots.popleft()
        oldest.copy_from(self._state)
        self._snapshots.append((self.count, oldest))
        while self.count - len(self._pushed) < self._snapshots[0][0]:
            self._pushed.popleft()

    def back(self, frames: int) -> None:
        """Forget the newest frames, at most those kept: restore a snapshot, and replay the frames after it."""
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
        """Return a sample of the coming frame, which the caller may change."""
        return self._network.draw(self._state, given, uniforms, params).copy()

    def onset_chance(self, given: Frame, params: SamplingParams) -> float | None:
        """Return the probability that any key is struck in the coming frame; None where unknown."""
        return self._network.onset_chance(self._state, given, params)


class Memory:
    """A network's history, and the frames that wait to enter it."""

    def __init__(self, network: Network, adapts: bool = True, place: Place = START) -> None:
        """Begin with a network; `place` is a downbeat. With `adapts`, the network learns from the player's frames."""
        self._network = network
        self._place = place
        self._adapts = adapts  # whether the network learns from the frames that are the player's alone
        self._past = History(network, place=place)
        self._waiting: list[tuple[Frame, Place, bool]] = []  # the last: whether the frame is the player's alone
        self._rests = 0
        self._blank = True
        self.last: Frame = np.zeros(KEYS, np.uint8)
        """The newest frame, remembered or waiting."""

    def note(self, frame: Frame, place: Place, players: bool) -> None:
        """Take in a final frame, without running the network.

        The player's rests are held back. If a frame that sounds follows, at most a bar of rests precedes it. Rests
        before the first frame are dropped. The network does not learn from rests: the player may only be thinking.

        Args:
            frame: The frame of both players, [88].
            place: Its place.
            players: Whether the frame is the player's alone.

        """
        if players and not frame.any():
            self._rests += not self._blank
            return
        # A key that sounds on, though its stroke was forgotten or taken back, counts as struck now.
        late = (frame == HOLD) & ((self.last == OFF) | (self._rests > 0))
        if late.any():
            frame = np.where(late, ONSET, frame).astype(np.uint8)
        position, beat, bar = place
        for before in range(min(self._rests, bar), 0, -1):
            self._waiting.append((np.zeros(KEYS, np.uint8), ((position - before) % bar, beat, bar), False))
        self._waiting.append((frame, place, players))
        self._rests, self._blank, self.last = 0, False, frame

    def settle(self, texture: Texture) -> None:
        """Pass on every frame whose successor is known."""
        while len(self._waiting) > 1:
            frame, place, players = self._waiting.pop(0)
            self._past.push((frame, place, self._waiting[0][1], texture, players and self._adapts, players))

    def make_ready(self, place: Place, texture: Texture) -> None:
        """Pass on all frames, so that the frame at `place` can be drawn. Rests held back are dropped."""
        self._rests = 0
        self.settle(texture)
        for frame, at, players in self._waiting:
            self._past.push((frame, at, place, texture, players and self._adapts, players))
        self._waiting.clear()

    def set_place(self, place: Place) -> None:
        """Begin at this place, a downbeat, when all the music has been forgotten."""
        self._place = place

    def back(self, frames: int) -> None:
        """Forget the newest frames, at most those kept."""
        drop = min(frames, len(self._waiting))
        del self._waiting[len(self._waiting) - drop :]
        self._rests = 0
        self._past.back(frames - drop)
        self.last = self._waiting[-1][0] if self._waiting else self._past.newest

    def forget(self) -> None:
        """Forget all the music so far."""
        self._past = History(self._network, place=self._place)
        self._waiting.clear()
        self._rests, self._blank = 0, True
        self.last = self._past.newest

    @property
    def told(self) -> HistoryView:
        """The kept inputs of the network."""
        return self._past.told

    @property
    def quotes(self) -> Quotes:
        """Runs of the training music that the network must not repeat at length."""
        return self._network.quotes

    @property
    def idiom(self) -> Idiom:
        """The figures of the training music, which the guides hold the network to."""
        return self._network.idiom

    def exchange(self, network: Network, past: History) -> bool:
        """Continue with another network whose history agrees; return False, and change nothing, where it does not."""
        if not past.catch_up(self.told):
            return False
        self._network, self._past = network, past
        return True

    def draw(self, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """Return a sample of the coming frame, which the caller may change."""
        return self._past.draw(given, uniforms, params)

    def onset_chance(self, given: Frame, params: SamplingParams) -> float | None:
        """Return the probability that any key is struck in the coming frame; None where unknown."""
        return self._past.onset_chance(given, params)
