"""Who plays when, and what the network is told about the player's part: a small class for each mode of playing.

A mode only decides; time, notes and memory are the musician's. The table of modes is `controls.MODES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from livebach.controls import MODES, resolve
from livebach.music.roll import KEYS, OFF, ONSET, UNKNOWN, Frame
from livebach.music.texture import Texture
from livebach.network.sampling import SamplingParams

if TYPE_CHECKING:
    from livebach.config import Config

OCTAVE = 12
TOGETHER = Texture(density=5)
"""What both play in a duet, where nothing is set: as many notes as Bach's keyboard music has in all its voices."""
SEMITONE = np.float32(-2.5)
"""Added to the logit of ONSET, on a beat, of keys a semitone from one of the player's, in any octave: so is one pair
of Bach's in thirty, and two of a network's that plays with lines which it did not write."""
TRITONE = np.float32(-0.2)
"""The same for keys a tritone from one of the player's, which are hardly too many."""


@dataclass(frozen=True, slots=True)
class TurnContext:
    """What a mode knows when it decides about a tick."""

    on_beat: bool
    playing: bool  # whether the network played on the tick before
    asked: bool  # whether it has been asked to play
    heard: bool  # whether the player has played anything at all
    at_rest: bool  # the player, now: no key down, and no pedal where that counts
    silent_ticks: int  # for how many whole ticks the player has been at rest
    player: Frame  # the player's part of this tick, as far as it is known
    recent: Sequence[Frame]  # the player's part of the ticks before, a bar at most
    sounding: Frame  # non-zero where the network's own notes sound


class Mode:
    """The player plays and the network listens: what all modes have in common."""

    yields = False
    """Whether the two take turns: the network falls silent at once when the player strikes a key."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings

    def plays(self, context: TurnContext) -> bool:
        """Whether the network plays on this tick; asked half a tick before it."""
        return False

    def given(self, context: TurnContext) -> Frame:
        """What is given of the coming frame: states, or UNKNOWN where the network is free."""
        return np.full(KEYS, UNKNOWN, np.uint8)

    def own(self, context: TurnContext) -> Frame:
        """What is decided of the network's own part of the coming frame: states, or UNKNOWN where it is free."""
        return np.full(KEYS, UNKNOWN, np.uint8)

    def params(self, params: SamplingParams, context: TurnContext) -> SamplingParams:
        """How to sample this tick."""
        return params

    def texture(self, followed: Texture) -> Texture:
        """How busy and full it is to be, where turning to the player's own texture would say `followed`."""
        return followed


class Continue(Mode):
    """Call and answer: when the player has been silent for a while, or asks for it, the network goes on.

    It does until the player returns.
    """

    yields = True

    def plays(self, context: TurnContext) -> bool:
        """From the first beat after the silence on, until it yields."""
        if context.playing:
            return True
        turns = self._settings.turns
        silent = context.heard and context.at_rest and context.silent_ticks >= turns.silence_ticks
        return context.on_beat and (context.asked or (silent and turns.takeover == "silence"))


class Duet(Mode):
    """It plays with the player all the time, around the player's keys.

    The player's register, from the lowest to the highest key of the last bar and a settable distance beyond, is given:
    what is down there is the player's, and the rest of it stays free. How many notes there are is meant of both
    together: the more the player strikes, the less is left to the network.
    """

    def plays(self, context: TurnContext) -> bool:
        """From the player's first note on."""
        return context.heard or context.asked

    def given(self, context: TurnContext) -> Frame:
        """The player's keys, and OFF around them; what the network itself still sounds there may end by itself."""
        given = np.full(KEYS, UNKNOWN, np.uint8)
        given[self._register(context) & (context.sounding == OFF)] = OFF
        return np.where(context.player == OFF, given, context.player).astype(np.uint8)

    def own(self, context: TurnContext) -> Frame:
        """On a beat, what lies a semitone below a key that the player strikes, in any octave, is let go."""
        own = super().own(context)
        if context.on_beat:
            struck = np.flatnonzero(context.player == ONSET) % OCTAVE
            own[(context.sounding != OFF) & np.isin((np.arange(KEYS) + 1) % OCTAVE, struck)] = OFF
        return own

    def params(self, params: SamplingParams, context: TurnContext) -> SamplingParams:
        """Strike nothing in the player's register, and on a beat seldom what clashes with a key of the player's."""
        bias = np.zeros(KEYS, np.float32) if params.key_bias is None else params.key_bias
        if context.on_beat:
            for semitones, less in ((1, SEMITONE), (6, TRITONE)):
                bias = bias + np.where(_apart(context.player, semitones), less, np.float32(0))
        return replace(params, forbidden=self._register(context), key_bias=bias)

    def texture(self, followed: Texture) -> Texture:
        """What is set, of both together."""
        following = self._settings.sampling.density == "follow"
        return replace(followed, density=TOGETHER.density) if following else followed

    def _register(self, context: TurnContext) -> NDArray[np.bool_]:
        register = np.zeros(KEYS, np.bool_)
        keys = np.flatnonzero(np.any([context.player, *context.recent], axis=0))
        if len(keys):
            distance = self._settings.turns.register_margin
            register[max(0, keys[0] - distance) : keys[-1] + distance + 1] = True
        return register


def _apart(frame: Frame, semitones: int) -> NDArray[np.bool_]:
    """The keys, in all octaves, that are so far from one that is down, up or down."""
    pitches = np.flatnonzero(frame) % OCTAVE
    return np.isin(np.arange(KEYS) % OCTAVE, [*(pitches + semitones) % OCTAVE, *(pitches - semitones) % OCTAVE])


class Accompany(Duet):
    """Like a duet, but silent when the player is."""

    def plays(self, context: TurnContext) -> bool:
        """Until the player has been silent for a while."""
        return context.asked or (context.heard and context.silent_ticks < self._settings.turns.silence_ticks)


class Listen(Mode):
    """It only learns what the player plays."""


def mode_of(settings: Config) -> Mode:
    """Return the mode that the settings name; ValueError where the table has no such mode."""
    name = settings.turns.mode
    if name not in MODES:
        raise ValueError(f"turns.mode must be {' or '.join(MODES)}, got {name!r}")
    mode: Mode = resolve(MODES[name].mode)(settings)
    return mode
