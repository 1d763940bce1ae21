"""Every end leaves silence: signals to a real process, faults in any part, and any playing and commands."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livebach.config import Config, MidiSettings, TurnSettings
from livebach.controls import CONTROLS, MODES, Act, Argument, Command, Step, Switch
from livebach.live.simulated_run import rehearse
from livebach.music.events import Event, NoteOff, NoteOn, to_bytes
from livebach.musician.musician import Musician
from livebach.testing import ManualClock, ScriptedEngine
from tests.support.daemon_rig import CONFIG, PLAYED, SCRIPT, START_S, TICK_S, Rig, sounding
from tests.support.ended_process import ended

pytestmark = pytest.mark.clock

# --- any playing and asking ------------------------------------------------------------------------------------------


def arguments(name: str) -> st.SearchStrategy[Argument]:
    """What a control may be asked, sense and nonsense."""
    kind = CONTROLS[name].kind
    if isinstance(kind, Switch):
        return st.sampled_from([None, True, False])
    if isinstance(kind, Act):
        return st.sampled_from([None, 1, 3] if name == "back" else [None])
    return st.sampled_from([*Step, "0", "0.9", "120", "nonsense"])


ARGUMENTS = st.sampled_from(sorted(CONTROLS)).flatmap(lambda name: st.tuples(st.just(name), arguments(name)))
ASKED: st.SearchStrategy[Command] = st.one_of(
    st.builds(Command, st.just("mode"), st.sampled_from(list(MODES))),
    ARGUMENTS.map(lambda asked: Command(*asked)),
)
STEPS = st.lists(st.tuples(st.floats(0, 0.8), st.one_of(PLAYED, PLAYED, ASKED)), max_size=16)


def balanced(events: Sequence[Event]) -> bool:
    """Whether each note-on is followed by just one note-off of its channel and key, and no note-off stands alone."""
    on: Counter[tuple[int, int]] = Counter()
    for event in events:
        if isinstance(event, NoteOn | NoteOff):
            on[event.channel, event.key] += 1 if isinstance(event, NoteOn) else -1
            if on[event.channel, event.key] not in (0, 1):
                return False
    return not any(on.values())


def perform(rig: Rig, steps: Sequence[tuple[float, Event | Command]]) -> None:
    """Play and ask, each so many seconds after the one before, and go on for two seconds."""
    now_s = START_S
    for wait_s, step in steps:
        now_s += wait_s
        if isinstance(step, Command):
            rehearse(rig.daemon, rig.clock, [], now_s)
            rig.daemon.command(step)
            rig.daemon.turn()
        else:
            rehearse(rig.daemon, rig.clock, [(now_s, to_bytes(step))], now_s)
    rehearse(rig.daemon, rig.clock, [], now_s + 2)


@settings(max_examples=120)
@given(STEPS, st.sampled_from(list(MODES)), st.integers(1, 3), st.booleans())
def test_each_note_on_has_just_one_note_off(
    steps: Sequence[tuple[float, Event | Command]], mode: str, channel: int, thru: bool
) -> None:
    """Whatever is played and asked for, in every mode: its own notes are paired, and at the end all is silent."""
    rig = Rig(
        Config(midi=MidiSettings(thru=thru, output_channel=channel), time=CONFIG.time, turns=TurnSettings(mode=mode))
    )
    perform(rig, steps)
    rig.daemon.finish()
    assert balanced([event for call in rig.memo.calls for event in call.out])
    assert not sounding(rig.synth)
    assert rig.synth.sounding == frozenset()


# --- faults anywhere -------------------------------------------------------------------------------------------------


class FaultError(Exception):
    """Put in by a test."""


class Faulty:
    """Another object, one of whose methods fails at its n-th call."""

    def __init__(self, inner: Any, method: str, calls: int) -> None:
        self._inner, self._method, self._left = inner, method, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method:
            return found

        def called(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                raise FaultError(name)
            return found(*arguments, **named)

        return called


PARTS = {
    "_musician": ("feed", "advance", "command", "stop", "status", "deadline_s"),
    "_recorder": ("call", "remark"),
    "_output": ("send",),
    "_clock": ("now",),
    "_inbox": ("take", "recover"),
}
FAULTS = [(part, method) for part, methods in PARTS.items() for method in methods]


@settings(max_examples=150)
@given(STEPS, st.sampled_from(FAULTS), st.integers(1, 30))
def test_a_fault_anywhere_leaves_silence(
    steps: Sequence[tuple[float, Event | Command]], fault: tuple[str, str], calls: int
) -> None:
    """Whatever fails at whatever call: the loop's end and the closing of its port leave nothing sounding."""
    clock = ManualClock(START_S)
    rig = Rig(clock=clock, musician=Musician(ScriptedEngine(SCRIPT), CONFIG, 1, START_S))
    part, method = fault
    setattr(rig.daemon, part, Faulty(getattr(rig.daemon, part), method, calls))
    playing = [(0.0, NoteOn(60)), (2 * TICK_S, NoteOff(60)), (1.0, NoteOn(15)), *steps]
    for do in (lambda: perform(rig, playing), rig.daemon.finish, rig.daemon.finish):
        try:
            do()
        except FaultError:
            continue
    rig.synth.close()
    assert not sounding(rig.synth)


# --- signals to a real process ---------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize(
    "names", [["SIGINT"], ["SIGINT", "SIGINT"], ["SIGTERM"], ["SIGHUP"], ["SIGHUP", "SIGTERM", "SIGINT", "SIGINT"]]
)
def test_signals_leave_silence(names: list[str]) -> None:
    """Ctrl-C, also twice, SIGTERM, SIGHUP and all of them: exit 0, and each note of both was ended."""
    status, last = ended([getattr(signal, name) for name in names])
    assert status == 0
    assert last.startswith("left [] of ")


def test_an_error_in_the_running_program_leaves_silence() -> None:
    """The loop fails while notes of both sound: they are ended, and the error is not hidden."""
    status, last = ended([], "fault")
    assert status == 1
    assert last.startswith("left [] of ")
