"""Choice of the network's frame on a tick: the beginning of a turn, and draws under the guides afterwards.

After a rest of the player's the network is likely to rest too, as in Bach. So from the takeover on OFF is made rarer
from tick to tick. On the last tick of the first beat the frame is drawn again until a key is struck. From then on the
guides apply. This module knows no time but ticks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from random import Random

import numpy as np
from numpy.typing import NDArray

from livebach.music.key import Key
from livebach.music.roll import HOLD, KEYS, OFF, ONSET, UNKNOWN, Frame
from livebach.music.texture import Texture
from livebach.musician.frame_draws import Draw
from livebach.musician.guides import Guides
from livebach.musician.memory import Memory
from livebach.musician.vetoes import playable
from livebach.network.sampling import SamplingParams

MIDDLE_C = 39  # 0..87
FIRST_URGE = 1.0
"""Nats taken off the logit of OFF on the first tick of a takeover."""
LAST_URGE = 3.0
"""The same on the last tick of the first beat, at the first try."""
URGE_STEP = 1.0
FREE: Frame = np.full(KEYS, UNKNOWN, np.uint8)
MOST_TRIES = 7


class Improviser:
    """Draws the network's frames. All random numbers come from one seed."""

    def __init__(
        self, memory: Memory, seed: int, beat_ticks: int, bar_ticks: int, longest_quote: int | None = None
    ) -> None:
        """Begin with a memory.

        Args:
            memory: The network's memory.
            seed: Seed of all random numbers.
            beat_ticks: Length of a beat.
            bar_ticks: Length of a bar.
            longest_quote: Most notes of a quote from the training music; None allows any number.

        """
        self._memory = memory
        self._random = Random(seed)  # nosec B311: chance for music; numpy's would load 7 MB more
        self._beat_ticks = beat_ticks
        decisions = Random(f"decisions {seed}")  # nosec B311: as above
        self.guides = Guides(beat_ticks, bar_ticks, self._random, decisions, longest_quote)
        self.guides.restart(memory.quotes, idiom=memory.idiom)
        self._alone = False
        self._still_ticks = 0  # since the takeover, or since it struck a key
        self.begun = True
        self.texture = Texture()
        """The texture asked for, of the network alone or of both players."""
        self.register: int | None = None
        """The MIDI key to play around, if any."""
        self.lean = 0.0
        """Nats by which a stroke on the coming tick is likelier for the player's rhythm; minus infinity: none."""

    def begin(self, home: Key | None = None) -> None:
        """Begin to play alone: a key must be struck within a beat. `home` is the home key."""
        self.begun, self._alone, self._still_ticks = False, True, 0
        self.guides.restart(self._memory.quotes, home, self._memory.idiom)

    def join(self) -> None:
        """Begin to play together with the player. No key need be struck."""
        self._alone, self._still_ticks = False, 0
        self.guides.restart(self._memory.quotes, idiom=self._memory.idiom)

    def set_metre(self, beat_ticks: int, bar_ticks: int) -> None:
        """Play in another metre from now on."""
        self._beat_ticks = beat_ticks
        self.guides.set_metre(beat_ticks, bar_ticks)

    def forget(self) -> None:
        """Forget all the music so far."""
        self.guides.forget()

    def exchanged(self) -> None:
        """Note that the network was exchanged."""
        self.guides.know(self._memory.quotes, self._memory.idiom)

    def draw(
        self, given: Frame, params: SamplingParams, sounding: Frame, fallback: int | None, own: Frame = FREE
    ) -> Frame:
        """Return the network's own part of the coming frame, [88].

        Args:
            given: [88] known states of the player's part, which take precedence.
            params: How to sample.
            sounding: [88] non-zero where the network's own notes sound.
            fallback: Key (0..87) to strike if the network must begin and every draw is empty.
            own: [88] decided states of the network's part, UNKNOWN where the network is free.
        """
        own = np.where((given == ONSET) | (given == HOLD), UNKNOWN, own).astype(np.uint8)
        draw = partial(self._draw_once, given, own, sounding)
        if not self.begun:
            return self._first_strokes(draw, params, fallback)
        free = self._alone and bool((given == UNKNOWN).all() and (own == UNKNOWN).all())
        chance = partial(self._memory.onset_chance, given) if free else None
        return self.guides.draw(draw, params, self.texture, self.register, chance, self.lean)

    def _first_strokes(self, draw: Draw, params: SamplingParams, fallback: int | None) -> Frame:
        """Return a frame of the first beat, drawn repeatedly where a key must be struck on this tick."""
        uniforms = np.array([self._random.random() for _ in range(KEYS)])
        must = self._still_ticks >= self._beat_ticks - 1
        frame = np.zeros(KEYS, np.uint8)
        for urged in self._urged(params, must):
            frame = playable(lambda tried: draw(tried, uniforms), urged, self.guides.watches)
            if (frame == ONSET).any():
                return frame
        if must:
            frame[MIDDLE_C if fallback is None else fallback] = ONSET
        return frame

    def _urged(self, params: SamplingParams, must: bool) -> Iterator[SamplingParams]:
        """Yield the sampling parameters of each try."""
        if must:
            for i in range(MOST_TRIES):
                yield replace(params, off_bias=params.off_bias - LAST_URGE - URGE_STEP * i)
        else:
            urge = FIRST_URGE + (LAST_URGE - FIRST_URGE) * self._still_ticks / self._beat_ticks
            yield replace(params, off_bias=params.off_bias - urge)

    def _draw_once(
        self, players: Frame, own: Frame, sounding: Frame, params: SamplingParams, uniforms: NDArray[np.float64]
    ) -> Frame:
        given = np.where(own == UNKNOWN, players, own).astype(np.uint8)
        frame = self._memory.draw(given, uniforms, params)
        # In the memory, keys may be down that the player has since released. The network cannot hold these.
        gone = (self._memory.last != OFF) & (sounding == OFF) & (given == UNKNOWN)
        if (gone & (frame == HOLD)).any():
            without = given.copy()
            without[gone & (frame == HOLD)] = OFF
            frame = self._memory.draw(without, uniforms, params)
            frame[gone & (frame == HOLD)] = OFF
        frame[players != UNKNOWN] = OFF
        return np.where(own == UNKNOWN, frame, own).astype(np.uint8)

    def listen(self, frame: Frame, player: Frame) -> None:
        """Take in the frame [88] of both players on a tick, and the player's part of it [88]."""
        self.guides.listen(frame, player)

    def played(self, part: Frame, heard: Frame) -> None:
        """Take in a tick of the network's turn: its part, and the frame [88] that the texture is asked of."""
        self.guides.played(heard, part)
        struck = bool((part == ONSET).any())
        self.begun |= struck
        self._still_ticks = 0 if struck else self._still_ticks + 1
