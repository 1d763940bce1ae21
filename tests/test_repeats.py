"""Two bars are not repeated endlessly; other repetition is allowed."""

from __future__ import annotations

import numpy as np
import pytest

from livebach.evaluation.roll_statistics import times_in_a_row
from livebach.music.roll import KEYS, ONSET, Frame, Frames
from livebach.musician.vetoes import MOST_TIMES, RepeatWatch, playable
from livebach.network.sampling import SamplingParams
from tests.support.small_network import blank, random_frames

BAR = 8
TUNE = random_frames(2 * BAR, 3, 0.05)


def played(frames: Frames) -> Frames:
    """What becomes of frames that a network would play: a key that must not be struck is left out."""
    watch, out = RepeatWatch(BAR), []
    for wanted in frames:

        def draw(params: SamplingParams, wanted: Frame = wanted) -> Frame:
            frame = wanted.copy()
            if params.forbidden is not None:
                frame[params.forbidden & (frame == ONSET)] = 0
            return frame

        out.append(playable(draw, SamplingParams(), [watch]))
        watch.observe(out[-1])
    return np.array(out)


def test_the_fourth_time_is_another() -> None:
    """Three times on end all is as it was; then a key of it is left out."""
    found = played(np.tile(TUNE, (8, 1)))
    assert np.array_equal(found[: MOST_TIMES * 2 * BAR], np.tile(TUNE, (MOST_TIMES, 1)))
    assert times_in_a_row(found, 2 * BAR) == MOST_TIMES


@pytest.mark.parametrize(
    "frames", [np.tile(blank(), (200, 1)), random_frames(200, 1, 0.02), np.tile(TUNE, (MOST_TIMES, 1))]
)
def test_all_else_is_left_as_it_is(frames: Frames) -> None:
    """Silence, music that does not come again, and three times."""
    assert np.array_equal(played(frames), frames)
    assert frames.shape[1] == KEYS
