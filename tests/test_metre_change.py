"""A change of metre while the music goes on: it begins on a bar line, and keeps the memory and the take."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.commands.replay import play_again
from livebach.config import Config, override, to_dict
from livebach.controls import METRES, parse_command
from livebach.live import take_log, take_midi
from livebach.live.daemon import Daemon
from livebach.live.simulated_run import rehearse
from livebach.live.take_log import Header
from livebach.live.tempo_map import TempoMap
from livebach.music.events import NoteOff, NoteOn, to_bytes
from livebach.music.grid import Grid, Mark
from livebach.music.metre import Metre
from livebach.music.midi_writer import PPQ
from livebach.musician.musician import Musician
from livebach.testing import FakePort, ManualClock, ScriptedEngine
from tests.support.driven import ONE_NOTE, Take, taken_over
from tests.support.recorders import Kept

STEPS = 4
ANY_METRE = st.sampled_from(METRES).map(Metre.parse)


@given(ANY_METRE, ANY_METRE, st.integers(0, 20), st.integers(-40, 40))
def test_bars_are_counted_on(before: Metre, after: Metre, bar: int, ticks: int) -> None:
    """The bar on which another metre begins keeps its number, and the next ones have the new length."""
    grid = Grid.of(90, before, STEPS)
    tick = bar * before.bar_ticks(STEPS)
    new = grid.in_metre(after, tick, STEPS)
    assert new.count(tick) == grid.count(tick) == (bar + 1, 1)
    assert new.place(tick) == (0, after.beat_ticks(STEPS), after.bar_ticks(STEPS))
    assert new.count(tick + after.bar_ticks(STEPS)) == (bar + 2, 1)
    assert new.time_s(tick + ticks) == grid.time_s(tick + ticks)
    following = new.next_downbeat(tick + ticks)
    assert new.on_downbeat(following)
    assert 0 <= following - tick - ticks < after.bar_ticks(STEPS)


def test_it_begins_on_the_next_bar_line() -> None:
    """Until then the old metre goes on; the memory keeps its frames, and the places in it join."""
    take = taken_over()
    take.command(10, "metre", "3/4")
    status = take.run(15).musician.status()
    assert (status.metre, status.bar, status.beat) == ("4/4", 1, 4)
    assert status.settings is not None
    assert str(status.settings.time.metre) == "3/4"
    status = take.run(16).musician.status()
    assert (status.metre, status.bar, status.beat, status.state) == ("3/4", 2, 1, "playing")
    status = take.run(28).musician.status()
    assert (status.metre, status.bar, status.beat) == ("3/4", 3, 1)
    take.run(60)
    (state,) = take.engine.states
    pushed = state.pushed
    assert len(pushed) >= 48
    assert all(coming == following[1] for (_, _, coming, *_), following in pairwise(pushed))
    places = [place for _, place, *_ in pushed]
    last = places.index((15, 4, 16))
    assert places[last + 1 : last + 25] == [(n % 12, 4, 12) for n in range(24)]


@pytest.mark.parametrize("metre", METRES)
def test_every_metre_goes_on(metre: str) -> None:
    """Into every metre and back: the network plays on tick after tick, and no deadline is missed."""
    take = taken_over()
    take.command(10, "metre", metre)
    take.run(60)
    take.command(60.5, "metre", "4/4")
    status = take.run(130).musician.status()
    assert (status.metre, status.state, status.missed) == ("4/4", "playing", 0)
    take.command(130, "finish")
    assert take.run(200).state == "idle"


def test_at_rest_it_begins_at_once() -> None:
    """Before the first key, and after a long rest, the next key is the downbeat of the new metre."""
    take = Take()
    take.command(-2, "metre", "3/4")
    assert take.musician.status().metre == "3/4"
    take.command(-1, "mute", "on")
    take.play([60, 62, 64, 65])
    assert take.run(100).state == "idle"
    take.command(101, "metre", "6/8")
    assert take.musician.status().metre == "6/8"
    take.command(102, "mute", "off")
    take.play([60, 62, 64], 110)
    places = [place for _, place, *_ in take.run(122).engine.states[0].pushed]
    assert places[:4] == [(n, 4, 12) for n in range(4)]
    assert (0, 6, 12) in places


def test_the_beat_keeps_its_length() -> None:
    """The tempo is in beats: a dotted quarter of 6/8 is as long as a quarter of 4/4 before."""
    take = taken_over()
    take.command(10, "metre", "6/8")
    before = take.run(15).musician.status()
    after = take.run(17).musician.status()
    assert (before.bpm, after.bpm) == (120, 120)
    assert after.tick_s == pytest.approx(before.tick_s * 4 / 6)


def test_a_midi_clock_keeps_its_ticks() -> None:
    """Where a clock leads, a 16th stays a 16th; the tempo is that of the new beat."""
    take = Take(ONE_NOTE, "time.clock=external")
    take.clock(-1, "start")
    for pulse in range(24 * 8):
        take.clock(pulse / 6, "pulse")
        if pulse == 12:
            take.command(pulse / 6 + 0.01, "metre", "6/8")
    status = take.musician.status()
    assert status.metre == "6/8"
    assert status.tick_s == pytest.approx(0.125, rel=1e-3)
    assert status.bpm == pytest.approx(80, rel=1e-2)


def test_an_answer_of_some_bars_is_as_many_bars_long() -> None:
    """An answer of two bars that is in its first one ends after two bars, the second one in the new metre."""
    take = taken_over(ONE_NOTE, "turns.bars=2", "turns.ending=cut")
    take.command(18, "metre", "3/4")
    take.run(100)
    assert max(at for at, _ in take.onsets) < 16 + 16 + 12
    assert max(at for at, _ in take.onsets) >= 16 + 16 + 8 - 4


def test_what_cannot_be_a_metre_changes_nothing() -> None:
    """The setting's rule decides."""
    take = taken_over()
    take.command(10, "metre", "0/4")
    take.command(11, "metre", "waltz")
    assert take.run(40).musician.status().metre == "4/4"


def test_the_take_has_both_metres_and_replays() -> None:
    """The log names the metre; the MIDI file has its time signature on the bar line; the replay is the same."""
    config = override(override(Config(), "time.bpm=120"), "sampling.seed=1")
    clock, kept = ManualClock(0.0), Kept()
    daemon = Daemon(Musician(ScriptedEngine(ONE_NOTE), config, 1, 0.0), clock, FakePort("synth"), recorder=kept)
    score = [(1.0 + n / 2, to_bytes(event)) for n in range(3) for event in (NoteOn(60 + n), NoteOff(60 + n))]
    rehearse(daemon, clock, score, 4.0)
    daemon.command(parse_command("metre", "3/4"))
    daemon.turn()
    rehearse(daemon, clock, [], 12.0)
    daemon.finish()
    header = Header(to_dict(config), 1, 0.0, "default", "0" * 64)
    text = "".join(f"{line}\n" for line in (take_log.header_line(header), *map(take_log.call_line, kept.calls)))
    log = take_log.read_text(text)
    assert log.calls == kept.calls
    assert list(play_again(Musician(ScriptedEngine(ONE_NOTE), log.config, 1, 0.0), log.calls)) == log.calls
    file = mido.MidiFile(file=BytesIO(take_midi.midi(log)))
    found, now = [], 0
    for message in file.tracks[0]:
        now += message.time
        if message.type == "time_signature":
            found.append((now / PPQ, message.numerator, message.denominator))
    assert [signature[1:] for signature in found] == [(4, 4), (3, 4)]
    assert found[1][0] % 4 == 0


def test_bar_lines_of_a_metre_begin_where_it_begins() -> None:
    """After five quarters of silence too: the bars before keep their length."""
    first = Mark(0.0, 0.0, 0.5)
    bars = TempoMap(Metre(4, 4), first, 0.0)
    marks = [Mark(quarter, quarter / 2, 0.5) for quarter in range(1, 8)]
    marks += [Mark(quarter, quarter / 2, 0.5, Metre(3, 4), 8.0) for quarter in range(8, 15)]
    stretches = [stretch for mark in marks for stretch in bars.add(mark)]
    starts = [(stretch.quarter, stretch.signature) for stretch in stretches if stretch.signature]
    assert starts == [(0, (4, 4)), (4, (4, 4)), (8, (3, 4)), (11, (3, 4))]


@pytest.mark.parametrize("beat", ['[0,0,0.5,"3/4"]', '[0,0,0.5,"waltz",0]', '[0,0,0.5,"3/4",null]', "[0]"])
def test_a_damaged_metre_in_a_log_is_refused(beat: str) -> None:
    """It is named in one line, with its number."""
    header = Header(to_dict(override(Config(), "sampling.seed=1")), 1, 0.0, "default", "0" * 64)
    text = f'{take_log.header_line(header)}\n{{"do":"advance","t":1.0,"beat":{beat}}}\n'
    with pytest.raises(Exception, match="line 2"):
        take_log.read_text(text)
