"""Frames, notes, metres and textures: conversions both ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.metre import METRE_FEATURES, Metre, metre_features, metre_track
from livebach.music.roll import (
    HIGH_KEY,
    HOLD,
    KEYS,
    LOW_KEY,
    OFF,
    ONSET,
    Frames,
    Note,
    frames_from_notes,
    legalise,
    notes_from_frames,
)
from livebach.music.texture import Texture, texture_levels, texture_of


def random_frames(seed: int, length: int, rate: float) -> Frames:
    """Frames of any states, legal or not; a `rate` of the keys is down."""
    rng = np.random.default_rng(seed)
    states = rng.integers(ONSET, HOLD + 1, (length, KEYS))
    return np.where(rng.random((length, KEYS)) < rate, states, OFF).astype(np.uint8)


ANY_FRAMES = st.builds(random_frames, st.integers(0, 2**32), st.integers(1, 12), st.sampled_from([0.0, 0.03, 0.6, 1.0]))
ANY_NOTES = st.lists(
    st.builds(lambda k, s, n: Note(k, s, s + n), st.integers(0, 127), st.integers(0, 30), st.integers(0, 8)),
    max_size=30,
)


def is_legal(frames: Frames) -> bool:
    """Whether no HOLD follows OFF."""
    return np.array_equal(legalise(frames), frames)


@given(ANY_FRAMES)
def test_frames_to_notes_and_back(frames: Frames) -> None:
    """Legal frames are what their notes draw."""
    legal = legalise(frames)
    assert np.array_equal(frames_from_notes(notes_from_frames(legal), len(legal)), legal)


@given(ANY_NOTES)
def test_notes_to_frames_and_back(notes: list[Note]) -> None:
    """Any notes, overlapping too, draw legal frames whose notes start where they did, each at least a tick long."""
    frames = frames_from_notes(notes)
    again = notes_from_frames(frames)
    assert is_legal(frames)
    assert {(n.key, n.start) for n in again} == {(n.key, n.start) for n in notes if LOW_KEY <= n.key <= HIGH_KEY}
    assert all(n.end > n.start for n in again)
    assert np.array_equal(frames_from_notes(again, len(frames)), frames)


def test_notes_that_do_not_overlap_come_back_as_they_were() -> None:
    """A re-struck key is two notes, a chord is one for each key, in order of start, then key."""
    notes = [Note(60, 0, 2), Note(64, 0, 4), Note(60, 2, 3), Note(21, 3, 5), Note(108, 3, 4), Note(60, 4, 5)]
    assert notes_from_frames(frames_from_notes(notes)) == notes


def test_a_key_struck_again_while_it_sounds() -> None:
    """The second stroke is an ONSET inside the first note, and the longer of both decides the end."""
    column = frames_from_notes([Note(60, 0, 6), Note(60, 2, 4)])[:, 60 - LOW_KEY]
    assert column.tolist() == [ONSET, HOLD, ONSET, HOLD, HOLD, HOLD]


def test_a_note_without_length_fills_its_first_tick() -> None:
    """A tap between two ticks is not lost."""
    assert frames_from_notes([Note(60, 2, 2)]).shape == (3, KEYS)
    assert frames_from_notes([Note(60, 2, 2)])[2, 60 - LOW_KEY] == ONSET


def test_notes_outside_keyboard_and_length_are_left_out() -> None:
    """Keys 20 and 109 are not drawn, nor what starts after the end; what crosses the end is cut."""
    notes = [Note(20, 0, 1), Note(109, 0, 1), Note(60, 9, 10), Note(61, 2, 9)]
    frames = frames_from_notes(notes, 4)
    assert notes_from_frames(frames) == [Note(61, 2, 4)]
    assert frames_from_notes([]).shape == (0, KEYS)


@given(ANY_FRAMES)
def test_legalise_only_strikes_what_was_held_from_nothing(frames: Frames) -> None:
    """Every key that is down stays down, every stroke stays, and a second time changes nothing."""
    legal = legalise(frames)
    assert np.array_equal(legal != OFF, frames != OFF)
    assert (legal[frames == ONSET] == ONSET).all()
    assert is_legal(legal)


@pytest.mark.parametrize(
    ("text", "beat", "bar"),
    [
        ("2/4", 4, 8),
        ("3/4", 4, 12),
        ("4/4", 4, 16),
        ("6/8", 6, 12),
        ("9/8", 6, 18),
        ("12/8", 6, 24),
        ("3/8", 2, 6),
        ("2/2", 8, 16),
        ("3/2", 8, 24),
        ("4/2", 8, 32),
        ("9/16", 3, 9),
        ("12/16", 3, 12),
        ("24/16", 3, 24),
        ("6/4", 4, 24),
        ("1/32", 1, 1),
    ],
)
def test_metre_in_ticks(text: str, beat: int, bar: int) -> None:
    """Beats and bars of the metres that Bach uses, at four ticks to the quarter."""
    metre = Metre.parse(text)
    assert str(metre) == text
    assert (metre.beat_ticks(4), metre.bar_ticks(4)) == (beat, bar)


@given(st.integers(1, 32), st.sampled_from([1, 2, 4, 8, 16, 32]), st.integers(1, 24))
def test_every_metre_has_whole_beats_inside_its_bar(numerator: int, denominator: int, steps: int) -> None:
    """No metre has a bar without a tick or a beat longer than its bar, and every place in it has its features."""
    metre = Metre(numerator, denominator)
    assert 1 <= metre.beat_ticks(steps) <= metre.bar_ticks(steps)
    row = metre_features(metre.bar_ticks(steps) - 1, metre.beat_ticks(steps), metre.bar_ticks(steps))
    assert row.shape == (METRE_FEATURES,)
    assert row.sum() == 5


@pytest.mark.parametrize("text", ["", "4", "4/", "/4", "3/5", "0/4", "33/4", "a/b", "-3/4", "³/4", "3/4/4"])
def test_no_metre(text: str) -> None:
    """What is no metre is refused in one line that names it."""
    with pytest.raises(ValueError, match=r"^metre must") as caught:
        Metre.parse(text)
    assert "\n" not in str(caught.value)


def test_metre_features_tell_every_place_of_a_bar_apart() -> None:
    """The rows of a 24/16 bar are all different, and not for writing."""
    rows = [metre_features(p, 3, 24) for p in range(24)]
    assert len({row.tobytes() for row in rows}) == 24
    assert not rows[0].flags.writeable


def test_metre_track_with_a_change() -> None:
    """A change starts a bar, also in the middle of one, with its own beat and length."""
    track = metre_track(10, [(0, Metre(3, 8)), (4, Metre(2, 4))], 4)
    assert track[:, 0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    assert track[:4, 1:].tolist() == [[2, 6]] * 4
    assert track[4:, 1:].tolist() == [[4, 8]] * 6


def test_metre_track_with_an_upbeat() -> None:
    """Three ticks of upbeat are the last three of a bar; a later metre has none."""
    track = metre_track(12, [(0, Metre(2, 4)), (11, Metre(3, 4))], 4, upbeat=3)
    assert track[:, 0].tolist() == [5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0]


def test_metre_track_ends_where_it_is_told() -> None:
    """A change at or after the end leaves no trace."""
    track = metre_track(3, [(0, Metre(4, 4)), (3, Metre(3, 4)), (90, Metre(2, 4))], 4)
    assert track.tolist() == [[0, 4, 16], [1, 4, 16], [2, 4, 16]]


@given(st.floats(0, 20), st.floats(0, 20), st.floats(0, 20))
def test_texture_rises_with_what_it_measures(low: float, more: float, keys: float) -> None:
    """Levels stay in 0..7 and never fall when there is more."""
    a, b = texture_of(low, keys), texture_of(low + more, keys)
    assert a.density is not None
    assert b.density is not None
    assert 0 <= a.density <= b.density <= 7
    assert a.polyphony == b.polyphony


def test_texture_of_frames() -> None:
    """Silence is level 0 of both; a full chord on each tick is level 7 of both."""
    assert texture_levels(np.zeros((4, KEYS), np.uint8)) == Texture(0, 0)
    busy = np.zeros((4, KEYS), np.uint8)
    busy[:, 40:45] = ONSET
    assert texture_levels(busy) == Texture(7, 7)


@pytest.mark.parametrize("bad", [-1, 8])
def test_texture_out_of_range(bad: int) -> None:
    """The line names the knob, its range and the value."""
    with pytest.raises(ValueError, match=rf"polyphony must be in 0\.\.7 or None, got {bad}"):
        Texture(0, bad)


@given(ANY_FRAMES)
def test_notes_are_drawn_in_any_order(frames: Frames) -> None:
    """The order of a list of notes changes nothing."""
    notes = notes_from_frames(legalise(frames))
    assert np.array_equal(frames_from_notes(notes[::-1], len(frames)), frames_from_notes(notes, len(frames)))
