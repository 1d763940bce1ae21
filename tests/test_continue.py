"""Call and answer: when the network takes over, how it plays, and when it yields."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from livebach.music.events import ControlChange, Event, NoteOff, NoteOn, ProgramChange
from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, UNKNOWN
from livebach.musician.governor import MOST_STILL_URGE
from tests.support.driven import ONE_NOTE, OWN, START, TICK, Take, taken_over, urged

# --- taking over ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("notes", "tick"), [(1, 8), (3, 8), (4, 8), (5, 12), (8, 12), (15, 20), (16, 20)])
def test_it_takes_over_at_the_next_beat_after_four_silent_ticks(notes: int, tick: int) -> None:
    """Not before, not after, and on the grid."""
    take = Take().play(range(50, 50 + notes)).run(notes + 12)
    assert take.onsets[0] == (tick, 72)


@pytest.mark.parametrize(("ticks", "tick"), [(1, 8), (8, 12), (9, 16), (32, 36)])
def test_the_silence_is_settable(ticks: int, tick: int) -> None:
    """In ticks."""
    take = taken_over(ONE_NOTE, f"turns.silence_ticks={ticks}").run(50)
    assert take.onsets[0] == (tick, 72)


def test_it_does_not_take_over_while_a_key_is_down() -> None:
    """A held note is no silence."""
    take = Take()
    take.feed(0, NoteOn(60))
    assert take.run(100).onsets == []


def test_it_does_not_take_over_while_the_pedal_is_down() -> None:
    """Until it is lifted; then the silence begins."""
    take = Take()
    take.feed(0, NoteOn(60), ControlChange(64, 127))
    take.feed(1, NoteOff(60))
    assert take.run(30).onsets == []
    take.feed(30.2, ControlChange(64, 0))
    assert take.run(50).onsets[0] == (36, 72)


def test_the_pedal_may_be_left_out_of_it() -> None:
    """As set."""
    take = Take(ONE_NOTE, "turns.pedal_counts=off")
    take.feed(0, NoteOn(60), ControlChange(64, 127))
    take.feed(1, NoteOff(60))
    assert take.run(30).onsets[0] == (8, 72)


def test_it_goes_on_from_the_last_frame_with_a_key_down() -> None:
    """The silence itself is not remembered; the last frame knows where the takeover stands in the bar."""
    take = taken_over().run(8)
    assert take.pushed == [{60: ONSET}, {62: ONSET}, {64: ONSET}, {65: ONSET}]
    assert take.places[-1] == (3, 8)


def test_nothing_is_given_while_the_player_is_silent() -> None:
    """Every key is the network's to decide."""
    take = taken_over().run(20)
    assert all((given == UNKNOWN).all() for given, _, _ in take.engine.draws)


def test_keys_that_the_player_let_go_cannot_be_held() -> None:
    """In its memory they are down; a draw that holds them is drawn again with these keys off."""
    take = taken_over([{65: HOLD, 69: ONSET}, {69: HOLD}]).run(8.2)
    assert take.onsets == [(8, 69)]
    assert [int(given[65 - LOW_KEY]) for given, _, _ in take.engine.draws] == [UNKNOWN, OFF]
    assert take.run(9).pushed[-1] == {69: ONSET}


@pytest.mark.parametrize("least", np.linspace(0, 12, 50))
def test_fifty_takeovers_begin_within_one_beat(least: float) -> None:
    """However little it wants to: OFF is made rarer, at last until something is struck."""
    take = taken_over(urged(least)).run(20)
    assert 8 <= take.onsets[0][0] < 12


@pytest.mark.parametrize("metre", ["4/4", "3/8", "6/8", "4/16", "5/8", "2/2"])
def test_a_network_that_only_rests_takes_up_the_players_last_note(metre: str) -> None:
    """In any metre, within the first beat."""
    take = taken_over([{}], f"time.metre={metre}").run(64)
    at, key = take.onsets[0]
    bar_s = take.musician.status()
    assert key == 65
    assert at <= 32, bar_s


def test_off_is_as_rare_as_the_network_thinks_once_it_has_begun() -> None:
    """The urge ends with the first note."""
    take = taken_over().run(30)
    biases = [params.off_bias for _, _, params in take.engine.draws]
    assert biases[0] < 0
    assert set(biases[1:]) == {0}


@pytest.mark.parametrize("after", [{}, {72: HOLD}])
def test_it_does_not_stand_still_for_long(after: dict[int, int]) -> None:
    """After a bar in which it struck nothing, onsets are made likelier, whether it rests or holds."""
    take = taken_over([{72: ONSET}, *[after] * 100]).run(60)
    biases = [params.onset_bias for _, _, params in take.engine.draws[1:]]
    assert set(biases[:17]) == {0}
    assert MOST_STILL_URGE >= biases[-1] > biases[20] > 0


def test_a_takeover_takes_the_time_it_may_need() -> None:
    """The first draws, often several, begin as soon as the tick before is closed; later ones four leads ahead."""
    take = taken_over().run(7.54)
    assert len(take.engine.draws) == 0
    take.run(7.56)
    assert len(take.engine.draws) == 1
    lead = 4 * 0.004 / TICK
    take.run(9 - lead - 0.001)
    assert len(take.engine.draws) == 1
    take.run(9 - lead + 0.001)
    assert len(take.engine.draws) == 2


def test_if_the_player_comes_in_at_the_takeover_nothing_sounds() -> None:
    """Drawn, not yet sounded: dropped."""
    take = taken_over().run(7.8)
    assert take.feed(7.9, NoteOn(55)) == []
    take.feed(8.5, NoteOff(55))
    assert take.run(12).onsets == []
    assert take.state == "listening"
    assert take.pushed[-1] == {65: ONSET}


def test_it_does_not_take_over_during_the_count_in() -> None:
    """Trying a note while it counts is no phrase to answer."""
    take = Take(ONE_NOTE, "time.count_in_bars=4", "time.click_channel=16", start_tick=0).play([60], at=3).run(62)
    assert {event.channel for _, event in take.sent} == {15}
    assert take.run(70).sent[-1][1].channel == OWN


# --- playing ----------------------------------------------------------------------------------------------------------


def test_notes_sound_on_the_grid_and_on_its_own_channel() -> None:
    """At T_n, from the player's first onset on."""
    take = taken_over().run(24)
    assert take.onsets == [(8, 72), (12, 72), (16, 72), (20, 72), (24, 72)]
    assert {event.channel for _, event in take.sent} == {OWN}


def test_latency_sends_notes_early() -> None:
    """For a synth that sounds late."""
    take = taken_over(ONE_NOTE, "midi.latency_ms=25").run(12)
    assert take.onsets == [(7.8, 72), (11.8, 72)]


def test_a_latency_longer_than_a_tick_is_cut() -> None:
    """A tick is never sent before the one before it is closed."""
    take = taken_over(ONE_NOTE, "midi.latency_ms=200").run(12)
    assert take.onsets == [(7.55, 72), (11.55, 72)]


def test_hold_keeps_a_note_and_a_second_onset_strikes_it_again() -> None:
    """Off, then on, in one breath."""
    take = taken_over([{72: ONSET}, {72: HOLD}, {72: ONSET}, {}]).run(11)
    assert [(at, type(event)) for at, event in take.sent] == [(8, NoteOn), (10, NoteOff), (10, NoteOn), (11, NoteOff)]


def test_what_it_plays_is_remembered() -> None:
    """Frame by frame, each pushed half a tick after it sounded."""
    take = taken_over().run(10.4)
    assert take.pushed[4:] == [{72: ONSET}, {72: HOLD}]
    take.run(10.5)
    assert take.pushed[4:] == [{72: ONSET}, {72: HOLD}, {72: HOLD}]
    assert take.places[3:] == [(3, 8), (8, 9), (9, 10), (10, 11)]


def test_eighty_eight_numbers_are_drawn_each_tick() -> None:
    """The same seed gives the same numbers, whatever the network does with them; tries share one set."""
    take = taken_over(urged(100)).run(10.2)
    numbers = Random(1)
    expected = [[numbers.random() for _ in range(KEYS)] for _ in range(3)]
    assert [list(uniforms) for _, uniforms, _ in take.engine.draws] == expected


def test_the_settings_reach_the_sampling() -> None:
    """Temperature and min-p."""
    take = taken_over(ONE_NOTE, "sampling.temperature=0.8", "sampling.min_p=0.1").run(9)
    assert {(params.temperature, params.min_p) for _, _, params in take.engine.draws} == {(0.8, 0.1)}


# --- yielding ---------------------------------------------------------------------------------------------------------


def test_it_yields_at_once() -> None:
    """Its note-offs are the answer to the key itself."""
    take = taken_over([{72: ONSET, 48: ONSET}, {72: HOLD, 48: HOLD}]).run(9)
    assert take.feed(9.3, NoteOn(60)) == [NoteOff(48, 0, OWN), NoteOff(72, 0, OWN)]
    assert take.state == "listening"
    assert take.run(30).onsets == [(8, 48), (8, 72)]


def test_what_it_played_stays_in_its_memory() -> None:
    """Off the beat: its last frame is closed with what sounded, and the player's key begins a new bar."""
    take = taken_over().run(10)
    take.feed(10.3, NoteOn(60))
    take.feed(11.4, NoteOn(62))
    take.run(13)
    assert take.pushed[4:] == [{72: ONSET}, {72: HOLD}, {72: HOLD}, {60: ONSET}, {60: HOLD, 62: ONSET}]
    assert take.places[4:] == [(8, 9), (9, 10), (10, 0), (0, 1), (1, 2)]


@pytest.mark.parametrize("at", [11.6, 12.0, 12.3])
def test_on_a_beat_the_player_keeps_the_count(at: float) -> None:
    """Give or take half a tick: the beat moves to the player's onset, the bar goes on."""
    take = taken_over().run(11.6)
    take.feed(at, NoteOn(60))
    take.feed(at + 1, NoteOn(62))
    take.run(at + 2.6)
    assert take.pushed[-2] == {60: ONSET, **({72: ONSET} if at >= 12 else {})}
    assert take.places[-2:] == [(12, 13), (13, 14)]
    assert take.musician.deadline_s() == pytest.approx(START + (at + 3.5) * TICK)


@pytest.mark.parametrize("at", [9.6, 10.0, 10.4, 13.0])
def test_off_the_beat_the_player_begins_a_new_bar(at: float) -> None:
    """Wherever it was: this onset is the downbeat."""
    take = taken_over().run(at)
    take.feed(at, NoteOn(60))
    take.feed(at + 1, NoteOn(62))
    take.run(at + 2.6)
    assert take.pushed[-2] == {60: ONSET}
    assert take.places[-2:] == [(0, 1), (1, 2)]
    assert take.musician.status().bar == 2


def test_a_chord_yields_once_and_is_one_frame() -> None:
    """Its later keys round to the onset of the first."""
    take = taken_over().run(10)
    take.feed(10.2, NoteOn(60))
    take.feed(10.4, NoteOn(64))
    take.feed(10.6, NoteOn(67))
    take.feed(12, NoteOn(69))
    take.run(13)
    assert take.pushed[-2:] == [{60: ONSET, 64: ONSET, 67: ONSET}, {60: HOLD, 64: HOLD, 67: HOLD}]


@pytest.mark.parametrize(
    "event", [ControlChange(64, 127), ControlChange(1, 30), ProgramChange(3), NoteOff(60), NoteOn(20), NoteOn(110)]
)
def test_only_a_key_of_the_keyboard_makes_it_yield(event: Event) -> None:
    """Not a controller, not a program, not a note that is thru only."""
    take = taken_over().run(9)
    assert take.feed(9.3, event) == []
    assert take.state == "playing"
    assert take.run(12).onsets == [(8, 72), (12, 72)]


def test_the_players_pedal_never_reaches_its_channel() -> None:
    """Neither in answer nor later."""
    take = taken_over().run(9)
    take.feed(9.3, ControlChange(64, 127))
    take.feed(14.3, NoteOn(60))
    take.run(40)
    assert not [event for _, event in take.sent if not isinstance(event, NoteOn | NoteOff)]


def test_it_takes_over_again_after_a_yield() -> None:
    """On the player's new grid: a downbeat at 10.3."""
    take = taken_over().run(10)
    take.play([60], at=10.3)
    take.run(30)
    assert take.onsets[1] == (18.3, 72)


def test_a_yield_while_advance_is_late() -> None:
    """The ticks that were missed are closed with what sounded, without any work on the network before the note-offs."""
    take = taken_over().run(9)
    before = len(take.pushed)
    out = take.musician.feed(NoteOn(60), START + 12.1 * TICK)
    assert out == [NoteOff(72, 0, OWN)]
    assert len(take.pushed) == before
    take.musician.feed(NoteOn(62), START + 13.1 * TICK)
    take.run(15)
    assert take.pushed[4:] == [{72: ONSET}, *[{72: HOLD}] * 3, {60: ONSET}, {60: HOLD, 62: ONSET}]
    assert take.musician.status().missed == 2
