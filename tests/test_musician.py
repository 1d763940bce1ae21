"""The musician: when it listens, takes over, plays and yields; a tick is an eighth of a second here."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from livebach.config import Config, override
from livebach.events import Control, Event, NoteOff, NoteOn, Program
from livebach.modes import mode_of
from livebach.musician import Musician
from livebach.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, UNKNOWN, Frame, Texture
from livebach.sampling import Policy
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
        return [(place[0], following[0]) for _, place, following, _ in self.engine.states[0].pushed]

    @property
    def state(self) -> str:
        """What it says it does."""
        return self.musician.status().state


def taken_over(script: Script = ONE_NOTE, *assignments: str) -> Take:
    """A take in which the player plays four ticks and is then silent; the network begins at tick 8."""
    return Take(script, *assignments).play([60, 62, 64, 65])


# --- idle and listening ----------------------------------------------------------------------------------------------


def test_idle_until_the_player_begins() -> None:
    """Nothing is due, nothing is played, nothing is remembered."""
    take = Take()
    assert take.musician.deadline_s() == float("inf")
    assert take.late(50) == []
    assert take.state == "idle"
    assert not take.pushed


def test_the_first_onset_is_the_downbeat() -> None:
    """The grid starts with it, wherever it falls."""
    take = Take()
    take.feed(3.3, NoteOn(60))
    status = take.musician.status()
    assert (status.state, status.bar, status.beat, status.tick) == ("listening", 1, 1, 0)
    assert take.musician.deadline_s() == pytest.approx(START + 3.8 * TICK)
    take.feed(4.3, NoteOn(62))
    take.run(8)
    assert take.pushed[0] == {60: ONSET}
    assert take.places[0] == (0, 1)


def test_a_frame_is_remembered_once_and_with_what_follows() -> None:
    """While the player plays: every tick's keys in order, each with its place and the next one's."""
    take = Take().play([60, 60, 62])
    take.feed(3, NoteOn(64))
    take.run(20.6)
    held = [{64: HOLD}] * 16
    assert take.pushed == [{60: ONSET}, {60: ONSET}, {62: ONSET}, {64: ONSET}, *held]
    assert take.places == [(n % 16, (n + 1) % 16) for n in range(20)]


def test_nothing_provisional_is_remembered() -> None:
    """A key pressed just before the tick closes is in its frame; the frame waits for what follows it."""
    take = Take()
    take.feed(0, NoteOn(60))
    take.feed(0.49, NoteOn(67))
    assert take.pushed == []
    take.run(1.5)
    assert take.pushed == [{60: ONSET, 67: ONSET}]


def test_a_short_pause_is_remembered_as_it_was() -> None:
    """Rests within a phrase are music."""
    take = Take().play([60])
    take.play([62], at=4)
    take.feed(5, NoteOn(64))
    take.run(6)
    assert take.pushed == [{60: ONSET}, {}, {}, {}, {62: ONSET}]
    assert take.places == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]


def test_at_most_one_bar_of_rests_is_remembered() -> None:
    """If the player pauses long and goes on, the last bar before the new note is what was silent."""
    take = Take(ONE_NOTE, "turns.silence_ticks=200").play([60])
    take.feed(42, NoteOn(62), NoteOn(64))
    take.run(44)
    assert take.pushed == [{60: ONSET}, *[{}] * 16, {62: ONSET, 64: ONSET}]
    assert take.places[:3] == [(0, 10), (10, 11), (11, 12)]
    assert take.places[-2:] == [(9, 10), (10, 11)]


def test_silence_before_the_first_note_is_not_remembered() -> None:
    """A count-in is no rest of the player's."""
    take = Take(ONE_NOTE, "time.count_in_bars=1", start_tick=0)
    take.play([60, 62], at=21)
    take.run(23)
    assert take.pushed == [{60: ONSET}]
    assert take.places == [(5, 6)]


def test_keys_outside_the_keyboard_are_thru_only() -> None:
    """They start nothing, and are in no frame."""
    take = Take()
    assert take.feed(0, NoteOn(20), NoteOn(109)) == []
    assert take.state == "idle"


def test_another_channel_is_not_heard_where_one_is_set() -> None:
    """Channel 3 in the settings is 2 inside."""
    take = Take(ONE_NOTE, "midi.input_channel=3")
    take.feed(0, NoteOn(60, channel=3))
    assert take.state == "idle"
    take.feed(0, NoteOn(60, channel=2))
    assert take.state == "listening"


# --- taking over -----------------------------------------------------------------------------------------------------


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
    take.feed(0, NoteOn(60), Control(64, 127))
    take.feed(1, NoteOff(60))
    assert take.run(30).onsets == []
    take.feed(30.2, Control(64, 0))
    assert take.run(50).onsets[0] == (36, 72)


def test_the_pedal_may_be_left_out_of_it() -> None:
    """As set."""
    take = Take(ONE_NOTE, "turns.pedal_counts=off")
    take.feed(0, NoteOn(60), Control(64, 127))
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


def urged(least: float) -> Script:
    """A network that rests unless OFF is made rarer by so much."""

    def script(number: int, uniforms: NDArray[np.float64], policy: Policy) -> Frame:
        return frame_of({72: ONSET} if -policy.off_bias >= least else {})

    return script


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
    biases = [policy.off_bias for _, _, policy in take.engine.draws]
    assert biases[0] < 0
    assert set(biases[1:]) == {0}


def test_its_own_rests_do_not_grow_without_end() -> None:
    """After a bar of its own silence OFF is made rarer again."""
    take = taken_over([{72: ONSET}, *[{}] * 100]).run(60)
    biases = [policy.off_bias for _, _, policy in take.engine.draws[1:]]
    assert set(biases[:17]) == {0}
    assert -4 <= biases[-1] < biases[20] < 0


def test_a_takeover_takes_the_time_it_may_need() -> None:
    """The first draws, which may be several, begin as soon as the tick before is closed; later ones just in time."""
    take = taken_over().run(7.54)
    assert len(take.engine.draws) == 0
    take.run(7.56)
    assert len(take.engine.draws) == 1
    lead = 0.004 / TICK
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


# --- playing ---------------------------------------------------------------------------------------------------------


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
    expected = np.random.Generator(np.random.PCG64(1)).random((3, KEYS))
    assert [uniforms[0] for _, uniforms, _ in take.engine.draws] == list(expected[:, 0])


def test_the_settings_reach_the_sampling() -> None:
    """Temperature and min-p."""
    take = taken_over(ONE_NOTE, "sampling.temperature=0.8", "sampling.min_p=0.1").run(9)
    assert {(policy.temperature, policy.min_p) for _, _, policy in take.engine.draws} == {(0.8, 0.1)}


# --- yielding --------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("event", [Control(64, 127), Control(1, 30), Program(3), NoteOff(60), NoteOn(20), NoteOn(110)])
def test_only_a_key_of_the_keyboard_makes_it_yield(event: Event) -> None:
    """Not a controller, not a program, not a note that is thru only."""
    take = taken_over().run(9)
    assert take.feed(9.3, event) == []
    assert take.state == "playing"
    assert take.run(12).onsets == [(8, 72), (12, 72)]


def test_the_players_pedal_never_reaches_its_channel() -> None:
    """Neither in answer nor later."""
    take = taken_over().run(9)
    take.feed(9.3, Control(64, 127))
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


# --- its own notes and the player's ----------------------------------------------------------------------------------


def test_on_a_shared_channel_a_key_of_the_players_is_not_cut() -> None:
    """The key becomes the player's; the note-off that is owed comes when the player lets go."""
    take = taken_over().run(9)
    assert take.feed(9.3, NoteOn(72, channel=OWN)) == []
    assert take.run(11).sent[-1] == (8, NoteOn(72, 67, OWN))
    assert take.feed(11.3, NoteOff(72, channel=OWN)) == [NoteOff(72, 0, OWN)]


def test_without_thru_nothing_is_shared() -> None:
    """Then the player's keys are on another instrument."""
    take = taken_over(ONE_NOTE, "midi.thru=off").run(9)
    assert take.feed(9.3, NoteOn(72, channel=OWN)) == [NoteOff(72, 0, OWN)]


def test_a_key_held_on_the_shared_channel_is_not_struck() -> None:
    """Here by a player whom the network does not listen to."""
    take = taken_over([{72: ONSET, 48: ONSET}], "midi.input_channel=1").run(7)
    take.feed(7, NoteOn(72, channel=OWN))
    assert take.run(8.6).onsets == [(8, 48)]
    assert take.pushed[-1] == {48: ONSET}


@pytest.mark.parametrize("ends", [NoteOff(72, 0, OWN), Control(123, 0, OWN), Control(120, 0, OWN)])
def test_a_note_off_that_is_owed_is_paid_once(ends: Event) -> None:
    """By letting go or by all notes off; not again at the end."""
    take = taken_over().run(9)
    take.feed(9.3, NoteOn(72, channel=OWN))
    assert take.feed(10, ends) == [NoteOff(72, 0, OWN)]
    assert take.musician.stop(START + 11 * TICK) == []


def velocities(velocity: int, *assignments: str) -> list[int]:
    """Its velocities on beats 3, 4 and 1 after a phrase of the player's."""
    take = Take(ONE_NOTE, *assignments)
    take.feed(0, NoteOn(60, velocity))
    take.feed(0.9, NoteOff(60))
    take.run(16)
    return [event.velocity for _, event in take.sent if isinstance(event, NoteOn)]


def test_velocity_follows_the_players_touch_and_the_metre() -> None:
    """As loud as the player, a beat a little louder, a downbeat a little more."""
    soft, loud = velocities(40), velocities(100)
    assert [b - a for a, b in zip(soft, loud, strict=True)] == [60, 60, 60]
    assert 40 < soft[0] == soft[1] < soft[2] < 52


def test_velocity_stays_within_midi() -> None:
    """The accent does not overflow."""
    assert velocities(127) == [127, 127, 127]


def test_velocity_can_be_fixed() -> None:
    """Then it is that number."""
    assert velocities(40, "sound.velocity=90") == [90, 90, 90]


# --- texture ---------------------------------------------------------------------------------------------------------


def textures(take: Take) -> list[Texture]:
    """The texture that went with each frame."""
    return [texture for *_, texture in take.engine.states[0].pushed]


def test_texture_follows_the_player() -> None:
    """Unknown until a bar has been heard; then denser playing asks for a denser answer."""
    dense, sparse = Take().play([60, 62] * 16), Take()
    for n in range(8):
        sparse.play([60], at=4 * n, length=3.5)
    dense_texture, sparse_texture = textures(dense.run(36.4)), textures(sparse.run(36.4))
    assert dense_texture[0] == sparse_texture[0] == Texture(None, None)
    assert (dense_texture[-1].density or 0) > (sparse_texture[-1].density or 0)
    assert dense_texture[-1].polyphony is not None


def test_texture_stays_while_the_network_plays() -> None:
    """It follows the player, not itself, nor the player's silence."""
    take = Take([{48 + n: ONSET for n in range(0, 24, 3)}]).play([60, 62] * 16).run(200)
    assert len(set(textures(take)[32:])) == 1


@pytest.mark.parametrize(("setting", "level"), [("off", None), ("5", 5), ("0", 0)])
def test_texture_can_be_set(setting: str, level: int | None) -> None:
    """To a level, or to nothing."""
    take = Take(ONE_NOTE, f"sampling.density={setting}", f"sampling.polyphony={setting}").play([60, 62] * 16).run(40)
    assert set(textures(take)) == {Texture(level, level)}


# --- late ------------------------------------------------------------------------------------------------------------


def test_a_late_tick_within_half_a_tick_still_sounds() -> None:
    """A little late is better than not at all."""
    take = taken_over().run(7.9)
    assert [type(event) for event in take.late(8.4)] == [NoteOn]
    assert take.musician.status().missed == 0


def test_an_overrun_counts_and_keeps_what_sounds() -> None:
    """Missed ticks: nothing is struck, nothing ends, nothing comes in a burst, the grid does not move."""
    take = taken_over([{60 + n: ONSET} for n in range(24)]).run(8)
    assert take.late(11.6) == []
    assert take.musician.status().missed == 3
    assert take.musician.status().own_keys == (60,)
    take.run(12)
    assert [at for at, _ in take.onsets] == [8, 12]
    assert take.pushed[4:] == [{60: ONSET}, {60: HOLD}, {60: HOLD}, {60: HOLD}]


def test_a_slow_network_never_bursts_and_recovers() -> None:
    """Draws that take two and a half ticks: every note is on time or left out, one at most for each tick."""
    take = taken_over([{60 + n: ONSET} for n in range(24)]).run(7.5)
    now = 7.56
    for _ in range(20):
        drawn = len(take.engine.draws)
        take.late(now)
        slow = 2.5 if len(take.engine.draws) > drawn else 0
        now = max(now + slow, (take.musician.deadline_s() - START) / TICK)
    assert take.musician.status().missed > 5
    assert len(take.onsets) <= 20
    at = int(now) + 1
    take.run(at + 0.2)
    assert take.onsets[-1][0] == at


def test_a_standstill_is_skipped_not_worked_through() -> None:
    """After hours of sleep it goes on with the tick that it is, and remembers at most a bar of them."""
    take = taken_over().run(9)
    before = len(take.pushed)
    assert take.late(100_009.2) == []
    assert len(take.pushed) - before <= 18
    assert take.musician.status().missed == pytest.approx(100_000, abs=1)
    assert take.run(100_016).onsets[-1][0] > 100_008


def test_being_late_while_listening_loses_nothing() -> None:
    """Events keep the times at which they were played."""
    take = Take()
    for n, key in enumerate((60, 62, 64, 65)):
        take.musician.feed(NoteOn(key), START + n * TICK)
        take.musician.feed(NoteOff(key), START + (n + 0.9) * TICK)
    take.run(6)
    assert take.pushed == [{60: ONSET}, {62: ONSET}, {64: ONSET}]


# --- click and count-in ----------------------------------------------------------------------------------------------


def clicks(take: Take) -> list[tuple[float, int]]:
    """When which click was struck."""
    return [(round(at, 6), e.key) for at, e in take.sent if isinstance(e, NoteOn) and e.channel == 9]


def test_a_count_in_clicks_its_bars_and_then_stops() -> None:
    """From the start; high on the downbeat."""
    take = Take(ONE_NOTE, "time.count_in_bars=2", "time.metre=3/4", start_tick=0).run(100)
    assert clicks(take) == [(0, 76), (4, 77), (8, 77), (12, 76), (16, 77), (20, 77)]
    assert [type(event) for _, event in take.sent] == [NoteOn, NoteOff] * 6


def test_after_a_count_in_the_grid_is_that_of_the_clicks() -> None:
    """The first onset rounds to it; an upbeat is one."""
    take = Take(ONE_NOTE, "time.count_in_bars=1", start_tick=0).play([60, 62, 64], at=15.2).run(40)
    assert take.places[:3] == [(15, 0), (0, 1), (1, 8)]
    assert take.onsets[4] == (24, 72)


def test_a_click_can_go_on_and_its_grid_stays() -> None:
    """Neither the first onset nor a yield moves it."""
    take = Take(ONE_NOTE, "time.click=on", start_tick=0).play([60, 62], at=2.3).run(13)
    assert take.musician.status().state == "playing"
    take.feed(13.3, NoteOn(60))
    take.run(32)
    assert clicks(take) == [(0, 76), (4, 77), (8, 77), (12, 77), (16, 76), (20, 77), (24, 77), (28, 77), (32, 76)]
    assert take.places[0] == (2, 3)
    assert take.places[-1][1] == 15


def test_a_click_that_is_too_late_is_left_out() -> None:
    """It would mislead."""
    take = Take(ONE_NOTE, "time.click=on", start_tick=0).run(3)
    take.late(4.6)
    assert clicks(take) == [(0, 76)]


# --- the end ---------------------------------------------------------------------------------------------------------


def test_stop_ends_every_note_and_is_idempotent() -> None:
    """Also those that are owed, and the click; afterwards nothing happens."""
    take = taken_over([{72: ONSET, 48: ONSET}, {72: HOLD, 48: HOLD}]).run(9)
    take.musician.feed(NoteOn(48, channel=OWN), START + 9.2 * TICK)
    assert take.musician.stop(START + 9.5 * TICK) == [NoteOff(48, 0, OWN)]
    assert take.musician.stop(START + 9.5 * TICK) == []
    assert take.musician.feed(NoteOn(60), START + 10 * TICK) == []
    assert take.musician.advance(START + 20 * TICK) == []
    assert take.musician.deadline_s() == float("inf")


def test_the_status_names_what_there_is_to_show() -> None:
    """State, mode, tempo, place, keys of both, missed ticks."""
    take = taken_over().run(13)
    take.feed(13.1, Control(64, 127))
    status = take.musician.status()
    assert (status.state, status.mode, status.bpm, status.metre) == ("playing", "continue", 120, "4/4")
    assert (status.bar, status.beat, status.tick) == (1, 4, 13)
    assert (status.player_keys, status.own_keys, status.missed) == ((), (72,), 0)


def test_an_unknown_mode_is_told() -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match=r"turns\.mode must be continue.*got 'sleep'"):
        mode_of(SimpleNamespace(turns=SimpleNamespace(mode="sleep")))  # type: ignore[arg-type]


# --- for any playing whatever ----------------------------------------------------------------------------------------


def chance(number: int, uniforms: NDArray[np.float64], policy: Policy) -> Frame:
    """A network that plays anything."""
    return np.select([uniforms < 0.1, uniforms < 0.6], [ONSET, HOLD], OFF).astype(np.uint8)


KEY = st.sampled_from([20, 21, 60, 61, 62, 108, 109])
EVENT = st.one_of(
    st.builds(NoteOn, KEY, st.integers(1, 127), st.integers(0, 2)),
    st.builds(NoteOff, KEY, st.just(0), st.integers(0, 2)),
    st.builds(Control, st.sampled_from([1, 64, 120, 121, 123]), st.sampled_from([0, 127]), st.integers(0, 2)),
    st.builds(Program, st.integers(0, 127), st.integers(0, 2)),
)
WAIT = st.one_of(st.floats(-1, 40), st.sampled_from([0.0, 1e7]))
STEP = st.tuples(WAIT, st.one_of(EVENT, st.sampled_from(["advance", "run", "stop"])))
Steps = list[tuple[float, Event | str]]
SETTINGS = st.sampled_from(
    [(), ("time.click=on",), ("time.count_in_bars=1",), ("midi.thru=off",), ("midi.input_channel=1",)]
)


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


@settings(deadline=None, max_examples=150)
@given(st.lists(STEP, max_size=30), SETTINGS)
def test_every_note_on_has_exactly_one_note_off(steps: Steps, chosen: tuple[str, ...]) -> None:
    """On the same key and channel, before the key is struck again, and none is left after stop."""
    sounding: set[tuple[int, int]] = set()
    for event in carry_out(Take(chance, *chosen), steps):
        assert isinstance(event, NoteOn | NoteOff)
        place = (event.channel, event.key)
        assert (place in sounding) == isinstance(event, NoteOff)
        sounding ^= {place}
    assert not sounding


@settings(deadline=None, max_examples=50)
@given(st.lists(STEP, max_size=20), SETTINGS)
def test_equal_calls_give_equal_events(steps: Steps, chosen: tuple[str, ...]) -> None:
    """What replay rests on."""
    first, second = Take(chance, *chosen), Take(chance, *chosen)
    assert carry_out(first, steps) == carry_out(second, steps)
    assert first.pushed == second.pushed


@settings(deadline=None, max_examples=100)
@given(st.lists(STEP, max_size=20), SETTINGS)
def test_what_is_remembered_is_legal(steps: Steps, chosen: tuple[str, ...]) -> None:
    """No key is held that was off in the frame before."""
    take = Take(chance, *chosen)
    carry_out(take, steps)
    for before, after in zip(take.pushed, take.pushed[1:], strict=False):
        assert not {key for key, state in after.items() if state == HOLD} - set(before)
