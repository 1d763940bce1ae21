"""Random events and times, and a network that plays anything."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from livebach.music.events import ControlChange, Event, NoteOff, NoteOn, ProgramChange
from livebach.music.roll import HOLD, OFF, ONSET, Frame
from livebach.network.sampling import SamplingParams
from tests.support.driven import START, TICK, Take


def chance(number: int, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
    """A network that plays anything."""
    return np.select([uniforms < 0.1, uniforms < 0.6], [ONSET, HOLD], OFF).astype(np.uint8)


KEY = st.sampled_from([20, 21, 60, 61, 62, 108, 109])
EVENT = st.one_of(
    st.builds(NoteOn, KEY, st.integers(1, 127), st.integers(0, 2)),
    st.builds(NoteOff, KEY, st.just(0), st.integers(0, 2)),
    st.builds(ControlChange, st.sampled_from([1, 64, 120, 121, 123]), st.sampled_from([0, 127]), st.integers(0, 2)),
    st.builds(ProgramChange, st.integers(0, 127), st.integers(0, 2)),
)
WAIT = st.one_of(st.floats(-1, 40), st.sampled_from([0.0, 1e7]))
STEP = st.tuples(WAIT, st.one_of(EVENT, st.sampled_from(["advance", "run", "stop"])))
Steps = list[tuple[float, Event | str]]
MODE = st.sampled_from(["continue", "continue", "duet", "accompany", "listen"])


def carry_out(take: Take, steps: Steps) -> list[Event]:
    """Do anything in any order, on time or not, and stop; returns all that was sent."""
    now = 0.0
    for ticks, step in steps:
        now += ticks
        if step == "advance":
            take.late(now)
        elif step == "run":
            take.late(now - 50)
            take.run(now)
        elif step == "stop":
            take._send(now, take.musician.stop(START + now * TICK))
        elif not isinstance(step, str):
            take._send(now, take.musician.feed(step, START + now * TICK))
    take._send(now, take.musician.stop(START + now * TICK))
    return [event for _, event in take.sent]
