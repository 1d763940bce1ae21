"""Voices: rows of samples with gains, which start at a sample, fade by tables, and end without a click.

A voice is one layer of one note. In every block it copies its samples into its row; the mixer makes one product of all
rows and their gains. All arrays are allocated once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from livebach.sound.bank import Stored
from livebach.sound.partials import LN_1000, RATE

Table = NDArray[np.float32]
Block = NDArray[np.float32]
_BEYOND = 1.4  # tables of decays go down to 84 dB


@lru_cache(maxsize=256)
def decay(t60_s: float) -> Table:
    """Return a table that decays by 60 dB in this time, and ends at zero."""
    time_s = np.arange(round(_BEYOND * t60_s * RATE)) / RATE
    table = np.exp(-LN_1000 / t60_s * time_s)
    return np.asarray((table - table[-1]) / (1 - table[-1]), np.float32)


@lru_cache(maxsize=4)
def fade(length_s: float) -> Table:
    """Return a table that falls smoothly from one to zero: half a cosine."""
    return np.asarray(0.5 + 0.5 * np.cos(np.linspace(0, np.pi, round(length_s * RATE))), np.float32)


@dataclass(slots=True, eq=False)
class Voice:
    """One layer of a note while it sounds."""

    row: int
    layer: Stored
    gains: tuple[float, float, float]
    """Left, right and room, without the volume of the channel."""
    start: int
    """Sample of the next block at which the voice begins."""
    position: int = 0
    table: Table | None = None
    faded: int = 0
    """How far into the table it is."""
    fade_start: int = 0
    """Sample of the next block at which the table begins."""
    level: float = 1.0
    """Gain left by earlier fades."""
    over: bool = False

    def fade(self, table: Table, at: int) -> None:
        """Fade from a sample of the next block on; where it fades already, go on from the level of now."""
        if self.table is not None:
            self.level *= float(self.table[self.faded]) if self.faded < len(self.table) else 0.0
            at = 0
        self.table, self.faded, self.fade_start = table, 0, max(at, self.start)


class Rows:
    """The samples and the gains of all voices."""

    def __init__(self, count: int, block: int) -> None:
        self._block = block
        self._samples = np.zeros((count, block), np.float32)
        self._gains = np.zeros((3, count), np.float32)
        self._before = np.zeros((3, count), np.float32)  # the gains at the start of the block
        self._moved = False
        self._back = fade(block / RATE)
        self._free = list(range(count))
        self._mixed = np.zeros((3, block), np.float32)
        self._top = 0  # no row from here on is in use

    @property
    def free(self) -> int:
        """The number of free voices."""
        return len(self._free)

    def add(self, layer: Stored, gains: tuple[float, float, float], volume: float, start: int) -> Voice:
        """Begin a voice at a sample of the next block. There must be a free row."""
        voice = Voice(heappop(self._free), layer, gains, start)
        self._top = max(self._top, voice.row + 1)
        for side, gain in enumerate(gains):
            self._gains[side, voice.row] = self._before[side, voice.row] = gain * volume
        return voice

    def regain(self, voice: Voice, volume: float, at_once: bool = False) -> None:
        """Set a voice's volume; it gets there within the next block, unless its table makes up for the difference."""
        for side, gain in enumerate(voice.gains):
            self._gains[side, voice.row] = gain * volume * voice.level
        if at_once:
            self._before[:, voice.row] = self._gains[:, voice.row]
        else:
            self._moved = True

    def remove(self, voice: Voice) -> None:
        """Give a row back."""
        self._samples[voice.row] = 0
        self._gains[:, voice.row] = self._before[:, voice.row] = 0
        heappush(self._free, voice.row)
        if voice.row + 1 == self._top:
            used = set(range(self._top)).difference(self._free)
            self._top = max(used, default=-1) + 1

    def fill(self, voice: Voice) -> None:
        """Write a voice's next block into its row."""
        row, samples = self._samples[voice.row], voice.layer.samples
        at, voice.start = voice.start, 0
        if at:
            row[:at] = 0
        while at < self._block:
            part = samples[voice.position : voice.position + self._block - at]
            row[at : at + len(part)] = part
            at += len(part)
            voice.position += len(part)
            if at < self._block:
                voice.position = voice.layer.loop_start
                if voice.position < 0:
                    row[at:] = 0
                    voice.over = True
                    break
        if voice.table is not None:
            self._fade(voice, row)

    def mixed(self) -> Block:
        """Return left, right and room, [3, block], of the filled rows."""
        top = self._top
        np.matmul(self._gains[:, :top], self._samples[:top], out=self._mixed)
        if self._moved:
            self._mixed += (self._before[:, :top] @ self._samples[:top] - self._mixed) * self._back
            self._before[:] = self._gains
            self._moved = False
        return self._mixed

    def _fade(self, voice: Voice, row: Block) -> None:
        assert voice.table is not None
        at, voice.fade_start = voice.fade_start, 0
        part = voice.table[voice.faded : voice.faded + self._block - at]
        row[at : at + len(part)] *= part
        row[at + len(part) :] = 0
        voice.faded += len(part)
        voice.over = voice.over or voice.faded >= len(voice.table)
