"""The table of instruments: how each is rendered, answers velocity, is damped, and stands in the room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from livebach.sound import click, harpsichord, organ, piano
from livebach.sound.partials import RATE, loudness_db
from livebach.sound.tone import HIGHEST, LOWEST, Layer, Tone

BODY, BRIGHT, RELEASE = "body", "bright", "release"
REFERENCE_VELOCITY = 100
_ATTACK_S = 0.3


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument.

    Attributes:
        render: computes the layers of a key at a frequency in Hz.
        lengths: the greatest length of each layer of a key, in seconds.
        gains: the gain of each layer at a velocity in 1..127.
        release_s: the time in which a key, once damped, decays by 60 dB.
        undamped: from this key on there is no damper.
        loudness_db: the K-weighted level of every key at velocity 100, in dB of full scale.
        room: how much of it goes into the room.
        spread: the stereo width: how far the outer keys are from the middle, 0..1.

    """

    name: str
    render: Callable[[int, float], Tone]
    lengths: Callable[[int], Mapping[str, float]]
    gains: Callable[[int], Mapping[str, float]]
    release_s: Callable[[int], float]
    loudness_db: float
    room: float
    spread: float
    undamped: int = HIGHEST + 1

    def tone(self, key: int, hz: float) -> Tone:
        """Return the layers of a key, as loud as this instrument's keys are."""
        tone = self.render(key, hz)
        gain = 10 ** ((self.loudness_db + _by_key_db(key) - self._level_db(tone)) / 20)
        return {name: Layer(layer.samples * np.float32(gain), layer.loop_start) for name, layer in tone.items()}

    def _level_db(self, tone: Tone) -> float:
        gains = self.gains(REFERENCE_VELOCITY)
        start = tone[BODY].loop_start or 0
        struck = np.zeros(round(_ATTACK_S * RATE), np.float32)
        for name, layer in tone.items():
            part = layer.samples[start : start + len(struck)]
            struck[: len(part)] += np.float32(gains[name] if name != RELEASE else 0.0) * part
        return loudness_db(struck)


def _by_key_db(key: int) -> float:
    """Return how much softer a key is than those in the middle: the ends of every keyboard are."""
    return -3.0 * max(0.0, (key - 84) / 24) - 1.5 * max(0.0, (45 - key) / 24)


def pan(instrument: Instrument, key: int) -> tuple[float, float]:
    """Return the gains of a key left and right, as the player hears it, at constant power."""
    place = (key - (LOWEST + HIGHEST) / 2) / ((HIGHEST - LOWEST) / 2) * instrument.spread
    angle = np.pi / 4 * (1 + max(-1.0, min(1.0, place)))
    return float(np.cos(angle)), float(np.sin(angle))


def _piano_gains(velocity: int) -> dict[str, float]:
    force = velocity / 127
    return {BODY: force**1.4, BRIGHT: force**2.7}


def _harpsichord_gains(velocity: int) -> dict[str, float]:
    return {BODY: 10 ** (-5 * (1 - velocity / 127) / 20), RELEASE: 0.12}  # the plectrum decides, not the finger


def _organ_gains(velocity: int) -> dict[str, float]:
    del velocity  # a valve is open or closed
    return {BODY: 1.0}


_TABLE = (
    Instrument(
        name=piano.NAME,
        render=piano.render,
        lengths=lambda key: {BODY: piano.length_s(key), BRIGHT: piano.bright_s(key)},
        gains=_piano_gains,
        release_s=lambda key: 0.55 - 0.3 * (key - LOWEST) / 87,
        undamped=90,
        loudness_db=-24.5,
        room=0.22,
        spread=0.45,
    ),
    Instrument(
        name=harpsichord.NAME,
        render=harpsichord.render,
        lengths=lambda key: {BODY: harpsichord.length_s(key), RELEASE: harpsichord.RELEASE_S},
        gains=_harpsichord_gains,
        release_s=lambda key: 0.3 - 0.15 * (key - LOWEST) / 87,
        loudness_db=-25.5,
        room=0.25,
        spread=0.35,
    ),
    Instrument(
        name=organ.NAME,
        render=organ.render,
        lengths=lambda key: {BODY: organ.length_s(key)},
        gains=_organ_gains,
        release_s=lambda key: 0.28 - 0.16 * (key - LOWEST) / 87,
        loudness_db=-30.5,
        room=0.6,
        spread=0.6,
    ),
)
INSTRUMENTS: dict[str, Instrument] = {instrument.name: instrument for instrument in _TABLE}
"""The instruments that a setting may name."""
CLICK = Instrument(
    name=click.NAME,
    render=click.render,
    lengths=lambda _: {BODY: click.LENGTH_S},
    gains=lambda velocity: {BODY: velocity / 127},
    release_s=lambda _: 1.0,
    undamped=0,
    loudness_db=-27.0,
    room=0.08,
    spread=0.0,
)
"""The instrument of MIDI's percussion channel."""
