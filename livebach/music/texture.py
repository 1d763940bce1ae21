"""Texture: onset density and polyphony, in levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livebach.music.roll import OFF, ONSET, Frames

TEXTURE_WINDOW = 32
"""The number of ticks ahead that a texture describes."""


def texture_track(frames: Frames, window: int = TEXTURE_WINDOW) -> NDArray[np.int8]:
    """Return the levels of density and polyphony of the `window` ticks from each frame on: int8 [T, 2]."""
    t = len(frames)
    down = (frames != OFF).sum(axis=1)
    sums = [np.concatenate([[0], np.cumsum(x)]) for x in ((frames == ONSET).sum(axis=1), down, down > 0)]
    stop = np.minimum(np.arange(t) + window, t)
    onsets, keys, sounding = (s[stop] - s[np.arange(t)] for s in sums)
    density, polyphony = texture_bins(onsets / (stop - np.arange(t)), keys / np.maximum(1, sounding))
    return np.stack([density, polyphony], axis=1).astype(np.int8)


TEXTURE_LEVELS = 8
_DENSITY_EDGES = np.array([0.4, 0.65, 0.85, 1.0, 1.2, 1.5, 1.8])
"""Onsets per tick between the levels of density; about an eighth of Bach's music lies in each level."""
DENSITY_CENTRES = (0.3, 0.6, 0.75, 0.93, 1.1, 1.35, 1.55, 2.0)
"""Onsets per tick that the levels of density stand for."""
POLYPHONY_CENTRES = (1.15, 1.6, 1.85, 2.03, 2.35, 2.8, 3.25, 4.0)
"""Keys down at once that the levels of polyphony stand for."""
_POLYPHONY_EDGES = np.array([1.4, 1.75, 1.95, 2.1, 2.6, 3.0, 3.5])
"""Keys down per sounding tick between the levels of polyphony."""


@dataclass(frozen=True, slots=True)
class Texture:
    """The wanted levels of onset density and polyphony, 0..7 each; None leaves a level open."""

    density: int | None = None
    polyphony: int | None = None

    def __post_init__(self) -> None:
        for name in ("density", "polyphony"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < TEXTURE_LEVELS:
                raise ValueError(f"{name} must be in 0..{TEXTURE_LEVELS - 1} or None, got {value!r}")


def texture_of(onsets_per_tick: float, keys_per_sounding_tick: float) -> Texture:
    """Return the texture of a density and a polyphony."""
    density, polyphony = texture_bins(onsets_per_tick, keys_per_sounding_tick)
    return Texture(int(density), int(polyphony))


def texture_bins(
    onsets_per_tick: ArrayLike, keys_per_sounding_tick: ArrayLike
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the levels of density and of polyphony of many ticks at once."""
    return (
        np.asarray(np.searchsorted(_DENSITY_EDGES, onsets_per_tick)),
        np.asarray(np.searchsorted(_POLYPHONY_EDGES, keys_per_sounding_tick)),
    )


def texture_levels(frames: Frames) -> Texture:
    """Return the texture of frames uint8 [T, 88], T ≥ 1."""
    return texture_of(*density_and_polyphony(frames))


def density_and_polyphony(frames: Frames) -> tuple[float, float]:
    """Return the onsets per tick and the keys down per sounding tick of frames uint8 [T, 88], T ≥ 1."""
    down = (frames != OFF).sum(axis=1)
    sounding = down[down > 0]
    return float((frames == ONSET).sum() / len(frames)), float(sounding.mean()) if len(sounding) else 0.0
