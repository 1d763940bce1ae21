"""The metronome's click: a small block of wood, higher for higher keys. It sounds on MIDI's percussion channel."""

from __future__ import annotations

import numpy as np

from livebach.sound.partials import RATE, damped, fade_in, fade_out
from livebach.sound.tone import Layer, Tone

NAME = "click"
LENGTH_S = 0.12
_LOW_KEY, _LOW_HZ, _HIGH_HZ = 77, 800.0, 1200.0  # General MIDI's low wood block; every other key is the high one


def render(key: int, hz: float) -> Tone:
    """Return the click of a percussion key; `hz` does not matter."""
    del hz
    first = _LOW_HZ if key == _LOW_KEY else _HIGH_HZ
    modes = first * np.array([1.0, 2.57, 4.6])
    sound = damped(modes, np.array([0.09, 0.05, 0.03]), np.array([1.0, 0.5, 0.3]), np.zeros(3), round(LENGTH_S * RATE))
    return {"body": Layer(fade_out(fade_in(sound, 24), 1200))}
