"""Compute exact likelihoods of pieces under a network, in nats, with the step engine and without torch.

Unless its name says otherwise, a figure covers whole pieces with unknown texture and without given keys. The first
frame is predicted from an empty frame. The network adapts to each frame after the prediction, as in live listening,
and starts each piece with the weights of the checkpoint. The module reads no file and does not know the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, STATES, UNKNOWN, Frames
from livebach.music.score_reader import Piece
from livebach.music.texture import Texture, texture_track
from livebach.network.engine import Engine, Place, State
from livebach.network.sampling import SamplingParams, log_likelihood, probabilities

Nats = NDArray[np.float64]
NOTHING = np.full(KEYS, UNKNOWN, np.uint8)
_PLAIN = SamplingParams()


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over frames; costs are in nats. The sum of the tallies of several pieces is their common tally."""

    frames: int = 0
    onsets: int = 0
    nats: float = 0.0
    changing_frames: int = 0
    """Frames in which a key is struck or released."""
    changing_nats: float = 0.0
    expected_onsets: float = 0.0
    """Expected number of onsets: the sum over frames of the expectation given all earlier frames."""
    fixed_nats: float = 0.0
    """Cost without adaptation to the piece."""
    texture_nats: float = 0.0
    """Cost with the known texture of the coming frames."""
    naive_nats: float = 0.0
    """Cost under `MarkovKeys`."""
    below_frames: int = 0
    """Frames with a pressed key, and so with a top voice. Counted only if given keys are measured."""
    below_nats: float = 0.0
    """Cost of the keys below the top voice, without given keys."""
    below_given_nats: float = 0.0
    """Cost of the same keys, with the top voice and the silent keys above given."""
    below_key_nats: float = 0.0
    """Cost of the same keys, with only the key of the top voice given."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values. A figure without data is null."""
        same = self.frames - self.changing_frames
        report: dict[str, Any] = {
            "frames": self.frames,
            "onsets": self.onsets,
            "nats_per_frame": _per(self.nats, self.frames),
            "nats_per_onset": _per(self.nats, self.onsets),
            "changing": {
                "frames": self.changing_frames,
                "nats_per_frame": _per(self.changing_nats, self.changing_frames),
            },
            "repeating": {"frames": same, "nats_per_frame": _per(self.nats - self.changing_nats, same)},
            "expected_onsets": _per(self.expected_onsets, self.onsets),
            "without_adaptation": {
                "nats_per_frame": _per(self.fixed_nats, self.frames),
                "nats_per_onset": _per(self.fixed_nats, self.onsets),
            },
            "with_texture": {"nats_per_frame": _per(self.texture_nats, self.frames)},
            "naive": {"nats_per_frame": _per(self.naive_nats, self.frames)},
        }
        if self.below_frames:
            report["below_the_top_voice"] = self._below()
        return report

    def _below(self) -> dict[str, Any]:
        count, alone = self.below_frames, self.below_nats
        return {
            "frames": count,
            "nats_per_frame": alone / count,
            "given_nats_per_frame": self.below_given_nats / count,
            "lower_by": _per(alone - self.below_given_nats, alone),
            "only_its_key_given_nats_per_frame": self.below_key_nats / count,
            "only_its_key_lower_by": _per(alone - self.below_key_nats, alone),
        }


def _per(total: float, count: float) -> float | None:
    return total / count if count else None


# -- frame by frame ---------------------------------------------------------------------------------------------------


def states_before(
    engine: Engine, piece: Piece, textures: Sequence[Texture] | None = None, adapt: bool = True
) -> Iterator[State]:
    """Yield the engine's state before each frame of a piece. All yields are the same changing object.

    Args:
        engine: The network.
        piece: The piece, T frames.
        textures: Texture of each frame, T items; unknown by default.
        adapt: Whether the network adapts to the piece.

    """
    shades = textures if textures is not None else [Texture()] * len(piece.frames)
    places: list[Place] = [(int(p), int(beat), int(bar)) for p, beat, bar in piece.places]
    state = engine.new_state(places[0], shades[0])
    yield state
    for t in range(len(piece.frames) - 1):
        engine.push(state, piece.frames[t], places[t], places[t + 1], shades[t + 1], adapt)
        yield state


def true_textures(frames: Frames) -> list[Texture]:
    """Return the texture from each frame on, as in training: T items for frames uint8 [T, 88]."""
    return [Texture(int(density), int(polyphony)) for density, polyphony in texture_track(frames)]


def key_nats(engine: Engine, piece: Piece, textures: Sequence[Texture] | None = None, adapt: bool = True) -> Nats:
    """Return the cost of every key of every frame in nats, without given keys: float64 [T, 88].

    The arguments are those of `states_before`.
    """
    before = states_before(engine, piece, textures, adapt)
    return np.array([_nats(engine, state, frame, NOTHING) for state, frame in zip(before, piece.frames, strict=True)])


def _nats(engine: Engine, state: State, frame: Frames, given: Frames) -> Nats:
    return -log_likelihood(engine.logits(state, frame, given), state.frame, frame, given)


def changing(frames: Frames) -> NDArray[np.bool_]:
    """Return a mask bool [T] of the frames in which a key is struck or released."""
    before = np.vstack([np.zeros((1, KEYS), np.uint8), frames[:-1]])
    return np.asarray(((frames == ONSET) | ((frames == OFF) & (before != OFF))).any(axis=1))


def top_keys(frames: Frames) -> NDArray[np.int64]:
    """Return the highest pressed key of each frame, or -1: int64 [T]."""
    down = (frames != OFF)[:, ::-1]
    return np.where(down.any(axis=1), KEYS - 1 - down.argmax(axis=1), -1)


# -- whole pieces -----------------------------------------------------------------------------------------------------


def tally(engine: Engine, piece: Piece, naive: MarkovKeys | None = None, given: bool = False) -> Tally:
    """Return all figures of a piece.

    Args:
        engine: The network.
        piece: The piece.
        naive: Baseline to compare with; without a baseline, its cost is 0.
        given: Whether to measure the keys below the top voice too.

    """
    rows = [
        _frame_tally(engine, state, frame, int(top), given)
        for state, frame, top in zip(states_before(engine, piece), piece.frames, top_keys(piece.frames), strict=True)
    ]
    nats = np.array([row.nats for row in rows])
    moves = changing(piece.frames)
    whole = Tally(
        changing_frames=int(moves.sum()),
        changing_nats=float(nats[moves].sum()),
        fixed_nats=float(key_nats(engine, piece, adapt=False).sum()),
        texture_nats=float(key_nats(engine, piece, true_textures(piece.frames)).sum()),
        naive_nats=float(naive.nats(piece.frames).sum()) if naive else 0.0,
    )
    return sum(rows, whole)


def _frame_tally(engine: Engine, state: State, frame: Frames, top: int, given: bool) -> Tally:
    logits = engine.logits(state, frame, NOTHING)
    nats = -log_likelihood(logits, state.frame, frame, NOTHING)
    expected = probabilities(logits, state.frame, _PLAIN)[:, ONSET].sum()
    plain = Tally(1, int((frame == ONSET).sum()), float(nats.sum()), expected_onsets=float(expected))
    if not given or top < 0:
        return plain
    keys = np.arange(KEYS)
    line, key = (np.where(mask, frame, np.uint8(UNKNOWN)) for mask in (keys >= top, keys == top))
    return plain + Tally(
        below_frames=1,
        below_nats=float(nats[:top].sum()),
        below_given_nats=float(_nats(engine, state, frame, line)[:top].sum()),
        below_key_nats=float(_nats(engine, state, frame, key)[:top].sum()),
    )


# -- the naive baseline -----------------------------------------------------------------------------------------------


class MarkovKeys:
    """Baseline: each key is an independent Markov chain over its three states. It ignores chords and bars."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        """Count the transitions of each key, with add-one smoothing. Only HOLD after OFF is impossible."""
        counts = np.ones((KEYS, STATES, STATES))
        counts[:, OFF, HOLD] = 0
        for piece in pieces:
            np.add.at(counts, _transitions(piece.frames), 1)
        with np.errstate(divide="ignore"):
            self.log_odds = np.log(counts / counts.sum(axis=2, keepdims=True))

    def nats(self, frames: Frames) -> Nats:
        """Return the cost of every key of every frame: float64 [T, 88]."""
        return np.asarray(-self.log_odds[_transitions(frames)])


def _transitions(frames: Frames) -> tuple[NDArray[np.intp], Frames, Frames]:
    before = np.vstack([np.zeros((1, KEYS), np.uint8), frames[:-1]])
    return np.broadcast_to(np.arange(KEYS), frames.shape), before, frames
