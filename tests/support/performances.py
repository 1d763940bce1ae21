"""Performances of chance, for the tests of touch."""

from __future__ import annotations

import numpy as np

from livebach.music.touch import LATEST, Pedal, Performance


def performance(notes: int = 120, seed: int = 0, name: str = "composer/piece.mid") -> Performance:
    """A piece of chance, with chords, repeats, offsets and pedal."""
    rng = np.random.default_rng(seed)
    cells = sorted(
        {(int(t), -int(k)) for t, k in zip(rng.integers(0, 96, notes), rng.integers(20, 60, notes), strict=True)}
    )
    cells += [(t + 96, k) for t, k in cells]  # everything is played twice
    tick, key = np.array([t for t, _ in cells]), np.array([-k for _, k in cells])
    ticks, down, pedal = 200, False, []
    for _ in range(ticks):
        lifted, after = bool(rng.random() < 0.3), bool(rng.random() < 0.6)
        pedal.append(Pedal.of(down, lifted or not after, after))
        down = after
    place = np.stack([np.arange(ticks) % 16, np.full(ticks, 4), np.full(ticks, 16)], axis=1)
    return Performance(
        name,
        tick.astype(np.int32),
        key.astype(np.int16),
        (tick + rng.integers(1, 6, len(tick))).astype(np.int32),
        rng.integers(1, 128, len(tick)).astype(np.int16),
        rng.integers(-LATEST, LATEST + 1, len(tick)).astype(np.int16),
        np.array(pedal, np.int16),
        place.astype(np.int16),
    )
