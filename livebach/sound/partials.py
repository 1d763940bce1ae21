"""Sums of decaying sinusoids, and what every computed instrument shares: radiation, loudness, fades.

A sum of P sinusoids over n samples is one product of two small matrices: the state of every sinusoid at the start of
each block, times its course within a block. That is about a hundred times faster than a sum of P long sines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
"""Samples a second of every rendered note."""
LN_1000 = float(np.log(1000.0))
"""A sound has decayed by 60 dB when its amplitude is a thousandth."""
_BLOCK = 512

Signal = NDArray[np.float32]
Values = NDArray[np.float64]


def damped(hz: Values, t60_s: Values, amplitude: Values, phase: Values, samples: int) -> Signal:
    """Return the sum of decaying sinusoids, [samples].

    Args:
        hz: frequencies, [P].
        t60_s: the times in which each decays by 60 dB, [P]; infinite for a steady one.
        amplitude: amplitudes at the start, [P].
        phase: phases at the start in radians, [P]; 0 starts as a sine does.
        samples: the length of the result.

    """
    pole = -LN_1000 / t60_s / RATE + 2j * np.pi * hz / RATE  # [P]
    blocks = -(-samples // _BLOCK)
    starts = -1j * amplitude * np.exp(1j * phase) * np.exp(pole * _BLOCK * np.arange(blocks)[:, None])  # [blocks, P]
    within = np.exp(pole[:, None] * np.arange(_BLOCK))  # [P, _BLOCK]
    left = np.concatenate([starts.real, -starts.imag], axis=1).astype(np.float32)
    right = np.concatenate([within.real, within.imag]).astype(np.float32)
    return (left @ right).reshape(-1)[:samples]


def high_pass(hz: Values, corner_hz: float, order: int = 2) -> Values:
    """Return the gains of a gentle high-pass: what a small sounding board radiates of low partials."""
    ratio = (hz / corner_hz) ** order
    return ratio / (1 + ratio)


def low_pass(hz: Values, corner_hz: float, order: float = 2) -> Values:
    """Return the gains of a smooth low-pass that falls by 6 dB an octave for each order."""
    return (1 + (hz / corner_hz) ** 2) ** (-order / 2)


def fade_in(signal: Signal, samples: int) -> Signal:
    """Raise the first samples from zero along half a cosine, in place."""
    signal[:samples] *= (0.5 - 0.5 * np.cos(np.pi * np.arange(samples) / samples)).astype(np.float32)
    return signal


def fade_out(signal: Signal, samples: int) -> Signal:
    """Lower the last samples to zero along half a cosine, in place."""
    signal[-samples:] *= (0.5 + 0.5 * np.cos(np.pi * (np.arange(samples) + 1) / samples)).astype(np.float32)
    return signal


def ripple(hz: Values, depth_db: float, rng: np.random.Generator) -> Values:
    """Return gains that wander with frequency, as the response of a wooden board does: about six peaks an octave."""
    octave = np.log2(np.maximum(hz, 20.0) / 20.0)
    knots = rng.standard_normal(80) * depth_db
    return np.asarray(10 ** (np.interp(octave * 6, np.arange(80), knots) / 20))


# K-weighting of ITU-R BS.1770-4, table 1 and 2: a shelf for the head, and a high-pass; for 48 kHz.
_SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)
_LOW_CUT = (1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)


def k_weights(hz: Values) -> Values:
    """Return the power gains of the K-weighting of ITU-R BS.1770 at these frequencies."""
    z = np.exp(-2j * np.pi * hz / RATE)
    power = np.ones(len(hz))
    for above, below in (_SHELF, _LOW_CUT):
        power *= np.abs(np.polyval(above[::-1], z) / np.polyval(below[::-1], z)) ** 2
    return power


def loudness_db(signal: Signal) -> float:
    """Return the K-weighted power of a signal in dB relative to full scale (the LKFS of ITU-R BS.1770, one channel)."""
    spectrum = np.abs(np.fft.rfft(signal)) ** 2
    power = (
        2 * float(spectrum @ k_weights(np.asarray(np.fft.rfftfreq(len(signal), 1 / RATE), float))) / len(signal) ** 2
    )
    return float(-0.691 + 10 * np.log10(max(power, 1e-20)))
