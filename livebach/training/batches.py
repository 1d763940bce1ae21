"""Draw training crops from pieces, with random transposition, texture, given keys and gaps.

The module uses numpy and the random generator of its caller. It imports no torch and reads no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from livebach.music.metre import metre_features
from livebach.music.roll import KEYS, OFF, ONSET, UNKNOWN, Frames, legalise
from livebach.music.score_reader import Piece
from livebach.music.texture import TEXTURE_LEVELS, TEXTURE_WINDOW, texture_track
from livebach.network.spec import CONDITION_FEATURES

UNKNOWN_TEXTURE = TEXTURE_LEVELS
BEGINNINGS = 0.05
"""Share of crops that start at the first frame of a piece. They start from silence, like live playing."""
LONG_PAUSES = 0.2
"""Share of the pauses between two pieces that last one bar longer. The other pauses end at the next bar line."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Model inputs: B crops of T frames.

    Attributes:
        frames: uint8 [B, T, 88], the frame before each predicted frame.
        condition: float32 [B, T, F], metre and texture.
        coming: uint8 [B, T, 88], the frames to predict.
        given: uint8 [B, T, 88], the known states of the coming frames; UNKNOWN elsewhere.
        played: bool [B], true for crops of music that a network generated.

    """

    frames: Frames
    condition: NDArray[np.float32]
    coming: Frames
    given: Frames
    played: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Augment:
    """Settings of the data augmentation. Rates are shares of crops."""

    transpose: int = 6
    """The largest transposition, in semitones up or down."""
    given: float = 0.35
    """Share of crops in which some keys of the coming frame are given."""
    gap: float = 0.05
    """Share of crops with some frames cut out. The same jump occurs live when the network waits."""
    texture_dropout: float = 0.5
    """Share of crops whose texture is unknown. In another fifth of the crops one of the two levels is unknown."""
    texture_noise: float = 0.3
    """Share of crops whose stated texture may be one level too high or too low."""
    onset_dropout: float = 0.0
    """Share of crops that keep only the keys above or below a random key; their texture is unknown."""


def before(places: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the place of the tick before each tick: int16 [T, 3].

    The place before the first tick is one tick earlier in the same bar.
    """
    first = places[:1].copy()
    first[0, 0] = (first[0, 0] - 1) % max(1, first[0, 2])
    return np.concatenate([first, places[:-1]])


def condition_rows(
    places: NDArray[np.int16], earlier: NDArray[np.int16], texture: NDArray[np.int8]
) -> NDArray[np.float32]:
    """Return the condition of each frame: metre of the previous frame, metre of the frame, texture.

    Args:
        places: int16 [T, 3], position in the bar, beat length and bar length, in ticks.
        earlier: int16 [T, 3], the places of the ticks before.
        texture: int8 [T, 2], density and polyphony levels; UNKNOWN_TEXTURE where a level is unknown.

    Returns:
        float32 [T, CONDITION_FEATURES].

    """
    t = len(places)
    shades = np.zeros((t, 2, TEXTURE_LEVELS + 1), np.float32)
    shades[np.arange(t)[:, None], [0, 1], texture] = 1
    old = np.array([metre_features(*p) for p in earlier.tolist()], np.float32).reshape(t, -1)
    new = np.array([metre_features(*p) for p in places.tolist()], np.float32).reshape(t, -1)
    rows = np.concatenate([old, new, shades.reshape(t, -1)], axis=1)
    assert rows.shape[1] == CONDITION_FEATURES
    return rows


class Sampler:
    """Draw batches of crops from pieces. The probability of a piece is proportional to its length.

    A share of the crops comes from music `played` by networks. If a piece ends within a crop, another piece of the
    corpus follows.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        crop: int,
        batch: int,
        augment: Augment,
        played: Sequence[Piece] = (),
        share: float = 0.0,
    ) -> None:
        if not pieces:
            raise ValueError("no piece to train on")
        self.pieces, self.crop, self.batch, self.augment = [*pieces, *played], crop, batch, augment
        self.scores, share = len(pieces), share if played else 0.0
        self.score_odds = _by_length(pieces)
        self.odds = np.concatenate([self.score_odds * (1 - share), _by_length(played) * share])

    def draw(self, rng: Generator, share: slice = slice(None)) -> Batch:
        """Return the next batch, or the slice `share` of its crops.

        Each crop has its own random generator. So a crop does not depend on the process that draws it.
        """
        chosen = rng.choice(len(self.pieces), self.batch, p=self.odds)
        own = zip(chosen[share], rng.spawn(self.batch)[share], strict=True)
        crops = [self._crop(int(i), crop_rng) for i, crop_rng in own]
        frames, condition, coming, given = (np.stack(parts) for parts in zip(*crops, strict=True))
        return Batch(frames, condition, coming, given, chosen[share] >= self.scores)

    def _crop(self, index: int, rng: Generator) -> tuple[Frames, NDArray[np.float32], Frames, Frames]:
        cut = int(rng.integers(1, 33)) if rng.random() < self.augment.gap else 0
        start = 0 if rng.random() < BEGINNINGS else int(rng.integers(0, len(self.pieces[index].frames)))
        frames, places, texture = self._stretch(index, start, self.crop + cut, rng)
        ticks = np.arange(len(frames))
        if cut and self.crop > 16:
            hole = int(rng.integers(8, self.crop - 7))
            ticks = np.delete(ticks, np.s_[hole : hole + cut])
        ticks = ticks[: self.crop]
        lead_in = self.pieces[index].frames[start - 1 : start] if start else np.zeros((1, KEYS), np.uint8)
        roll = np.concatenate([lead_in, legalise_after(lead_in, frames[ticks])])
        roll = transposed(roll, rng, self.augment.transpose)
        shades = self._texture(texture[ticks], rng)
        if rng.random() < self.augment.onset_dropout:
            roll = one_side(roll, rng)
            shades[:] = UNKNOWN_TEXTURE
        inputs, coming = roll[:-1], roll[1:]
        condition = condition_rows(places[ticks], before(places[ticks]), shades)
        given = given_plane(coming, rng) if rng.random() < self.augment.given else np.full_like(coming, UNKNOWN)
        return inputs, condition, coming, given

    def _stretch(
        self, index: int, start: int, length: int, rng: Generator
    ) -> tuple[Frames, NDArray[np.int16], NDArray[np.int8]]:
        """Return frames, places and textures of `length` ticks.

        If the piece ends earlier, another piece begins at a later bar line. In a file nothing follows the last bar,
        but live music continues. A network that never saw music continue after an ending stays silent after its first
        cadence.
        """
        parts, total = [], 0
        while total < length:
            piece = self.pieces[index]
            stop = start + length - total
            texture = texture_track(piece.frames[start : stop + TEXTURE_WINDOW])
            parts.append((piece.frames[start:stop], piece.places[start:stop], texture[: length - total]))
            index, start = int(rng.choice(self.scores, p=self.score_odds)), 0
            coming = texture_track(self.pieces[index].frames[:TEXTURE_WINDOW])[0]
            parts.append(self._pause(piece.places[-1], coming, rng))
            total += len(parts[-1][0]) + len(parts[-2][0])
        frames, places, texture = (np.concatenate(column)[:length] for column in zip(*parts, strict=True))
        return frames, places, texture

    def _pause(
        self, last: NDArray[np.int16], coming: NDArray[np.int8], rng: Generator
    ) -> tuple[Frames, NDArray[np.int16], NDArray[np.int8]]:
        """Return rests from the tick after `last` to the end of its bar, sometimes with one more bar."""
        tick, beat, bar = (int(x) for x in last)
        rests = (bar - 1 - tick) % bar + bar * int(rng.random() < LONG_PAUSES)
        ticks = (tick + 1 + np.arange(rests)) % bar
        places = np.stack([ticks, np.full(rests, beat), np.full(rests, bar)], axis=1).astype(np.int16)
        return np.zeros((rests, KEYS), np.uint8), places, np.tile(coming, (rests, 1))

    def _texture(self, levels: NDArray[np.int8], rng: Generator) -> NDArray[np.int8]:
        levels = levels.copy()
        if rng.random() < self.augment.texture_noise:
            levels = np.clip(levels + rng.integers(-1, 2, (1, 2)), 0, TEXTURE_LEVELS - 1).astype(np.int8)
        chance = rng.random()
        if chance < self.augment.texture_dropout:
            levels[:] = UNKNOWN_TEXTURE
        elif chance < self.augment.texture_dropout + 0.2:
            levels[:, int(rng.integers(2))] = UNKNOWN_TEXTURE
        return levels


def _by_length(pieces: Sequence[Piece]) -> NDArray[np.float64]:
    """Return the probability of each piece, float64 [pieces]."""
    lengths = np.array([len(p.frames) for p in pieces], float)
    return lengths / lengths.sum() if len(lengths) else lengths


def legalise_after(lead_in: Frames, frames: Frames) -> Frames:
    """Return `frames` made legal after `lead_in` uint8 [1, 88]: a HOLD after OFF becomes an ONSET."""
    return legalise(np.concatenate([lead_in, frames]))[1:]


def transposed(frames: Frames, rng: Generator, most: int) -> Frames:
    """Return the roll transposed by a random number of semitones, at most `most`, within the keyboard."""
    used = np.flatnonzero((frames != OFF).any(axis=0))
    low, high = (int(used[0]), int(used[-1])) if len(used) else (most, KEYS - 1 - most)
    by = int(rng.integers(-min(most, low), min(most, KEYS - 1 - high) + 1))
    return np.roll(frames, by, axis=1)


def one_side(frames: Frames, rng: Generator) -> Frames:
    """Return only the keys above or below a random key, which is within a fifth of the median pressed key."""
    down = np.flatnonzero((frames != OFF).any(axis=0))
    if not len(down):
        return frames
    weight = (frames != OFF).sum(axis=0).cumsum()
    split = int(np.searchsorted(weight, weight[-1] / 2)) + int(rng.integers(-7, 8))
    left = np.arange(KEYS) >= split if rng.random() < 0.5 else np.arange(KEYS) < split
    return np.where(left, frames, np.uint8(OFF))


# -- given keys -------------------------------------------------------------------------------------------------------


def given_plane(coming: Frames, rng: Generator) -> Frames:
    """Return randomly chosen given keys of a crop: uint8 [T, 88], UNKNOWN for all other keys.

    The given keys are the top or bottom line, a range of keys with its rests, or single keys.
    """
    kind = rng.random()
    if kind < 0.55:
        mask = _outer_line(coming, rng)
    elif kind < 0.85:
        a, b = np.sort(rng.integers(0, KEYS + 1, 2))
        mask = np.zeros(coming.shape, bool)
        mask[:, a:b] = True
    else:
        mask = np.broadcast_to(rng.random(KEYS) < rng.uniform(0.05, 0.5), coming.shape).copy()
    late = rng.random(len(coming)) < 0.08
    mask[late] &= coming[late] != ONSET
    return np.where(mask, coming, np.uint8(UNKNOWN))


def _outer_line(coming: Frames, rng: Generator) -> NDArray[np.bool_]:
    """Return a mask of the highest or lowest pressed key, with or without the silent keys beyond this key."""
    top = bool(rng.random() < 0.7)
    down = (coming != OFF)[:, ::-1] if top else coming != OFF
    first = np.where(down.any(axis=1), down.argmax(axis=1), KEYS)
    keys = np.arange(KEYS)
    beyond = rng.random() < 0.5
    mask = keys[None, :] <= first[:, None] if beyond else keys[None, :] == first[:, None]
    return mask[:, ::-1] if top else mask
