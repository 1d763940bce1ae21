"""The loop: deadlines, one note-off for each note-on, and silence at every end. Ports and clock are simulated."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livebach.config import Config, MidiSettings, TimeSettings
from livebach.live import inbox
from livebach.live.signals import Stage
from livebach.music.events import ControlChange, Event, NoteOff, NoteOn, to_bytes
from livebach.music.roll import HOLD, ONSET
from livebach.musician.musician import Musician
from livebach.system.clock import Clock
from livebach.testing import ManualClock, ScriptedEngine, frame_of
from tests.support.daemon_rig import CONFIG, OWN, PLAYED, SCRIPT, START_S, TICK_S, Rig, sounding

pytestmark = pytest.mark.clock

QUARTER = ((0.0, NoteOn(60, 80)), (2 * TICK_S, NoteOff(60)))


def test_it_goes_on_after_silence_on_the_grid() -> None:
    """Nothing of its own before the silence; then notes, each on a tick, the first on a beat."""
    rig = Rig()
    rig.play(*QUARTER, until=4)
    onsets = [time_s for time_s, event in rig.own() if isinstance(event, NoteOn)]
    assert onsets
    assert onsets[0] == pytest.approx(8 * TICK_S)
    assert all(time_s / TICK_S == pytest.approx(round(time_s / TICK_S)) for time_s in onsets)


def test_a_new_key_ends_its_notes_at_once() -> None:
    """Between two ticks: the note-off leaves in the same turn as the key comes in."""
    rig = Rig()
    at_s = 8.4 * TICK_S
    rig.play(*QUARTER, (at_s, NoteOn(64, 80)), until=at_s)
    sent_s, last = rig.own()[-1]
    assert last == NoteOff(72, 0, OWN)
    assert sent_s == pytest.approx(at_s)
    assert not {channel for channel, _ in sounding(rig.synth)} & {OWN}


def test_thru_passes_what_was_played_and_nothing_waits() -> None:
    """Each message goes on in the callback, before the loop turns; also keys outside the 88, bends and pedals."""
    rig = Rig()
    messages = [bytes.fromhex(text) for text in ("903c50", "901050", "e00040", "b0407f", "d010")]
    for data in messages:
        rig.daemon.receive(data, START_S)
    assert [data for _, data in rig.synth.sent] == messages


def test_thru_off_passes_nothing() -> None:
    """The player's own notes are not sent."""
    rig = Rig(Config(midi=MidiSettings(thru=False), time=CONFIG.time))
    rig.play(*QUARTER, until=0.5)
    assert rig.synth.sent == []


def test_the_end_leaves_silence_for_both() -> None:
    """Its own note and the player's held one are ended, once; ending again sends nothing."""
    rig = Rig()
    rig.play(*QUARTER, until=8.4 * TICK_S)
    rig.daemon.receive(to_bytes(NoteOn(20, 80)), rig.clock.now())  # below the 88: thru only, its notes go on
    rig.daemon.turn()
    assert sounding(rig.synth) == {(0, 20), (OWN, 72)}
    rig.daemon.finish()
    assert not sounding(rig.synth)
    sent = len(rig.synth.sent)
    rig.daemon.finish()
    assert len(rig.synth.sent) == sent


def test_what_came_in_after_the_last_turn_is_ended_too() -> None:
    """A key that was passed on, and that the loop has not come to: it is let go; what comes later stays out."""
    rig = Rig()
    rig.daemon.receive(to_bytes(NoteOn(60)), START_S)
    rig.daemon.receive(to_bytes(ControlChange(64, 127)), START_S)
    rig.daemon.finish()
    rig.daemon.receive(to_bytes(NoteOn(62)), START_S)
    assert rig.synth.events()[-2:] == [NoteOff(60), ControlChange(64, 0)]


class Broken:
    """A musician that fails after so many calls."""

    def __init__(self, calls: int) -> None:
        self._inner = Musician(ScriptedEngine(SCRIPT), CONFIG, 1, 0.0)
        self._left = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def advance(self, now_s: float) -> list[Event]:
        """Advance, or fail."""
        self._left -= 1
        if self._left < 0:
            raise RuntimeError("on purpose")
        return self._inner.advance(now_s)


@pytest.mark.parametrize("calls", range(12))
def test_an_exception_leaves_silence_and_is_raised(calls: int) -> None:
    """Whichever call fails, what sounded is ended and the error is not hidden."""
    rig = Rig(musician=Broken(calls), clock=Clock())
    rig.daemon.receive(to_bytes(NoteOn(60)), time.perf_counter() - 5)
    rig.daemon.receive(to_bytes(NoteOff(60)), time.perf_counter() - 4.9)
    rig.daemon.receive(to_bytes(NoteOn(10)), time.perf_counter() - 4.9)
    with pytest.raises(RuntimeError, match="on purpose"):
        rig.daemon.run()
    assert not sounding(rig.synth)


STEPS = st.lists(st.tuples(st.floats(0, 0.8), PLAYED), max_size=16)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans(), st.integers(1, 3))
def test_every_note_on_has_its_note_off(steps: Sequence[tuple[float, Event]], thru: bool, channel: int) -> None:
    """Whatever is played, on whatever channel, its own notes end, and at the end all is silent."""
    rig = Rig(Config(midi=MidiSettings(thru=thru, output_channel=channel), time=CONFIG.time))
    now_s, score = 0.0, []
    for wait_s, event in steps:
        now_s += wait_s
        score.append((now_s, event))
    rig.play(*score, until=now_s + 2)
    rig.daemon.finish()
    assert not sounding(rig.synth)
    kinds = Counter(type(event) for call in rig.memo.calls for event in call.out)
    assert kinds[NoteOn] == kinds[NoteOff]


def test_a_flood_is_shed_and_everything_released(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the inbox holds: the rest is dropped, it is said, and no key stays down."""
    monkeypatch.setattr(inbox, "CAPACITY", 100)
    rig = Rig()
    for n in range(1000):
        rig.daemon.receive(to_bytes(NoteOn(21 + n % 88)), START_S + n / 50_000)
    for _ in range(10):
        rig.daemon.turn()
    assert not sounding(rig.synth)
    assert rig.musician.status().player_keys == ()
    assert "900 messages dropped" in rig.said[0]
    rig.daemon.receive(to_bytes(NoteOn(60)), rig.clock.now())
    rig.daemon.turn()
    assert rig.musician.status().player_keys == (60,)


def test_missed_deadlines_are_counted_and_told() -> None:
    """A standstill of some ticks is said and kept; afterwards it plays on the same grid."""
    rig = Rig()
    rig.play(*QUARTER, until=10.1 * TICK_S)
    rig.clock.advance(3 * TICK_S)
    rig.play(until=24 * TICK_S)
    assert rig.musician.status().missed > 0
    assert "missed" in rig.said[0]
    assert rig.memo.remarks == rig.said
    late = [time_s for time_s, event in rig.own() if isinstance(event, NoteOn) and time_s > 13.5 * TICK_S]
    assert late
    assert all(time_s / TICK_S == pytest.approx(round(time_s / TICK_S)) for time_s in late)


class SlowEngine(ScriptedEngine):
    """A network that holds one key for ever and strikes another on each tick; some draws take so many ticks."""

    def __init__(self, clock: ManualClock, ticks: Mapping[int, float]) -> None:
        keys = (36, 40, 43, 48, 52, 55, 60, 64, 67)  # no guide objects to a key of the held C's triad
        super().__init__(
            lambda number, _uniforms, _params: frame_of({72: HOLD if number else ONSET, keys[number % 9]: ONSET})
        )
        self._clock, self._ticks = clock, ticks

    def draw(self, *args: Any) -> Any:
        """Draw, while time passes."""
        self._clock.advance(self._ticks.get(len(self.draws), 0.0) * TICK_S)
        return super().draw(*args)


def test_a_network_that_is_too_slow() -> None:
    """Deadlines are missed, told and kept; what sounds stays, nothing bursts; then it goes on, on the grid it had."""
    clock = ManualClock(START_S)
    engine = SlowEngine(clock, {3: 2.5, 4: 1.2, 5: 0.3, 6: 7.0})
    rig = Rig(musician=Musician(engine, CONFIG, 1, clock.now()), clock=clock)
    rig.play(*QUARTER, until=40.4 * TICK_S)
    ons = [(time_s / TICK_S, event.key) for time_s, event in rig.own() if isinstance(event, NoteOn)]
    offs = [event.key for _, event in rig.own() if isinstance(event, NoteOff)]
    struck = [at for at, key in ons if key != 72]
    ticks = [math.floor(at + 1e-6) for at in struck]

    missed = rig.musician.status().missed
    assert missed == 40 - 8 + 1 - len(struck)  # from the takeover on, a tick was played or is counted
    assert f"{missed} so far" in rig.said[-1]
    assert rig.memo.remarks == rig.said
    assert [key for _, key in ons].count(72) == 1
    assert 72 not in offs
    assert ticks == sorted(set(ticks))  # never two at once
    assert all(at - tick < 0.5 for at, tick in zip(struck, ticks, strict=True))  # late a little, or not at all
    assert struck[-15:] == pytest.approx(range(26, 41))  # on time again, on the same grid


def test_each_call_is_kept_in_order_with_its_times() -> None:
    """What the recorder has, given to a new musician, brings the same notes."""
    rig = Rig()
    rig.play(*QUARTER, (9.3 * TICK_S, NoteOn(64)), (10 * TICK_S, NoteOff(64)), until=30 * TICK_S)
    rig.daemon.finish()
    again = Musician(ScriptedEngine(SCRIPT), CONFIG, 1, START_S)
    for call in rig.memo.calls:
        if call.do == "feed":
            assert call.event is not None
            out = again.feed(call.event, call.t)
        else:
            out = again.advance(call.t) if call.do == "advance" else again.stop(call.t)
        assert tuple(out) == call.out
    assert rig.memo.calls[-1].do == "stop"
    assert all(call.due is not None and call.due <= call.t for call in rig.memo.calls if call.do == "advance")


def test_in_real_time_it_is_on_time_and_ends_at_once() -> None:
    """With the real clock: notes leave at their deadlines, the loop sleeps meanwhile, and `end` is heeded at once."""
    rig = Rig(clock=Clock(), config=Config(time=TimeSettings(bpm=400)))
    thread = threading.Thread(target=rig.daemon.run)
    thread.start()
    rig.daemon.receive(to_bytes(NoteOn(60)), time.perf_counter())
    time.sleep(0.02)
    rig.daemon.receive(to_bytes(NoteOff(60)), time.perf_counter())
    before = time.thread_time_ns()
    time.sleep(1.0)
    rig.daemon.end()
    asked = time.perf_counter()
    thread.join(timeout=2)
    assert time.perf_counter() - asked < 0.5
    assert not thread.is_alive()
    assert time.thread_time_ns() - before < 500_000_000
    assert [event for event in rig.synth.events() if isinstance(event, NoteOn) and event.channel == OWN]
    assert not sounding(rig.synth)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_end_the_loop(name: str) -> None:
    """A signal, also a second one, ends the loop without an exception."""
    rig = Rig(clock=Clock())
    stage = Stage()
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with stage.heeding_signals():
        stage.daemon = rig.daemon
        threading.Timer(0.1, signal.raise_signal, [number]).start()
        threading.Timer(0.1, signal.raise_signal, [number]).start()
        started = time.perf_counter()
        rig.daemon.run()
    assert time.perf_counter() - started < 0.6
    assert signal.getsignal(number) is before


def test_a_signal_before_the_loop_interrupts() -> None:
    """While everything is still being opened, Ctrl-C gives up."""
    with pytest.raises(KeyboardInterrupt), Stage().heeding_signals():
        signal.raise_signal(signal.SIGTERM)


def test_tasks_are_done_by_the_loop() -> None:
    """What another thread asks for is done in the next turn."""
    rig = Rig()
    done: list[int] = []
    rig.daemon.ask(lambda: done.append(1))
    assert not done
    rig.daemon.turn()
    assert done == [1]
