"""A little room: a stereo impulse response made of early reflections and a dense tail, and its convolution in blocks.

The convolution is uniformly partitioned (Gardner 1995): each block is transformed once, multiplied by every partition
of the response, and transformed back. It adds no latency beyond the block itself.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from livebach.sound.partials import LN_1000, RATE

LENGTH_S = 0.9
PREDELAY_S = 0.007
# Each band: from and to in Hz, and the time in seconds in which it decays by 60 dB.
_BANDS = ((0, 250, 1.15), (250, 1000, 1.0), (1000, 3000, 0.8), (3000, 7000, 0.5), (7000, 16000, 0.3))
_EARLY = 9  # reflections on each side
Block = NDArray[np.float32]


@lru_cache(maxsize=1)
def impulse_response() -> NDArray[np.float32]:
    """Return the room's answer to one impulse, [2, samples], left and right; each side has an energy of 1."""
    rng = np.random.default_rng(1722)
    samples = round(LENGTH_S * RATE)
    time_s = np.arange(samples) / RATE
    hz = np.fft.rfftfreq(samples, 1 / RATE)
    response = np.zeros((2, samples))
    for low, high, t60 in _BANDS:
        spectrum = np.fft.rfft(rng.standard_normal((2, samples)))
        band = 1 / (1 + (hz / high) ** 6) * (1 if low == 0 else 1 - 1 / (1 + (hz / low) ** 6))
        response += np.fft.irfft(spectrum * band, samples) * np.exp(-LN_1000 / t60 * time_s)
    response *= np.clip(time_s / 0.03, 0, 1) ** 1.5  # the tail grows as the reflections become many
    start = round(PREDELAY_S * RATE)
    for side in response:
        places = start + (RATE * np.sort(rng.uniform(0, 0.04, _EARLY))).astype(int)
        side[places] += 4.0 * rng.choice([-1, 1], _EARLY) * np.exp(-np.arange(_EARLY) / 4)
        side[:start] = 0
    response[:, -samples // 5 :] *= np.linspace(1, 0, samples // 5)
    return np.asarray(response / np.sqrt((response**2).sum(axis=1, keepdims=True)), np.float32)


class Room:
    """The room, fed and heard one block at a time."""

    def __init__(self, block: int) -> None:
        response = impulse_response()
        self._block = block
        self._parts = -(-response.shape[1] // block)
        padded = np.zeros((2, self._parts * block), np.float32)
        padded[:, : response.shape[1]] = response
        spectra = np.fft.rfft(padded.reshape(2, self._parts, block), 2 * block)  # [2, parts, bins]
        self._response = np.ascontiguousarray(spectra.transpose(2, 0, 1).astype(np.complex64))  # [bins, 2, parts]
        # Each spectrum is written twice, one round apart: so the last round, newest first, is always one slice.
        self._heard = np.zeros((block + 1, 2 * self._parts), np.complex64)
        self._answer = np.zeros((block + 1, 2, 1), np.complex64)
        self._input = np.zeros(2 * block, np.float32)
        self._newest = 0
        self._silent = self._parts  # for how many blocks nothing has been sent

    def answer(self, sent: Block) -> Block:
        """Return what the room answers, [2, block], at the end of a block [block] that is sent into it."""
        self._silent = 0 if sent.any() else self._silent + 1
        if self._silent > self._parts + 1:  # all that was sent has died away, and everything kept here is zero
            return np.zeros((2, self._block), np.float32)
        self._input[: self._block] = self._input[self._block :]
        self._input[self._block :] = sent
        self._newest = (self._newest - 1) % self._parts
        spectrum = np.fft.rfft(self._input)
        self._heard[:, self._newest] = spectrum
        self._heard[:, self._newest + self._parts] = spectrum
        last = self._heard[:, self._newest : self._newest + self._parts, None]
        np.matmul(self._response, last, out=self._answer)
        return np.asarray(np.fft.irfft(self._answer[:, :, 0].T, 2 * self._block)[:, self._block :], np.float32)
