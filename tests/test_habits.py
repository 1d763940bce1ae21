"""Habits of music: counted on ticks of known events, stored, read back, and kept in balance at play."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.habits import (
    LONGEST_NOTE,
    SIZES,
    WIDEST_STEP,
    Habits,
    LastStroke,
    events_of,
    habits_of,
    lengths_of,
    next_last_stroke,
)
from livebach.music.idiom import BACH, Idiom
from livebach.music.roll import HOLD, KEYS, LOW_KEY, ONSET, Frame
from livebach.musician.habit_balance import HabitBalance

EVEN = Habits(**{name: (1 / size,) * size for name, size in SIZES.items()})


def frame(struck: tuple[int, ...] = (), held: tuple[int, ...] = ()) -> Frame:
    """A frame with these MIDI keys."""
    out = np.zeros(KEYS, np.uint8)
    out[np.array(struck, int) - LOW_KEY] = ONSET
    out[np.array(held, int) - LOW_KEY] = HOLD
    return out


def test_the_events_of_a_tick() -> None:
    """Intervals above a held bass, of struck keys alone; the size of the chord; steps of the outer struck keys."""
    chord, before = frame((64, 67), held=(48, 60)), LastStroke(70 - LOW_KEY, 60 - LOW_KEY, 3)
    events, last = events_of(chord, before), next_last_stroke(chord, before)
    assert sorted(events["harmony"]) == [4, 7]
    assert events["chords"] == [1]
    assert events["upper"] == [WIDEST_STEP - 3]
    assert events["lower"] == [WIDEST_STEP + 4]
    assert events["gaps"] == [2]
    assert last == LastStroke(67 - LOW_KEY, 64 - LOW_KEY, 1)
    assert events_of(frame((48,), held=(60, 64)), None) == {"harmony": [0, 4], "chords": [0]}
    assert events_of(frame(held=(60,)), last) == {}
    assert next_last_stroke(frame(held=(60,)), last) == last._replace(ago=2)
    assert next_last_stroke(frame(held=(60,)), None) is None


def test_large_chords_and_wide_steps_count_as_the_largest() -> None:
    """Seven keys; a leap of three octaves."""
    events = events_of(frame((36, 40, 43, 48, 52, 55, 60)), LastStroke(24 - LOW_KEY, 72 - LOW_KEY, 40))
    assert events["chords"] == [5]
    assert events["gaps"] == [15]
    assert (events["upper"], events["lower"]) == ([2 * WIDEST_STEP], [0])


def test_a_note_ends_when_its_key_is_let_go_or_struck_again() -> None:
    """One goes on, one is let go after two ticks, one is struck again after three; a long one counts as the longest."""
    down = np.zeros(KEYS, np.int64)
    down[[10, 20, 30, 40]] = 1, 2, 3, 99
    coming = np.zeros(KEYS, np.uint8)
    coming[10], coming[30] = HOLD, ONSET
    events, after = lengths_of(coming, down)
    assert events == {"lengths": [1, 2, LONGEST_NOTE - 1]}
    assert {key: int(after[key]) for key in np.flatnonzero(after)} == {10: 2, 30: 1}
    assert lengths_of(coming, np.zeros(KEYS, np.int64))[0] == {}


def test_habits_are_the_shares_of_the_events() -> None:
    """Three ticks: an octave, a sixth by contrary steps, and one key. What never happens is as otherwise."""
    music = np.stack([frame((48, 60)), frame((50, 59)), frame(held=(50, 59)), frame((59,))])
    found = habits_of([music], EVEN)
    assert found.harmony[0] == found.harmony[9] == 0.5
    assert found.chords[:2] == pytest.approx((1 / 3, 2 / 3))
    assert found.upper[WIDEST_STEP - 1] == found.upper[WIDEST_STEP] == 0.5
    assert found.lower[WIDEST_STEP + 2] == found.lower[WIDEST_STEP + 9] == 0.5
    assert found.gaps[:2] == (0.5, 0.5)
    assert found.lengths[:2] == (0.5, 0.5)  # the first two keys, and the next two: the last one has no end
    assert habits_of([frame((60,))[None]], EVEN).upper == EVEN.upper


@given(st.lists(st.integers(1, 9), min_size=12, max_size=12))
def test_habits_are_read_back_from_json(weights: list[int]) -> None:
    """As they were, but for the last digits."""
    habits = replace(BACH.habits, harmony=tuple(w / sum(weights) for w in weights))
    again = Idiom.from_json(replace(BACH, habits=habits).to_json()).habits
    assert again.harmony == pytest.approx(habits.harmony, abs=1e-4)
    assert again.upper == BACH.habits.upper


def test_a_file_may_lack_a_habit() -> None:
    """It was saved by an earlier version, and has Bach's."""
    found = replace(BACH, habits=EVEN).to_json()
    found["habits"] = {name: shares for name, shares in EVEN.to_json().items() if name != "lengths"}
    habits = Idiom.from_json(found).habits
    assert habits.lengths == BACH.habits.lengths
    assert habits.upper == pytest.approx(EVEN.upper, abs=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        3,
        {"harmony": [1.0]},
        {"loudness": [1.0]},
        "chords",
        ("chords", [1, 0, 0]),
        ("chords", [2, -1, 0, 0, 0, 0]),
        ("lower", ["a"] * 33),
    ],
    ids=["number", "too few", "unknown", "text", "short", "negative", "words"],
)
def test_wrong_habits_are_refused(wrong: object) -> None:
    """Whatever a file may hold."""
    habits = BACH.habits.to_json() | {wrong[0]: wrong[1]} if isinstance(wrong, tuple) else wrong
    with pytest.raises(ValueError, match="idiom"):
        Idiom.from_json(BACH.to_json() | {"habits": habits})


# -- balance ----------------------------------------------------------------------------------------------------------


def played(balance: HabitBalance, *frames: Frame) -> None:
    """Frames that the network plays."""
    for one in frames:
        balance.listen(one, frame())
        balance.played(one)


def test_at_first_all_frames_score_alike() -> None:
    """What a turn begins with is as frequent as wanted."""
    balance = HabitBalance(BACH)
    for keys in ((48, 55), (60, 64), (48, 53)):
        assert balance.score(frame(keys)) == pytest.approx(0, abs=1e-9)


def test_what_is_too_frequent_scores_low_and_what_is_rare_high() -> None:
    """After many fourths a third scores higher, and after many leaps a step does."""
    balance = HabitBalance(BACH)
    played(balance, *[frame((60 + 7 * (i % 2), 65 + 7 * (i % 2))) for i in range(40)])
    assert balance.score(frame((60, 64))) > balance.score(frame((60, 65))) + 2
    assert balance.score(frame((69, 73))) > balance.score(frame((60, 64)))  # the upper key was 72: a step of one


def test_the_number_of_voices_stays_steady() -> None:
    """After bars of three voices, one more or fewer costs; the more the further."""
    balance = HabitBalance(BACH)
    for _ in range(100):
        balance.listen(frame(held=(48, 60, 64)), frame())
    alike = frame((67,), held=(48, 60))
    assert balance.score(alike) > balance.score(frame((67,), held=(48,))) + 1
    assert balance.score(alike) > balance.score(frame((67,), held=(48, 60, 64, 72))) + 2


def test_the_music_heard_moves_what_is_wanted() -> None:
    """Who plays fourths is answered with more of them than Bach has."""
    heard = HabitBalance(BACH)
    for i in range(100):
        heard.listen(*[frame((60 + i % 3, 65 + i % 3))] * 2)
    heard.restart(BACH)
    unheard = HabitBalance(BACH)
    for balance in (heard, unheard):
        played(balance, *[frame((60, 65)), frame((62, 67))] * 10)
    assert heard.score(frame((62, 67))) > unheard.score(frame((62, 67))) + 1


def test_outside_counterpoint_the_gaps_between_strokes_are_kept() -> None:
    """Where 16ths are wanted and 8ths were played, a stroke after one tick is likelier, and the other way round."""
    gaps = tuple(0.9 if i == 0 else 0.1 / 15 for i in range(16))
    sixteenths = replace(BACH, parallels=0.2, habits=replace(EVEN, gaps=gaps))
    balance = HabitBalance(sixteenths)
    played(balance, *[frame((60,)), frame(held=(60,))] * 40, frame((60,)))
    assert balance.lean > 1
    played(balance, *[frame((60,))] * 400)
    assert -1.5 < balance.lean < 0
    counterpoint = HabitBalance(replace(sixteenths, parallels=0.0))
    played(counterpoint, *[frame((60,)), frame(held=(60,))] * 40, frame((60,)))
    assert counterpoint.lean == 0


def test_outside_counterpoint_the_lengths_of_notes_are_kept() -> None:
    """Where notes of two ticks are wanted and notes of one were played, a key is held after one tick, then let go."""
    lengths = tuple(0.9 if i == 1 else 0.1 / 15 for i in range(16))
    twos = replace(BACH, parallels=0.2, habits=replace(EVEN, lengths=lengths))
    balance = HabitBalance(twos)
    assert balance.release is not None
    assert np.allclose(balance.release, 0)
    played(balance, *[frame((60 + i % 2,)) for i in range(60)])
    struck = balance.release
    assert struck[61 - LOW_KEY] < -0.5
    assert np.count_nonzero(struck) == 1  # of the one key that is down
    played(balance, frame(held=(61,)))
    assert balance.release[61 - LOW_KEY] > struck[61 - LOW_KEY] + 0.5
    played(balance, *[frame(held=(61,))] * 25)
    assert balance.release[61 - LOW_KEY] == 0  # longer than any length that counts
    played(balance, *[frame(held=(61,))] * 60)
    assert balance.release[61 - LOW_KEY] > 4  # after more than twenty quarters the key is let go of
    assert HabitBalance(replace(twos, parallels=0.0)).release is None


def test_a_long_silence_leaves_the_balance_as_it_was() -> None:
    """Ticks without any event take nothing from the counts."""
    balance = HabitBalance(replace(BACH, parallels=0.2))
    played(balance, *[frame((60, 64)), frame(held=(60, 64))] * 8, frame())
    before = balance.score(frame((62, 65)))
    played(balance, *[frame()] * 5000)
    assert balance.score(frame((62, 65))) == before
    played(balance, frame((60,)))
    assert balance.release is not None
    assert np.isfinite(balance.release).all()


def test_the_networks_own_music_moves_nothing_that_is_wanted() -> None:
    """Fourths that it played in an earlier turn are not what the player likes."""
    balance, fresh = HabitBalance(BACH), HabitBalance(BACH)
    played(balance, *[frame((60, 65)), frame((62, 67))] * 100)
    balance.restart(BACH)
    for each in (balance, fresh):
        played(each, *[frame((60, 65)), frame((62, 67))] * 10)
    assert balance.score(frame((60, 64))) == pytest.approx(fresh.score(frame((60, 64))), abs=0.5)


def test_single_notes_say_nothing_about_intervals() -> None:
    """After an hour of them intervals are as frequent as before."""
    balance = HabitBalance(BACH)
    fourths = frame((60, 65)), frame((62, 67))
    played(balance, *fourths * 10)
    before = balance._played["harmony"].copy()
    played(balance, *[frame((60,))] * 3000)
    assert np.array_equal(balance._played["harmony"], before)


def test_a_turn_after_a_single_line_has_two_voices() -> None:
    """A second voice costs nothing, and a third does."""
    balance = HabitBalance(BACH)
    for i in range(64):
        balance.listen(*[frame((72 + i % 3,))] * 2)
    balance.restart(BACH)
    one, two, three = (balance.score(frame((74,), held)) for held in ((), (48,), (48, 55)))
    assert two > one + 1
    assert two > three + 1


def test_another_idiom_within_a_turn_leaves_the_lengths_of_what_sounds() -> None:
    """A key that is down for three ticks ends as a note of three, whichever idiom it began in."""
    free = replace(BACH, parallels=0.2)
    balance = HabitBalance(free)
    played(balance, frame((60,)), frame(held=(60,)), frame(held=(60,)))
    balance.know(free)
    before = balance._played["lengths"][2]
    played(balance, frame())
    assert balance._played["lengths"][2] > before


def test_frames_chosen_by_score_come_near_the_idiom() -> None:
    """Of four random dyads on each tick one is chosen: thirds, a twelfth of what is drawn, come as often as wanted."""
    rng, random = np.random.default_rng(0), Random(0)
    habits = replace(EVEN, harmony=tuple(0.3 if i == 4 else 0.7 / 11 for i in range(12)))
    balance, thirds = HabitBalance(replace(BACH, habits=habits)), 0
    for _ in range(400):
        dyads = [frame((60, 60 + int(interval))) for interval in rng.integers(1, 12, 4)]
        scores = [balance.score(dyad) for dyad in dyads]
        chosen = random.choices(dyads, np.exp(np.array(scores) - max(scores)).tolist())[0]
        thirds += bool(chosen[64 - LOW_KEY])
        played(balance, chosen)
    assert 0.2 < thirds / 400 < 0.35
