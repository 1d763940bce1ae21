"""The prime: the bars of a score that are continued, and metre, place and tempo at their end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.metre import Metre
from livebach.music.prime import prime_of
from livebach.music.roll import ONSET, Note
from livebach.music.score_reader import Score, piece_of

STEPS = 4
COMMON, WALTZ = Metre(4, 4), Metre(3, 4)


def score(
    metres: tuple[tuple[int, Metre], ...], length: int, first: int = 0, tempos: tuple[tuple[int, int], ...] = ()
) -> Score:
    """Return a score with a note on each quarter from `first` on, a low one on the bars' first quarters."""
    lines = set()
    for (start, metre), stop in zip(metres, [*(t for t, _ in metres[1:]), length], strict=True):
        lines |= set(range(start, stop, metre.bar_ticks(STEPS)))
    notes = tuple(Note(36 if t in lines else 72, t, t + 4) for t in range(first, length, 4))
    return Score(notes, metres, length, STEPS, tempos=tempos)


def test_so_many_bars() -> None:
    """Four bars of common time, and the place of the frame that follows is a downbeat."""
    prime = prime_of(score(((0, COMMON),), 160), 4)
    assert len(prime.frames) == 64
    assert prime.places[-1].tolist() == [0, 4, 16]
    assert prime.metres == ((0, COMMON),)


def test_a_short_piece_ends_where_it_ends() -> None:
    """It goes on in the middle of the bar, where the piece ends."""
    prime = prime_of(score(((0, COMMON),), 24), 4)
    assert len(prime.frames) == 24
    assert prime.places[-1].tolist() == [8, 4, 16]


def test_a_pickup_bar_is_not_counted() -> None:
    """A bar of 1/4 before 4/4: four bars of 4/4 follow it, and go on in 4/4."""
    prime = prime_of(score(((0, Metre(1, 4)), (4, COMMON)), 100), 4)
    assert len(prime.frames) == 4 + 64
    assert prime.metres == ((0, Metre(1, 4)), (4, COMMON))
    assert prime.metre == COMMON
    assert prime.places[-1].tolist() == [0, 4, 16]


def test_an_upbeat_that_the_file_does_not_state_becomes_a_bar_of_its_own() -> None:
    """The accents say where the bars begin: the bar lines of what follows are there."""
    shifted = Score(
        tuple(Note(36, t, t + 12) if t % 12 == 4 else Note(72, t, t + 4) for t in range(0, 148, 4)),
        ((0, WALTZ),),
        160,
        STEPS,
    )
    prime = prime_of(shifted, 4)
    assert prime.metres == ((0, Metre(1, 4)), (4, WALTZ))
    assert len(prime.frames) == 4 + 48
    assert prime.places[-1].tolist() == [0, 4, 12]


def test_a_metre_that_changes_before_the_end() -> None:
    """The last metre is in force at the end; bars are counted by the bar lines of the file."""
    assert prime_of(score(((0, COMMON), (32, WALTZ)), 160), 2).metre == WALTZ
    prime = prime_of(score(((0, COMMON), (32, WALTZ)), 160), 4)
    assert len(prime.frames) == 32 + 24
    assert prime.metre == WALTZ
    assert prime.places[-1].tolist() == [0, 4, 12]


def test_silence_at_first_is_left_out() -> None:
    """The prime begins with the bar of the first note, in the metre in force there."""
    prime = prime_of(score(((0, COMMON), (32, WALTZ)), 160, first=48), 2)
    assert prime.metres == ((0, WALTZ),)
    assert len(prime.frames) == 24
    assert (prime.frames[:4] != ONSET).all()
    assert (prime.frames[4] == ONSET).any()


def test_tempos() -> None:
    """The tempo in force at the beginning comes first, the changes after it at their ticks."""
    tempos = ((0, 600_000), (8, 500_000), (40, 400_000), (99, 300_000))
    assert prime_of(score(((0, COMMON),), 160, first=16, tempos=tempos), 2).tempos == ((0, 500_000), (24, 400_000))
    assert prime_of(score(((0, COMMON),), 160), 2).tempos == ()


@pytest.mark.parametrize("bars", [1, 3, 50])
@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from([COMMON, WALTZ, Metre(6, 8), Metre(2, 4)])), min_size=1),
    st.integers(0, 40),
)
def test_a_prime_is_a_part_of_its_piece(bars: int, parts: list[tuple[int, Metre]], first: int) -> None:
    """Frames and places are those of the piece from some bar line on, and the first bar has the first note."""
    metres, length = [], 0
    for count, metre in parts:
        metres.append((length, metre))
        length += count * metre.bar_ticks(STEPS)
    whole = score(tuple(metres), length, min(first, length - 4))
    prime, piece = prime_of(whole, bars), piece_of("piece", whole)
    onset = int(np.flatnonzero((piece.frames == ONSET).any(axis=1))[0])
    start = onset - int(np.flatnonzero((prime.frames == ONSET).any(axis=1))[0])
    end = start + len(prime.frames)
    assert np.array_equal(prime.frames, piece.frames[start:end])
    assert np.array_equal(prime.places[:-1], piece.places[start:end])
    assert start == 0 or piece.places[start, 0] == 0
    assert onset - start < piece.places[start, 2]
    assert prime.metre.bar_ticks(STEPS) == prime.places[-1, 2]
