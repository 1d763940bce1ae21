"""Test doubles for this package and for packages that build on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from livebach.midi.backends import Backend, Receive
from livebach.midi.loopback import FakeConnection, FakePort
from livebach.midi.ports import PortError
from livebach.music.grid import Place
from livebach.music.idiom import BACH
from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, UNKNOWN, Frame
from livebach.music.texture import Texture
from livebach.network.quotes import Quotes
from livebach.network.sampling import SamplingParams
from livebach.system.clock import ManualClock

__all__ = [
    "FakeBackend",
    "FakeConnection",
    "FakePort",
    "ManualClock",
    "Script",
    "ScriptedEngine",
    "ScriptedSpec",
    "ScriptedState",
    "frame_of",
]

Script = Sequence[Mapping[int, int]] | Callable[[int, NDArray[np.float64], SamplingParams], Frame]
"""One {MIDI key: state} per drawn tick; or a function of the tick's number, the uniforms and the parameters."""


def frame_of(states: Mapping[int, int]) -> Frame:
    """Return a frame from {MIDI key: state}; all other keys are OFF."""
    frame = np.zeros(KEYS, np.uint8)
    for key, state in states.items():
        frame[key - LOW_KEY] = state
    return frame


@dataclass
class ScriptedState:
    """The state of a `ScriptedEngine`: all frames pushed, and their number at the first draw."""

    pushed: list[tuple[Frame, Place, Place, Texture]] = field(default_factory=list)
    first_draw: int | None = None

    def copy(self) -> ScriptedState:
        """Return an independent snapshot."""
        return ScriptedState(self.pushed.copy(), self.first_draw)

    sketch = copy

    def copy_from(self, other: ScriptedState) -> None:
        """Restore a snapshot."""
        self.pushed, self.first_draw = other.pushed.copy(), other.first_draw

    @property
    def last(self) -> Frame:
        """The newest frame."""
        return self.pushed[-1][0] if self.pushed else np.zeros(KEYS, np.uint8)


@dataclass(frozen=True)
class ScriptedSpec:
    """The part of a network's specification that playing uses."""

    steps_per_quarter: int = 4


class ScriptedEngine:
    """An engine that plays a script in a loop. It has the methods of `engine.Engine` that playing uses.

    Like the real engine, it obeys given and forbidden keys, and never holds a key that was off. `states` lists all
    states it has made. `draws` lists the (given, uniforms, params) of all draws.
    """

    def __init__(self, script: Script = (), steps_per_quarter: int = 4) -> None:
        self.spec = ScriptedSpec(steps_per_quarter)
        self.quotes = Quotes()
        self.idiom = BACH
        self.states: list[ScriptedState] = []
        self.draws: list[tuple[Frame, NDArray[np.float64], SamplingParams]] = []
        self.adapted: list[bool] = []
        self.kept: list[bool] = []
        self._script = script

    def new_state(self, _first: Place = (0, 4, 16), _texture: Texture | None = None) -> ScriptedState:
        """Return an empty state."""
        self.states.append(ScriptedState())
        return self.states[-1]

    def push(
        self,
        state: ScriptedState,
        frame: Frame,
        place: Place,
        next_place: Place,
        texture: Texture,
        adapt: bool = False,
        keep: bool | None = None,
    ) -> None:
        """Append a frame to the state."""
        self.adapted.append(adapt)
        self.kept.append(adapt if keep is None else keep)
        state.pushed.append((frame.copy(), place, next_place, texture))

    def draw(self, state: ScriptedState, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """Return the script's next frame: its number is the count of frames pushed since the first draw."""
        self.draws.append((given.copy(), uniforms.copy(), params))
        if state.first_draw is None:
            state.first_draw = len(state.pushed)
        frame = self._line(len(state.pushed) - state.first_draw, uniforms, params)
        frame[(frame == HOLD) & (state.last == OFF)] = OFF
        if params.forbidden is not None:
            frame[params.forbidden & (frame == ONSET)] = OFF
        return np.where(given == UNKNOWN, frame, given).astype(np.uint8)

    def onset_chance(self, state: ScriptedState, given: Frame, params: SamplingParams) -> None:
        """Return None: the script decides the rhythm."""

    def _line(self, number: int, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        if callable(self._script):
            return self._script(number, uniforms, params).copy()
        return frame_of(self._script[number % len(self._script)] if self._script else {})


class FakeBackend(Backend):
    """A back-end whose ports come and go: a test may change `inputs` and `outputs` at any time."""

    virtual_ports = True

    def __init__(
        self, name: str = "fake", inputs: Sequence[str] = (), outputs: Sequence[str] = (), running: bool = True
    ) -> None:
        self.name = name
        self.running = running
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.connections: dict[str, FakeConnection] = {}  # the newest connection by port name
        self.sent: list[tuple[str, bytes]] = []

    def input_names(self) -> list[str]:
        """Return the names of the inputs; raise PortError unless `running`."""
        return self._names(self.inputs)

    def output_names(self) -> list[str]:
        """Return the names of the outputs; raise PortError unless `running`."""
        return self._names(self.outputs)

    def open_input(self, name: str, receive: Receive) -> FakeConnection:
        """Open an input. A test plays on it by sending to its connection in `connections`."""
        return self._connect(name, self.inputs, receive)

    def open_output(self, name: str) -> FakeConnection:
        """Open an output. Its messages are appended to `sent`."""
        return self._connect(name, self.outputs, lambda data: self.sent.append((name, data)))

    def open_virtual_input(self, title: str, receive: Receive) -> FakeConnection:
        """Create an input that other programs can send to."""
        return self._connect(title, [title], receive)

    def open_virtual_output(self, title: str) -> FakeConnection:
        """Create an output that other programs can read."""
        return self._connect(title, [title], lambda data: self.sent.append((title, data)))

    def _names(self, names: Sequence[str]) -> list[str]:
        if not self.running:
            raise PortError(f"no {self.name} server is running")
        return list(names)

    def _connect(self, name: str, present: Sequence[str], receive: Callable[[bytes], None]) -> FakeConnection:
        if name not in present:
            raise PortError(f"no port {name!r}")
        self.connections[name] = FakeConnection(receive)
        return self.connections[name]
