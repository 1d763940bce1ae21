"""A harpsichord: two choirs of plucked strings at eight-foot pitch, a body, the plectra's noise and the jacks' return.

Decay times, the loss and ripple filters and the release noise follow Välimäki, Penttinen, Knif, Laurson and Erkut,
"Sound synthesis of the harpsichord using a computationally efficient physical model" (2004). The body is a sum of
the modes of a sounding board; their frequencies are chosen by a seed, not measured.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from livebach.sound.partials import RATE, Signal, Values, damped, fade_in, fade_out, high_pass, low_pass
from livebach.sound.strings import Circle, Spectrum, delay_for, loop_for, plucked
from livebach.sound.tone import Layer, Tone, random_of

NAME = "harpsichord"
_LONGEST_S, _SHORTEST_S = 6.0, 0.9
RELEASE_S = 0.16
# The second choir sounds later by whole periods: otherwise the two would cancel each other's fundamental. Where a
# period is long, the delay is a small part of it.
_STAGGER_S, _SHORT_STAGGER_S, _WHOLE_PERIODS_HZ = 0.005, 0.0015, 180.0
_APART = 0.25  # cents: each choir is so far from the key's pitch, one above, one below
_SIZES = [2**n * odd for n in range(12, 19) for odd in (1, 3, 5)]  # lengths that a Fourier transform likes


def t60_s(key: int) -> float:
    """Return the time in which the fundamental of a key decays by 60 dB."""
    return float(7.5 * 2 ** (-(key - 36) / 25))


def length_s(key: int) -> float:
    """Return for how long a key sounds if it is held."""
    return min(max(t60_s(key), _SHORTEST_S), _LONGEST_S)


def render(key: int, hz: float) -> Tone:
    """Return the layers "body" and "release" of a key that sounds at `hz`."""
    rng = random_of(NAME, key)
    samples = round(length_s(key) * RATE)
    circle = Circle(min(size for size in _SIZES if size >= samples))
    log_z = circle.log_z
    strings = sum(_choir(key, hz, choir, log_z) for choir in (0, 1))
    noise = circle.spectrum(_noise(0.03, 0.006, rng)) * 0.10
    body = circle.signal((strings + noise) * _body_on(circle))[:samples].astype(np.float32)
    return {"body": Layer(fade_out(fade_in(body, 24), samples // 4)), "release": Layer(_release(key, hz, rng))}


def _choir(key: int, hz: float, choir: int, log_z: Spectrum) -> Spectrum:
    """Return the transform of one choir's string: the second is plucked nearer to its end, and a little later."""
    detuned = hz * 2 ** ((_APART, -_APART)[choir] / 1200)
    decay_s = t60_s(key)
    stiffness, allpasses = (-0.4, 4) if key < 72 else (-0.2, 2)
    loop = loop_for(detuned, decay_s, min(0.6 * decay_s, 1.5), max(4000.0, 2 * hz), stiffness, allpasses)
    delay = delay_for(loop, detuned)
    plucked_at = (0.12 + 0.20 * (key - 21) / 87) * (1.0, 0.6)[choir]
    later = choir * RATE * (max(1, round(_STAGGER_S * hz)) / hz if hz > _WHOLE_PERIODS_HZ else _SHORT_STAGGER_S)
    return np.asarray(plucked(loop, delay, _pluck(plucked_at * delay, log_z), log_z) * np.exp(-later * log_z))


def _pluck(distance: float, log_z: Spectrum) -> Spectrum:
    """Return the transform of a plectrum's pull: two pulses of opposite sign, the distance of the end apart."""
    hz = log_z.imag * RATE / (2 * np.pi)
    shape = low_pass(hz, 2600, 1) * low_pass(hz, 7500, 2) * (0.3 + 0.7 * high_pass(hz, 160))
    return np.asarray((1 - 0.9 * np.exp(-distance * log_z)) * shape)


def _noise(length_s: float, decay_s: float, rng: np.random.Generator) -> Values:
    """Return a burst of noise that decays."""
    samples = round(length_s * RATE)
    return np.asarray(rng.standard_normal(samples) * np.exp(-np.arange(samples) / (decay_s * RATE)))


def _release(key: int, hz: float, rng: np.random.Generator) -> Signal:
    """Return the sound of a jack that falls back: wood, and the plectrum brushing past the string."""
    samples = round(RELEASE_S * RATE)
    wood = np.convolve(_noise(0.02, 0.004, rng), _body())[:samples]
    partials = np.arange(1, 13, dtype=float)
    partials = partials[partials * hz < 10_000]
    brush = damped(partials * hz, np.full(len(partials), 0.12), 1 / partials, 6.28 * rng.random(len(partials)), samples)
    peak = float(np.abs(wood).max())
    return fade_out(fade_in((0.7 * wood / peak + 0.3 * brush).astype(np.float32), 32), samples // 3)


@lru_cache(maxsize=1)
def _body() -> Values:
    """Return the body's response to a tap, a quarter of a second: the tap itself, and sixty modes."""
    rng = random_of(NAME, 0)
    hz = 90 * 2 ** np.sort(rng.uniform(0, 5.5, 60))
    t60 = 0.35 * (hz / 90) ** -0.35 * rng.uniform(0.6, 1.2, 60)
    response = damped(hz, t60, 0.025 * rng.uniform(0.3, 1.0, 60), rng.uniform(0, 2 * np.pi, 60), RATE // 4)
    response = fade_out(response, RATE // 16).astype(np.float64)
    response[0] += 1
    return np.asarray(response)


@lru_cache(maxsize=4)
def _body_on(circle: Circle) -> Spectrum:
    return circle.spectrum(_body())
