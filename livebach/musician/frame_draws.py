"""Draws of one tick's frame: under the watches, and within a number of draws.

A network that is to strike a key may need several draws for one, and the same to hold its voices. This module knows no
time but ticks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, OFF, ONSET, Frame
from livebach.musician.vetoes import MOST_REDRAWS, Watch, playable
from livebach.network.sampling import SamplingParams

MOST_DRAWS = 6
"""Most draws of a frame."""
TRIES_FOR_VOICES = 2
"""Number of further tries that may be made for want of voices."""
EAGERNESS = 0.7
"""Nats added to the logit of ONSET at each further draw."""
VOICES_KEPT = 1.5
"""Nats taken off the logit of OFF after a draw with too few voices."""
SUSTAIN = (3.0, 8.0)
"""Nats taken off the logit of OFF on a tick without an onset, in turn, where fewer than two voices would be left."""
Draw = Callable[[SamplingParams, NDArray[np.float64]], Frame]
"""Draws a frame [88] from parameters and random numbers [88] in [0, 1)."""


class FrameDraws:
    """Draws frames for one tick."""

    def __init__(self, once: Draw, watches: Sequence[Watch], counterpoint: Sequence[Watch], random: Random) -> None:
        """Begin with MOST_DRAWS draws left.

        Args:
            once: Draws a frame.
            watches: What may always object to a frame.
            counterpoint: What may object too, but gives way to the last struck key.
            random: Gives the random numbers.

        """
        self._once, self._watches, self._counterpoint, self._random = once, watches, counterpoint, random
        self.left = MOST_DRAWS
        """Number of draws left."""

    def drawn(self, params: SamplingParams, counterpoint: bool = True) -> Frame:
        """Return a frame that no watch objects to, with or without those of counterpoint."""
        uniforms = np.array([self._random.random() for _ in range(KEYS)])

        def counted(tried: SamplingParams) -> Frame:
            self.left -= 1
            return self._once(tried, uniforms)

        lenient = self._counterpoint if counterpoint else ()
        return playable(counted, params, self._watches, min(MOST_REDRAWS, self.left - 1), lenient)

    def struck(self, params: SamplingParams, voices: int) -> Frame:
        """Return a frame with an onset and at least `voices` keys down, if one is found within the draws left."""
        frame, best, tries = self.drawn(params), None, 1
        while self.left > 0:
            struck = bool((frame == ONSET).any())
            if struck and (np.count_nonzero(frame) >= voices or tries > TRIES_FOR_VOICES):
                return frame
            best = frame if struck else best
            longer = VOICES_KEPT if struck else 0.0
            eager = params.onset_bias + EAGERNESS * tries
            changed = replace(params, onset_bias=eager, off_bias=params.off_bias - longer)
            frame, tries = self.drawn(changed), tries + 1
        return frame if best is None or (frame == ONSET).any() else best

    def sustained(self, params: SamplingParams, sounding: int) -> Frame:
        """Return a frame without onsets in which up to two of the voices `sounding` go on, if possible."""
        params = replace(params, forbidden=np.ones(KEYS, np.bool_))
        frame = self.drawn(params)
        wanted = min(2, sounding)
        for longer in SUSTAIN:
            if np.count_nonzero(frame != OFF) >= wanted or not self.left:
                break
            frame = self.drawn(replace(params, off_bias=params.off_bias - longer))
            wanted = min(1, wanted)
        return frame
