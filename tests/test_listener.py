"""The listener: the frames of the player's keys, the pedal, and the touch. A tick is a second here."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.events import ControlChange, Event, NoteOff, NoteOn
from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, Frame
from livebach.musician.listener import Listener


def frames(listener: Listener, events: list[tuple[float, Event]], count: int) -> list[Frame]:
    """Feed all events, then ask for the frames of ticks 0, 1, …; tick n ends at n + 0.5."""
    for time_s, event in events:
        listener.receive(event, time_s)
    return [listener.frame(n + 0.5) for n in range(count)]


def states(rolled: list[Frame], key: int = 60) -> list[int]:
    """What one MIDI key does in each frame."""
    return [int(frame[key - LOW_KEY]) for frame in rolled]


def test_a_held_note_is_struck_once_and_then_held() -> None:
    """Onset, holds, and off from the tick to which the release rounds."""
    rolled = frames(Listener(), [(0.0, NoteOn(60)), (3.1, NoteOff(60))], 5)
    assert states(rolled) == [ONSET, HOLD, HOLD, OFF, OFF]


@pytest.mark.parametrize(("press_s", "tick"), [(0.6, 1), (1.49, 1), (1.5, 2), (2.0, 2), (2.49, 2)])
def test_onsets_round_to_the_nearest_tick(press_s: float, tick: int) -> None:
    """Early and late by less than half a tick is on time."""
    assert states(frames(Listener(), [(press_s, NoteOn(60))], 4)).index(ONSET) == tick


def test_a_tap_between_two_ticks_is_an_onset() -> None:
    """However short, a note fills one frame."""
    assert states(frames(Listener(), [(1.1, NoteOn(60)), (1.2, NoteOff(60))], 4)) == [OFF, ONSET, OFF, OFF]


def test_a_tap_over_the_end_of_a_tick_fills_one_frame() -> None:
    """Struck in one tick, let go in the next: one frame."""
    assert states(frames(Listener(), [(1.4, NoteOn(60)), (1.6, NoteOff(60))], 4)) == [OFF, ONSET, OFF, OFF]


def test_repeated_notes_are_struck_again() -> None:
    """Off and on within a tick is an onset, not a hold."""
    events: list[tuple[float, Event]] = [(0.0, NoteOn(60)), (1.9, NoteOff(60)), (2.1, NoteOn(60))]
    assert states(frames(Listener(), events, 4)) == [ONSET, HOLD, ONSET, HOLD]


def test_a_repeated_note_on_without_note_off_is_struck_again() -> None:
    """Some keyboards send no note-off between."""
    rolled = frames(Listener(), [(0.0, NoteOn(60)), (2.0, NoteOn(60)), (3.0, NoteOff(60))], 4)
    assert states(rolled) == [ONSET, HOLD, ONSET, OFF]


def test_chords_are_one_frame() -> None:
    """Keys struck a little apart round to the same tick."""
    rolled = frames(Listener(), [(1.0, NoteOn(60)), (1.1, NoteOn(64)), (1.2, NoteOn(67))], 3)
    assert [states(rolled, key) for key in (60, 64, 67)] == [[OFF, ONSET, HOLD]] * 3


def test_a_key_on_two_channels_is_down_until_both_let_go() -> None:
    """Layers and splits of one keyboard are one player."""
    events: list[tuple[float, Event]] = [
        (0.0, NoteOn(60, channel=0)),
        (0.1, NoteOn(60, channel=1)),
        (1.0, NoteOff(60, channel=0)),
        (3.0, NoteOff(60, channel=1)),
    ]
    assert states(frames(Listener(), events, 4)) == [ONSET, HOLD, HOLD, OFF]


def test_one_channel_alone_is_heard_where_one_is_set() -> None:
    """What comes on others is none of the player's."""
    listener = Listener(channel=2)
    assert not listener.receive(NoteOn(60, channel=1), 0.0)
    assert not listener.heard
    assert listener.receive(NoteOn(60, channel=2), 0.0)


@pytest.mark.parametrize("key", [0, 20, 109, 127])
def test_notes_outside_the_88_keys_are_ignored(key: int) -> None:
    """No frame, no held key, no touch."""
    listener = Listener(touch=50)
    assert not listener.receive(NoteOn(key, 127), 0.0)
    assert not listener.frame(1.0).any()
    assert listener.at_rest
    assert listener.touch == 50


def test_a_note_off_for_a_key_that_is_up_is_ignored() -> None:
    """It happens when playing begins with a key down."""
    listener = Listener()
    listener.receive(NoteOff(60), 0.0)
    assert not listener.frame(1.0).any()


def test_the_pedal_is_followed_and_is_no_rest() -> None:
    """Down from 64 on; keys up with the pedal down is not silence."""
    listener = Listener()
    listener.receive(ControlChange(64, 64), 0.0)
    assert not listener.at_rest
    listener.receive(ControlChange(64, 63), 0.1)
    assert listener.at_rest


def test_the_pedal_can_be_left_out() -> None:
    """Where it does not count, silence is keys alone."""
    listener = Listener(pedal_counts=False)
    listener.receive(ControlChange(64, 127), 0.0)
    assert listener.at_rest


def test_reset_controllers_lifts_the_pedal() -> None:
    """As the synth does."""
    listener = Listener()
    listener.receive(ControlChange(64, 127), 0.0)
    listener.receive(ControlChange(121, 0), 0.0)
    assert listener.at_rest


@pytest.mark.parametrize("control", [120, 123, 124, 127])
def test_all_notes_off_lets_go_of_the_channels_keys(control: int) -> None:
    """Of that channel alone."""
    listener = Listener()
    listener.receive(NoteOn(60, channel=0), 0.0)
    listener.receive(NoteOn(64, channel=1), 0.0)
    listener.receive(ControlChange(control, 0, 0), 0.1)
    assert listener.held == [64 - LOW_KEY]


def test_other_controls_change_nothing() -> None:
    """Wheels and knobs are no keys."""
    listener = Listener()
    assert not listener.receive(ControlChange(1, 99), 0.0)
    assert listener.at_rest


def test_the_touch_starts_at_the_first_velocity_and_follows() -> None:
    """The default counts until something is played; then the mean moves smoothly."""
    listener = Listener(touch=72)
    assert listener.touch == 72
    listener.receive(NoteOn(60, 40), 0.0)
    assert listener.touch == 40
    listener.receive(NoteOn(60, 80), 0.1)
    assert 40 < listener.touch < 80


def test_peek_changes_nothing() -> None:
    """What is known so far can be looked at, as often as one likes."""
    listener = Listener()
    listener.receive(NoteOn(60), 0.0)
    assert (listener.peek(0.05) == listener.peek(0.05)).all()
    assert states([listener.frame(0.05)]) == [ONSET]


EVENTS = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.one_of(
            st.builds(NoteOn, st.integers(58, 62), st.integers(1, 127), st.integers(0, 1)),
            st.builds(NoteOff, st.integers(58, 62), st.just(0), st.integers(0, 1)),
        ),
    ),
    max_size=40,
)


@given(EVENTS)
def test_every_press_is_an_onset_and_no_hold_follows_off(events: list[tuple[float, Event]]) -> None:
    """For any playing: each tick in which a key is struck says so, and frames are legal."""
    events.sort(key=lambda pair: pair[0])
    rolled = frames(Listener(), events, 21)
    struck = {(int(time_s + 0.5), event.key) for time_s, event in events if isinstance(event, NoteOn)}
    onsets = {(tick, key + LOW_KEY) for tick in range(21) for key in range(KEYS) if rolled[tick][key] == ONSET}
    assert onsets == struck
    for before, after in pairwise(rolled):
        assert not ((before == OFF) & (after == HOLD)).any()
