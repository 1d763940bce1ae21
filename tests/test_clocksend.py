"""The MIDI clock that livebach sends: even pulses, start and stop, and no delay by the network."""

from __future__ import annotations

import numpy as np
import pytest

from livebach.commands.replay import play_again
from livebach.config import Config, ConfigError, override
from livebach.live.daemon import Daemon
from livebach.live.signals import Stage
from livebach.live.simulated_run import rehearse
from livebach.music.events import PULSE, START, STOP, NoteOff, NoteOn, Realtime, to_bytes
from livebach.music.roll import ONSET
from livebach.musician.musician import Musician
from livebach.testing import FakePort, ManualClock, ScriptedEngine
from tests.support.driven import TICK, Take, taken_over
from tests.support.recorders import Kept

ON = "time.send_clock=true"
EACH = [{60 + n % 12: ONSET} for n in range(48)]
APART = 1 / 6
"""From pulse to pulse, in ticks."""


def sent(take: Take, status: int) -> list[float]:
    """When such a message went out, in ticks."""
    return [at for at, event in take.sent if event == Realtime(status)]


def test_none_is_sent_unless_asked_for() -> None:
    """It is a setting, off by default."""
    assert not any(isinstance(event, Realtime) for _, event in taken_over(EACH).run(20).sent)


def test_pulses_are_even_and_on_the_grid() -> None:
    """24 a quarter note, from the player's downbeat on, through the takeover; each tick has one of its own."""
    take = taken_over(EACH, ON).run(40)
    pulses = [at for at in sent(take, PULSE) if at >= 0]
    assert pulses == pytest.approx(np.arange(len(pulses)) * APART, abs=1e-4)
    assert len(pulses) >= 240
    assert len(take.onsets) > 20


def test_start_is_the_downbeat_and_stop_the_rest() -> None:
    """Start comes right before the pulse that is the downbeat; while it waits for the player, pulses keep the tempo."""
    take = Take(EACH, ON, "turns.mode=listen").play([60, 62], at=3.3).run(60)
    assert sent(take, START) == [3.3]
    messages = [event for _, event in take.sent]
    assert messages[messages.index(Realtime(START)) + 1] == Realtime(PULSE)
    (stop,) = sent(take, STOP)
    assert take.state == "idle"
    idle = [at for at in sent(take, PULSE) if at > stop]
    assert np.diff(idle) == pytest.approx(APART, abs=1e-4)
    take.play([60], at=61.4)
    assert sent(take, START) == [3.3, 61.4]


def test_a_count_in_is_no_start() -> None:
    """Who follows starts with the first bar."""
    take = Take(EACH, ON, "time.count_in_bars=1", start_tick=0).run(20)
    assert sent(take, START) == pytest.approx([16])


def test_a_phase_that_moves_is_caught_up_evenly() -> None:
    """The player returns a little early on a beat: no pulse is left out, none doubled, none in a rush."""
    take = taken_over(EACH, ON).run(11)
    take.play([60, 62], at=11.7, length=0.5).run(15.5)
    pulses = np.array([at for at in sent(take, PULSE) if at >= 0])
    apart = np.diff(pulses)
    assert apart.min() > 0.74 * APART
    assert apart.max() < 1.26 * APART
    on_grid = (pulses[pulses > 14] - 11.7) / APART
    assert on_grid == pytest.approx(np.round(on_grid), abs=1e-3)
    assert sent(take, START) == [0]


def test_a_new_bar_starts_anew() -> None:
    """The player returns off the beat, with a downbeat: whoever follows has it too."""
    take = taken_over(EACH, ON).run(9)
    take.feed(9.8, NoteOn(50))
    assert sent(take, STOP) == [9.8]
    assert sent(take, START) == [0, 9.8]
    take.run(12)
    after = [at for at in sent(take, PULSE) if at >= 9.8]
    assert after == pytest.approx(9.8 + np.arange(len(after)) * APART, abs=1e-4)


def test_a_new_tempo_is_the_clocks_too() -> None:
    """From the tick on which it was turned."""
    take = taken_over(EACH, ON).run(10.2)
    take.command(10.2, "tempo", "60")
    take.run(30)
    assert np.diff(sent(take, PULSE))[-40:] == pytest.approx(2 * APART, abs=1e-4)
    assert sent(take, START) == [0]


def test_a_pulse_goes_before_work_on_the_network() -> None:
    """Where both are due at once, it is answered alone; the work is due right after."""
    take = taken_over(EACH, ON).run(19.99)
    draws = len(take.engine.draws)
    out = take.late(20.6)
    assert [type(event) for event in out] == [Realtime]
    assert len(take.engine.draws) == draws
    assert take.musician.deadline_s() <= 100 + 20.6 * TICK
    take.run(21)
    assert len(take.engine.draws) > draws


def test_after_a_standstill_there_is_no_burst() -> None:
    """What was missed is left out, and whoever follows is started anew on a downbeat."""
    take = taken_over(EACH, ON).run(20)
    take.late(100.3)
    take.late(100.3)
    take.run(130)
    pulses = np.array([at for at in sent(take, PULSE) if at > 100.3])
    assert np.diff(pulses).min() > 0.7 * APART
    assert sent(take, START)[1:] == pytest.approx([112])


def test_it_ends_with_a_stop() -> None:
    """However it ends: the daemon's end is the musician's."""
    take = taken_over(EACH, ON).run(12)
    assert Realtime(STOP) in take.musician.stop(100 + 12 * TICK)
    assert take.musician.deadline_s() == float("inf")


def test_two_clocks_are_refused() -> None:
    """One comes in, or one goes out."""
    with pytest.raises(ConfigError, match="send_clock must be off"):
        override(override(Config(), "time.clock=external"), ON)


def test_a_take_with_a_clock_replays_and_its_own_is_not_heard() -> None:
    """The pulses are in the log; a cable from the output to the input brings none in, and no word of a loop."""
    config = override(override(Config(), "sampling.seed=1"), ON)
    clock, kept, stage = ManualClock(0.0), Kept(), Stage()
    port = FakePort("synth", now=clock.now)
    port.before = lambda data: stage.feedback.sent(data, clock.now())
    port.open_input(stage.receive)
    stage.daemon = Daemon(Musician(ScriptedEngine(), config, 1, 0.0), clock, port, recorder=kept)
    rehearse(stage.daemon, clock, [(1.0, to_bytes(NoteOn(60))), (1.1, to_bytes(NoteOff(60)))], 3.0)
    stage.daemon.finish()
    assert sum(data == b"\xf8" for _, data in port.sent) > 80
    assert port.sent[-1][1] == b"\xfc"
    assert stage.feedback.news() == []
    assert not any(call.do == "command" for call in kept.calls)
    heard = [call.event for call in kept.calls if call.event]
    assert heard[:2] == [NoteOn(60), NoteOff(60)]
    assert all(event in (NoteOn, NoteOff) for event in map(type, heard))  # a note of its own comes back, no pulse does
    assert list(play_again(Musician(ScriptedEngine(), config, 1, 0.0), kept.calls)) == kept.calls
