"""A limiter: what would be too loud for the device is turned down smoothly, and up again slowly.

It looks at a whole block before the block is heard, so that the gain has fallen when the loud samples come. A rise that
is too quick for that, within less than a millisecond, is bent below full scale. Quiet sound passes unchanged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CEILING = 0.72
"""The level that the sound is held at."""
_KNEE = 0.9  # above this level the sound is bent, so that it never clips
_SHORTEST = 32  # samples: the gain falls no faster
_RECOVERY = 10 ** (0.1 / 20)  # a block: 20 dB a second

Frames = NDArray[np.float32]


class Limiter:
    """Turns down sound that is too loud."""

    def __init__(self) -> None:
        self.gain = 1.0
        """The gain at the end of the last block."""

    def limit(self, sound: Frames) -> Frames:
        """Limit a block, [sides, samples], in place."""
        peak = max(float(sound.max()), -float(sound.min()))
        wanted = min(1.0, CEILING / peak) if peak > 0 else 1.0
        before = self.gain
        if wanted < before:
            first = int(np.argmax(np.abs(sound).max(axis=0) * before > CEILING))
            fall = min(max(first, _SHORTEST), sound.shape[1])
            self.gain = wanted
            sound[:, :fall] *= np.linspace(before, wanted, fall, dtype=np.float32)
            sound[:, fall:] *= np.float32(wanted)
        elif before < 1:
            self.gain = min(wanted, before * _RECOVERY)
            sound *= np.linspace(before, self.gain, sound.shape[1], dtype=np.float32)
        return _bent(sound) if peak * before > _KNEE else sound


def _bent(sound: Frames) -> Frames:
    """Bend peaks above full scale below 1, in place."""
    over = np.maximum(np.abs(sound) - _KNEE, 0)
    np.clip(sound, -_KNEE, _KNEE, out=sound)
    sound += np.sign(sound) * (1 - _KNEE) * np.tanh(over / (1 - _KNEE))
    return sound
