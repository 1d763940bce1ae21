"""The present values of settings that are words such as «follow»: the level or key that is followed or heard.

A dial that is turned from «follow» begins at this value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from livebach.music.roll import KEYS, LOW_KEY, OFF, Frames
from livebach.music.texture import Texture, texture_levels
from livebach.musician.performance import Performance

HEARD_BARS = 4


def written(value: object) -> str:
    """Return a setting's value in the notation of a dial's positions."""
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _heard(play: Performance) -> Frames:
    """Return the last bars of both players, frames [T, 88]."""
    entries = play.own.memory.told.pushed[-HEARD_BARS * play.time.grid.bar_ticks :]
    return np.array([entry[0] for entry in entries], np.uint8).reshape(len(entries), KEYS)


def _texture(play: Performance) -> Texture:
    """Return the texture asked of the network. A free level is measured once a bar has been heard."""
    asked, heard = play.texture, _heard(play)
    measured = texture_levels(heard) if len(heard) >= play.time.grid.bar_ticks else Texture()
    return Texture(
        measured.density if asked.density is None else asked.density,
        measured.polyphony if asked.polyphony is None else asked.polyphony,
    )


def _density(play: Performance) -> int | None:
    return _texture(play).density


def _polyphony(play: Performance) -> int | None:
    return _texture(play).polyphony


def _register(play: Performance) -> float | None:
    keys = np.nonzero(_heard(play) != OFF)[-1]
    return LOW_KEY + float(keys.mean()) if len(keys) else None


def _key(play: Performance) -> str | None:
    key = play.player.key_lock.key
    return None if key is None else str(key)


FOLLOWED: dict[str, Callable[[Performance], float | str | None]] = {
    "sampling.density": _density,
    "sampling.polyphony": _polyphony,
    "sampling.register": _register,
    "sampling.key": _key,
}
"""Functions by setting. Other dials have no words."""


def followed(setting: str, play: Performance) -> str | None:
    """Return the present value of a setting's word; None where unknown."""
    value = FOLLOWED[setting](play) if setting in FOLLOWED else None
    return None if value is None else written(value)
