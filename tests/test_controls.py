"""Controls: their bindings, their parsing, and their effects."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livebach.bindings import Binding, Controls, parse_bindings
from livebach.config import Config, ConfigError, override
from livebach.controls import (
    CONTROLS,
    MODES,
    MOST_BACK,
    Command,
    Control,
    Dial,
    ModeRow,
    Step,
    Switch,
    dials,
    hotkey_help,
    hotkeys,
    parse_command,
    resolve,
)
from livebach.live.network_swap import COMMANDS as NETWORK_COMMANDS
from livebach.music.events import ControlChange, Event, NoteOff, NoteOn, ProgramChange
from livebach.music.key import Key
from livebach.music.roll import HOLD, ONSET
from livebach.musician.modes import Mode, TurnContext, mode_of
from livebach.musician.musician import Musician
from livebach.musician.texture_follower import OUTSIDE
from tests.support.driven import ONE_NOTE, OWN, START, TICK, Take, taken_over
from tests.support.random_play import EVENT, MODE, WAIT, chance

NAMES = tuple(CONTROLS)
UP_AND_DOWN = [{60 + n % 12: ONSET} for n in range(100)]

# --- bound ------------------------------------------------------------------------------------------------------------


def test_bindings_are_read() -> None:
    """Channels and programs count from 1."""
    text = "cc 21, note 36 channel 10,program 5 = duet"
    assert parse_bindings(text) == (Binding("cc", 21), Binding("note", 36, 9), Binding("program", 4, None, "duet"))


@pytest.mark.parametrize(
    ("assignment", "part"),
    [
        ("control.mute=cc 128", "cc 21"),
        ("control.mute=wheel 3", "note 36 channel 10"),
        ("control.mute=note 36 channel 17", "'note 36 channel 17'"),
        ("control.mute=program 0", "'program 0'"),
        ("control.mute=cc 5 = loud", "'cc 5 = loud'"),
        ("control.mode=program 1 = duo", "'program 1 = duo'"),
        ("control.temperature=note 36 = 9", "'note 36 = 9'"),
        ("control.back=note 36 = 9", "'note 36 = 9'"),
        ("control.mute=21", "got '21'"),
        ("control.mutt=cc 21", "control.mute"),
    ],
)
def test_what_cannot_be_bound_is_told(assignment: str, part: str) -> None:
    """In one line, with the setting."""
    with pytest.raises(ConfigError) as caught:
        override(Config(), assignment)
    assert part in str(caught.value)
    assert "control.mut" in str(caught.value) or assignment.partition("=")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_bound(name: str) -> None:
    """To a controller, a key or a program."""
    config = override(Config(), f"control.{name}=cc 21, note 36, program 5")
    assert config.control.bindings[name] == "cc 21, note 36, program 5"


# --- read -------------------------------------------------------------------------------------------------------------


def read(name: str, bound: str, *events: Event) -> list[str]:
    """What events ask for where only this is bound."""
    controls = Controls({name: bound})
    return [command.value or "!" for event in events for command in controls.read(event)]


def test_a_controller_turns_a_dial_all_its_way() -> None:
    """From the first position to the last."""
    events = [ControlChange(21, value) for value in (0, 64, 127)]
    assert read("temperature", "cc 21", *events) == ["0.5", "1", "1.5"]
    assert read("mode", "cc 21", *events) == ["continue", "accompany", "listen"]


def test_a_controller_does_an_act_once_each_time_it_is_pressed() -> None:
    """Not on its way, not when it is let go."""
    events = [ControlChange(64, value) for value in (0, 63, 64, 100, 127, 0, 127)]
    assert read("takeover", "cc 64", *events) == ["!", "!"]
    assert read("mute", "cc 64", *events) == ["on", "off", "on"]
    assert read("mode", "cc 64 = duet", *events) == ["duet", "duet"]


def test_a_key_and_a_program_act_on_their_channel_only() -> None:
    """And the key's release does nothing, but is no music either."""
    assert read("mute", "note 36 channel 10", NoteOn(36), NoteOn(36, channel=9), NoteOff(36, channel=9)) == ["!"]
    assert read("mode", "program 5 = duet", ProgramChange(4), ProgramChange(5)) == ["duet"]
    assert Controls({"mute": "note 36"}).claims(NoteOff(36))
    assert not Controls({"mute": "note 36"}).claims(NoteOff(37))


@pytest.mark.parametrize(
    ("now", "value", "then"),
    [("1", "", "1.05"), ("1.5", "", "0.5"), ("1.5", "up", "1.5"), ("0.93", "down", "0.9"), ("1", "0.7", "0.7")],
)
def test_a_dial_takes_steps(now: str, value: str, then: str) -> None:
    """To the next around, one up, one down, or to a value; from wherever it stands."""
    dial = dials()["temperature"]
    assert dial.turned(now, dial.parse(value)) == then


# --- done -------------------------------------------------------------------------------------------------------------


def test_a_control_is_no_music() -> None:
    """A key that is bound to something starts nothing and makes nothing yield."""
    take = Take(ONE_NOTE, "control.temperature=note 60")
    take.feed(0, NoteOn(60), NoteOff(60))
    assert take.state == "idle"


def test_the_temperature_is_turned() -> None:
    """From the next draw on."""
    take = taken_over(ONE_NOTE, "control.temperature=cc 21").run(9)
    before = Config().sampling.temperature
    take.feed(9.2, ControlChange(21, 127))
    take.run(10)
    assert [params.temperature for _, _, params in take.engine.draws] == [before, before, 1.5]


def test_the_key_is_turned() -> None:
    """Pitches outside it are rarer from the next draw on; «null» leaves all of them free again."""
    take = taken_over().run(9)
    for at, value in ((9.1, "F# major"), (10.1, "H minor"), (11.1, "null")):
        take.command(at, "key", value)
        take.run(at + 0.9)
    inside = Key.parse("F# major").scale
    biases = [params.key_bias for _, _, params in take.engine.draws][-4:]
    rarer = [0.0 if bias is None else float(bias[inside].mean() - bias[~inside].mean()) for bias in biases]
    # The register's bias is the same in all of them.
    assert [round(amount - rarer[0]) for amount in rarer] == [0, round(-OUTSIDE), round(-OUTSIDE), 0]


def test_density_and_polyphony_are_turned() -> None:
    """They are what the network is asked for from then on."""
    take = taken_over().run(9)
    take.command(9.1, "density", "7")
    take.command(9.1, "polyphony", "2")
    take.run(11)
    texture = take.engine.states[0].pushed[-1][3]
    assert (texture.density, texture.polyphony) == (7, 2)


def test_a_value_that_cannot_be_is_left() -> None:
    """As is a name that there is not."""
    take = taken_over().run(9)
    assert take.command(9.2, "temperature", "99") == []
    assert take.musician.command(Command("warp"), START + 9.2 * TICK) == []
    with pytest.raises(ValueError, match="no control 'warp'"):
        take.command(9.2, "warp")
    assert take.run(10).engine.draws[-1][2].temperature == Config().sampling.temperature


def test_the_mode_is_changed() -> None:
    """To one that plays along; back in turns it falls silent at once."""
    take = Take(ONE_NOTE, "turns.delay_ms=0")
    take.feed(0, NoteOn(60))
    take.command(2.2, "mode", "duet")
    assert take.run(8).onsets == [(3, 72), (7, 72)]
    assert [type(event) for event in take.command(8.2, "mode", "continue")] == [NoteOff]
    assert take.run(30).onsets == [(3, 72), (7, 72)]
    assert take.musician.status().mode == "continue"


def test_mute_silences_at_once_and_until_it_is_off() -> None:
    """It goes on listening."""
    take = taken_over().run(9)
    assert take.command(9.3, "mute") == [NoteOff(72, 0, 1)]
    take.play([62, 64], at=16)
    assert take.run(30).onsets == [(8, 72)]
    assert take.pushed[-1] == {62: ONSET}
    take.command(30.2, "mute")
    assert 32 <= take.run(36).onsets[1][0] < 36


def test_hold_is_a_fermata() -> None:
    """What sounds goes on, nothing new is struck; then it goes on."""
    take = taken_over().run(9)
    take.command(9.2, "hold", "on")
    assert take.run(30).onsets == [(8, 72)]
    assert take.musician.status().own_keys == (72,)
    take.command(30.2, "hold", "off")
    assert take.run(40).onsets[1][0] > 30


def test_panic_silences_everything_until_the_player_begins_anew() -> None:
    """Its own notes first, then all channels; a key whose release was lost is no longer down."""
    take = Take(ONE_NOTE)
    take.feed(0, NoteOn(60), NoteOn(62))
    take.feed(1, NoteOff(60))
    out = take.command(20, "panic")
    assert {event.control for event in out if isinstance(event, ControlChange)} == {64, 120, 123}
    assert {event.channel for event in out} == set(range(16))
    assert take.run(60).onsets == []
    take.play([60], at=60.2)
    assert take.run(80).onsets[0] == (68.2, 72)


def test_reset_forgets_all() -> None:
    """It goes on from nothing."""
    take = taken_over().run(9)
    take.command(9.2, "reset")
    take.run(10)
    assert len(take.engine.states) == 3  # a new one, and one that begins where the first frame stands
    assert take.engine.states[1].pushed[0][0].any()
    assert len(take.engine.states[1].pushed) == 1


def test_reset_forgets_what_guides_the_network() -> None:
    """The home key, and how dense the music was."""
    take = taken_over().run(9)
    guides = take.musician.performance.own.improviser.guides
    before = guides.home
    take.command(9.2, "reset")
    assert before is not None
    assert guides.home is None


@pytest.mark.parametrize("bars", range(1, MOST_BACK + 1))
def test_the_last_bars_are_taken_back(bars: int) -> None:
    """What is remembered is just what it was so many bars before."""
    take = taken_over(UP_AND_DOWN).run(8 + 16 * 10 + 5)
    before = take.pushed
    take.command(8 + 16 * 10 + 5.2, "back", str(bars))
    assert take.pushed == before[: len(before) - 16 * bars]
    places = take.places
    assert take.run(8 + 16 * 10 + 6).pushed[:-1] == before[: len(before) - 16 * bars]
    assert take.places[-1][0] == places[-1][1]


def test_more_than_there_is_cannot_be_taken_back() -> None:
    """Then it begins from nothing; and again."""
    take = taken_over().run(9)
    for _ in range(3):
        take.command(9.2, "back", "8")
        assert take.pushed == []
    assert take.run(40).pushed


def test_a_key_that_sounds_on_after_its_stroke_was_taken_back_counts_as_struck() -> None:
    """A network holds only what was struck: no remembered frame holds a key that the one before does not know."""
    take = Take(chance, "turns.mode=duet", "turns.bars=2")
    low, lowest = NoteOn(21, 1), NoteOn(20, 1)
    later: Steps = [(0.0, lowest), (0.0, lowest), (28.0, lowest), (0.0, "run")]
    carry_out(take, [(0.0, lowest), (0.0, lowest), (0.0, low), (1e7, "run"), (23.0, Command("back")), *later])
    for before, after in itertools.pairwise(take.pushed):
        assert not {key for key, state in after.items() if state == HOLD} - set(before)


def test_back_forgets_what_the_player_has_just_played() -> None:
    """Also what waits to be remembered; its memory stays legal."""
    take = Take(ONE_NOTE).play([60, 62, 64])
    take.command(3, "back")
    assert take.pushed == []
    take.run(14)
    for frame in take.pushed[:1]:
        assert HOLD not in frame.values()


# --- taking over when asked -------------------------------------------------------------------------------------------


def test_a_pedal_can_be_the_sign_to_take_over() -> None:
    """Even while keys are down; it is then no sustain pedal."""
    take = Take(ONE_NOTE, "control.takeover=cc 64", "turns.takeover=control")
    take.feed(0, NoteOn(60))
    take.feed(5.2, ControlChange(64, 127))
    assert take.run(10).onsets == [(8, 72)]


def test_where_it_waits_for_the_sign_silence_is_none() -> None:
    """However long."""
    take = Take(ONE_NOTE, "control.takeover=note 21", "turns.takeover=control").play([60, 62])
    assert take.run(100).onsets == []
    take.feed(200, NoteOn(21))
    assert take.run(202).onsets == [(200, 72)]


def test_nobody_has_played_and_it_is_asked_to() -> None:
    """It begins at once: that is the downbeat."""
    take = Take(ONE_NOTE)
    take.command(5.3, "takeover")
    assert take.run(10).onsets == [(5.3, 72), (9.3, 72)]


@pytest.mark.parametrize("bars", [1, 2, 3])
def test_it_plays_so_many_bars_and_is_silent(bars: int) -> None:
    """Until the player has played again."""
    take = taken_over(ONE_NOTE, f"turns.bars={bars}", "turns.ending=cut").run(300)
    end = 16 + 16 * bars
    assert take.onsets[-1] == (end - 4, 72)
    assert take.sent[-1][0] == end
    take.play([60], at=300.2)
    assert 308 < take.run(312).onsets[-1][0] < 312.2


# --- for any playing whatever -----------------------------------------------------------------------------------------

WORDS = ("", "up", "on", "off", "2", "duet")


def asked(name: str) -> st.SearchStrategy[Command]:
    """A control, asked in those of the words that it takes."""

    def takes(value: str) -> bool:
        with suppress(ValueError):
            return parse_command(name, value).name == name
        return False

    return st.sampled_from([parse_command(name, value) for value in WORDS if takes(value)])


COMMAND = st.sampled_from(NAMES).flatmap(asked)
STEP = st.tuples(WAIT, st.one_of(EVENT, COMMAND, COMMAND, st.just("run")))
Steps = list[tuple[float, Event | Command | str]]
BARS = st.sampled_from(["turns.bars=2", "turns.bars=null"])


def carry_out(take: Take, steps: Steps) -> list[Event]:
    """Do anything in any order, and stop."""
    now = 0.0
    for ticks, step in steps:
        now += min(ticks, 1000)
        if isinstance(step, Command):
            take._send(now, take.musician.command(step, START + now * TICK))
        elif isinstance(step, str):
            take.late(now - 50)
            take.run(now)
        else:
            take._send(now, take.musician.feed(step, START + now * TICK))
    take._send(now, take.musician.stop(START + now * TICK))
    return [event for _, event in take.sent]


@settings(deadline=None, max_examples=40)
@given(st.lists(STEP, max_size=30), MODE, BARS)
def test_whatever_is_done_every_note_ends_and_equal_calls_are_equal(steps: Steps, mode: str, bars: str) -> None:
    """What silence at the end and replay rest on."""
    first, second = (Take(chance, f"turns.mode={mode}", bars) for _ in range(2))
    sounding: set[tuple[int, int]] = set()
    sent = carry_out(first, steps)
    for event in (event for event in sent if isinstance(event, NoteOn | NoteOff)):
        place = (event.channel, event.key)
        assert (place in sounding) == isinstance(event, NoteOff)
        sounding ^= {place}
    assert not sounding
    assert carry_out(second, steps) == sent
    for before, after in zip(first.pushed, first.pushed[1:], strict=False):
        assert not {key for key, state in after.items() if state == HOLD} - set(before)


def test_a_register_is_left_alone_in_the_middle_of_its_dial() -> None:
    """From there one step up is a little higher, one down a little lower."""
    dial = dials()["register"]
    assert (dial.turned("off", Step.UP), dial.turned("off", Step.DOWN)) == ("64", "60")
    assert (dial.turned("60", Step.UP), dial.turned("64", Step.DOWN)) == ("off", "off")


def level(text: str, followed: str | None) -> float | None:
    """The number that a position stands for; None where a word stands for nothing that is known."""
    for number in (text, followed):
        if number is not None and number.replace(".", "", 1).isdecimal():
            return float(number)
    return None


@given(st.data())
def test_up_is_higher_and_down_is_lower_on_every_dial(data: st.DataObject) -> None:
    """From a position, a word that stands for something, or any number, also beyond the dial's end; or it stays."""
    dial = dials()[data.draw(st.sampled_from(["tempo", "temperature", "density", "polyphony", "register"]))]
    words = [text for text in dial.positions if not text.replace(".", "", 1).isdecimal()]
    now = data.draw(st.one_of(st.sampled_from(dial.positions), st.integers(0, 4000).map(lambda n: f"{n / 10:g}")))
    followed = data.draw(st.integers(0, 9000).map(lambda n: f"{n / 100:g}")) if now in words else None
    before = level(now, followed)
    assert before is not None
    for step, sign in ((Step.UP, 1), (Step.DOWN, -1)):
        turned = dial.turned(now, step, followed)
        after = level(turned, None)
        assert turned == now or after is None or (after - before) * sign > 0


@pytest.mark.parametrize(("key", "sign"), [("D", 1), ("d", -1), ("V", 1), ("v", -1)])
def test_turning_goes_on_from_what_is_followed(key: str, sign: int) -> None:
    """One step up or down from the texture that the player has, not from nothing."""
    take, chord = Take(ONE_NOTE, "turns.takeover=control"), (48, 60, 67)
    for tick in range(0, 80, 2):
        take.feed(tick, *map(NoteOn, chord))
        take.feed(tick + 1.9, *map(NoteOff, chord))
    play, asked = take.musician.performance, hotkeys()[key]
    before = play.texture
    take._ask(80.2, asked)
    was, now = (getattr(texture, asked.name) for texture in (before, play.texture))
    assert was > 2
    assert now == was + sign
    take._ask(80.3, hotkeys()["a" if asked.name == "density" else "A"])
    assert play.texture == before


# --- the tables -------------------------------------------------------------------------------------------------------


class Twin(Mode):
    """A mode from outside: livebach plays whenever a key is down."""

    def plays(self, context: TurnContext) -> bool:
        """Return whether a key of the player's is down."""
        return bool(context.player.any())


def louder(musician: Musician, on: bool | None, now_s: float) -> list[Event]:
    """Do a control from outside: send a controller."""
    return [ControlChange(11, 127 if on else 0, OWN)]


def test_a_mode_is_a_class_and_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings, the dial, and the bindings have it at once; and it plays."""
    monkeypatch.setitem(MODES, "twin", ModeRow(Twin, "livebach plays while you hold a key"))
    assert dials()["mode"].positions[-1] == "twin"
    with pytest.raises(ConfigError, match="listen or twin"):
        override(Config(), "turns.mode=solo")
    take = Take(ONE_NOTE, "turns.mode=listen", "turns.delay_ms=0", "control.mode=program 3 = twin")
    take.feed(0, NoteOn(60))
    assert take.run(6).onsets == []
    take.feed(6, ProgramChange(2))
    assert take.run(8).onsets == [(7, 72)]
    assert take.musician.status().mode == "twin"


def test_a_control_is_a_row_and_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings, the terminal's keys and their help have it at once; and it is done."""
    row = Control("louder", Switch(), "livebach plays louder", {"l": "on"}, "louder", louder)
    monkeypatch.setitem(CONTROLS, "louder", row)
    assert hotkeys()["l"] == Command("louder", argument=True)
    assert "l louder" in hotkey_help()
    with pytest.raises(ConfigError, match="louder"):
        override(Config(), "control.louder=cc 5 = very")
    take = Take(ONE_NOTE, "control.louder=cc 5")
    assert take.feed(0, ControlChange(5, 127)) == [ControlChange(11, 127, OWN)]
    assert take.command(1, "louder", "off") == [ControlChange(11, 0, OWN)]


@pytest.mark.parametrize("name", NAMES)
def test_each_row_can_be_carried_out(name: str) -> None:
    """By the function that it names, by its setting, or by the thread that loads networks."""
    control = CONTROLS[name]
    if control.do is not None:
        assert callable(resolve(control.do))
    elif isinstance(control.kind, Dial):
        assert all(override(Config(), f"{control.kind.setting}={text}") for text in control.kind.positions)
    else:
        assert name in NETWORK_COMMANDS


def test_each_mode_can_be_had() -> None:
    """By the class that its row names."""
    for name, row in MODES.items():
        mode = mode_of(override(Config(), f"turns.mode={name}"))
        assert isinstance(mode, Mode)
        assert type(mode) is resolve(row.mode)
