"""What the network plays on a tick: draws, and the urge to begin and to go on.

After a rest of the player's the network is likely to rest too, as in Bach. So from the takeover on OFF is made rarer,
more from tick to tick, and on the beat's last tick until something is struck. Later the governor keeps it, or both
players together, as busy as they should be. Knows no time but ticks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from random import Random

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, UNKNOWN, Frame
from livebach.music.texture import Texture
from livebach.musician.governor import Governor
from livebach.musician.memory import Memory
from livebach.musician.vetoes import QuoteWatch, RepeatWatch, Watch, playable
from livebach.network.sampling import SamplingParams

MIDDLE_C = 39  # 0..87
FIRST_URGE = 1.0
"""Taken off the logit of OFF on the first tick of a takeover."""
LAST_URGE = 3.0
"""The same on the last tick of the first beat, at the first try."""
URGE_STEP = 1.0
FREE: Frame = np.full(KEYS, UNKNOWN, np.uint8)
MOST_TRIES = 7


class Improviser:
    """Draws the network's frames; all chance is from one seeded generator, 88 uniforms a tick."""

    def __init__(
        self, memory: Memory, seed: int, beat_ticks: int, bar_ticks: int, longest_quote: int | None = None
    ) -> None:
        self._memory = memory
        self._longest_quote = longest_quote  # of its training music, in notes
        self._random = Random(seed)  # nosec B311: chance for music; numpy's would load 7 MB more
        self._beat_ticks = beat_ticks
        self._bar_ticks = bar_ticks
        self._governor = Governor(bar_ticks)
        self._watches = self._new_watches()
        self._still_ticks = 0  # since the takeover, or since it struck a key
        self.begun = True
        self.texture = Texture()
        """What it keeps to: alone, or together with the player."""
        self.register: int | None = None
        """The MIDI key that it is to play around."""

    def begin(self) -> None:
        """From here on it must strike something within a beat."""
        self.begun = False
        self._still_ticks = 0
        self._restart()

    def join(self) -> None:
        """From here on it plays beside the player, and need not strike anything."""
        self._restart()

    def exchanged(self) -> None:
        """Another network plays on."""
        for watch in self._watches:
            if isinstance(watch, QuoteWatch):
                watch.know(self._memory.quotes)

    def _restart(self) -> None:
        self._governor.restart()
        self._watches = self._new_watches()

    def _new_watches(self) -> tuple[Watch, ...]:
        return QuoteWatch(self._memory.quotes, self._longest_quote), RepeatWatch(self._bar_ticks)

    def draw(
        self, given: Frame, params: SamplingParams, sounding: Frame, fallback: int | None, own: Frame = FREE
    ) -> Frame:
        """The network's own part of the coming frame. `sounding` is non-zero where its notes sound.

        `given` is what is known of the player's part, `own` what is decided of its own; the player's keys go first.
        `fallback` is the key (0..87) that it strikes if, although it must begin, every draw is empty.
        """
        uniforms = np.array([self._random.random() for _ in range(KEYS)])
        own = np.where((given == ONSET) | (given == HOLD), UNKNOWN, own)
        frame = np.zeros(KEYS, np.uint8)
        draw = partial(self._draw_once, given, own, uniforms, sounding)
        for urged in self._urged(params):
            frame = playable(draw, urged, self._watches)
            if (frame == ONSET).any():
                break
        else:
            if self._must_begin:
                frame[MIDDLE_C if fallback is None else fallback] = ONSET
        return frame

    def _draw_once(
        self, players: Frame, own: Frame, uniforms: NDArray[np.float64], sounding: Frame, params: SamplingParams
    ) -> Frame:
        given = np.where(own == UNKNOWN, players, own).astype(np.uint8)
        frame = self._memory.draw(given, uniforms, params)
        # In its memory keys may be down that the player has let go since: those it can strike, but not hold.
        gone = (self._memory.last != OFF) & (sounding == OFF) & (given == UNKNOWN)
        if (gone & (frame == HOLD)).any():
            without = given.copy()
            without[gone & (frame == HOLD)] = OFF
            frame = self._memory.draw(without, uniforms, params)
            frame[gone & (frame == HOLD)] = OFF
        frame[players != UNKNOWN] = OFF
        return np.where(own == UNKNOWN, frame, own).astype(np.uint8)

    def _urged(self, params: SamplingParams) -> Iterator[SamplingParams]:
        """How to draw, try after try."""
        if self._must_begin:
            for i in range(MOST_TRIES):
                yield replace(params, off_bias=params.off_bias - LAST_URGE - URGE_STEP * i)
        elif not self.begun:
            urge = FIRST_URGE + (LAST_URGE - FIRST_URGE) * self._still_ticks / self._beat_ticks
            yield replace(params, off_bias=params.off_bias - urge)
        else:
            yield self._governor.steer(params, self.texture, self.register)

    @property
    def _must_begin(self) -> bool:
        return not self.begun and self._still_ticks >= self._beat_ticks - 1

    def played(self, part: Frame, heard: Frame) -> None:
        """Take note of what sounded on a tick: its own part, and what it is to keep as busy as it is asked."""
        struck = bool((part == ONSET).any())
        self._governor.hear(heard, part)
        for watch in self._watches:
            watch.hear(part)
        self.begun |= struck
        self._still_ticks = 0 if struck else self._still_ticks + 1
