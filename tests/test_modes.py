"""The modes of playing together: duet, accompany, listen."""

from __future__ import annotations

import numpy as np
import pytest

from livebach.music.events import NoteOff, NoteOn
from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, UNKNOWN, Frame
from livebach.music.texture import Texture
from livebach.musician.modes import SEMITONE, TRITONE
from livebach.testing import Script
from tests.support.driven import ONE_NOTE, OWN, Take

DUET = "turns.mode=duet"
ACCOMPANY = "turns.mode=accompany"
ON_TIME = "turns.delay_ms=0"
BASS = ({40: ONSET}, {40: HOLD})


def given_of(take: Take, draw: int = -1) -> dict[int, int]:
    """What was given at a draw, as {MIDI key: state}."""
    given: Frame = take.engine.draws[draw][0]
    return {int(key) + LOW_KEY: int(given[key]) for key in np.flatnonzero(given != UNKNOWN)}


def duet(script: Script = BASS, *assignments: str) -> Take:
    """A duet, on the tick, in which the player holds middle C from tick 0 on."""
    take = Take(script, DUET, ON_TIME, *assignments)
    take.feed(0, NoteOn(60))
    return take


def test_in_a_duet_it_plays_from_the_tick_after_the_first_note() -> None:
    """And does not yield."""
    take = duet().run(6)
    assert take.onsets == [(1, 40), (3, 40), (5, 40)]
    assert take.feed(6.2, NoteOn(64)) == []
    assert take.state == "playing"


def test_in_a_duet_it_goes_on_when_the_player_stops() -> None:
    """All the time."""
    take = duet().run(1)
    take.feed(1.2, NoteOff(60))
    assert take.run(100).onsets[-1] == (99, 40)


def test_the_players_keys_are_given() -> None:
    """As struck, as held, and as let go."""
    take = duet().run(1)
    assert given_of(take)[60] == HOLD
    take.feed(1.8, NoteOn(64))
    take.run(2)
    assert (given_of(take)[60], given_of(take)[64]) == (HOLD, ONSET)
    take.feed(2.6, NoteOff(60))
    take.run(3)
    assert (given_of(take)[60], given_of(take)[64]) == (OFF, HOLD)


@pytest.mark.parametrize("distance", [0, 3, 12])
def test_the_players_register_is_given_as_off(distance: int) -> None:
    """From the lowest to the highest key, and a settable distance beyond; nothing is known elsewhere."""
    take = duet(BASS, f"turns.register_margin={distance}")
    take.feed(0.1, NoteOn(67))
    take.run(1)
    held = {60: HOLD, 67: HOLD}
    assert given_of(take) == {key: held.get(key, OFF) for key in range(60 - distance, 68 + distance)}


def test_the_register_is_forgotten_after_a_bar() -> None:
    """Then every key is the network's."""
    take = duet().run(1)
    take.feed(1.2, NoteOff(60))
    take.run(16)
    assert given_of(take)
    take.run(19)
    assert given_of(take) == {}


def test_it_strikes_nothing_in_the_players_register() -> None:
    """Whatever the network would like."""
    take = duet([{58: ONSET, 40: ONSET, 60: ONSET}]).run(8)
    assert {key for _, key in take.onsets} == {40}


def test_its_own_note_in_a_register_that_the_player_enters_ends_by_itself() -> None:
    """It is neither cut nor struck again."""
    take = duet([{48: ONSET}, {48: HOLD}, {48: HOLD}, {48: ONSET}]).run(1.5)
    take.feed(1.6, NoteOn(50))
    take.run(4)
    assert 48 not in given_of(take, 2)
    assert [(at, type(event)) for at, event in take.sent] == [(1, NoteOn), (4, NoteOff)]


def test_a_key_that_the_player_strikes_is_the_players() -> None:
    """Its own note on it ends at once; the frame has the player's."""
    take = duet([{40: ONSET}, {40: HOLD}]).run(2)
    assert take.feed(2.2, NoteOn(40)) == [NoteOff(40, 0, OWN)]
    take.run(2.5)
    assert take.pushed[-1] == {60: HOLD, 40: ONSET}


def test_a_key_struck_between_draw_and_tick_is_not_doubled() -> None:
    """What was drawn for it is dropped."""
    take = duet([{40: ONSET, 36: ONSET}]).run(0.99)
    assert len(take.engine.draws) == 1
    take.feed(0.995, NoteOn(40))
    assert take.run(1.2).onsets == [(1, 36)]


def test_both_parts_are_remembered() -> None:
    """What the player adds until half a tick later amends the frame; the notes already sent stay in."""
    take = duet().run(1.2)
    take.feed(1.3, NoteOn(67))
    take.run(2.5)
    assert take.pushed == [{60: ONSET}, {60: HOLD, 67: ONSET, 40: ONSET}, {60: HOLD, 67: HOLD, 40: HOLD}]
    assert take.places == [(0, 1), (1, 2), (2, 3)]


def test_it_thins_out_when_the_player_is_dense() -> None:
    """How many notes there are is meant of both: onsets are made rarer by those of the player."""
    sparse, dense = duet().run(16), Take(BASS, DUET, ON_TIME).play([60, 62] * 8).run(16)
    biases = [take.engine.draws[-1][2].onset_bias for take in (sparse, dense)]
    assert biases[0] > 0 > biases[1]


def test_in_a_duet_it_need_not_begin() -> None:
    """Its silence is as good as its notes: nothing but the number of notes is looked after."""
    take = duet([{}]).run(60)
    assert {params.off_bias for _, _, params in take.engine.draws} == {0}


def test_in_a_duet_the_texture_is_that_of_both() -> None:
    """The player's own is not it; what is set is meant of both, and off is off."""
    take = Take(BASS, DUET).play([60] * 40)
    assert {texture for *_, texture in take.engine.states[0].pushed} == {Texture(5)}
    take = Take(BASS, DUET, "sampling.density=3").play([60] * 4)
    assert {texture for *_, texture in take.engine.states[0].pushed} == {Texture(3)}
    take = Take(BASS, DUET, "sampling.density=off").play([60] * 4)
    assert {texture for *_, texture in take.engine.states[0].pushed} == {Texture()}


def test_on_a_beat_what_clashes_with_the_player_is_rare() -> None:
    """A semitone from the player's key, in every octave, and a tritone a little; between the beats it may pass."""
    take = duet().run(4.5)
    (*_, between), (*_, on_beat) = take.engine.draws[-2:]
    less = on_beat.key_bias - between.key_bias
    for by, pitches in ((SEMITONE, (11, 1)), (TRITONE, (6,)), (0, (0, 2, 3, 4, 5, 7, 8, 9, 10))):
        keys = [key - LOW_KEY for key in range(21, 109) if key % 12 in pitches]
        assert less[keys] == pytest.approx(by, abs=1e-5)


def test_on_a_beat_it_lets_go_what_lies_a_semitone_below() -> None:
    """In any octave, of a key that is struck; what is a semitone above stays, and so does all between the beats."""
    held = [{47: ONSET, 49: ONSET}, *[{47: HOLD, 49: HOLD}] * 30]
    take = Take(held, DUET, ON_TIME)
    take.feed(0, NoteOn(65))
    for at in (2.8, 3.8):
        take.feed(at, NoteOn(72))
        take.feed(at + 0.1, NoteOff(72))
    take.run(6)
    assert [(at, event.key) for at, event in take.sent if isinstance(event, NoteOff)] == [(4, 47)]


def test_in_a_duet_it_hears_the_player_first() -> None:
    """Its notes come a little after the tick: a key struck with it is given, and a click is on time."""
    take = Take(BASS, DUET, "time.click=true", start_tick=0)
    take.feed(2.7, NoteOn(60))
    take.feed(4, NoteOn(64))
    take.run(4.5)
    assert given_of(take)[64] == ONSET
    own = [at for at, event in take.sent if isinstance(event, NoteOn) and event.channel == OWN]
    clicks = [at for at, event in take.sent if isinstance(event, NoteOn) and event.channel != OWN]
    assert own == pytest.approx([4.24])
    assert clicks == [0, 4]


def test_a_duet_waits_for_the_count_in() -> None:
    """Whatever the player tries during it."""
    take = Take(BASS, DUET, ON_TIME, "time.count_in_bars=1", start_tick=0).play([60], at=3).run(30)
    assert min(at for at, key in take.onsets if key == 40) == 16


def test_accompany_falls_silent_with_the_player() -> None:
    """After the set silence, on the grid; its last frame waits for what follows, and no rest is remembered."""
    take = Take([{40: ONSET}, *[{40: HOLD}] * 30], ACCOMPANY, ON_TIME).play([60, 62])
    take.run(60)
    assert [(at, event.__class__) for at, event in take.sent] == [(1, NoteOn), (6, NoteOff)]
    assert take.pushed == [{60: ONSET}, {62: ONSET, 40: ONSET}, *[{40: HOLD}] * 3]
    assert take.state == "idle"


def test_accompany_goes_on_with_the_player() -> None:
    """After a rest the player's onset is a new downbeat, with at most a bar of rests before it."""
    take = Take([{40: ONSET}], ACCOMPANY, ON_TIME).play([60]).run(60)
    before = len(take.onsets)
    take.feed(60.3, NoteOn(62))
    take.run(61.9)
    assert take.onsets[before:] == [(61.3, 40)]
    assert len(take.pushed) == 5 + 16 + 2
    assert take.places[-3:] == [(15, 0), (0, 1), (1, 2)]


def test_listen_only_learns() -> None:
    """It remembers, and never plays."""
    take = Take(ONE_NOTE, "turns.mode=listen").play([60, 62, 64]).run(100)
    assert take.sent == []
    assert take.engine.draws == []
    assert take.pushed == [{60: ONSET}, {62: ONSET}]


def test_listening_comes_to_rest_after_a_silence() -> None:
    """Then nothing is due until the next onset, which is a downbeat; a bar of the rests is remembered."""
    take = Take(ONE_NOTE, "turns.mode=listen").play([60, 62]).run(100)
    assert take.state == "idle"
    assert take.musician.deadline_s() == float("inf")
    take.feed(205.7, NoteOn(65))
    take.run(208)
    assert take.pushed == [{60: ONSET}, {62: ONSET}, *[{}] * 16, {65: ONSET}]
    assert take.places[-1] == (0, 1)


def test_after_a_count_in_that_nobody_followed_the_first_onset_is_the_downbeat() -> None:
    """Nobody can know the grid by then."""
    take = Take(ONE_NOTE, "time.count_in_bars=1", start_tick=0).run(100)
    assert take.state == "idle"
    take.feed(100.3, NoteOn(60))
    take.run(102)
    assert take.places == [(0, 1)]


def test_frames_have_eighty_eight_keys() -> None:
    """At both ends of the keyboard a register ends there."""
    take = Take(BASS, DUET)
    take.feed(0, NoteOn(21), NoteOn(108))
    take.run(2)
    assert len(given_of(take)) == KEYS
