"""A plucked string as a digital waveguide, solved in the frequency domain.

The string is a loop: a delay of one period, a loss filter, a ripple filter and an allpass chain for stiffness (Karplus
and Strong 1983; Jaffe and Smith 1983; Välimäki, Penttinen, Knif, Laurson and Erkut 2004). The loop is linear, so its
response is E / (1 - L), with L the loop's transfer function. One inverse Fourier transform gives the whole note, with
an exact fractional delay. The transform is taken on a circle outside the unit circle: what wraps around in time is
damped away. The tests compute the same string sample by sample, and compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from livebach.sound.partials import LN_1000, RATE

Spectrum = NDArray[np.complex128]
_HIGHEST_HZ = 16_000.0
_WRAP = 1e-4  # what wraps around in time is damped by so much more


@dataclass(frozen=True, slots=True)
class Loop:
    """The parts of the loop besides the delay: one-pole loss, ripple, allpass chain."""

    gain: float  # of the loss filter at 0 Hz
    pole: float  # of the loss filter: gain (1 - pole) / (1 - pole / z)
    ripple: float
    ripple_delay: int  # samples
    stiffness: float  # the allpass coefficient, <= 0: (a + 1/z) / (1 + a / z)
    allpasses: int

    def response(self, log_z: Spectrum) -> Spectrum:
        """Return the transfer function without the delay, at points of the complex plane given by their logarithms."""
        back = np.exp(-log_z)
        loss = self.gain * (1 - self.pole) / (1 - self.pole * back)
        uneven = (1 + self.ripple * np.exp(-self.ripple_delay * log_z)) / (1 + abs(self.ripple))
        one = (self.stiffness + back) / (1 + self.stiffness * back)
        stiff = one
        for _ in range(self.allpasses - 1):
            stiff = stiff * one
        return np.asarray(loss * uneven * stiff)


@dataclass(frozen=True)
class Circle:
    """The points at which transfer functions are evaluated for a note of `size` samples."""

    size: int

    @cached_property
    def radius(self) -> float:
        """The radius: above 1, so that time aliases are damped."""
        return float(_WRAP ** (-1 / self.size))

    @cached_property
    def log_z(self) -> Spectrum:
        """The natural logarithms of the points, [bins]: up to 16 kHz, above that a string has nothing to say."""
        return np.asarray(np.log(self.radius) + 2j * np.pi * np.arange(self.bins) / self.size)

    @property
    def bins(self) -> int:
        """The number of points."""
        return int(self.size * _HIGHEST_HZ / RATE)

    @cached_property
    def taper(self) -> NDArray[np.float64]:
        """Gains [bins] that end the spectrum smoothly, over its last tenth."""
        return np.clip((1 - np.arange(self.bins) / self.bins) * 10, 0, 1)

    def signal(self, spectrum: Spectrum) -> NDArray[np.float64]:
        """Return the samples, [size], whose transform on the circle this is."""
        return np.asarray(
            np.fft.irfft(spectrum * self.taper, self.size) * np.exp(np.log(self.radius) * np.arange(self.size))
        )

    def spectrum(self, signal: NDArray[np.float64]) -> Spectrum:
        """Return the transform on the circle of a signal of at most `size` samples."""
        return np.asarray(
            np.fft.rfft(signal * np.exp(-np.log(self.radius) * np.arange(len(signal))), self.size)[: self.bins]
        )


def loop_for(hz: float, t60_s: float, t60_high_s: float, high_hz: float, stiffness: float, allpasses: int) -> Loop:
    """Return the loop of a string that decays by 60 dB in `t60_s` at its fundamental, and faster at `high_hz`."""
    low, high = (np.exp(-LN_1000 / (hz * t60)) for t60 in (t60_s, t60_high_s))  # gain of one pass
    pole = _pole(float(high / low), hz, min(high_hz, 0.45 * RATE))
    z = np.exp(2j * np.pi * np.array([hz]) / RATE)
    one_pass = abs((1 - pole) / (1 - pole / z[0]))
    ripple = -0.3 * (1 - low)
    at_hz = abs(1 + ripple / z[0] ** (delay := max(1, round(0.31 * RATE / hz)))) / (1 + abs(ripple))
    return Loop(min(float(low / one_pass / at_hz), 0.99999), pole, float(ripple), delay, stiffness, allpasses)


def _pole(ratio: float, low_hz: float, high_hz: float) -> float:
    """Find the pole of the loss filter that gives this ratio of gains at two frequencies, by bisection."""
    below, above = 0.0, 0.95
    cos_low, cos_high = (np.cos(2 * np.pi * hz / RATE) for hz in (low_hz, high_hz))
    for _ in range(40):
        pole = (below + above) / 2
        gains = np.sqrt((1 - 2 * pole * cos_low + pole**2) / (1 - 2 * pole * cos_high + pole**2))
        below, above = (pole, above) if gains > ratio else (below, pole)
    return (below + above) / 2


def delay_for(loop: Loop, hz: float) -> float:
    """Return the delay in samples with which the loop sounds at exactly `hz`: its other parts delay a little too."""
    turn = np.angle(loop.response(2j * np.pi * np.array([hz]) / RATE)[0])
    while turn > 0:
        turn -= 2 * np.pi
    return float(RATE / hz + turn * RATE / (2 * np.pi * hz))


def plucked(loop: Loop, delay: float, excitation: Spectrum, log_z: Spectrum) -> Spectrum:
    """Return the transform of the string's motion after an excitation."""
    return np.asarray(excitation / (1 - loop.response(log_z) * np.exp(-delay * log_z)))
