"""Keeps a network that plays alone as busy and as full as it is asked to be.

A network is trained on music, never on its own continuations: a few onsets too few in one bar make the next bar's
prediction sparser still, and after some minutes little is left. So the onsets and the keys down of the last bars are
counted, and the logits of ONSET and HOLD are raised or lowered by the logarithm of what is wanted over what was heard:
where a state is rare, as onsets are on 88 keys, that changes its rate by that very ratio. For the same reason lines may
wander off the end of the keyboard: beyond Bach's compass onsets are made rarer. Knows no time but ticks.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from livebach.roll import DENSITY_CENTRES, KEYS, LOW_KEY, OFF, ONSET, POLYPHONY_CENTRES, Frame, Texture
from livebach.sampling import Policy

MEMORY_BARS = 2.0
"""Over how much of its own playing a rate is averaged."""
GAIN = 0.7
SLOW_GAIN = 1 / 64
"""Of what stays wrong from tick to tick; with it the rate comes to what is asked for, not half-way there."""
MOST_BIAS = 1.75
STILL_URGE = 0.25
"""Added to the logit of ONSET for each tick without one beyond a bar."""
MOST_STILL_URGE = 4.0
COMPASS = (36, 86)
"""MIDI keys: what Bach's keyboard works keep to, C2 to D6."""
OUTSIDE_COMPASS = 0.6
"""Taken off the logit of ONSET for each semitone beyond it: lines that wander find back."""


def _compass_bias() -> NDArray[np.float32]:
    keys = np.arange(LOW_KEY, LOW_KEY + KEYS)
    beyond = np.maximum(0, np.maximum(COMPASS[0] - keys, keys - COMPASS[1]))
    return np.asarray(-OUTSIDE_COMPASS * beyond, np.float32)


COMPASS_BIAS = _compass_bias()


class Controller:
    """Holds an average near what is wanted: a proportional and an integral part, of the logarithm of the ratio."""

    def __init__(self, memory_ticks: float) -> None:
        self._keep = math.exp(-1 / memory_ticks)
        self.restart()

    def restart(self) -> None:
        """Begin to count anew, as if so far all had been as wanted."""
        self._average: float | None = None
        self._settled = 0.0

    def hear(self, value: float) -> None:
        """Take in a tick's value."""
        if self._average is not None:
            self._average = self._keep * self._average + (1 - self._keep) * value

    def correction(self, wanted: float) -> float:
        """What to add to the logit for the coming tick, at most `MOST_BIAS` either way."""
        if self._average is None:
            self._average = wanted
        error = math.log(wanted / max(self._average, 0.05))
        self._settled = _within(self._settled + SLOW_GAIN * error)
        return _within(GAIN * error + self._settled)


class Governor:
    """Onsets and keys down, held near a texture; where none is asked for, it is only kept from standing still."""

    def __init__(self, bar_ticks: int) -> None:
        self._bar_ticks = bar_ticks
        self._onsets = Controller(MEMORY_BARS * bar_ticks)
        self._keys = Controller(MEMORY_BARS * bar_ticks)
        self._still_ticks = 0

    def hear(self, frame: Frame) -> None:
        """Take in what it played on a tick."""
        struck, down = int((frame == ONSET).sum()), int((frame != OFF).sum())
        self._still_ticks = 0 if struck else self._still_ticks + 1
        self._onsets.hear(struck)
        if down:  # polyphony is that of the ticks on which something sounds
            self._keys.hear(down)

    def restart(self) -> None:
        """A new turn begins: what came before it does not count."""
        self._onsets.restart()
        self._keys.restart()
        self._still_ticks = 0

    def steer(self, policy: Policy, texture: Texture) -> Policy:
        """The policy for the coming tick."""
        onset_bias, hold_bias = policy.onset_bias + self._urge(), policy.hold_bias
        if texture.density is not None:
            onset_bias += self._onsets.correction(DENSITY_CENTRES[texture.density])
        if texture.polyphony is not None:
            hold_bias += self._keys.correction(POLYPHONY_CENTRES[texture.polyphony])
        key_bias = COMPASS_BIAS if policy.key_bias is None else policy.key_bias + COMPASS_BIAS
        return replace(policy, onset_bias=onset_bias, hold_bias=hold_bias, key_bias=key_bias)

    def _urge(self) -> float:
        """In Bach a rest of more than a bar is an ending, and a network that has come to one would stay there."""
        return min(MOST_STILL_URGE, STILL_URGE * max(0, self._still_ticks - self._bar_ticks))


def _within(bias: float) -> float:
    return max(-MOST_BIAS, min(MOST_BIAS, bias))
