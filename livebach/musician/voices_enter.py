"""The growth of music that begins with a single line: other voices enter, and the texture becomes full.

An answer with the texture of a fugue's first bars would stay as thin as they are. This module knows frames only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livebach.music.roll import OFF, Frames
from livebach.music.texture import Texture

SINGLE_LINE = 1.3
"""Mean number of keys down, on ticks with any, up to which a beginning is a single line."""
FULL = Texture(density=6, polyphony=5)
"""The texture of Bach's fugues once the voices are in."""
MORE = 3
"""Most levels of density that the entries add. Slow subjects stay slower."""


def grown(texture: Texture, heard: Frames, bar_ticks: int) -> Texture:
    """Return the texture of a continuation of heard frames [T, 88], fuller if their first bar is a single line."""
    down = (heard[:bar_ticks] != OFF).sum(axis=1)
    sounding = np.count_nonzero(down)
    if not sounding or down.sum() > SINGLE_LINE * sounding or None in (texture.density, texture.polyphony):
        return texture
    density, polyphony = int(texture.density or 0), int(texture.polyphony or 0)
    most = int(FULL.density or 0), int(FULL.polyphony or 0)
    return replace(texture, density=max(density, min(most[0], density + MORE)), polyphony=max(polyphony, most[1]))
