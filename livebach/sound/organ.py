"""A church organ: a principal chorus of four ranks, each pipe with its own speech, chiff and wind.

A held key repeats a loop that lasts about two seconds. Every partial has a whole number of cycles in the loop, and the
noise of the wind is made in the frequency domain, so the loop has no seam. The speech is the same sum without what is
still missing at the start: each partial approaches its level with a time constant of its own, the octave before the
fundamental (Fletcher and Rossing, "The Physics of Musical Instruments", chapter 17).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.sound.partials import LN_1000, RATE, Signal, damped, fade_in, high_pass, low_pass
from livebach.sound.tone import Layer, Tone, random_of

NAME = "organ"
LOOP_S = 2.0
SPEECH_S = 0.5
_HIGHEST_HZ = 12_000.0
_WIND_DB = -42.0
_MOST_OFF = 1e-5  # how far a loop may be out of tune: 0.02 cents
_BREAK_HZ = 5_000.0  # the fundamental of the smallest pipe: higher ranks break back an octave


@dataclass(frozen=True, slots=True)
class Rank:
    """One rank of pipes: its place in the harmonic series of the key, its level, and how its partials fall off."""

    harmonic: int  # 1 is eight-foot pitch
    level_db: float
    slope_db: float  # per octave
    even_db: float  # of even partials, relative to odd ones: stopped pipes have few


RANKS = (
    Rank(1, 0.0, -9.0, 0.0),  # principal 8'
    Rank(1, -3.0, -15.0, -14.0),  # stopped flute 8'
    Rank(2, -5.0, -9.5, 0.0),  # octave 4'
    Rank(3, -15.0, -11.0, 0.0),  # twelfth 2 2/3'
    Rank(4, -11.0, -10.0, 0.0),  # fifteenth 2'
)
_DRIFTS = (0, 0, 1, 0, -1)  # cycles in a loop: ranks beat slowly against each other,
_DRIFT_FROM_HZ = 600.0  # where that is less than two cents


def length_s(key: int) -> float:
    """Return the length of a rendered key: the speech, and one turn of the loop."""
    del key
    return SPEECH_S + LOOP_S + 0.1


def render(key: int, hz: float) -> Tone:
    """Return the layer "body" of a key that sounds at `hz`; it is repeated from its `loop_start` on."""
    rng = random_of(NAME, key)
    cycles, samples = loop_size(hz)
    spectrum = np.zeros(samples // 2 + 1, complex)  # of the loop
    speech = np.zeros(round(SPEECH_S * RATE), np.float32)
    for number, rank in enumerate(RANKS):
        pipe = rank.harmonic if rank.harmonic * hz < _BREAK_HZ else max(1, rank.harmonic // 2)
        drift = _DRIFTS[number] if pipe * hz > _DRIFT_FROM_HZ else 0
        _add_pipe(spectrum, speech, rank, pipe * cycles + drift, samples, rng)
    loop = np.fft.irfft(spectrum + _wind(samples, hz, rng) * np.abs(spectrum).sum() * 10 ** (_WIND_DB / 20), samples)
    seam = len(speech)
    body = np.resize(loop, seam + samples).astype(np.float32)  # np.resize repeats
    body[:seam] += speech
    return {"body": Layer(fade_in(body, 96), loop_start=seam)}


def loop_size(hz: float) -> tuple[int, int]:
    """Return a whole number of cycles and a whole number of samples that fit: the samples suit a Fourier transform."""
    counts = range(max(1, round(hz * (LOOP_S - 0.3))), round(hz * LOOP_S) + 1)
    sizes = [(cycles, 2 * round(cycles * RATE / hz / 2)) for cycles in counts]
    near = [(cycles, size) for cycles, size in sizes if abs(cycles * RATE / hz - size) < _MOST_OFF * size] or sizes
    return min(near, key=lambda pair: (_largest_factor(pair[1]), -pair[1]))


def _largest_factor(number: int) -> int:
    largest = factor = 2
    while factor * factor <= number:
        if number % factor:
            factor += 1
        else:
            number //= factor
            largest = max(largest, factor)
    return max(largest, number)


def _add_pipe(
    spectrum: NDArray[np.complex128], speech: Signal, rank: Rank, cycles: int, samples: int, rng: np.random.Generator
) -> None:
    """Add one pipe: its steady sound to the loop's spectrum, and its missing start to the speech."""
    pipe_hz = cycles * RATE / samples
    n = np.arange(1, 25, dtype=float)
    n = n[n * pipe_hz < _HIGHEST_HZ]
    amplitude = 10 ** ((rank.level_db + rank.slope_db * np.log2(n) + rng.standard_normal(len(n)) * 1.5) / 20)
    amplitude[1::2] *= 10 ** (rank.even_db / 20)
    phase = rng.uniform(0, 2 * np.pi, len(n))
    spectrum[(n * cycles).astype(int)] += -0.5j * samples * amplitude * np.exp(1j * phase)
    speech_s = np.clip(18 / pipe_hz, 0.012, 0.16)  # a pipe needs so many periods to speak
    reaches_s = speech_s * np.where(n == 2, 0.55, 1 + 0.15 * (n - 1)) * rng.uniform(0.85, 1.15, len(n))
    t60 = np.minimum(reaches_s * LN_1000 / 2.3, 0.6 * SPEECH_S)
    late = amplitude * np.where(n == 2, -0.6, 1.0)  # the octave overshoots, the others are missing
    speech -= damped(n * pipe_hz, t60, late, phase, len(speech))
    chiff = _chiff(pipe_hz, float(speech_s), rng) * np.float32(amplitude.sum() * 0.05)
    speech[: len(chiff)] += chiff


def _wind(samples: int, hz: float, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Return the spectrum of a loop of wind noise with a sum of 1: broad, with a hump around the second partial."""
    bins = np.arange(samples // 2 + 1) * RATE / samples
    hump = 0.4 + np.exp(-(np.log2((bins + 1) / (2 * hz)) ** 2))
    gains = high_pass(bins, 200) * low_pass(bins, 3000, 2) * hump
    return np.asarray(gains / np.sqrt((gains**2).sum()) * np.exp(2j * np.pi * rng.random(len(bins))))


def _chiff(pipe_hz: float, speech_s: float, rng: np.random.Generator) -> Signal:
    """Return the noise with which a pipe begins to speak: a band around its third and fifth partials."""
    modes = 24
    hz = np.minimum(pipe_hz * rng.uniform(2.5, 6.5, modes), 9000.0)
    samples = round(min(SPEECH_S, 6 * speech_s) * RATE)
    t60 = np.full(modes, 2.2 * speech_s)
    sound = damped(hz, t60, np.full(modes, 1 / np.sqrt(modes)), rng.uniform(0, 2 * np.pi, modes), samples)
    return fade_in(sound, min(samples // 4, 144))
