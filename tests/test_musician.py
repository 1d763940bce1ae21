"""The musician: listening, the count-in, lateness, the end, and properties that hold for any playing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livebach.config import Config, override
from livebach.controls import Command
from livebach.music.events import ControlChange, NoteOff, NoteOn
from livebach.music.grid import Place
from livebach.music.roll import HOLD, ONSET
from livebach.music.texture import Texture
from livebach.musician.modes import mode_of
from livebach.musician.musician import Musician
from livebach.testing import ScriptedEngine, ScriptedState
from tests.support.driven import ONE_NOTE, OWN, START, TICK, Take, taken_over
from tests.support.random_play import MODE, STEP, Steps, carry_out, chance

# --- idle and listening -----------------------------------------------------------------------------------------------


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


# --- late -------------------------------------------------------------------------------------------------------------


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


def test_what_sounded_before_a_standstill_is_remembered() -> None:
    """The tick that was open is closed before others are left out."""
    take = taken_over().run(8)
    take.late(40.2)
    assert take.pushed[4:6] == [{72: ONSET}, {72: HOLD}]


def test_being_late_while_listening_loses_nothing() -> None:
    """Events keep the times at which they were played."""
    take = Take()
    for n, key in enumerate((60, 62, 64, 65)):
        take.musician.feed(NoteOn(key), START + n * TICK)
        take.musician.feed(NoteOff(key), START + (n + 0.9) * TICK)
    take.run(6)
    assert take.pushed == [{60: ONSET}, {62: ONSET}, {64: ONSET}]


# --- click and count-in -----------------------------------------------------------------------------------------------


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


# --- the end ----------------------------------------------------------------------------------------------------------


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
    take.feed(13.1, ControlChange(64, 127))
    status = take.musician.status()
    assert (status.state, status.mode, status.bpm, status.metre) == ("playing", "continue", 120, "4/4")
    assert (status.bar, status.beat, status.tick) == (1, 4, 13)
    assert (status.player_keys, status.own_keys, status.missed) == ((), (72,), 0)


def test_an_unknown_mode_is_told() -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match=r"turns\.mode must be continue.*got 'sleep'"):
        mode_of(SimpleNamespace(turns=SimpleNamespace(mode="sleep")))  # type: ignore[arg-type]


# --- for any playing whatever -----------------------------------------------------------------------------------------


OTHER = st.sampled_from(
    ["time.click=on", "time.count_in_bars=1", "midi.thru=off", "midi.input_channel=1", "time.bpm=120"]
)
SETTINGS = st.builds(lambda mode, other: (f"turns.mode={mode}", other), MODE, OTHER)


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


# --- what the network is told first -----------------------------------------------------------------------------------


class FirstTold(ScriptedEngine):
    """An engine that writes down where its states begin."""

    def __init__(self) -> None:
        super().__init__(ONE_NOTE)
        self.first: list[Place] = []

    def new_state(self, first: Place = (0, 4, 16), texture: Texture | None = None) -> ScriptedState:
        """Write down the place of the first frame."""
        self.first.append(first)
        return super().new_state(first, texture)


@pytest.mark.parametrize(
    ("metre", "count_in", "first"),
    [
        ("3/4", 0, [(0, 4, 12)]),
        ("6/8", 0, [(0, 6, 12)]),
        ("4/4", 0, [(0, 4, 16)]),
        ("3/4", 1, [(0, 4, 12), (11, 4, 12)]),
    ],
)
def test_the_network_begins_in_the_metre(metre: str, count_in: int, first: list[Place]) -> None:
    """The empty frame before the first one stands where that begins, be it an upbeat; as after a reset."""
    config, engine = Config(), FirstTold()
    for assignment in ("time.bpm=120", f"time.metre={metre}", f"time.count_in_bars={count_in}"):
        config = override(config, assignment)
    musician = Musician(engine, config, 1, START - 12 * TICK * count_in)
    for at, key in enumerate((60, 62, 64), start=-1 if count_in else 0):
        while musician.deadline_s() <= START + at * TICK:
            musician.advance(musician.deadline_s())
        musician.feed(NoteOn(key), START + at * TICK)
    musician.advance(START + 2.6 * TICK)
    assert engine.first == first
    musician.command(Command("reset"), START + 2.7 * TICK)
    assert engine.first[-1] == first[0]
