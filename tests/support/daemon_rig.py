"""A daemon over in-process ports, with a musician whose network plays a script."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from livebach.config import Config, SamplingSettings, TimeSettings
from livebach.live.daemon import Daemon
from livebach.live.simulated_run import rehearse
from livebach.live.take_log import Call
from livebach.midi.ports import Thru
from livebach.music.events import ControlChange, Event, NoteOff, NoteOn, Realtime, from_bytes, to_bytes
from livebach.music.roll import HOLD, ONSET
from livebach.musician.musician import Musician
from livebach.testing import FakePort, ManualClock, ScriptedEngine

SCRIPT = [{72: ONSET}, {72: HOLD}, {76: ONSET}, {76: HOLD}]
CONFIG = Config(time=TimeSettings(bpm=120), sampling=SamplingSettings(seed=1))
TICK_S = 0.125
START_S = 100.0
OWN = 1  # livebach's channel, from 0


class Memo:
    """A recorder that keeps calls in a list."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.remarks: list[str] = []

    def call(self, call: Call) -> None:
        """Keep it."""
        self.calls.append(call)

    def remark(self, text: str, now_s: float) -> None:
        """Keep it."""
        self.remarks.append(text)

    @property
    def folder(self) -> None:
        """No folder."""

    @property
    def midi(self) -> None:
        """No file."""

    def close(self) -> None:
        """Nothing to close."""


class Rig:
    """A daemon over in-process ports, with a musician whose network plays a script."""

    def __init__(self, config: Config = CONFIG, musician: Any = None, clock: Any = None) -> None:
        self.clock = clock or ManualClock(START_S)
        self.synth = FakePort("synth", now=self.clock.now)
        self.memo = Memo()
        self.said: list[str] = []
        self.musician = musician or Musician(ScriptedEngine(SCRIPT), config, 1, self.clock.now())
        self.daemon = Daemon(
            self.musician,
            self.clock,
            self.synth,
            thru=Thru(self.synth, config.midi.thru),
            recorder=self.memo,
            say=self.said.append,
        )

    def play(self, *score: tuple[float, Event], until: float) -> None:
        """Play events at these times after the start, and go on until that time after it."""
        messages = [(START_S + time_s, to_bytes(event)) for time_s, event in score]
        rehearse(self.daemon, self.clock, messages, START_S + until)

    def own(self) -> list[tuple[float, Event]]:
        """What livebach sent, with times after the start."""
        sent = [(time_s - START_S, from_bytes(data)) for time_s, data in self.synth.sent]
        channeled = [(time_s, event) for time_s, event in sent if not isinstance(event, Realtime | None)]
        return [(time_s, event) for time_s, event in channeled if event.channel == OWN]


def sounding(port: FakePort) -> set[tuple[int, int]]:
    """Each channel and key whose last note-on was not followed by a note-off."""
    on: set[tuple[int, int]] = set()
    for event in port.events():
        if isinstance(event, NoteOn):
            on.add((event.channel, event.key))
        elif isinstance(event, NoteOff):
            on.discard((event.channel, event.key))
    return on


KEYS = st.one_of(st.integers(10, 24), st.integers(58, 64), st.integers(106, 110))
PLAYED: st.SearchStrategy[Event] = st.one_of(
    st.builds(NoteOn, KEYS, st.integers(1, 127), st.integers(0, 2)),
    st.builds(NoteOff, KEYS, st.just(0), st.integers(0, 2)),
    st.builds(ControlChange, st.sampled_from([1, 64, 120, 123]), st.integers(0, 127), st.integers(0, 2)),
)
