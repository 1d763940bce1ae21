"""The end of a piece: a bar within the key, a beat of its dominant, and its tonic chord on a downbeat.

The bass of the last two is given to the network, which fills in the rest. Knows no time but ticks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from livebach.music.key import Key
from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, UNKNOWN, Frame
from livebach.musician.texture_follower import OUTSIDE
from livebach.network.sampling import SamplingParams

LOWEST_BASS = 36 - LOW_KEY  # the last bass is in the octave above it
FIFTH = 7
LOWEST_UPPER = FIFTH
"""No other note of the last chord is nearer to the bass."""
FEWEST_UPPER = 2
OF_DOMINANT, NOT_OF_DOMINANT = np.float32(1.5), np.float32(-4.0)
"""Added to the logit of ONSET in the dominant's beat."""
MIDDLE = np.array([55, 60, 64]) - LOW_KEY


@dataclass(frozen=True, slots=True)
class Cadence:
    """A cadence in a key whose last chord is struck on the tick `due` and ends before the tick `end`."""

    key: Key
    due: int
    end: int
    beat_ticks: int

    @property
    def bass(self) -> int:
        """The tonic in the bass, 0..87."""
        return LOWEST_BASS + (self.key.tonic - LOWEST_BASS - LOW_KEY) % 12

    def given(self, tick: int, sounding: Frame) -> Frame:
        """What of its own part is decided: states, UNKNOWN where the network is free."""
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
        """Whether the last chord has been struck."""
        return tick > self.due and bool(sounding.any()) and not sounding[~self._triad].any()

    def params(self, params: SamplingParams, tick: int) -> SamplingParams:
        """How to sample this tick."""
        bias = np.zeros(KEYS, np.float32) if params.key_bias is None else params.key_bias
        if tick >= self.due:
            forbidden = ~self._triad if params.forbidden is None else params.forbidden | ~self._triad
            return replace(params, forbidden=forbidden)
        if tick >= self.due - self.beat_ticks:
            tones = self.key.degrees(FIFTH, 11, 2, 5)
            return replace(params, key_bias=bias + np.where(tones, OF_DOMINANT, NOT_OF_DOMINANT))
        return replace(params, key_bias=bias + np.where(self.key.scale, np.float32(0), OUTSIDE))

    def completed(self, frame: Frame, tick: int, sounding: Frame) -> Frame:
        """The frame, and in the last chord, where the network left it bare, the notes nearest to what sounded."""
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
        """Each voice that sounds goes to the nearest note of the chord; one of them has the third."""
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
