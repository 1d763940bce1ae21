"""An external MIDI clock: its jitter is smoothed, gaps are bridged, and the grid follows it."""

from __future__ import annotations

import numpy as np
import pytest

from livebach.commands.replay import play_again
from livebach.config import Config, override
from livebach.live.daemon import Daemon
from livebach.live.simulated_run import rehearse
from livebach.music.events import NoteOff, NoteOn, to_bytes
from livebach.music.roll import ONSET
from livebach.musician.clock_follower import FEWEST, MOST, PULSES, ClockFollower, ClockMessage, clock_message
from livebach.musician.musician import Musician
from livebach.testing import FakePort, ManualClock, ScriptedEngine
from tests.support.driven import TICK, Take
from tests.support.recorders import Kept

EACH = [{60 + n % 12: ONSET} for n in range(48)]
JITTER_S = 0.005
PULSE = TICK / 6  # at the driver's 120 beats a minute, seconds

# --- the follower -----------------------------------------------------------------------------------------------------


def followed(times: list[float], jitter_s: float = JITTER_S, seed: int = 1) -> ClockFollower:
    """A follower that has had these pulses, unevenly."""
    random, follower = np.random.default_rng(seed), ClockFollower()
    for time_s in times:
        follower.pulse(time_s + random.uniform(-jitter_s, jitter_s))
    return follower


@pytest.mark.parametrize("bpm", [60, 120, 200, 300])
def test_pulses_five_milliseconds_off_give_ticks_within_one(bpm: float) -> None:
    """In 99 of 100 cases: where each tick is expected, a pulse before it is."""
    pulse_s, random, follower, off = 60 / bpm / PULSES, np.random.default_rng(7), ClockFollower(), []
    for n in range(MOST + 200 * 6):
        follower.pulse(n * pulse_s + random.uniform(-JITTER_S, JITTER_S))
        if n >= MOST and n % 6 == 5:
            off.append(abs(follower.time_s(n + 1) - (n + 1) * pulse_s))
    assert np.percentile(off, 99) <= 0.001


@pytest.mark.parametrize("missing", [1, 7, PULSES, 2 * PULSES - 1])
def test_what_is_missing_is_counted(missing: int) -> None:
    """Up to two beats: the count goes on as if they had come."""
    follower = followed([n * PULSE for n in range(100)])
    assert not follower.lost((99 + missing) * PULSE)
    follower.pulse((100 + missing) * PULSE)
    assert follower.count == 100 + missing
    assert follower.time_s(110 + missing) == pytest.approx((110 + missing) * PULSE, abs=0.003)


def test_a_clock_that_is_away_for_longer_is_lost() -> None:
    """It begins anew when it is back."""
    follower = followed([n * PULSE for n in range(100)])
    assert follower.lost((99 + 2 * PULSES + 1) * PULSE)
    follower.pulse(99 * PULSE + 10)
    assert not follower.known


@pytest.mark.parametrize(("metre", "pulses"), [("4/4", 48), ("6/8", 72), ("2/2", 96), ("3/8", 48)])
def test_two_beats_are_bridged_in_each_metre(metre: str, pulses: int) -> None:
    """A beat is what the metre says, and a quarter at least."""
    take = Take(EACH, "time.clock=external", "turns.mode=duet", f"time.metre={metre}")
    take.clock(-0.1, "start")
    times = [n / 6 for n in range(30)]
    for at in times:
        take.clock(at, "pulse")
    take.feed(4.95, NoteOn(40))
    take.run(times[-1] + pulses / 6 - 0.6)
    assert take.state == "playing"
    take.run(times[-1] + pulses / 6 + 2)
    assert take.state == "idle"


def test_a_change_of_tempo_is_followed_within_a_beat() -> None:
    """However long the old one lasted."""
    times = [n * PULSE for n in range(MOST)]
    times += [times[-1] + (n + 1) * PULSE * 1.3 for n in range(PULSES + 12)]
    assert followed(times).pulse_s == pytest.approx(PULSE * 1.3, rel=0.03)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xf8", "pulse"),
        (b"\xfa", "start"),
        (b"\xfb", "continue"),
        (b"\xfc", "stop"),
        (b"\xf2\x05\x01", "position 133"),
    ],
)
def test_the_clocks_messages(data: bytes, value: str) -> None:
    """The song's position has 14 bits."""
    assert clock_message(data) == ClockMessage.parse(value)


@pytest.mark.parametrize("data", [b"", b"\xfe", b"\xf2\x05", b"\x90\x40\x40", b"\xf8\xf8", b"\xf2\xff\x01"])
def test_other_messages_are_none_of_the_clocks(data: bytes) -> None:
    """Active sensing, notes, broken ones."""
    assert clock_message(data) is None


# --- the grid ---------------------------------------------------------------------------------------------------------


def pulses(take: Take, first: int, last: int, length: float = 1.0, jitter_s: float = 0.0) -> None:
    """Pulses of a clock, a sixth of `length` of the driver's ticks apart, the first one of all at tick 0."""
    random = np.random.default_rng(3)
    for n in range(first, last):
        take.clock(n * length / 6 + random.uniform(-jitter_s, jitter_s) / TICK, "pulse")


def test_start_is_the_downbeat_and_the_clock_is_the_tempo() -> None:
    """Half as fast as what is set, here; the player's keys do not move it."""
    take = Take(EACH, "time.clock=external", "turns.mode=duet")
    take.clock(-0.01, "start")
    pulses(take, 0, 30, length=2)
    take.feed(9.8, NoteOn(50))
    take.feed(9.95, NoteOff(50))
    pulses(take, 30, 120, length=2)
    status = take.musician.status()
    assert (status.bpm, status.bar, status.beat) == (60, 2, 2)
    at = np.array([at for at, _ in take.onsets])
    assert len(at) > 10
    assert np.abs(at / 2 - np.round(at / 2)).max() < 0.01
    assert take.places[0] == (5, 6)


def test_an_uneven_clock_gives_even_ticks() -> None:
    """Five milliseconds off, after some bars."""
    take = Take(EACH, "time.clock=external", "turns.mode=duet")
    take.clock(-0.1, "start")
    pulses(take, 0, 12, jitter_s=JITTER_S)
    take.feed(1.91, NoteOn(40))
    pulses(take, 12, MOST + 400, jitter_s=JITTER_S)
    late_s = np.array([(at - round(at)) * TICK for at, _ in take.onsets if at > MOST / 6])
    assert len(late_s) > 50
    assert np.percentile(np.abs(late_s), 99) <= 0.0011


def test_stop_silences_and_continue_goes_on_where_it_was() -> None:
    """As does a song position."""
    take = Take(EACH, "time.clock=external", "turns.mode=duet")
    take.clock(-0.1, "start")
    pulses(take, 0, 30)
    take.feed(4.9, NoteOn(40))
    pulses(take, 30, 60)
    out = take.clock(10, "stop")
    assert [type(event) for event in out] == [NoteOff]
    assert take.musician.deadline_s() == float("inf")
    take.clock(12, "position 21")
    take.clock(12, "continue")
    pulses(take, 90, 91)
    assert take.musician.status().tick == 21 % 16
    assert take.musician.status().state == "listening"


def test_a_lost_clock_is_silence() -> None:
    """After two beats in which it goes on by itself."""
    take = Take(EACH, "time.clock=external", "turns.mode=duet")
    take.clock(-0.1, "start")
    pulses(take, 0, 30)
    take.feed(4.9, NoteOn(40))
    take.run(60)
    assert 11 <= take.onsets[-1][0] <= 14
    assert take.musician.status().own_keys == ()
    assert take.musician.deadline_s() == float("inf")


def test_pulses_without_a_start_are_a_tempo_only() -> None:
    """The downbeat is still the player's."""
    take = Take(EACH, "time.clock=external")
    pulses(take, -PULSES - FEWEST, 2, length=2)
    assert take.state == "idle"
    take.play([60], at=3.3, length=1)
    pulses(take, 15, 120, length=2)
    assert take.onsets[0][0] == pytest.approx(3.3 + 16)


def test_a_take_with_a_clock_replays() -> None:
    """The pulses are calls like any other; without the setting they are not heard."""
    config = override(override(Config(), "sampling.seed=1"), "turns.mode=duet")
    config = override(config, "time.clock=external")
    score = [(0.9, b"\xfa"), *((1 + n * 0.02, b"\xf8") for n in range(400)), (4.0, to_bytes(NoteOn(60)))]
    for follow in (True, False):
        clock, kept = ManualClock(0.0), Kept()
        port = FakePort("synth", now=clock.now)
        musician = Musician(ScriptedEngine(EACH), config, 1, 0.0)
        daemon = Daemon(musician, clock, port, recorder=kept, follow_clock=follow)
        rehearse(daemon, clock, sorted(score), 9.0)
        daemon.finish()
        assert any(call.do == "command" for call in kept.calls) == follow
        assert list(play_again(Musician(ScriptedEngine(EACH), config, 1, 0.0), kept.calls)) == kept.calls


@pytest.mark.parametrize("end", ["stop", "lost"])
def test_a_clock_that_ran_before_silences_too(end: str) -> None:
    """Whether or not a Start was seen: after Stop, or two beats after the last pulse, nothing follows."""
    take = Take(EACH, "time.clock=external")
    pulses(take, -PULSES - FEWEST, 6)
    take.play([60, 62, 64], at=1.02)
    pulses(take, 24, 96)
    assert take.state == "playing"
    if end == "stop":
        take.clock(16.02, "stop")
        assert take.musician.status().own_keys == ()
    sent = len(take.onsets)
    take.run(80)
    assert take.state == "idle"
    assert len(take.onsets) - sent <= (0 if end == "stop" else 8)
    assert take.musician.status().own_keys == ()
    assert take.musician.deadline_s() == float("inf")


def test_after_the_clock_is_lost_the_player_can_begin_anew() -> None:
    """The loss silences once, not again with each tick."""
    take = Take(EACH, "time.clock=external")
    pulses(take, -PULSES - FEWEST, 6)
    take.run(60)
    take.play([60, 62, 64], at=60)
    assert take.run(90).onsets[-1][0] > 80
