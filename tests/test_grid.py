"""The grid: absolute deadlines, rounding, beats and bars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.grid import Grid
from livebach.music.metre import Metre


@pytest.mark.parametrize(
    ("metre", "beat", "bar", "tick_s"),
    [
        ("4/4", 4, 16, 0.125),
        ("3/4", 4, 12, 0.125),
        ("6/8", 6, 12, 0.5 / 6),
        ("3/8", 2, 6, 0.25),
        ("2/2", 8, 16, 0.0625),
    ],
)
def test_a_beat_is_what_the_metre_says(metre: str, beat: int, bar: int, tick_s: float) -> None:
    """At 120 beats a minute a beat lasts half a second in every metre."""
    grid = Grid.of(120, Metre.parse(metre), 4)
    assert (grid.beat_ticks, grid.bar_ticks) == (beat, bar)
    assert grid.tick_s == pytest.approx(tick_s)


def test_deadlines_are_absolute() -> None:
    """After 24 hours of 16ths no error has added up."""
    grid = Grid.of(90, Metre(), 4, origin_s=1000.0)
    tick = 24 * 3600 * 6
    assert grid.time_s(tick) == pytest.approx(1000.0 + 24 * 3600, abs=1e-6)


@given(st.integers(-10_000, 10_000), st.floats(-0.49, 0.49), st.floats(20, 400), st.floats(0, 1e6))
def test_times_round_to_the_nearest_tick(tick: int, off: float, bpm: float, origin_s: float) -> None:
    """Whatever lies within half a tick of a tick is that tick's."""
    grid = Grid.of(bpm, Metre(), 4, origin_s)
    assert grid.nearest(grid.time_s(tick) + off * grid.tick_s) == tick


def test_the_end_of_a_tick_is_the_next_ones() -> None:
    """Half a tick after it, a tick is closed."""
    grid = Grid(0.0, 0.25, 4, 16)
    assert grid.close_s(3) == 0.875
    assert grid.nearest(0.875) == 4


def test_beats_and_downbeats() -> None:
    """Beats count within the bar, also before tick 0 and where the last beat of a bar is short."""
    grid = Grid(0.0, 0.1, 4, 10)
    assert [tick for tick in range(-10, 20) if grid.on_beat(tick)] == [-10, -6, -2, 0, 4, 8, 10, 14, 18]
    assert [tick for tick in range(-10, 20) if grid.on_downbeat(tick)] == [-10, 0, 10]
    assert grid.place(-1) == (9, 4, 10)


@pytest.mark.parametrize(("tick", "downbeat"), [(-3, 0), (0, 0), (1, 16), (16, 16), (17, 32)])
def test_next_downbeat(tick: int, downbeat: int) -> None:
    """The first downbeat that is not before a tick."""
    assert Grid.of(90, Metre(), 4).next_downbeat(tick) == downbeat


@pytest.mark.parametrize(("tick", "count"), [(0, (1, 1)), (7, (1, 2)), (16, (2, 1)), (-16, (0, 1)), (-1, (0, 4))])
def test_bars_and_beats_are_counted_from_one(tick: int, count: tuple[int, int]) -> None:
    """As musicians count; a count-in is bar 0."""
    assert Grid.of(90, Metre(), 4).count(tick) == count


def test_a_moved_grid_keeps_its_ticks() -> None:
    """Only the phase changes."""
    grid = Grid.of(90, Metre(), 4, 5.0).moved(7, 100.0)
    assert grid.time_s(7) == pytest.approx(100.0)
    assert grid.tick_s == Grid.of(90, Metre(), 4).tick_s
