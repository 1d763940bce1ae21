"""A small network with random weights, and small pieces, for the tests of training and playing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from livebach.music.metre import Metre, metre_track
from livebach.music.roll import KEYS, UNKNOWN, Frame, Frames, Note, frames_from_notes, legalise
from livebach.music.score_reader import Piece
from livebach.network.spec import NetworkSpec
from livebach.training.corpus import Corpus

if TYPE_CHECKING:
    from livebach.training.model import TwoAxisWaveNet

SMALL = NetworkSpec(
    time_channels=8,
    time_dilations=(1, 2, 4, 3),
    mixing_layers=(1,),
    mixing_heads=2,
    context_channels=6,
    condition_channels=5,
    key_channels=6,
    key_dilations=(1, 2, 4, 8),
    given_channels=4,
    given_dilations=(1, 9, 30),
    reach=2,
)

WITH_FRAMES = replace(SMALL, frame_channels=10, frame_dilations=(1, 2, 4, 8), frame_features=3)
"""The same, and a stack that takes frames as vectors."""


def network(spec: NetworkSpec = SMALL, seed: int = 0, loud: float = 1.0) -> TwoAxisWaveNet:
    """A network of random weights, a `loud` one with more to say. Needs torch."""
    import torch

    from livebach.training.model import TwoAxisWaveNet

    torch.manual_seed(seed)
    model = TwoAxisWaveNet(spec).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(loud)
    return model


def random_frames(length: int, seed: int = 0, rate: float = 0.1) -> Frames:
    """Legal frames in which about a `rate` of the keys is down."""
    rng = np.random.default_rng(seed)
    states = np.where(rng.random((length, KEYS)) < rate, rng.integers(1, 3, (length, KEYS)), 0)
    return legalise(states.astype(np.uint8))


def random_given(frames: Frames, seed: int = 0) -> Frames:
    """A plane that reveals nothing of some frames, some keys of others, and all of a few."""
    rng = np.random.default_rng(seed)
    share = rng.choice([0.0, 0.0, 0.3, 0.9, 1.0], (len(frames), 1))
    return np.where(rng.random(frames.shape) < share, frames, UNKNOWN).astype(np.uint8)


def melody(seed: int, length: int = 60) -> list[Note]:
    """A random walk in two voices: no two are alike."""
    steps = np.random.default_rng(seed).integers(-4, 5, (2, length)).cumsum(axis=1) % 24
    upper = [Note(60 + int(k), 2 * i, 2 * i + 2) for i, k in enumerate(steps[0])]
    return upper + [Note(30 + int(k), 4 * i, 4 * i + 4) for i, k in enumerate(steps[1][: length // 2])]


def piece(name: str, notes: Sequence[Note], metre: Metre = Metre(3, 4)) -> Piece:  # noqa: B008
    """Notes as a piece."""
    frames = frames_from_notes(notes)
    return Piece(name, frames, metre_track(len(frames), [(0, metre)], 4))


def corpus() -> Corpus:
    """Two pieces to train on, one to validate."""
    train = [piece("a", melody(1)), piece("b", melody(2, 25), Metre(6, 8))]
    return Corpus({"train": train, "valid": [piece("c", melody(3, 30))], "test": []})


def blank() -> Frame:
    """A frame without a key down, or with none given as such."""
    return np.zeros(KEYS, np.uint8)


def nothing() -> Frame:
    """A given plane of which nothing is known."""
    return np.full(KEYS, UNKNOWN, np.uint8)
