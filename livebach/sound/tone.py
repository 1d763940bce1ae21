"""A rendered key: named layers of samples, some of which repeat while the key is held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from livebach.sound.partials import Signal


@dataclass(frozen=True, slots=True)
class Layer:
    """Samples of one layer of a key.

    Attributes:
        samples: mono, at `partials.RATE`.
        loop_start: where the part begins that is repeated while the key is held, up to the end; None: it ends.

    """

    samples: Signal
    loop_start: int | None = None


Tone = dict[str, Layer]
"""The layers of one key. Every key has "body"; "bright" is added with velocity; "release" sounds at the key's end."""

LOWEST, HIGHEST = 21, 108
"""The MIDI keys that are rendered: those of a piano."""
KEYS = range(LOWEST, HIGHEST + 1)


def random_of(instrument: str, key: int) -> np.random.Generator:
    """Return the generator of a key's irregularities: every rendering of the same key is the same."""
    return np.random.default_rng([key, *instrument.encode()])
