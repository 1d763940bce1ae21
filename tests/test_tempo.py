"""The tempo while playing: dials, taps, metres and upbeats."""

from __future__ import annotations

import numpy as np
import pytest

from livebach.music.events import NoteOff, NoteOn
from livebach.music.grid import Grid
from livebach.music.metre import Metre
from livebach.music.roll import ONSET
from livebach.musician.tap_tempo import Taps
from tests.support.driven import TICK, Take, taken_over

EACH = [{60 + n % 12: ONSET} for n in range(48)]


def taps(*gaps_s: float) -> list[float | None]:
    """What each tap says, rounded."""
    tapped, times = Taps(), np.cumsum([1000.0, *gaps_s])
    return [None if (bpm := tapped.tap(float(time_s))) is None else round(bpm, 1) for time_s in times]


def test_the_third_tap_gives_the_tempo() -> None:
    """Later ones make it more exact."""
    assert taps(0.5, 0.5, 0.5) == [None, None, 120, 120]
    assert taps(0.52, 0.48, 0.5) == [None, None, 120, 120]


def test_another_tempo_begins_anew() -> None:
    """After a pause, and when the beats are suddenly longer or shorter; a bounce is no beat."""
    assert taps(0.5, 0.5, 5, 1, 1) == [None, None, 120, None, None, 60]
    assert taps(0.5, 0.5, 1, 1) == [None, None, 120, None, 60]
    assert taps(0.5, 0.02, 0.48) == [None, None, None, 120]


def test_a_tempo_is_taken_from_the_open_tick_on() -> None:
    """That tick stays where it is, those after it are longer or shorter."""
    grid = Grid.of(120, Metre(4, 4), 4, origin_s=5.0)
    slower = grid.at_tempo(60, 8)
    assert slower.time_s(8) == grid.time_s(8)
    assert slower.time_s(12) - slower.time_s(8) == pytest.approx(1)


def test_the_tempo_is_turned_while_it_plays() -> None:
    """Twice as fast: half the time between two ticks; the status says so."""
    take = taken_over(EACH).run(10.2)
    take.command(10.2, "tempo", "240")
    take.run(14)
    assert [at for at, _ in take.onsets] == [8, 9, 10, 10.5, 11, 11.5, 12, 12.5, 13, 13.5, 14]
    assert take.musician.status().bpm == 240


def test_the_tempo_is_tapped() -> None:
    """Three times, eight ticks apart: half as fast."""
    take = taken_over(EACH).run(10.2)
    for at in (10.2, 18.2, 26.2):
        take.command(at, "tap")
    assert take.musician.status().bpm == 60
    take.run(36)
    assert np.diff([at for at, _ in take.onsets])[-3:] == pytest.approx([2, 2, 2])


def test_what_belongs_to_the_tempo_follows_it() -> None:
    """Articulation is a part of the tick as it is now."""
    take = taken_over(EACH, "sound.articulation=0.6").run(10.2)
    take.command(10.2, "tempo", "60")
    take.run(18)
    gaps = [at for at, event in take.sent if isinstance(event, NoteOff)]
    assert gaps[-1] == pytest.approx(18 - 0.8)


@pytest.mark.parametrize(
    ("metre", "beat", "bar"),
    [("2/4", 4, 8), ("3/4", 4, 12), ("4/4", 4, 16), ("6/8", 6, 12), ("9/8", 6, 18), ("12/8", 6, 24), ("3/8", 2, 6)]
    + [("2/2", 8, 16)],
)
def test_metres(metre: str, beat: int, bar: int) -> None:
    """The first onset is the downbeat; it takes over on a beat of the metre and counts its bars."""
    take = Take(EACH, f"time.metre={metre}")
    tick = 60 / (120 * beat) / TICK  # in the driver's ticks
    take.feed(0, NoteOn(60))
    take.feed(0.9 * tick, NoteOff(60))
    take.run(tick * (4 * bar + 0.1))
    began = round(take.onsets[0][0] / tick)
    assert began % bar % beat == 0
    assert began - 1 >= 4
    assert take.places[-1] == ((4 * bar - 1) % bar, 0)
    status = take.musician.status()
    assert (status.bar, status.beat, status.metre) == (5, 1, metre)


@pytest.mark.parametrize("upbeat", [1, 2, 4])
@pytest.mark.parametrize("metre", ["4/4", "3/4", "6/8"])
def test_an_upbeat_after_a_count_in(metre: str, upbeat: int) -> None:
    """It is remembered where it stands: before the bar line."""
    bar, beat = Metre.parse(metre).bar_ticks(4), Metre.parse(metre).beat_ticks(4)
    tick = 60 / (120 * beat) / TICK
    take = Take(EACH, f"time.metre={metre}", "time.count_in_bars=2", start_tick=0)
    for i in range(upbeat + 2):
        at = (2 * bar - upbeat + i) * tick
        take.feed(at, NoteOn(60 + i))
        take.feed(at + 0.8 * tick, NoteOff(60 + i))
    take.run((2 * bar + 3) * tick)
    assert take.places[0][0] == bar - upbeat
    assert take.places[upbeat][0] == 0
