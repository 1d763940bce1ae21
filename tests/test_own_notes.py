"""The network's notes beside the player's: shared channels, velocity, texture."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livebach.music.events import ControlChange, Event, NoteOff, NoteOn
from livebach.music.roll import HOLD, ONSET
from livebach.music.texture import Texture
from tests.support.driven import ONE_NOTE, OWN, START, TICK, Take, taken_over, textures
from tests.support.random_play import EVENT, MODE, Steps

# --- its own notes and the player's -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("ends", [NoteOff(72, 0, OWN), ControlChange(123, 0, OWN), ControlChange(120, 0, OWN)])
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
    assert velocities(40, "sound.touch=90") == [90, 90, 90]


# --- texture ----------------------------------------------------------------------------------------------------------


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


def test_the_sparsest_texture_is_not_followed() -> None:
    """It is how pieces end; it can be set, though."""
    take = Take(ONE_NOTE, "turns.silence_ticks=100").play([60]).play([62], at=30).run(140)
    assert textures(take)[-1].density == 1


@pytest.mark.parametrize(("setting", "level"), [("off", None), ("5", 5), ("0", 0)])
def test_texture_can_be_set(setting: str, level: int | None) -> None:
    """To a level, or to nothing."""
    take = Take(ONE_NOTE, f"sampling.density={setting}", f"sampling.polyphony={setting}").play([60, 62] * 16).run(40)
    assert set(textures(take)) == {Texture(level, level)}


@pytest.mark.parametrize("channel", [1, 2, 3])
def test_on_no_channel_of_its_voices_is_a_key_of_the_players_cut(channel: int) -> None:
    """Each voice has a channel; a key that sounds on the one where the player strikes it becomes the player's."""
    chord = [{76: ONSET, 64: ONSET, 45: ONSET}, *[{76: HOLD, 64: HOLD, 45: HOLD}] * 63]
    take = taken_over(chord, "sound.voices=3").run(9)
    sounding = {event.channel: event.key for _, event in take.sent if isinstance(event, NoteOn)}
    assert set(sounding) == {1, 2, 3}
    key = sounding[channel]
    out = take.feed(9.3, NoteOn(key, channel=channel))
    assert NoteOff(key, 0, channel) not in out
    assert {(event.channel, event.key) for event in out if isinstance(event, NoteOff)} == {
        (other, sounds) for other, sounds in sounding.items() if other != channel
    }
    assert take.feed(9.8, NoteOff(key, 0, channel)) == [NoteOff(key, 0, channel)]
    assert take.musician.stop(START + 10 * TICK) == []


def test_a_late_note_does_not_strike_the_players_key() -> None:
    """The player strikes, on the shared channel, a key whose note still waits: the note never starts."""
    take = Take([{72: ONSET}, *[{72: HOLD}] * 63], "turns.mode=duet", "sound.humanize_ms=20", "turns.delay_ms=0")
    take.feed(0, NoteOn(40))
    take.run(1)
    assert take.onsets == []
    take.feed(1.001, NoteOn(72, channel=OWN))
    take.run(4)
    assert take.onsets == []
    assert take.feed(4.1, NoteOff(72, channel=OWN)) == []


KEY, CHANNEL = st.integers(60, 62), st.integers(1, 3)
PLAYED = st.one_of(
    st.builds(NoteOn, KEY, st.just(64), CHANNEL), st.builds(NoteOff, KEY, st.just(0), CHANNEL), st.just("run"), EVENT
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 12), PLAYED), max_size=25),
    MODE,
    st.sampled_from(["2", "3", "8", "null"]),
    st.sampled_from(["0", "20"]),
)
def test_no_key_that_the_player_holds_is_cut(steps: Steps, mode: str, voices: str, late: str) -> None:
    """Whatever is played: no note-off of its own comes on a channel and key that the player holds, nor a note-on."""
    chord = [{60: ONSET, 61: ONSET, 62: ONSET}, *[{60: HOLD, 61: HOLD, 62: HOLD}] * 3]
    take = taken_over(chord, f"turns.mode={mode}", f"sound.voices={voices}", f"sound.humanize_ms={late}").run(9)
    take.sent.clear()
    held: set[tuple[int, int]] = set()
    now = 9.0
    for ticks, step in steps:
        now += ticks
        if isinstance(step, str):
            take.run(now)
            sent = [event for _, event in take.sent]
            take.sent.clear()
        else:
            if isinstance(step, NoteOn) and 21 <= step.key <= 108:
                held.add((step.channel, step.key))
            elif isinstance(step, NoteOff):
                held.discard((step.channel, step.key))
            elif isinstance(step, ControlChange) and (step.control == 120 or step.control >= 123):
                held = {place for place in held if place[0] != step.channel}
            sent = take.musician.feed(step, START + now * TICK)
        places = {(event.channel, event.key) for event in sent if isinstance(event, NoteOn | NoteOff)}
        assert not places & held
