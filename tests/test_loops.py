"""What comes back is told from what is played."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.midi.feedback_filter import LONGEST_S, QUIET_S, UNEVEN_ROUNDS, WINDOW_S, FeedbackFilter

ON, OTHER, OFF = b"\x91\x3c\x40", b"\x91\x3c\x41", b"\x81\x3c\x00"
OFF_AS_ON = b"\x91\x3c\x00"
DOWN = b"\xb1\x40\x7f"


def loop(taken: FeedbackFilter, data: bytes, delay_s: float, until_s: float, start_s: float = 0.0) -> int:
    """Press once, with thru and a cable from the output to the input; how often it went round before it ended."""
    time_s, rounds = start_s, 0
    while time_s < start_s + until_s and not taken.is_echo(data, time_s):
        taken.sent(data, time_s)
        time_s += delay_s
        rounds += 1
    return rounds


def test_an_echo_is_ours() -> None:
    """What comes back as it was sent, within the window, is not the player's."""
    taken = FeedbackFilter()
    taken.sent(ON, 1.0)
    assert taken.is_echo(ON, 0.999 + WINDOW_S)


def test_later_it_is_the_player() -> None:
    """After the window the same note is the player's."""
    taken = FeedbackFilter()
    taken.sent(ON, 1.0)
    assert not taken.is_echo(ON, 1.001 + WINDOW_S)


def test_channel_key_and_velocity_must_agree() -> None:
    """Another velocity, key or channel is the player's, however near."""
    taken = FeedbackFilter()
    taken.sent(ON, 1.0)
    assert not any(taken.is_echo(data, 1.0) for data in (OTHER, b"\x91\x3d\x40", b"\x90\x3c\x40"))


def test_a_unison_is_kept() -> None:
    """Sent once and heard twice: one of the two is the player's."""
    taken = FeedbackFilter()
    taken.sent(ON, 1.0)
    assert [taken.is_echo(ON, 1.001), taken.is_echo(ON, 1.002)] == [True, False]


def test_the_end_of_an_echo_is_ours_in_either_spelling() -> None:
    """The note-off that belongs to an echo is taken out, also when it comes back as a note-on of velocity 0."""
    for spelling in (OFF, OFF_AS_ON, b"\x81\x3c\x40"):
        taken = FeedbackFilter()
        taken.sent(ON, 1.0)
        taken.is_echo(ON, 1.001)
        taken.sent(OFF, 2.0)
        assert taken.is_echo(spelling, 2.001)


def test_the_players_own_key_comes_up() -> None:
    """A note-off is the player's when no echo of its note-on was heard, whatever was sent just now."""
    taken = FeedbackFilter()
    assert not taken.is_echo(ON, 0.5)
    taken.sent(OFF, 1.0)
    assert not taken.is_echo(OFF, 1.001)


@pytest.mark.parametrize("plugged_in_s", [0.0, 1.1])
@pytest.mark.parametrize("delay_s", [0.001, 0.003, 0.029])
def test_a_players_note_goes_through_a_cable_once(delay_s: float, plugged_in_s: float) -> None:
    """Struck and let go, with out wired to in: one note-on and one note-off are passed on, and nothing goes round.

    Also where the cable is plugged in while the key is down.
    """
    taken, passed = FeedbackFilter(), []
    coming = [(1.0, ON), (1.2, OFF)]
    while coming and len(passed) < 50:
        time_s, data = coming.pop(0)
        if not taken.is_echo(data, time_s):
            passed.append(data)
            taken.sent(data, time_s)
            if time_s >= plugged_in_s:
                coming = sorted([*coming, (time_s + delay_s, data)])
    assert passed == [ON, OFF]


def test_a_key_struck_again_after_the_cable_was_pulled_comes_up() -> None:
    """The end of an echo never came back: the player's next note-off is not taken for it."""
    taken = FeedbackFilter()
    for time_s, data, echo in [(1.0, ON, False), (1.003, ON, True), (1.1, OFF, False), (1.15, ON, False)]:
        assert taken.is_echo(data, time_s) is echo
        if not echo:
            taken.sent(data, time_s)
    assert not taken.is_echo(OFF, 1.2)


def test_a_controller_does_not_go_round() -> None:
    """The pedal that was passed on and comes back is not passed on again."""
    assert loop(FeedbackFilter(), DOWN, 0.003, until_s=1.0) == 1


def test_a_quick_loop_is_broken_at_once_and_told() -> None:
    """Nothing goes round twice within the window, and after a few the player is told."""
    taken = FeedbackFilter()
    assert [loop(taken, bytes((0x90, key, 64)), 0.005, until_s=1.0, start_s=key / 10) for key in range(60, 68)] == [
        1
    ] * 8
    assert [text for text in taken.news() if "5 ms" in text]
    assert taken.news() == []


def test_a_slow_loop_is_broken_within_a_beat() -> None:
    """A loop longer than the window ends within a beat of 90 a minute, and is told."""
    for delay_s in (0.031, 0.05, 0.1, 0.16):
        taken = FeedbackFilter()
        rounds = loop(taken, ON, delay_s, until_s=10.0)
        assert rounds * delay_s < 60 / 90
        assert not taken.is_echo(OTHER, 10.0)
        assert len(taken.news()) == 1


def test_an_uneven_loop_is_broken_too() -> None:
    """On a busy machine it takes now longer, now shorter: after eight rounds it is."""
    taken, rng, time_s, rounds = FeedbackFilter(), random.Random(1), 1.0, 0
    while rounds < 50 and not taken.is_echo(ON, time_s):
        taken.sent(ON, time_s)
        time_s += rng.uniform(WINDOW_S + 0.01, LONGEST_S - 0.01)
        rounds += 1
    assert 4 <= rounds <= UNEVEN_ROUNDS
    assert not taken.is_echo(OTHER, time_s + LONGEST_S + 0.1)
    assert len(taken.news()) == 1


def test_a_player_who_repeats_a_note_loses_one_at_most() -> None:
    """Fast, uneven and always as loud: one is held back, as a loop is not told from it, and no other."""
    taken, rng, time_s, lost = FeedbackFilter(), random.Random(1), 1.0, 0
    for _ in range(100):
        for data, after_s in ((ON, 0.0), (OFF, 0.03)):
            if taken.is_echo(data, time_s + after_s):
                lost += data == ON
            else:
                taken.sent(data, time_s + after_s)
        time_s += rng.uniform(0.1, 0.2)
    assert lost == 1
    assert taken.news() == []


def test_a_slow_loop_found_twice_goes_round_no_more() -> None:
    """From the second time on, what returns that late is ours at once, until it has been quiet."""
    taken = FeedbackFilter()
    rounds = [loop(taken, ON, 0.1, until_s=2.0, start_s=start_s) for start_s in (0.0, 2.0, 4.0, 6.0)]
    assert rounds[2:] == [1, 1]
    assert loop(taken, ON, 0.1, until_s=2.0, start_s=10.0 + QUIET_S) > 1


def test_two_ways_back_end_too() -> None:
    """A copy by the cable and a copy by the synth: the second seems the player's, but does not go round for ever."""
    taken = FeedbackFilter()
    due = [(0.0, ON)]
    passed = 0
    while due and passed < 100:
        time_s, data = due.pop(0)
        if not taken.is_echo(data, time_s):
            passed += 1
            taken.sent(data, time_s)
            due += [(time_s + 0.002, data), (time_s + 0.003, data)]
    assert passed <= 5


def test_an_even_player_loses_one_note_at_most() -> None:
    """A sequencer that repeats a note evenly is held up once, and then trusted."""
    taken = FeedbackFilter()
    lost = 0
    for number in range(64):
        if taken.is_echo(ON, number * 0.125):
            lost += 1
        else:
            taken.sent(ON, number * 0.125)
        if not taken.is_echo(OFF, number * 0.125 + 0.06):
            taken.sent(OFF, number * 0.125 + 0.06)
    assert lost == 1


@given(st.lists(st.tuples(st.floats(LONGEST_S + 0.001, 0.6), st.integers(60, 64), st.integers(1, 3)), max_size=60))
def test_what_is_slower_than_a_loop_is_the_players(played: list[tuple[float, int, int]]) -> None:
    """Notes farther apart than the longest loop are all the player's, however even and alike, with thru on."""
    taken, time_s = FeedbackFilter(), 0.0
    for wait_s, key, velocity in played:
        time_s += wait_s
        assert not taken.is_echo(bytes((0x90, key, velocity)), time_s)
        taken.sent(bytes((0x90, key, velocity)), time_s)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50), st.binary(min_size=1, max_size=3)), max_size=200))
def test_any_bytes_are_borne(heard: list[tuple[bool, int, bytes]]) -> None:
    """Whatever is sent and heard, in whatever order, is answered."""
    taken, time_s = FeedbackFilter(), 0.0
    for sent, wait_ms, data in heard:
        time_s += wait_ms / 1000
        if sent:
            taken.sent(data, time_s)
        else:
            taken.is_echo(data, time_s)


def test_memory_is_bounded() -> None:
    """Minutes of dense playing leaves no more behind than a second of it."""
    taken = FeedbackFilter()
    for number in range(10_000):
        data = bytes((0x90 | number % 16, number * 7 % 128, 1 + number * 11 % 127))
        taken.sent(data, number * 0.01)
        taken.is_echo(data, number * 0.01 + 0.4)
    assert len(taken._sent._times) <= 110
    assert len(taken._chains) <= 1025
