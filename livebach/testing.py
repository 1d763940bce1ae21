"""Doubles for tests, of this package and of others that build on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from livebach.midi.loopback import FakePort, FakeWire
from livebach.midi.ports import PortError
from livebach.music.grid import Place
from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, UNKNOWN, Frame
from livebach.music.texture import Texture
from livebach.network.quotes import Quotes
from livebach.network.sampling import Policy
from livebach.system.clock import ManualClock

__all__ = [
    "FakePort",
    "FakeSystem",
    "FakeWire",
    "ManualClock",
    "Script",
    "ScriptedEngine",
    "ScriptedSpec",
    "ScriptedState",
    "frame_of",
]

Script = Sequence[Mapping[int, int]] | Callable[[int, NDArray[np.float64], Policy], Frame]
"""Frames as {MIDI key: state}, one for each tick that is drawn; or a function of the tick's number and the draw."""


def frame_of(states: Mapping[int, int]) -> Frame:
    """A frame from {MIDI key: state}; the other keys are OFF."""
    frame = np.zeros(KEYS, np.uint8)
    for key, state in states.items():
        frame[key - LOW_KEY] = state
    return frame


@dataclass
class ScriptedState:
    """What a `ScriptedEngine` remembers: every frame pushed, and how many there were at the first draw."""

    pushed: list[tuple[Frame, Place, Place, Texture]] = field(default_factory=list)
    first_draw: int | None = None

    def copy(self) -> ScriptedState:
        """An independent snapshot."""
        return ScriptedState(self.pushed.copy(), self.first_draw)

    sketch = copy

    def copy_from(self, other: ScriptedState) -> None:
        """Become equal to a snapshot."""
        self.pushed, self.first_draw = other.pushed.copy(), other.first_draw

    @property
    def last(self) -> Frame:
        """The newest frame pushed."""
        return self.pushed[-1][0] if self.pushed else np.zeros(KEYS, np.uint8)


@dataclass(frozen=True)
class ScriptedSpec:
    """The little that playing must know of a network."""

    steps_per_quarter: int = 4


class ScriptedEngine:
    """Has the methods of `engine.Engine` that playing uses, and plays a script, over and over.

    Like the engine it obeys given and forbidden keys, and cannot hold a key that was off. `states` holds every state
    it has made, `draws` every (given, uniforms, policy) that it was asked for.
    """

    def __init__(self, script: Script = (), steps_per_quarter: int = 4) -> None:
        self.spec = ScriptedSpec(steps_per_quarter)
        self.quotes = Quotes()
        self.states: list[ScriptedState] = []
        self.draws: list[tuple[Frame, NDArray[np.float64], Policy]] = []
        self.adapted: list[bool] = []
        self._script = script

    def new_state(self, _first: Place = (0, 4, 16), _texture: Texture | None = None) -> ScriptedState:
        """A memory in which nothing has been played."""
        self.states.append(ScriptedState())
        return self.states[-1]

    def push(
        self, state: ScriptedState, frame: Frame, place: Place, next_place: Place, texture: Texture, adapt: bool = False
    ) -> None:
        """Write down what is remembered."""
        self.adapted.append(adapt)
        state.pushed.append((frame.copy(), place, next_place, texture))

    def draw(self, state: ScriptedState, given: Frame, uniforms: NDArray[np.float64], policy: Policy) -> Frame:
        """The script's frame for as many frames as were pushed since the first draw."""
        self.draws.append((given.copy(), uniforms.copy(), policy))
        if state.first_draw is None:
            state.first_draw = len(state.pushed)
        frame = self._line(len(state.pushed) - state.first_draw, uniforms, policy)
        frame[(frame == HOLD) & (state.last == OFF)] = OFF
        if policy.forbidden is not None:
            frame[policy.forbidden & (frame == ONSET)] = OFF
        return np.where(given == UNKNOWN, frame, given).astype(np.uint8)

    def _line(self, number: int, uniforms: NDArray[np.float64], policy: Policy) -> Frame:
        if callable(self._script):
            return self._script(number, uniforms, policy).copy()
        return frame_of(self._script[number % len(self._script)] if self._script else {})


@dataclass
class FakeSystem:
    """A place with ports that come and go: its lists of names may be changed at any time."""

    api: str = "fake"
    running: bool = True
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    lines: dict[str, FakeWire] = field(default_factory=dict)  # the line opened last on each name
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    def names(self, inputs: bool) -> list[str]:
        """The ports of one kind."""
        if not self.running:
            raise PortError("no fake server is running")
        return list(self.inputs if inputs else self.outputs)

    def open_input(self, name: str, received: Callable[[bytes], None]) -> FakeWire:
        """Hear a port; what is sent on the line in `lines` is what it plays."""
        return self._line(name, self.inputs, received)

    def open_output(self, name: str) -> FakeWire:
        """Send to a port; it arrives in `sent`."""
        return self._line(name, self.outputs, lambda data: self.sent.append((name, data)))

    def virtual_input(self, title: str, received: Callable[[bytes], None]) -> FakeWire:
        """Make a port that others may send to."""
        return self._line(title, [title], received)

    def virtual_output(self, title: str) -> FakeWire:
        """Make a port that others may hear."""
        return self._line(title, [title], lambda data: self.sent.append((title, data)))

    def _line(self, name: str, there: list[str], received: Callable[[bytes], None]) -> FakeWire:
        if name not in there:
            raise PortError(f"no port {name!r}")
        self.lines[name] = FakeWire(received)
        return self.lines[name]
