"""Figures of musical memory and style, on music for which they are known."""

from __future__ import annotations

import numpy as np
import pytest

from livebach.evaluation import musical_figures as figures
from livebach.evaluation.musical_figures import Passage
from livebach.evaluation.musical_report import interval
from livebach.music.key import Key
from livebach.music.roll import KEYS, Frames, Note, frames_from_notes

SUBJECT = (60, 62, 63, 67, 65, 63, 68, 67, 65, 63, 62, 65)
C_MINOR = Key(0, True)


def line(keys: tuple[int, ...], start: int = 0, ticks: int = 2) -> list[Note]:
    """Notes one after the other."""
    return [Note(key, start + ticks * i, start + ticks * (i + 1)) for i, key in enumerate(keys)]


def roll(notes: list[Note], length: int) -> Frames:
    """Frames of notes, filled up with silence."""
    frames = frames_from_notes(notes)
    return np.concatenate([frames, np.zeros((max(0, length - len(frames)), KEYS), np.uint8)])[:length]


def passage(notes: list[Note], bars: int = 8) -> Passage:
    """Bars of 4/4 after a prime that states the subject alone."""
    return Passage(roll(line(SUBJECT), 32), roll(notes, 16 * bars), 4, 16, home=C_MINOR)


def test_a_theme_is_found_in_another_key_and_voice() -> None:
    """Exactly transposed it counts both ways; a note a semitone off counts diatonically; another rhythm never does."""
    up = tuple(key + 7 for key in SUBJECT)
    answer = (*up[:5], up[5] + 1, *up[6:])
    below = line(tuple(key - 24 for key in range(60, 72)), 16, 4)
    assert figures.theme_again(passage(line(up, 16) + below)) == 4
    assert figures.theme_again(passage(line(answer, 16) + below)) == 0
    assert figures.theme_again(passage(line(answer, 16) + below), diatonic=True) == 4
    assert figures.theme_again(passage(line(up, 16, 3)), diatonic=True) == 0


def test_a_theme_ends_where_a_second_voice_enters() -> None:
    """After ten notes at the earliest; a prime of five notes has none."""
    second = [Note(48, 21, 32)]
    assert len(figures.theme_of(roll(line(SUBJECT) + second, 32))) == 11
    assert len(figures.theme_of(roll(line(SUBJECT), 32))) == 12
    assert figures.theme_of(roll(line(SUBJECT[:5]), 32)) == []


def test_patterns_that_come_again_are_counted_in_any_key() -> None:
    """The same line a third higher four bars later repeats all its patterns; another line none."""
    first = line(SUBJECT)
    again = line(tuple(key + 4 for key in SUBJECT), 64)
    other = line((72, 60, 74, 61, 78, 59, 72, 65, 80, 58, 79, 70), 64)
    assert figures.patterns_again(passage(first + again)) == pytest.approx(1.0)
    assert figures.patterns_again(Passage(roll([], 16), roll(first + other, 128), 4, 16)) == 0


def test_bars_that_nearly_equal_one_before() -> None:
    """A bar that is played four times is three times nearly equal to one before."""
    bar = [note for start in range(0, 64, 16) for note in line((60, 64, 67, 72), start, 4)]
    assert figures.bars_nearly_equal(passage(bar, 4)) == 0.75


@pytest.mark.parametrize(
    ("key", "apart"),
    [("C minor", 0), ("Eb major", 0), ("G minor", 1), ("Bb major", 1), ("C major", 3), ("F# minor", 6)],
)
def test_distance_on_the_circle_of_fifths(key: str, apart: int) -> None:
    """Relative keys are at one place."""
    assert figures.fifths_apart(C_MINOR, Key.parse(key)) == apart


def harmonies(*chords: tuple[int, ...]) -> list[Note]:
    """Chords of half a bar each."""
    return [Note(key, 8 * i, 8 * i + 8) for i, chord in enumerate(chords) for key in chord]


CADENCE = (0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7)
"""Semitones above the tonic: I, IV, V, I."""


def cadences(tonic: int) -> list[tuple[int, ...]]:
    """Two bars in the major key of a MIDI key."""
    return [tuple(tonic + up for up in chord) for chord in CADENCE]


def test_the_key_of_each_bar_is_found() -> None:
    """C major for four bars, then E flat major for four; a bar in which a chord is foreign does not change it."""
    frames = roll(harmonies(*cadences(60) * 2, *cadences(63) * 2), 128)
    keys = figures.keys_of([frames[start : start + 16] for start in range(0, 128, 16)])
    assert keys == [Key.parse("C major")] * 4 + [Key.parse("Eb major")] * 4
    foreign = roll(harmonies(*cadences(60), (60, 64, 67), (61, 65, 68), *cadences(60)), 80)
    assert set(figures.keys_of([foreign[start : start + 16] for start in range(0, 80, 16)])) == {Key.parse("C major")}


def test_bars_far_from_home_are_counted() -> None:
    """Home is C major: the dominant's key is near it, the key a minor third higher is not."""
    prime, home = roll(harmonies(*cadences(60) * 2), 64), Key.parse("C major")
    away = Passage(prime, roll(harmonies(*cadences(67) * 2, *cadences(63) * 2), 128), 4, 16, home=home)
    assert figures.near_home(away) == 0.5
    assert figures.near_home(away, 0, 4) == 1
    assert figures.near_home(away, 4, 8) == 0


def test_chromatic_notes_are_outside_the_scale() -> None:
    """Of a chromatic scale seven of twelve notes are inside; of a cadence all."""
    prime = roll(harmonies(*cadences(60) * 2), 64)
    diatonic = Passage(prime, roll(harmonies(*cadences(60) * 2), 64), 4, 16)
    chromatic = Passage(prime, roll(line(tuple(range(60, 72)), 0, 4), 48), 4, 16)
    assert figures.in_scale(diatonic) == 1
    assert figures.in_scale(chromatic) == pytest.approx(7 / 12, abs=0.1)


def test_rhythm() -> None:
    """16ths fill every beat and have no entropy; nor have 8ths and 16ths in turn, given the beat before."""
    sixteenths = passage(line((60, 62) * 64, 0, 1))
    assert figures.full_beats(sixteenths) == 1
    assert figures.rhythm_entropy(sixteenths) == pytest.approx(0)
    mixed = [n for start in range(0, 128, 8) for n in line((60, 62), start, 2) + line((60, 62, 64, 65), start + 4, 1)]
    assert figures.full_beats(passage(mixed)) == 0.5
    assert figures.rhythm_entropy(passage(mixed)) == pytest.approx(0, abs=0.05)


def test_parallels_and_clashes() -> None:
    """Two fifths in a row are one parallel of one joint move; a second struck at once is a clash."""
    fifths = [Note(60, 0, 4), Note(67, 0, 4), Note(62, 4, 8), Note(69, 4, 8)]
    assert figures.parallels(passage(fifths), 7) == 1
    assert figures.parallels(passage(fifths), 0) == 0
    assert figures.clashes(passage(fifths)) == 0
    assert figures.clashes(passage([Note(60, 0, 4), Note(62, 0, 4)])) == 1


def test_silence_single_voices_and_high_notes() -> None:
    """Counted tick by tick, and note by note."""
    music = passage([Note(60, 0, 8), Note(85, 8, 16), Note(60, 8, 16)], 2)
    assert figures.silent_ticks(music) == 0.5
    assert figures.single_voice(music) == 0.25
    assert figures.above_c6(music) == pytest.approx(1 / 3)


def test_the_interval_of_a_mean_holds_it() -> None:
    """It is a point where all values are equal, and wider where they differ."""
    assert interval(np.ones(5)) == (1, 1)
    low, high = interval(np.arange(10.0))
    assert low < 4.5 < high
