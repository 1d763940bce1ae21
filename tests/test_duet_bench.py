"""The counts of `bench/duet.py`, on music that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import duet
from livebach.music.events import NoteOff, NoteOn
from livebach.music.grid import Grid
from livebach.music.metre import Metre
from livebach.music.roll import ONSET, Note, frames_from_notes
from tests.support.midi_files import write_midi


def part(top: list[Note], lower: list[Note], length: int = 32, metre: Metre = Metre(4, 4)) -> duet.Part:  # noqa: B008
    """Two voices in bars."""
    return duet.Part("two", top, frames_from_notes(lower, length), metre, 0)


def test_a_piece_is_split_by_what_is_highest_when_it_is_struck(tmp_path: Path) -> None:
    """A note stays in its voice, though another may sound above it later."""
    notes = [Note(60, 0, 8), Note(72, 0, 4), Note(67, 2, 8), Note(76, 6, 8)]
    path = tmp_path / "two.mid"
    write_midi(path, notes)
    found = duet.Part.read(path)
    assert [note.key for note in found.top] == [72, 76]
    assert [key + 21 for key in np.flatnonzero((found.lower == ONSET).any(axis=0))] == [60, 67]


def test_strong_beats_are_downbeats_and_halves() -> None:
    """Of four beats the first and third, of three the first."""
    assert list(part([], []).strong_ticks) == [0, 8, 16, 24]
    assert list(part([], [], 24, Metre(3, 4)).strong_ticks) == [0, 12]


def test_clashes_are_counted_on_strong_beats() -> None:
    """A ninth and a tritone count, an octave is a pair, a unison none, and between the beats nothing is looked at."""
    top = [Note(72, 0, 4), Note(71, 4, 8), Note(72, 8, 16), Note(74, 16, 32)]
    lower = [Note(59, 0, 8), Note(66, 8, 16), Note(62, 16, 24), Note(74, 24, 32)]
    assert duet.clashes(part(top, lower), frames_from_notes(lower, 32)).sum(axis=0).tolist() == [3, 1, 1]


def test_a_ratio_and_its_interval() -> None:
    """Twice as many clashes in as many pairs; where all stretches are alike, so are all resamples."""
    ours, theirs = np.array([[[10, 1, 1]] * 5]), np.array([[[10, 1, 0]] * 5])
    assert duet.ratio(ours, theirs) == pytest.approx({"ratio": 2, "low": 2, "high": 2})


def test_what_is_sent_is_put_on_the_grid() -> None:
    """A little late is on time; a note that was ended at once has no length."""
    grid = Grid(1.0, 0.1, 4, 16)
    sent = [(1.02, NoteOn(60)), (1.21, NoteOff(60)), (1.42, NoteOn(62)), (1.43, NoteOff(62))]
    assert duet.on_grid(sent, grid, 0) == [Note(60, 0, 2), Note(62, 4, 4)]


def test_manners() -> None:
    """A key that the player holds, and one in the player's register of the last bar."""
    player = part([Note(72, 0, 16)], [])
    notes = [Note(72, 4, 8), Note(70, 4, 8), Note(60, 4, 8), Note(72, 5, 5)]
    assert duet.manners(player, notes, 3).tolist() == [4, 1, 3]  # the last one was ended at once: it doubles nothing
