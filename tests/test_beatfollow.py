"""The beat tracker in free playing, and the grid that follows it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from livebach.music.events import Event, NoteOff, NoteOn, Realtime
from livebach.music.metre import Metre
from livebach.music.phrases import PHRASES, Phrase
from livebach.music.roll import ONSET, Note
from livebach.musician.beat_grid import MOST_A_TICK
from livebach.musician.beat_rhythms import FINE, beats, sixteenths_of
from livebach.musician.beat_tracker import BeatFollower
from tests.support.driven import START, TICK, Take
from tests.support.simulated_player import Hands, Playing, f_measure

EACH = [{60 + n % 12: ONSET} for n in range(48)]
FREE, STRICT = Hands(), Hands(drift=0, noise_s=0, slowing=0)
FOLLOW = ("time.clock=player", "turns.mode=listen")


def again_and_again(phrase: Phrase, times: int) -> list[Note]:
    """A phrase as a longer piece."""
    length = phrase.bars * phrase.metre.bar_ticks(4)
    notes = phrase.notes()
    return [
        replace(note, start=note.start + n * length, end=note.end + n * length) for n in range(times) for note in notes
    ]


def played(name: str, hands: Hands = FREE, seed: int = 1, times: int = 4) -> tuple[Playing, Phrase]:
    """One of our own phrases, again and again."""
    phrase = PHRASES[name]
    return hands.play(again_and_again(phrase, times), phrase.metre, phrase.bpm, seed), phrase


def followed(events: Iterable[tuple[float, Event]], metre: Metre, bpm: float, *assignments: str) -> list[float]:
    """The beats of the grid while it hears this, as they were laid before they came."""
    take = Take(EACH, f"time.metre={metre}", f"time.bpm={bpm}", *FOLLOW, *assignments)
    found: list[float] = []
    beat = metre.beat_ticks(4)
    for time_s, event in events:
        until = START + time_s
        while (due_s := take.musician.deadline_s()) <= until:
            take.musician.advance(due_s)
            mark = take.musician.status().mark
            if mark is not None and math.isclose(mark.quarters * 4 % beat, 0) and mark.time_s - START not in found:
                found.append(mark.time_s - START)
        take.musician.feed(event, until)
    return found


# --- the beat ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metre", "length"),
    [("2/4", 4), ("3/4", 4), ("4/4", 4), ("6/8", 6), ("9/8", 6), ("12/8", 6), ("3/8", 6), ("2/2", 4), ("9/16", 3)]
    + [("5/8", 2), ("7/16", 1), ("1/32", 1)],
)
def test_the_beat_of_each_metre(metre: str, length: int) -> None:
    """A quarter, dotted in compound metres; where a bar does not divide so, what does."""
    assert sixteenths_of(Metre.parse(metre)) == length


@pytest.mark.parametrize("metre", ["4/4", "6/8", "9/16", "2/2", "5/8", "7/16"])
def test_the_tables_are_probabilities(metre: str) -> None:
    """Wherever the newest note is: the next one is somewhere in the beat, or nowhere."""
    tables = beats(Metre.parse(metre))
    assert tables.share.sum() == pytest.approx(1)
    assert tables.first.sum() == pytest.approx(1)
    assert tables.within.sum(axis=1) + tables.after == pytest.approx(1)
    assert tables.before.sum(axis=0) + tables.none == pytest.approx(1)
    assert tables.long.shape == (FINE,)


SYNCOPATED = {"beethoven": 0.7, "joplin": 0.5}
"""Phrases that strike between the beats more than on them, and the share of their beats that is found all the same."""


@pytest.mark.parametrize("name", list(PHRASES))
def test_free_playing_is_followed(name: str) -> None:
    """Of playing that drifts by 8 % and is 15 ms uneven, .85 of the beats are hit; fewer of syncopated playing."""
    found = []
    for seed in (1, 2):
        playing, phrase = played(name, seed=seed)
        found.append(f_measure(followed(playing.events, phrase.metre, phrase.bpm), playing.beats))
    assert np.mean(found) >= SYNCOPATED.get(name, 0.85)


def test_what_is_told_need_not_be_exact() -> None:
    """The tempo that is set may be a tenth off, either way."""
    for told in (0.9, 1.1):
        playing, phrase = played("prelude")
        assert f_measure(followed(playing.events, phrase.metre, told * phrase.bpm), playing.beats) >= 0.85


def test_without_following_the_beat_is_lost() -> None:
    """The same playing, against a grid that goes by itself: the measure can fail."""
    playing, phrase = played("prelude")
    found = followed(playing.events, phrase.metre, phrase.bpm, "time.clock=internal")
    assert f_measure(found, playing.beats) < 0.5


def test_a_beginning_off_the_beat_is_found_out() -> None:
    """A fugue that starts after an eighth rest: within some beats the grid has gone where the beat is."""
    phrase = PHRASES["little"]
    notes = [note for note in again_and_again(phrase, 4) if note.start >= 2]
    notes = [replace(note, start=note.start - 2, end=note.end - 2) for note in notes]
    playing = STRICT.play(notes, phrase.metre, phrase.bpm, seed=1, upbeat=phrase.metre.bar_ticks(4) - 2)
    found = np.array(followed(playing.events, phrase.metre, phrase.bpm))
    off = [np.abs(playing.beats - time_s).min() for time_s in found]
    assert off[1] > 0.2
    assert max(off[16:]) < 0.07


def test_after_a_count_in_an_upbeat_is_one() -> None:
    """The player begins an eighth before the downbeat that was counted in: the grid stays."""
    phrase = PHRASES["little"]
    notes = [replace(note, start=note.start + 2, end=note.end + 2) for note in again_and_again(phrase, 2)]
    playing = STRICT.play([Note(67, 0, 2), *notes], phrase.metre, 120, seed=1)
    take = Take(EACH, "time.metre=3/4", *FOLLOW, "time.count_in_bars=1", start_tick=0)
    for time_s, event in playing.events:
        take.feed(10 + time_s / TICK, event)
        if time_s > 1:
            assert take.musician.status().bpm == pytest.approx(120, rel=0.1)
    take.run(10 + playing.beats[-1] / TICK)
    assert take.places[:4] == [(10, 11), (11, 0), (0, 1), (1, 2)]
    marks = take.musician.status().mark
    assert marks is not None
    assert marks.time_s == pytest.approx(START + marks.quarters * 0.5 + 12 * TICK, abs=0.05)


def test_nothing_is_said_before_two_notes() -> None:
    """There is no beat in one note."""
    follower = BeatFollower(beats(Metre(4, 4)), 0.5)
    assert follower.beat is None
    follower.strike(10.0)
    assert follower.beat is None
    follower.strike(10.5)
    assert follower.beat is not None
    assert follower.beat.length_s == pytest.approx(0.5, rel=0.05)
    assert follower.beat.place_at(11.25) % 1 == pytest.approx(0.5, abs=0.1)


def test_long_notes_are_where_beats_are() -> None:
    """Two readings half a beat apart are told apart by what is held."""
    tables = beats(Metre(4, 4))
    assert tables.long[0] - tables.long[FINE // 2] > 1.5
    assert tables.long[FINE // 2] - tables.long[FINE * 3 // 4] > 0.5


@pytest.mark.parametrize("silence_s", [3.0, 100.0, 1e5])
def test_any_silence_is_survived(silence_s: float) -> None:
    """A long time without a note is no error, nor is a chord, a trill or a cluster of them."""
    follower = BeatFollower(beats(Metre(3, 4)), 0.6)
    for time_s in (0, 0.3, 0.6, 0.6, 0.6, silence_s, silence_s + 0.01, silence_s + 0.02, silence_s + 0.6):
        follower.strike(time_s)
        follower.release(time_s, time_s + 1e3)
    assert follower.beat is not None
    assert math.isfinite(follower.beat.length_s)


# --- the grid ---------------------------------------------------------------------------------------------------------


def test_ticks_keep_their_order() -> None:
    """However the playing sways: each tick comes once, none before a quarter of a tick is over."""
    playing, phrase = played("invention", replace(FREE, drift=0.2, noise_s=0.03))
    take = Take(EACH, f"time.metre={phrase.metre}", f"time.bpm={phrase.bpm}", *FOLLOW)
    closes, seen = [], 0
    for time_s, event in playing.events:
        while (due_s := take.musician.deadline_s()) <= START + time_s:
            take.musician.advance(due_s)
            closes.append(due_s)
        take.musician.feed(event, START + time_s)
        seen = max(seen, len(take.pushed))
    length_s = 60 / phrase.bpm / phrase.metre.beat_ticks(4)
    assert np.diff(closes).min() > 0.15 * length_s
    positions = [place for place, _ in take.places]
    assert all((after - before) % 6 == 1 for before, after in pairwise(positions))


def test_a_flood_takes_no_longer_than_playing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of notes in one tick a few are listened to."""
    heard: list[float] = []
    monkeypatch.setattr(BeatFollower, "strike", lambda _, time_s: heard.append(time_s))
    take = Take(EACH, *FOLLOW)
    for n in range(3000):
        take.feed(n / 3000, NoteOn(40 + n % 40))
    take.run(3)
    assert 10 < len(heard) <= 2 * MOST_A_TICK


def test_the_network_goes_on_in_the_last_tempo() -> None:
    """The player slows down steadily and stops: what follows is as slow as the end was, and even."""
    take = Take(EACH, "time.clock=player")
    at = np.cumsum([0, *np.linspace(1, 1.2, 36), *[1.2] * 11])
    for time, later in zip(at, [*at[1:], at[-1] + 1.2], strict=True):
        take.feed(float(time), NoteOn(60))
        take.feed(float(time + 0.8 * (later - time)), NoteOff(60))
    take.run(90)
    own = np.array([time for time, _ in take.onsets])
    assert len(own) > 10
    assert np.diff(own) == pytest.approx(np.diff(own)[0], abs=1e-4)
    assert np.diff(own)[0] == pytest.approx(1.2, rel=0.03)
    off = (own[0] - at[-1]) / 1.2
    assert off == pytest.approx(round(off), abs=0.15)
    assert take.musician.status().bpm == pytest.approx(100, rel=0.03)


def test_a_tempo_that_is_turned_is_begun_with() -> None:
    """While it follows, too; other dials leave the tempo alone."""
    take = Take(EACH, *FOLLOW)
    for n in range(32):
        take.feed(n * 1.05, NoteOn(60))
        take.feed(n * 1.05 + 0.5, NoteOff(60))
    before = take.musician.status().bpm
    assert before == pytest.approx(120 / 1.05, rel=0.02)
    take.command(34, "temperature", "1.2")
    assert take.musician.status().bpm == pytest.approx(before, abs=0.1)
    take.command(34, "tempo", "60")
    assert take.musician.status().bpm == 60


def test_the_clock_that_it_sends_follows_too() -> None:
    """Pulses stay even as the grid sways: none far sooner or later than the one before."""
    take = Take(EACH, *FOLLOW, "time.send_clock=true")
    playing = FREE.play(again_and_again(PHRASES["prelude"], 4), Metre(4, 4), 120, seed=2)
    for time_s, event in playing.events:
        take.feed(max(0.0, time_s) / TICK, event)
    pulses = [at for at, event in take.sent if event == Realtime(0xF8)]
    apart = np.diff([at for at in pulses if at > 1])
    assert len(apart) > 1000
    assert apart.min() > 0.5 / 6
    assert apart.max() < 2 / 6
