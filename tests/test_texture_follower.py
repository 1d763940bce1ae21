"""The texture that follows the player: in counterpoint as heard, in other idioms as to be expected after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livebach.config import Config
from livebach.music.idiom import BACH, Idiom
from livebach.music.roll import HOLD, KEYS, ONSET, Frames
from livebach.music.texture import texture_levels
from livebach.musician.texture_follower import MOST, TextureFollower, followed

FULL = Idiom(density=2.1, chord=2.6, parallels=0.3, polyphony=3.9, density_kept=0.2, polyphony_kept=0.2)


def sparse() -> Frames:
    """Four bars with two keys struck every eighth and held."""
    frames = np.zeros((64, KEYS), np.uint8)
    frames[:, 40:42] = HOLD
    frames[::2, 40:42] = ONSET
    return frames


def test_a_sparse_introduction_is_answered_nearer_to_the_idiom() -> None:
    """Beyond the level that counterpoint is limited to; counterpoint continues as heard."""
    heard = sparse()
    counterpoint, free = followed(heard), followed(heard, FULL)
    assert counterpoint == texture_levels(heard) == followed(heard, replace(FULL, parallels=0))
    assert free.density is not None
    assert MOST.density is not None
    assert free.density > MOST.density
    assert (free.polyphony or 0) > (counterpoint.polyphony or 0)
    keeping = replace(FULL, density_kept=1, polyphony_kept=1)
    assert followed(heard, keeping) == counterpoint


def test_silence_is_answered_as_usual() -> None:
    """Before a note is heard the idiom's own texture is expected."""
    assert followed(np.zeros((16, KEYS), np.uint8), FULL).density == 7


def test_a_network_that_is_exchanged_brings_its_idiom() -> None:
    """The texture changes at once, with the same music heard."""
    follower = TextureFollower(Config(), 16)
    for frame in sparse():
        follower.observe(frame)
    before = follower.texture
    follower.know(FULL)
    assert follower.texture == followed(sparse(), FULL) != before
    follower.know(BACH)
    assert follower.texture == before
