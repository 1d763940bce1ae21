"""How music grows that begins with a single line: other voices enter, and the texture becomes that of the whole piece.

An answer that is as thin as a fugue's first bars stays thin, because the texture follows them. Knows frames only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livebach.music.roll import OFF, Frames
from livebach.music.texture import Texture

SINGLE_LINE = 1.3
"""Keys down at once, where any is, up to which a beginning is a single line."""
FULL = Texture(density=6, polyphony=5)
"""The texture of Bach's fugues once the voices are in."""
MORE = 3
"""Levels of density that the entries add at most: slow subjects stay slower."""


def grown(texture: Texture, heard: Frames, bar_ticks: int) -> Texture:
    """Return the texture to go on with after `heard`, frames [T, 88]: fuller where its first bar is a single line."""
    down = (heard[:bar_ticks] != OFF).sum(axis=1)
    sounding = np.count_nonzero(down)
    if not sounding or down.sum() > SINGLE_LINE * sounding or None in (texture.density, texture.polyphony):
        return texture
    density, polyphony = int(texture.density or 0), int(texture.polyphony or 0)
    most = int(FULL.density or 0), int(FULL.polyphony or 0)
    return replace(texture, density=max(density, min(most[0], density + MORE)), polyphony=max(polyphony, most[1]))
