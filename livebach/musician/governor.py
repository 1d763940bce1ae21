"""Keeps a network that plays alone as busy and as full as it is asked to be.

A network is trained on music, never on its own continuations: a few onsets too few in one bar make the next bar's
prediction sparser still, and after some minutes little is left. So the onsets and the keys down of the last bars are
counted, and the logits of ONSET and HOLD are raised or lowered by the logarithm of what is wanted over what was heard:
where a state is rare, as onsets are on 88 keys, that changes its rate by that very ratio. For the same reason lines may
wander off the end of the keyboard or stay there: beyond Bach's compass onsets are made rarer, and where some bars lie
too low or too high, the keys are tilted back. Knows no time but ticks.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, LOW_KEY, OFF, ONSET, Frame
from livebach.music.texture import DENSITY_CENTRES, POLYPHONY_CENTRES, Texture
from livebach.network.sampling import SamplingParams

MEMORY_BARS = 2.0
"""Over how much of its own playing a rate is averaged."""
GAIN = 1.6
SLOW_GAIN = 1 / 64
"""Of what stays wrong from tick to tick; with it the rate comes to what is asked for, not half-way there."""
MOST_SETTLING = 0.5
"""Of what is wrong on a tick, as the logarithm of a ratio, the slow part takes in no more: else a standstill would wind
it up, and a burst follow."""
MOST_BIAS = 2.5
HOLD_GAIN = 2.2
MOST_LET_GO = 4.0
"""For keys down: how surely a long note is held on takes more to change than how often a key is struck."""
STILL_URGE = 0.5
"""Added to the logit of ONSET for each tick without one beyond a bar."""
MOST_STILL_URGE = 4.5
COMPASS = (36, 86)
"""MIDI keys: what Bach's keyboard works keep to, C2 to D6."""
OUTSIDE_COMPASS = 0.6
"""Taken off the logit of ONSET for each semitone beyond it: lines that wander find back."""


MIDDLE_REGISTER = 63
"""The MIDI key in whose middle some bars of Bach lie, give or take `FREE_REGISTER` semitones in nine of ten."""
FREE_REGISTER = 6
TILT = 0.02
"""Nats for each semitone of a key's distance from the middle, for each semitone that the music lies too low or high."""
REGISTER_BARS = 3.0
ASKED_FREE_REGISTER = 2
ASKED_TILT = 0.04
ASKED_BARS = 1.0
"""The same three for a register that is asked for: there it should be soon, and stay."""
MOST_TOO_FAR = 12.0


def _compass_bias() -> NDArray[np.float32]:
    keys = np.arange(LOW_KEY, LOW_KEY + KEYS)
    beyond = np.maximum(0, np.maximum(COMPASS[0] - keys, keys - COMPASS[1]))
    return np.asarray(-OUTSIDE_COMPASS * beyond, np.float32)


COMPASS_BIAS = _compass_bias()
FROM_MIDDLE = np.arange(LOW_KEY - MIDDLE_REGISTER, LOW_KEY - MIDDLE_REGISTER + KEYS, dtype=np.float32)


class Average:
    """An exponential average over so many ticks; None before the first value."""

    def __init__(self, memory_ticks: float) -> None:
        self._keep = math.exp(-1 / memory_ticks)
        self.value: float | None = None

    def observe(self, value: float) -> None:
        """Take in a tick's value."""
        self.value = value if self.value is None else self._keep * self.value + (1 - self._keep) * value


class Controller:
    """Holds an average near what is wanted: a proportional and an integral part, of the logarithm of the ratio."""

    def __init__(self, memory_ticks: float, gain: float = GAIN, most_less: float = MOST_BIAS) -> None:
        """`most_less` is how far the logit is lowered at most, where more is heard than wanted."""
        self._average = Average(memory_ticks)
        self._settled = 0.0
        self._gain, self._most_less = gain, most_less

    def restart(self) -> None:
        """Begin to count anew, as if so far all had been as wanted."""
        self._average.value = None
        self._settled = 0.0

    def observe(self, value: float) -> None:
        """Take in a tick's value; before anything is wanted it does not count."""
        if self._average.value is not None:
            self._average.observe(value)

    def correction(self, wanted: float) -> float:
        """What to add to the logit for the coming tick, so much at most either way."""
        if self._average.value is None:
            self._average.observe(wanted)
        assert self._average.value is not None
        error = math.log(wanted / max(self._average.value, 0.05))
        slow = SLOW_GAIN * max(-MOST_SETTLING, min(MOST_SETTLING, error))
        self._settled = self._within(self._settled + slow)
        return self._within(self._gain * error + self._settled)

    def _within(self, bias: float) -> float:
        return max(-self._most_less, min(MOST_BIAS, bias))


class Governor:
    """Onsets and keys down, held near a texture; where none is asked for, it is only kept from standing still."""

    def __init__(self, bar_ticks: int) -> None:
        self._bar_ticks = bar_ticks
        self._onsets = Controller(MEMORY_BARS * bar_ticks)
        self._keys = Controller(MEMORY_BARS * bar_ticks, HOLD_GAIN, MOST_LET_GO)
        self._register = Average(REGISTER_BARS * bar_ticks)
        self._own_register = Average(ASKED_BARS * bar_ticks)
        self._still_ticks = 0

    def observe(self, frame: Frame, part: Frame | None = None) -> None:
        """Take in what sounded on a tick that it looks after, and its own part, where that is not all."""
        part = frame if part is None else part
        struck, down = int((frame == ONSET).sum()), int((frame != OFF).sum())
        self._still_ticks = 0 if struck else self._still_ticks + 1
        self._onsets.observe(struck)
        if down:  # polyphony is that of the ticks on which something sounds
            self._keys.observe(down)
            self._register.observe(LOW_KEY + float(np.flatnonzero(frame).mean()))
        if part.any():
            self._own_register.observe(LOW_KEY + float(np.flatnonzero(part).mean()))

    def restart(self) -> None:
        """A new turn begins: what came before it does not count."""
        self._onsets.restart()
        self._keys.restart()
        self._register.value = self._own_register.value = None
        self._still_ticks = 0

    def steer(self, params: SamplingParams, texture: Texture, register: int | None = None) -> SamplingParams:
        """The params for the coming tick; `register` is the MIDI key that it is to play around, if any."""
        onset_bias, hold_bias = params.onset_bias + self._urge(), params.hold_bias
        if texture.density is not None:
            onset_bias += self._onsets.correction(DENSITY_CENTRES[texture.density])
        if texture.polyphony is not None:
            hold_bias += self._keys.correction(POLYPHONY_CENTRES[texture.polyphony])
        tilt = self._key_bias() if register is None else self._asked_bias(register)
        key_bias = tilt if params.key_bias is None else params.key_bias + tilt
        return replace(params, onset_bias=onset_bias, hold_bias=hold_bias, key_bias=key_bias)

    def _key_bias(self) -> NDArray[np.float32]:
        """[88], for ONSET: the compass, and a tilt back where the music lies far too low or too high."""
        middle = self._register.value
        off = 0.0 if middle is None else middle - MIDDLE_REGISTER
        too_far = math.copysign(max(0.0, abs(off) - FREE_REGISTER), off)
        return COMPASS_BIAS - np.float32(TILT * too_far) * FROM_MIDDLE if too_far else COMPASS_BIAS

    def _asked_bias(self, register: int) -> NDArray[np.float32]:
        """[88], for ONSET: the compass, and a tilt towards the key that is asked for."""
        middle = MIDDLE_REGISTER if self._own_register.value is None else self._own_register.value
        off = middle - register
        too_far = math.copysign(min(MOST_TOO_FAR, max(0.0, abs(off) - ASKED_FREE_REGISTER)), off)
        return COMPASS_BIAS - np.float32(ASKED_TILT * too_far) * FROM_MIDDLE

    def _urge(self) -> float:
        """In Bach a rest of more than a bar is an ending, and a network that has come to one would stay there."""
        return min(MOST_STILL_URGE, STILL_URGE * max(0, self._still_ticks - self._bar_ticks))
