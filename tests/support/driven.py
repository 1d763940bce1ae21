"""A musician driven by hand: tests say what is played when, in ticks, and read what came of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from livebach.config import Config, override
from livebach.controls import parse_command
from livebach.music.events import Event, NoteOff, NoteOn
from livebach.music.roll import HOLD, LOW_KEY, ONSET, Frame
from livebach.music.texture import Texture
from livebach.musician.clock_follower import ClockMessage
from livebach.musician.musician import Musician, Request
from livebach.network.sampling import SamplingParams
from livebach.testing import Script, ScriptedEngine, frame_of

TICK = 0.125
START = 100.0  # when the player begins
OWN = 1  # the network's channel
ONE_NOTE = ({72: ONSET}, {72: HOLD}, {72: HOLD}, {72: HOLD})


class Take:
    """A musician, driven tick by tick with a clock of our own; `at` and the times in `sent` are in ticks from START."""

    def __init__(self, script: Script = ONE_NOTE, *assignments: str, start_tick: float = -100) -> None:
        config = Config()
        for assignment in ("time.bpm=120", *assignments):
            config = override(config, assignment)
        self.engine = ScriptedEngine(script)
        self.musician = Musician(self.engine, config, seed=1, start_s=START + start_tick * TICK)
        self.sent: list[tuple[float, Event]] = []

    def run(self, at: float) -> Take:
        """Do everything on time until a tick."""
        while (due_s := self.musician.deadline_s()) <= START + at * TICK:
            self._send((due_s - START) / TICK, self.musician.advance(due_s))
        return self

    def late(self, at: float) -> list[Event]:
        """Call `advance` at a time of our choosing."""
        out = self.musician.advance(START + at * TICK)
        self._send(at, out)
        return out

    def feed(self, at: float, *events: Event) -> list[Event]:
        """Play something; what was due before is done on time."""
        self.run(at)
        out = [answer for event in events for answer in self.musician.feed(event, START + at * TICK)]
        self._send(at, out)
        return out

    def command(self, at: float, name: str, value: str = "") -> list[Event]:
        """Ask for something; what was due before is done on time."""
        self.run(at)
        return self._ask(at, parse_command(name, value))

    def clock(self, at: float, text: str) -> list[Event]:
        """Receive a message of a MIDI clock, in words; what was due before is done on time."""
        self.run(at)
        return self._ask(at, ClockMessage.parse(text))

    def _ask(self, at: float, request: Request) -> list[Event]:
        out = self.musician.command(request, START + at * TICK)
        self._send(at, out)
        return out

    def play(self, keys: Iterable[int], at: float = 0, length: float = 0.9) -> Take:
        """Play keys one after another, one a tick."""
        for i, key in enumerate(keys):
            self.feed(at + i, NoteOn(key))
            self.feed(at + i + length, NoteOff(key))
        return self

    def _send(self, at: float, events: list[Event]) -> None:
        self.sent += [(at, event) for event in events]

    @property
    def onsets(self) -> list[tuple[float, int]]:
        """When it struck which key."""
        return [(round(at, 6), event.key) for at, event in self.sent if isinstance(event, NoteOn)]

    @property
    def pushed(self) -> list[dict[int, int]]:
        """What is remembered, as {MIDI key: state}."""
        frames = [frame for frame, *_ in self.engine.states[0].pushed]
        return [{int(key) + LOW_KEY: int(frame[key]) for key in np.flatnonzero(frame)} for frame in frames]

    @property
    def places(self) -> list[tuple[int, int]]:
        """Where the remembered frames stand in the bar, and where those stand that follow them."""
        return [(place[0], following[0]) for _, place, following, *_ in self.engine.states[0].pushed]

    @property
    def state(self) -> str:
        """What it says it does."""
        return self.musician.status().state


def taken_over(script: Script = ONE_NOTE, *assignments: str) -> Take:
    """A take in which the player plays four ticks and is then silent; the network begins at tick 8."""
    return Take(script, *assignments).play([60, 62, 64, 65])


def urged(least: float) -> Script:
    """A network that rests unless OFF is made rarer by so much."""

    def script(number: int, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        return frame_of({72: ONSET} if -params.off_bias >= least else {})

    return script


def textures(take: Take) -> list[Texture]:
    """The texture that went with each frame."""
    return [texture for _, _, _, texture in take.engine.states[0].pushed]
