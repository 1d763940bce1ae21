"""Density, polyphony and key of the network's music: as set, or as the player plays."""

from __future__ import annotations

from collections import deque
from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from livebach.music.idiom import BACH, Idiom
from livebach.music.key import Key, KeyHearing
from livebach.music.roll import KEYS, Frame, Frames
from livebach.music.texture import Texture, density_and_polyphony, texture_levels, texture_of

if TYPE_CHECKING:
    from livebach.config import Config

FOLLOWED_BARS = 4
LEAST, MOST = Texture(density=1, polyphony=2), Texture(density=6, polyphony=7)
"""Limits of the followed levels. The lowest levels also mark the end of a piece, a single line gets a second one, and
few pieces of Bach stay at the highest levels for longer than a flourish."""
OUTSIDE = np.float32(-3.0)
"""Nats added to the logit of ONSET of pitches outside the key, which makes them rarer without forbidding them."""


def followed(heard: Frames, idiom: Idiom = BACH) -> Texture:
    """Return the texture of an answer to heard frames [T, 88] in this idiom.

    Outside counterpoint it is the texture to expect after the heard one: four bars may be a sparse introduction.
    """
    if not idiom.contrapuntal:
        return expected(heard, idiom)
    texture = texture_levels(heard)
    levels = [
        sorted((least or 0, level or 0, most or 0))[1]
        for least, level, most in zip(astuple(LEAST), astuple(texture), astuple(MOST), strict=True)
    ]
    return Texture(*levels)


def expected(heard: Frames, idiom: Idiom) -> Texture:
    """Return the texture that an idiom's music has on average after heard frames [T, 88]."""
    density, polyphony = density_and_polyphony(heard)
    if not density:
        return texture_of(idiom.density, idiom.polyphony)
    ticks = len(heard)
    return texture_of(idiom.density_after(density, ticks), idiom.polyphony_after(polyphony, ticks))


class TextureFollower:
    """The texture asked of the network: as set, or that of the player's last bars."""

    def __init__(self, settings: Config, bar_ticks: int) -> None:
        self._bar_ticks = bar_ticks
        self._frames: deque[Frame] = deque(maxlen=FOLLOWED_BARS * bar_ticks)
        self._rests = 0
        self._heard = Texture()
        self._idiom = BACH
        self.set(settings)

    def set(self, settings: Config) -> None:
        """Use other settings from now on."""
        self._density = settings.sampling.density
        self._polyphony = settings.sampling.polyphony
        self.texture = self._texture()

    def know(self, idiom: Idiom) -> None:
        """Answer in another idiom from now on."""
        self._idiom = idiom
        self._follow()

    def set_bar(self, bar_ticks: int) -> None:
        """Have bars of another length count. The music heard so far is kept."""
        self._bar_ticks = bar_ticks
        self._frames = deque(self._frames, FOLLOWED_BARS * bar_ticks)

    def forget(self) -> None:
        """Forget all the music so far."""
        self._frames.clear()
        self._rests = 0
        self._heard = Texture()
        self.texture = self._texture()

    def observe(self, frame: Frame) -> None:
        """Take in a frame [88] of the player's. The texture changes once a bar is heard. A long rest counts as one."""
        if not frame.any():
            self._rests += 1
            return
        self._frames.extend([np.zeros(KEYS, np.uint8)] * min(self._rests, self._bar_ticks) if self._frames else [])
        self._rests = 0
        self._frames.append(frame)
        self._follow()

    def _follow(self) -> None:
        if len(self._frames) >= self._bar_ticks:
            self._heard = followed(np.stack(self._frames), self._idiom)
            self.texture = self._texture()

    def _texture(self) -> Texture:
        return asked(self._density, self._polyphony, self._heard)


def asked(density: str | int, polyphony: str | int, heard: Texture) -> Texture:
    """Return the texture of the settings: a level, None for «off», or the heard level for «follow»."""
    return Texture(_level(density, heard.density), _level(polyphony, heard.polyphony))


def _level(setting: str | int, heard: int | None) -> int | None:
    if setting == "follow":
        return heard
    return setting if isinstance(setting, int) else None


class KeyLock:
    """Makes pitches outside the key rarer: a key that is set, or the one that the player's last bars are in."""

    def __init__(self, settings: Config, bar_ticks: int) -> None:
        self._hearing = KeyHearing(bar_ticks)
        self._bar_ticks = bar_ticks
        self.set(settings)

    def set(self, settings: Config) -> None:
        """Use other settings from now on. The music heard so far is kept."""
        self._setting = settings.sampling.key

    def set_bar(self, bar_ticks: int) -> None:
        """Have bars of another length count. The music heard so far is kept."""
        self._bar_ticks = bar_ticks
        self._hearing.set_bar(bar_ticks)

    def forget(self) -> None:
        """Forget all the music so far."""
        self._hearing.forget()

    def observe(self, frame: Frame) -> None:
        """Take in a frame [88] of the player's."""
        self._hearing.observe(frame)

    @property
    def key(self) -> Key | None:
        """The key, if any. With «auto» a bar of the player's must have been heard."""
        if self._setting == "auto":
            return self._hearing.key() if len(self._hearing) >= self._bar_ticks else None
        return None if self._setting is None else Key.parse(self._setting)

    @property
    def home(self) -> Key | None:
        """The key of the settings, or of the player's last bars; None where unknown."""
        set_key = None if self._setting in (None, "auto") else Key.parse(str(self._setting))
        return set_key or self._hearing.home()

    @property
    def bias(self) -> NDArray[np.float32] | None:
        """The bias for `SamplingParams.key_bias`, float32 [88]; None without a key."""
        key = self.key
        return None if key is None else np.where(key.scale, np.float32(0), OUTSIDE).astype(np.float32)
