"""A grand piano: stiff strings whose partials are sharp, decay in two stages, and grow brighter with velocity.

Inharmonicity: Fletcher (1964), with the coefficients of Rigaud, David and Daudet (2013) for a grand. Two-stage decay
and slow beats: the coupled strings of Weinreich (1977); every partial is a quick mode and two slow ones that are a
little out of tune. The layer "body" is a soft stroke. The layer "bright" is what a hard stroke has more of; both have
the same phases, so any mixture of the two is a stroke in between.
"""

from __future__ import annotations

import numpy as np

from livebach.sound.partials import RATE, Signal, Values, damped, fade_in, fade_out, high_pass, low_pass, ripple
from livebach.sound.tone import Layer, Tone, random_of

NAME = "piano"
_LONGEST_S, _SHORTEST_S = 9.0, 0.8
_BRIGHT_S = 3.0
_MOST_PARTIALS, _HIGHEST_HZ = 90, 11_000.0
_SLOW_DB, _SLOWER = -14.0, 2.8  # the stronger slow mode: its level, and how much longer it takes


def inharmonicity(key: int) -> float:
    """Return B: partial n of the key is n f0 sqrt(1 + B n²)."""
    return float(np.exp(0.0926 * key - 13.64) + np.exp(-0.0847 * key - 5.82))


def partials(key: int, hz: float) -> tuple[Values, Values]:
    """Return the numbers and the frequencies in Hz of a key's partials; the first is at exactly `hz`."""
    b = inharmonicity(key)
    n = np.arange(1, _MOST_PARTIALS + 1, dtype=float)
    f = hz * n * np.sqrt((1 + b * n**2) / (1 + b))
    return n[f < _HIGHEST_HZ], f[f < _HIGHEST_HZ]


def t60_s(key: int, hz: Values) -> Values:
    """Return the time in which the first stage of partials at `hz` decays by 60 dB."""
    fundamental = 15.0 * 2 ** (-(key - 21) / 21)
    return np.asarray(1 / (1 / fundamental + 0.12 * (hz / 1000) ** 1.5))


def length_s(key: int) -> float:
    """Return for how long a key sounds if it is held."""
    return float(min(max(12.0 * 2 ** (-(key - 36) / 24), _SHORTEST_S), _LONGEST_S))


def bright_s(key: int) -> float:
    """Return for how long the layer "bright" sounds."""
    return min(_BRIGHT_S, length_s(key))


def render(key: int, hz: float) -> Tone:
    """Return the layers "body" and "bright" of a key that sounds at `hz`."""
    rng = random_of(NAME, key)
    n, f = partials(key, hz)
    struck_at = 0.122 - 0.05 * max(0, key - 60) / 48
    comb = np.sqrt(np.sin(np.pi * n * struck_at) ** 2 + 0.02)
    board = (0.04 + 0.96 * high_pass(f, 95)) * ripple(f, 2.5, random_of(NAME, 0))
    hard = comb * board * low_pass(f, 900 + 1.1 * hz, 2.0) * 10 ** (rng.standard_normal(len(f)) * 1.0 / 20)
    hard[0] = max(hard[0], 0.05 * hard.max())  # the fundamental is heard in every key
    softness = low_pass(f / hz, 2.2 + 1000 / (hz + 120), 2.0)
    softness /= softness[0]
    phase = rng.uniform(0, 2 * np.pi, len(f))
    t60, samples = t60_s(key, f), round(length_s(key) * RATE)
    beats = rng.uniform(0.6, 1.4, len(f)) * 0.0002 * f  # Hz: about a third of a cent
    body = _strings(f, hard * softness, phase, t60, beats, samples)
    bright = _strings(f, hard * (1 - softness), phase, t60, beats, round(bright_s(key) * RATE))
    _add_knock(body, bright, key, rng)
    contact = round((0.0035 - 0.0027 * (key - 21) / 87) * RATE)
    fade_in(body, contact), fade_in(bright, contact)
    return {"body": Layer(fade_out(body, samples // 3)), "bright": Layer(fade_out(bright, len(bright) // 3))}


def _strings(f: Values, amplitude: Values, phase: Values, t60: Values, beats: Values, samples: int) -> Signal:
    """Return the sound of a key's two or three strings: for each partial one quick mode and two slow ones."""
    slow = 10 ** (_SLOW_DB / 20)
    return damped(
        np.concatenate([f, f + beats / 3, f - 2 * beats / 3]),  # weighted by their levels, they are in tune
        np.concatenate([t60, _SLOWER * t60, _SLOWER * t60]),
        np.concatenate([amplitude, slow * amplitude, slow * amplitude / 2]),
        np.concatenate([phase, phase, phase]),
        samples,
    )


def _add_knock(body: Signal, bright: Signal, key: int, rng: np.random.Generator) -> None:
    """Add the hammer's knock on the sounding board, in place: modes of the board that die within a quarter second."""
    modes = 50
    hz = 70 * 2 ** np.sort(random_of(NAME, 1).uniform(0, 5.2, modes))
    t60 = 0.28 * (hz / 70) ** -0.3
    amplitude = low_pass(hz, 500 + 12 * (key - 21), 1.5) * rng.uniform(0.2, 1.0, modes)
    knock = damped(hz, t60, amplitude, rng.uniform(0, 2 * np.pi, modes), round(0.3 * RATE))
    level = 10 ** ((-24 + 14 * (max(key, 48) - 48) / 60) / 20) / float(np.abs(knock).max())
    loud = float(np.abs(body[: RATE // 4]).max())
    body[: len(knock)] += np.float32(0.5 * level * loud) * knock
    bright[: len(knock)] += np.float32(level * loud) * knock
