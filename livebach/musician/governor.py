"""Keeps density, polyphony and register of a network that plays alone near their targets.

A network is trained on music, not on its own output. A few onsets too few in one bar make the next bar sparser still,
and the music thins out within minutes. So the governor counts the onsets and the keys down of the last bars, and
changes the logits of ONSET and HOLD by the logarithm of target over count. For a rare state, such as an onset on one of
88 keys, this changes the rate by that ratio. For the same reason lines may drift to an end of the keyboard and stay
there. So onsets beyond Bach's compass are made rarer, and where the last bars are too low or too high, a bias tilts the
keys back. This module knows no time but ticks.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from livebach.music.idiom import BACH, Idiom
from livebach.music.roll import KEYS, LOW_KEY, OFF, ONSET, Frame
from livebach.music.texture import DENSITY_CENTRES, POLYPHONY_CENTRES, Texture
from livebach.network.sampling import SamplingParams

MEMORY_BARS = 2.0
"""Time constant of the averages, in bars."""
GAIN = 1.6
SLOW_GAIN = 1 / 64
"""Integral gain per tick. The integral part brings the rate to the target instead of half-way."""
MOST_SETTLING = 0.5
"""Largest error per tick, as a log ratio, in the integral part. It prevents windup and a burst after a standstill."""
MOST_BIAS = 2.5
HOLD_GAIN = 2.2
MOST_LET_GO = 4.0
"""Gain and largest reduction for keys down, which react less to a bias than onsets do."""
STILL_URGE = 0.5
"""Nats added to the logit of ONSET for each tick without an onset beyond a bar."""
MOST_STILL_URGE = 4.5
OUTSIDE_COMPASS = 0.6
"""Nats taken off the logit of ONSET for each semitone beyond the compass."""
BEYOND_HIGHEST = 2
"""Semitones above the idiom's highest key that the compass reaches."""
FREE_REGISTER = 2.5
"""Semitones that the mean of the last bars may differ from its target before it is corrected."""
TILT = 0.02
"""Nats per semitone of a key's distance from the middle and per semitone that the music is too low or too high."""
REGISTER_BARS = 2.0
ASKED_FREE_REGISTER = 2
ASKED_TILT = 0.04
ASKED_BARS = 1.0
"""The same three for a register that is asked for, which the music should reach soon and keep."""
MOST_TOO_FAR = 12.0
MOST_TILTED = 12.0
"""Semitones from the middle at which the tilt stops to grow outside counterpoint. With a wide compass a tilt without
this limit prefers the ends of the keyboard."""
SPREAD_NOTES = 64.0
"""Time constant of the spread of the keys struck, in notes."""
SPREAD_GAIN = 3.0
"""Factor of the bias that would bring normally distributed keys to the idiom's spread."""
MOST_NARROWED, MOST_FILLED = 3.0, 1.0
"""Most nats of that bias, at the ends of the keyboard and in the middle."""
MIDI_KEYS = np.arange(LOW_KEY, LOW_KEY + KEYS, dtype=np.float32)


def compass_bias(idiom: Idiom) -> NDArray[np.float32]:
    """Return the bias [88] of ONSET that makes keys beyond the compass rarer, in nats."""
    highest = idiom.highest + BEYOND_HIGHEST
    beyond = np.maximum(0, np.maximum(idiom.lowest - MIDI_KEYS, MIDI_KEYS - highest))
    return np.asarray(-OUTSIDE_COMPASS * beyond, np.float32)


COMPASS_BIAS = compass_bias(BACH)


class Average:
    """An exponential average with a time constant in ticks; None before the first value."""

    def __init__(self, memory_ticks: float) -> None:
        self._keep = math.exp(-1 / memory_ticks)
        self.value: float | None = None

    def observe(self, value: float) -> None:
        """Take in a tick's value."""
        self.value = value if self.value is None else self._keep * self.value + (1 - self._keep) * value


class Controller:
    """Holds an average near a target: a proportional-integral controller of the logarithm of their ratio."""

    def __init__(self, memory_ticks: float, gain: float = GAIN, most_less: float = MOST_BIAS) -> None:
        """Take the time constant in ticks, the proportional gain, and the largest reduction of the logit in nats."""
        self._average = Average(memory_ticks)
        self._settled = 0.0
        self._gain, self._most_less = gain, most_less

    def restart(self, settled: float = 0.0) -> None:
        """Begin anew, as if the average so far equalled the target with a bias of `settled` nats."""
        self._average.value = None
        self._settled = settled

    def observe(self, value: float) -> None:
        """Take in a tick's value. It does not count before the first call of `correction`."""
        if self._average.value is not None:
            self._average.observe(value)

    def correction(self, wanted: float) -> float:
        """Return the bias of the logit for the coming tick, in nats, within the limits."""
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
    """Holds onsets and keys down near a texture. Where no texture is asked for, it only prevents a standstill."""

    def __init__(self, bar_ticks: int) -> None:
        self._bar_ticks = bar_ticks
        self._onsets = Controller(MEMORY_BARS * bar_ticks)
        self._keys = Controller(MEMORY_BARS * bar_ticks, HOLD_GAIN, MOST_LET_GO)
        self._register = Average(REGISTER_BARS * bar_ticks)
        self._own_register = Average(ASKED_BARS * bar_ticks)
        self._middle, self._compass_bias, self._idiom = BACH.middle, COMPASS_BIAS, BACH
        self._mean_struck, self._variance = Average(SPREAD_NOTES), Average(SPREAD_NOTES)
        self._still_ticks = 0

    def observe(self, frame: Frame, part: Frame | None = None) -> None:
        """Take in a governed tick: the frame [88] that counts, and the network's own part [88] where it differs."""
        part = frame if part is None else part
        struck, down = int((frame == ONSET).sum()), int((frame != OFF).sum())
        self._still_ticks = 0 if struck else self._still_ticks + 1
        self._onsets.observe(struck)
        if down:  # polyphony counts only ticks on which a key is down
            self._keys.observe(down)
            self._register.observe(LOW_KEY + float(np.flatnonzero(frame).mean()))
        if part.any():
            self._own_register.observe(LOW_KEY + float(np.flatnonzero(part).mean()))
        if not self._idiom.contrapuntal:
            self._observe_spread(part)

    def _observe_spread(self, part: Frame) -> None:
        for key in np.flatnonzero(part == ONSET).tolist():
            self._variance.observe((LOW_KEY + key - (self._mean_struck.value or self._middle)) ** 2)
            self._mean_struck.observe(float(LOW_KEY + key))

    def restart(self, idiom: Idiom = BACH, middle: float | None = None) -> None:
        """Begin a new turn. Earlier music does not count.

        Args:
            idiom: Gives the compass.
            middle: The mean MIDI key to stay near; by default that of the idiom.

        """
        self.know(idiom, idiom.middle if middle is None else middle)
        self._onsets.restart()
        self._keys.restart()
        self._register.value = self._own_register.value = None
        self._mean_struck.value, self._variance.value = self._middle, idiom.spread**2
        self._still_ticks = 0

    def know(self, idiom: Idiom, middle: float) -> None:
        """Continue with the compass of another idiom, near a mean MIDI key of `middle`."""
        self._idiom, self._middle = idiom, middle
        self._compass_bias = COMPASS_BIAS if idiom == BACH else compass_bias(idiom)

    def steer(self, params: SamplingParams, texture: Texture, register: int | None = None) -> SamplingParams:
        """Return the sampling parameters of the coming tick.

        Args:
            params: The parameters to change.
            texture: The target levels; None for a free level.
            register: The MIDI key to play around, if any.

        """
        onset_bias, hold_bias = params.onset_bias + self.urge, params.hold_bias
        if texture.density is not None:
            onset_bias += self._onsets.correction(DENSITY_CENTRES[texture.density])
        if texture.polyphony is not None:
            hold_bias += self._keys.correction(POLYPHONY_CENTRES[texture.polyphony])
        tilt = self._key_bias() if register is None else self._asked_bias(register)
        key_bias = tilt if params.key_bias is None else params.key_bias + tilt
        return replace(params, onset_bias=onset_bias, hold_bias=hold_bias, key_bias=key_bias)

    def _key_bias(self) -> NDArray[np.float32]:
        """Return the bias [88] of ONSET: for the compass, and a tilt back where the music is far too low or high."""
        there = self._register.value
        off = 0.0 if there is None else there - self._middle
        too_far = math.copysign(max(0.0, abs(off) - FREE_REGISTER), off)
        above = MIDI_KEYS - self._middle
        if self._idiom.contrapuntal:
            return self._compass_bias - np.float32(TILT * too_far) * above
        tilt = np.float32(TILT * too_far) * np.clip(above, -MOST_TILTED, MOST_TILTED)
        return np.asarray(self._compass_bias - tilt + self._narrowing(), np.float32)

    def _narrowing(self) -> NDArray[np.float32]:
        """Return the bias [88] of ONSET against keys that spread further than in the idiom.

        Biases of the rhythm and of the key make far keys likelier than near ones. If keys are normally distributed, the
        bias is the logarithm of the ratio of both densities.
        """
        mean, found = self._mean_struck.value or self._middle, self._variance.value or 0.0
        wanted = self._idiom.spread**2
        if found <= wanted:
            return np.zeros(KEYS, np.float32)
        far = (MIDI_KEYS - np.float32(mean)) ** 2 - wanted
        bias = SPREAD_GAIN / 2 * (1 / found - 1 / wanted) * far
        return np.asarray(np.clip(bias, -MOST_NARROWED, MOST_FILLED), np.float32)

    def _asked_bias(self, register: int) -> NDArray[np.float32]:
        """Return the bias [88] of ONSET: for the compass, and a tilt towards the register that is asked for."""
        off = (self._middle if self._own_register.value is None else self._own_register.value) - register
        too_far = math.copysign(min(MOST_TOO_FAR, max(0.0, abs(off) - ASKED_FREE_REGISTER)), off)
        return self._compass_bias - np.float32(ASKED_TILT * too_far) * (MIDI_KEYS - self._middle)

    @property
    def urge(self) -> float:
        """Return the bias of ONSET after a long rest, which in Bach is an ending that the network would not leave."""
        return min(MOST_STILL_URGE, STILL_URGE * max(0, self._still_ticks - self._bar_ticks))
