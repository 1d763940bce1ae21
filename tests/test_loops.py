"""A figure that comes again and again leads to other keys in the same rhythm; other music is left as it is."""

from __future__ import annotations

import numpy as np
import pytest

from livebach.music.roll import KEYS, ONSET, Frame, Frames
from livebach.musician.loops import BARS, MOST_TIMES, Loop
from tests.support.small_network import blank, random_frames

BAR = 8
ALBERTI = (30, 37, 34, 37) * 4


def tune(keys: tuple[int, ...]) -> Frames:
    """One key struck on each tick."""
    frames = np.zeros((len(keys), KEYS), np.uint8)
    frames[np.arange(len(keys)), keys] = ONSET
    return frames


def worn_in(frames: Frames) -> list[int]:
    """The ticks on which some key is worn out by the frames before."""
    loop, found = Loop(BAR), []
    for tick, frame in enumerate(frames):
        if loop.worn is not None:
            found.append(tick)
        loop.observe(frame)
    return found


def obedient(frames: Frames) -> Frames:
    """What becomes of a tune: a key that is worn is replaced by the one above."""
    loop, out = Loop(BAR), []
    for wanted in frames:
        frame: Frame = wanted
        if loop.worn is not None and (loop.worn & (wanted == ONSET)).any():
            frame = np.roll(wanted, 1)
        out.append(frame)
        loop.observe(frame)
    return np.array(out)


def test_a_loop_is_left_for_a_while() -> None:
    """After the times that it may come, other keys are struck for some beats; then it may come again."""
    figure = np.tile(tune(ALBERTI), (8, 1))
    found = obedient(figure)
    same = (found == figure).all(axis=1)
    first = MOST_TIMES * BARS * BAR + 1
    assert same[:first].all()
    assert not same[first : first + BAR].any()
    assert same[first + BAR :].any()
    assert (found == ONSET).any(axis=1).all()  # in the same rhythm


def test_a_loop_with_some_changes_is_one_too() -> None:
    """One note of eight is another each time."""
    rng = np.random.default_rng(0)
    keys = [key if rng.random() > 1 / 8 else int(rng.integers(40, 60)) for key in ALBERTI * 12]
    assert worn_in(tune(tuple(keys)))


@pytest.mark.parametrize(
    "frames",
    [
        np.tile(blank(), (200, 1)),
        random_frames(200, 1, 0.02),
        np.tile(tune(ALBERTI), (MOST_TIMES, 1)),
        np.concatenate([tune(tuple(key + up for key in ALBERTI)) for up in (0, 2, 4, 5, 7) * 4]),
    ],
    ids=["silence", "no repetition", "as often as may be", "a figure whose harmony moves"],
)
def test_all_else_wears_nothing_out(frames: Frames) -> None:
    """No key is refused."""
    assert not worn_in(frames)
