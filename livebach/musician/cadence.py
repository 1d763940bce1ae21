"""A cadence that ends a piece: a bar within the key, a beat of the dominant, and the tonic chord on a downbeat.

The bass notes of dominant and tonic are given to the network, which adds the other voices. This module knows no time
but ticks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from livebach.music.key import Key
from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, UNKNOWN, Frame
from livebach.musician.texture_follower import OUTSIDE
from livebach.network.sampling import SamplingParams

LOWEST_BASS = 36 - LOW_KEY  # the bass of the last chord is in the octave above
FIFTH = 7
LOWEST_UPPER = FIFTH
"""Smallest interval from the bass of the last chord to the other notes, in semitones."""
FEWEST_UPPER = 2
OF_DOMINANT, NOT_OF_DOMINANT = np.float32(1.5), np.float32(-4.0)
"""Nats added to the logit of ONSET in the dominant's beat, for keys of its chord and for others."""
MIDDLE = np.array([55, 60, 64]) - LOW_KEY


@dataclass(frozen=True, slots=True)
class Cadence:
    """A cadence in a key. The last chord is struck on the tick `due`, and ends before the tick `end`."""

    key: Key
    due: int
    end: int
    beat_ticks: int

    @property
    def bass(self) -> int:
        """The key 0..87 of the tonic in the bass."""
        return LOWEST_BASS + (self.key.tonic - LOWEST_BASS - LOW_KEY) % 12

    def given(self, tick: int, sounding: Frame) -> Frame:
        """Return the decided states [88] of the network's part, UNKNOWN where the network is free."""
        own = np.full(KEYS, UNKNOWN, np.uint8)
        if self.rests(tick, sounding):
            return np.where(sounding == OFF, OFF, HOLD).astype(np.uint8)
        if tick >= self.due:
            own[~self._triad] = OFF
            own[: self.bass + LOWEST_UPPER] = OFF
            own[self.bass] = ONSET
        elif tick >= self.due - self.beat_ticks:
            dominant = self.bass + FIFTH
            own[:dominant] = OFF
            own[dominant] = HOLD if sounding[dominant] else ONSET
        return own

    def rests(self, tick: int, sounding: Frame) -> bool:
        """Return whether the last chord has been struck."""
        return tick > self.due and bool(sounding.any()) and not sounding[~self._triad].any()

    def params(self, params: SamplingParams, tick: int) -> SamplingParams:
        """Return the sampling parameters of this tick."""
        bias = np.zeros(KEYS, np.float32) if params.key_bias is None else params.key_bias
        if tick >= self.due:
            return params.forbidding(~self._triad)
        if tick >= self.due - self.beat_ticks:
            tones = self.key.degrees(FIFTH, 11, 2, 5)
            return replace(params, key_bias=bias + np.where(tones, OF_DOMINANT, NOT_OF_DOMINANT))
        return replace(params, key_bias=bias + np.where(self.key.scale, np.float32(0), OUTSIDE))

    def completed(self, frame: Frame, tick: int, sounding: Frame) -> Frame:
        """Return the frame. A last chord without third or with too few notes is filled with the nearest notes."""
        if tick < self.due or self.rests(tick, sounding):
            return frame
        upper = np.flatnonzero(frame[self.bass + 1 :]) + self.bass + 1
        if len(upper) >= FEWEST_UPPER and self.key.degrees(self.key.third)[upper].any():
            return frame
        frame = frame.copy()
        frame[self.bass + 1 :] = OFF
        frame[self._nearest_chord(sounding)] = ONSET
        return frame

    def _nearest_chord(self, sounding: Frame) -> list[int]:
        """Return the keys of a chord to which each voice moves by the smallest interval; one voice has the third."""
        lowest = self.bass + LOWEST_UPPER
        notes = np.flatnonzero(self._triad)
        notes = notes[notes >= lowest]
        voices = np.flatnonzero(sounding)
        voices = voices[voices >= lowest] if (voices >= lowest).sum() >= FEWEST_UPPER else MIDDLE
        chord = {int(notes[np.abs(notes - voice).argmin()]) for voice in voices}
        thirds = np.flatnonzero(self.key.degrees(self.key.third))
        chord.add(int(thirds[np.abs(thirds - max(chord)).argmin()]))
        return sorted(note for note in chord if note >= lowest)

    @property
    def _triad(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        triad: np.ndarray[tuple[int], np.dtype[np.bool_]] = self.key.degrees(0, self.key.third, FIFTH)
        return triad
