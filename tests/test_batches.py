"""Training crops: they are legal, vary as stated, and are equal for equal seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.metre import METRE_FEATURES, Metre, metre_features, metre_track
from livebach.music.roll import HOLD, KEYS, OFF, ONSET, UNKNOWN, Frames, Note, frames_from_notes, notes_from_frames
from livebach.music.score_reader import Piece
from livebach.music.texture import texture_levels, texture_track
from livebach.training.batches import (
    UNKNOWN_TEXTURE,
    Augment,
    Batch,
    Sampler,
    before,
    condition_rows,
    given_plane,
    legalise_after,
    one_side,
    transposed,
)
from tests.support.small_network import random_frames

PLAIN = Augment(transpose=0, given=0.0, gap=0.0, texture_dropout=0.0, texture_noise=0.0)
SEEDS = st.integers(0, 2**32)


def piece(length: int, seed: int = 0) -> Piece:
    """A piece of noise in 3/4."""
    return Piece("noise", random_frames(length, seed, 0.05), metre_track(length, [(0, Metre(3, 4))], 4))


def draw(augment: Augment, length: int = 200, crop: int = 64, seed: int = 0, batch: int = 8) -> Batch:
    """A batch of crops of one piece."""
    return Sampler([piece(length)], crop, batch, augment).draw(np.random.default_rng(seed))


def metre_blocks(condition: np.ndarray) -> np.ndarray:
    """The two metres of condition rows [..., F] as [..., 2, METRE_FEATURES]."""
    return condition[..., : 2 * METRE_FEATURES].reshape(*condition.shape[:-1], 2, METRE_FEATURES)


def textures(condition: np.ndarray) -> np.ndarray:
    """The levels in condition rows [..., F]: [..., 2]."""
    return condition[..., 2 * METRE_FEATURES :].reshape(*condition.shape[:-1], 2, -1).argmax(axis=-1)


@given(SEEDS)
def test_crops_are_legal(seed: int) -> None:
    """No HOLD follows OFF among the coming keys, gaps and transposition included."""
    batch = draw(Augment(gap=0.9), seed=seed)
    assert not ((batch.coming == HOLD) & (batch.frames == OFF)).any()
    assert batch.coming.max() <= HOLD
    assert batch.given.max() <= UNKNOWN


@given(SEEDS)
def test_what_is_given_is_true(seed: int) -> None:
    """A given key has the state that comes, and frames shift by one from input to output."""
    batch = draw(Augment(gap=0.0, given=1.0), seed=seed)
    known = batch.given != UNKNOWN
    assert (batch.given[known] == batch.coming[known]).all()
    same_stretch = batch.frames[:, 1:] == batch.coming[:, :-1]
    assert same_stretch.all()


def test_a_crop_is_a_stretch_of_the_piece() -> None:
    """Without variation inputs, outputs and metre are what the piece has there."""
    source = piece(2000)
    batch = Sampler([source], 64, 8, PLAIN).draw(np.random.default_rng(3))
    starts = set()
    for frames, coming, condition in zip(batch.frames, batch.coming, batch.condition, strict=True):
        start = next(
            s for s in range(1937) if np.array_equal(legalise_after(frames[:1], source.frames[s : s + 64]), coming)
        )
        starts.add(start)
        wanted = [metre_features(*p) for p in source.places[start : start + 64].tolist()]
        assert np.array_equal(metre_blocks(condition)[:, 1], np.array(wanted))
    assert len(starts) > 4


def test_some_crops_begin_with_silence() -> None:
    """The first frame of a piece is predicted from an empty one, as live."""
    batch = draw(PLAIN, length=500, batch=200)
    begin = [(coming == piece(500).frames[:64]).all() for coming in batch.coming]
    assert 2 <= sum(begin) < 40
    assert (batch.frames[begin, 0] == OFF).all()


@given(SEEDS, st.integers(0, 12))
def test_transposition_keeps_every_note(seed: int, most: int) -> None:
    """All notes move by one interval, at most so many semitones, and none leaves the keyboard."""
    rng = np.random.default_rng(seed)
    low, span = int(rng.integers(21, 100)), int(rng.integers(1, 9))
    notes = [Note(low + int(rng.integers(span)), i, i + 1) for i in range(10)]
    before_notes = notes_from_frames(frames_from_notes(notes))
    after = notes_from_frames(transposed(frames_from_notes(notes), rng, most))
    by = {b.key - a.key for a, b in zip(before_notes, after, strict=True)}
    assert len(by) == 1
    assert abs(by.pop()) <= most
    assert [(n.start, n.end) for n in after] == [(n.start, n.end) for n in before_notes]


def test_transposition_reaches_every_interval() -> None:
    """Of ±6 semitones all thirteen come; at the edge of the keyboard it goes only inwards."""
    rng = np.random.default_rng(0)
    middle, edge = frames_from_notes([Note(60, 0, 1)]), frames_from_notes([Note(21, 0, 1)])
    assert {int(transposed(middle, rng, 6).argmax()) for _ in range(300)} == set(range(33, 46))
    assert {int(transposed(edge, rng, 6).argmax()) for _ in range(300)} == set(range(7))
    assert (transposed(np.zeros((3, KEYS), np.uint8), rng, 6) == 0).all()


@pytest.fixture(scope="module")
def planes() -> list[tuple[Frames, Frames]]:
    """Many given planes with the frames that they reveal."""
    rng = np.random.default_rng(1)
    rolls = [random_frames(24, seed, 0.05) for seed in range(150)]
    return [(roll, given_plane(roll, rng)) for roll in rolls]


def revealed(plane: Frames) -> np.ndarray:
    """Where something is given."""
    return np.asarray(plane != UNKNOWN)


def test_given_planes_tell_the_truth(planes: list[tuple[Frames, Frames]]) -> None:
    """Whatever is revealed is what comes."""
    assert all((plane[revealed(plane)] == roll[revealed(plane)]).all() for roll, plane in planes)


def test_given_planes_are_of_every_kind(planes: list[tuple[Frames, Frames]]) -> None:
    """Single lines, ranges with their rests, scattered keys, and onsets withheld as if late."""
    lines = [p for _, p in planes if (revealed(p).sum(axis=1) <= 1).all() and revealed(p).any()]
    silence = [p for _, p in planes if (p == OFF).any(axis=1).mean() > 0.5]
    scattered = [p for _, p in planes if (np.diff(revealed(p)[0].astype(int)) != 0).sum() > 8]
    late = [
        p
        for roll, p in planes
        if ((roll == ONSET).any(axis=1) & ((p == ONSET).sum(axis=1) == 0) & (revealed(p).sum(axis=1) > 60)).any()
    ]
    assert min(len(lines), len(silence), len(scattered), len(late)) > 3


def test_how_often_keys_are_given() -> None:
    """In about half of the crops at a rate of one half; in all at 1, in none at 0."""
    assert not revealed(draw(PLAIN, batch=32).given).any()
    shares = [
        revealed(draw(Augment(given=rate), batch=200, crop=16).given).any(axis=(1, 2)).mean() for rate in (0.5, 1.0)
    ]
    assert 0.35 < shares[0] < 0.65
    assert shares[1] > 0.9


def test_texture_of_the_frames_that_come() -> None:
    """The levels beside a frame are those of the 32 frames from it on, fewer at the end."""
    frames = random_frames(80, 5, 0.02)
    track = texture_track(frames)
    for t in (0, 10, 47, 48, 79):
        levels = texture_levels(frames[t : t + 32])
        assert track[t].tolist() == [levels.density, levels.polyphony]


def test_how_often_texture_is_dropped() -> None:
    """Both knobs unknown in the stated share of crops, one of them in a fifth, for the whole of the crop."""
    shares = textures(draw(Augment(texture_dropout=0.4), batch=400, crop=16).condition) == UNKNOWN_TEXTURE
    assert (shares == shares[:, :1]).all()
    assert 0.3 < shares[:, 0].all(axis=1).mean() < 0.5
    assert 0.1 < (shares[:, 0].sum(axis=1) == 1).mean() < 0.3
    assert (textures(draw(Augment(texture_dropout=1.0)).condition) == UNKNOWN_TEXTURE).all()


def test_texture_noise_is_at_most_a_level() -> None:
    """Off by one at most, and within the levels."""
    exact, noisy = (textures(draw(Augment(0, 0, 0, 0.0, noise), length=64).condition) for noise in (0.0, 1.0))
    known = (exact != UNKNOWN_TEXTURE) & (noisy != UNKNOWN_TEXTURE)
    assert (abs(exact - noisy)[known] <= 1).all()
    assert (exact != noisy)[known].any()


@given(seed=SEEDS)
def test_what_is_thinned_keeps_one_side(seed: int) -> None:
    """All that is above, or below, some key, as it was, and nothing else; something is left."""
    whole = random_frames(64, seed % 99, 0.05)
    left = one_side(whole, np.random.default_rng(seed))
    kept = (left == whole).all(axis=0)
    assert (left[:, ~kept] == OFF).all()
    lost = np.flatnonzero(~kept)
    remaining = np.flatnonzero((left != OFF).any(axis=0))
    assert len(lost)
    assert len(remaining)
    assert lost.max() < remaining.min() or lost.min() > remaining.max()


def test_thinned_crops_have_no_texture() -> None:
    """It would be that of what is gone."""
    batch = draw(Augment(transpose=0, given=0, gap=0, texture_dropout=0.0, onset_dropout=1.0))
    assert (textures(batch.condition) == UNKNOWN_TEXTURE).all()
    assert one_side(np.zeros((4, KEYS), np.uint8), np.random.default_rng(0)).sum() == 0


def test_a_gap_joins_two_stretches() -> None:
    """The metre jumps once over what is cut out, and the frame after has no key held from nothing."""
    batch = draw(Augment(transpose=0, given=0, gap=1.0), length=500, batch=32)
    old, new = metre_blocks(batch.condition)[:, 1:, 0], metre_blocks(batch.condition)[:, :-1, 1]
    assert np.array_equal(old, new)  # the place before is that of the frame before, over the gap too
    ticks = new[..., :48].argmax(axis=-1)
    jumps = ((np.diff(ticks, axis=1) - 1) % 12 != 0).sum(axis=1)
    assert jumps.max() == 1
    assert jumps.mean() > 0.7


def test_after_a_piece_comes_another() -> None:
    """Where a piece ends, rests fill its bar or one more, then a piece begins; the metre runs on through the pause."""
    source = Piece("one bar and a half", np.full((18, KEYS), ONSET, np.uint8), piece(18).places)
    batch = Sampler([source], 128, 40, PLAIN).draw(np.random.default_rng(0))
    assert (batch.given == UNKNOWN).all()
    pauses = set()
    for coming, condition in zip(batch.coming, batch.condition, strict=True):
        ticks = metre_blocks(condition)[:, 1, :48].argmax(axis=-1)
        assert (np.diff(ticks) % 12 == 1).all()
        begins = np.flatnonzero(np.diff(coming.any(axis=1).astype(int)) == 1) + 1
        assert (ticks[begins] == 0).all()
        rests = np.flatnonzero(np.diff(coming.any(axis=1).astype(int)) == -1) + 1
        pauses |= {int(b - r) for r, b in zip(rests, begins[begins > rests[0]], strict=False)}
    assert pauses == {6, 18}


def test_the_same_seed_draws_the_same_batch() -> None:
    """And another one another."""
    one, same, other = (draw(Augment(), seed=seed) for seed in (7, 7, 8))
    for name in ("frames", "condition", "coming", "given"):
        assert np.array_equal(getattr(one, name), getattr(same, name))
    assert not np.array_equal(one.coming, other.coming)


def test_longer_pieces_come_more_often() -> None:
    """In proportion to their frames."""
    long, short = piece(900, 1), Piece("short", np.zeros((100, KEYS), np.uint8), piece(100).places)
    batch = Sampler([long, short], 16, 300, PLAIN).draw(np.random.default_rng(0))
    assert 0.03 < (batch.coming == OFF).all(axis=(1, 2)).mean() < 0.2


def test_the_place_before_the_first() -> None:
    """It is a tick earlier in its own bar."""
    places = metre_track(3, [(0, Metre(3, 8))], 4)
    assert before(places).tolist() == [[5, 2, 6], [0, 2, 6], [1, 2, 6]]
    assert condition_rows(places, before(places), np.full((3, 2), UNKNOWN_TEXTURE, np.int8)).sum() == 3 * 12


def test_nothing_to_train_on() -> None:
    """It is refused in words."""
    with pytest.raises(ValueError, match="no piece to train on"):
        Sampler([], 8, 1, Augment())
