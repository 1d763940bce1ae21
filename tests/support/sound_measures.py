"""Measures on samples: pitch, decay time, level."""

from __future__ import annotations

from typing import Any

import numpy as np

from livebach.sound.partials import RATE

Samples = Any


def pitch_hz(sound: Samples, near_hz: float, width: float = 0.03) -> float:
    """Return the frequency of the strongest partial within `width` of a frequency, by the peak of the spectrum."""
    size = 1 << 20
    spectrum = np.abs(np.fft.rfft(sound * np.blackman(len(sound)), size))
    low, high = int(near_hz * (1 - width) * size / RATE), int(near_hz * (1 + width) * size / RATE) + 2
    peak = low + int(spectrum[low:high].argmax())
    left, here, right = np.log(spectrum[peak - 1 : peak + 2])
    return float((peak + 0.5 * (left - right) / (left - 2 * here + right)) * RATE / size)


def cents_between(hz: float, other_hz: float) -> float:
    """Return how many cents the first is above the other."""
    return float(1200 * np.log2(hz / other_hz))


def decay_s(sound: Samples, hz: float, from_s: float, to_s: float) -> float:
    """Return the time for 60 dB of a partial's decay, from a line through its level in dB between two times."""
    width = round(max(4 / hz, 0.03) * RATE)
    window = np.hanning(width) * np.exp(-2j * np.pi * hz * np.arange(width) / RATE)
    starts = np.arange(round(from_s * RATE), round(to_s * RATE) - width, max(1, width // 4))
    levels = [20 * np.log10(np.abs(sound[at : at + width] @ window) + 1e-12) for at in starts]
    slope = np.polyfit(starts / RATE, levels, 1)[0]
    return float(-60 / slope)


def level_at(sound: Samples, start: int, length: int) -> float:
    """Return the root of the mean power of a stretch of samples."""
    return float(np.sqrt(np.mean(np.square(sound[start : start + length]))))
