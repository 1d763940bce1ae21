"""Events: the values that they refuse, and their MIDI bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.events import ControlChange, Event, NoteOff, NoteOn, ProgramChange, from_bytes, to_bytes

DATA = st.integers(0, 127)
CHANNEL = st.integers(0, 15)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(NoteOn, DATA, st.integers(1, 127), CHANNEL),
    st.builds(NoteOff, DATA, DATA, CHANNEL),
    st.builds(ControlChange, DATA, DATA, CHANNEL),
    st.builds(ProgramChange, DATA, CHANNEL),
)


@given(EVENTS)
def test_bytes_round_trip(event: Event) -> None:
    """What is written is read back as the same event."""
    assert from_bytes(to_bytes(event)) == event


@given(st.binary(max_size=5))
def test_any_bytes_are_an_event_or_none(data: bytes) -> None:
    """No bytes make the reader raise, and what it reads is written the same, velocity-0 note-ons apart."""
    event = from_bytes(data)
    if event is not None and not (data[0] & 0xF0 == 0x90 and data[2] == 0):
        assert to_bytes(event) == data


def test_note_on_of_velocity_zero_is_a_note_off() -> None:
    """Many keyboards send it so."""
    assert from_bytes([0x93, 60, 0]) == NoteOff(60, 0, 3)


@pytest.mark.parametrize(
    "data",
    [
        [],
        [0x90],
        [0x90, 60],
        [0x90, 60, 64, 0],
        [0xF8],
        [0xF0, 1, 2],
        [0xE0, 0, 64],
        [0xD0, 3],
        [60, 64, 0],
        [0x90, 200, 1],
    ],
)
def test_what_is_not_ours_is_none(data: list[int]) -> None:
    """Clock, sysex, bend, pressure, running status and cut messages are no events."""
    assert from_bytes(data) is None


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: NoteOn(128), "key must be in 0..127, got 128"),
        (lambda: NoteOn(-1), "key must be in 0..127, got -1"),
        (lambda: NoteOn(60, 0), "velocity must be in 1..127, got 0: that is a note-off"),
        (lambda: NoteOn(60, 64, 16), "channel must be in 0..15, got 16"),
        (lambda: NoteOff(60.0), "key must be in 0..127, got 60.0"),  # type: ignore[arg-type]
        (lambda: ControlChange(64, 128), "value must be in 0..127, got 128"),
        (lambda: ProgramChange(128), "program must be in 0..127, got 128"),
    ],
)
def test_out_of_range_is_refused_in_one_line(make: Callable[[], Event], line: str) -> None:
    """The line names the field, the range and the value."""
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == line
