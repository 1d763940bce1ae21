"""The modes of playing: when the network plays, and which keys of the coming frame are given. One class for each mode.

A mode only decides. Time, notes and memory belong to the musician. The table of modes is `controls.MODES`.
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
"""Default texture of both players in a duet: the density of all voices of Bach's keyboard music."""
SEMITONE = np.float32(-2.5)
"""Nats added on a beat to the logit of ONSET of keys a semitone from one of the player's, in any octave. Of Bach's
pairs of notes one in thirty is such; without the bias, two in thirty of the network's pairs with a player are."""
TRITONE = np.float32(-0.2)
"""The same for keys a tritone from one of the player's, which are only slightly too frequent."""


@dataclass(frozen=True, slots=True)
class TurnContext:
    """The state of the music on which a mode's decision about a tick depends.

    Attributes:
        on_beat: Whether the tick is on a beat.
        playing: Whether the network played on the tick before.
        asked: Whether the network was asked to play.
        heard: Whether the player has ever played.
        at_rest: Whether the player has no key down, and no pedal where the pedal counts.
        silent_ticks: Whole ticks since the player was last active.
        player: [88] the player's part of this tick, as far as known.
        recent: The player's frames before this tick, [88] each, at most a bar.
        sounding: [88] non-zero where the network's own notes sound.

    """

    on_beat: bool
    playing: bool
    asked: bool
    heard: bool
    at_rest: bool
    silent_ticks: int
    player: Frame
    recent: Sequence[Frame]
    sounding: Frame


class Mode:
    """Base class of the modes: the player plays, and the network listens."""

    yields = False
    """Whether the players take turns: the network falls silent at once when the player strikes a key."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings

    def plays(self, context: TurnContext) -> bool:
        """Return whether the network plays on this tick. The musician asks half a tick before."""
        return False

    def given(self, context: TurnContext) -> Frame:
        """Return the given states [88] of the coming frame, UNKNOWN where the network is free."""
        return np.full(KEYS, UNKNOWN, np.uint8)

    def own(self, context: TurnContext) -> Frame:
        """Return the decided states [88] of the network's own part, UNKNOWN where the network is free."""
        return np.full(KEYS, UNKNOWN, np.uint8)

    def params(self, params: SamplingParams, context: TurnContext) -> SamplingParams:
        """Return the sampling parameters of this tick."""
        return params

    def texture(self, followed: Texture) -> Texture:
        """Return the texture to play; `followed` is the one that follows the player."""
        return followed


class Continue(Mode):
    """Call and answer: the network continues after a silence of the player, or on request, until the player returns."""

    yields = True

    def plays(self, context: TurnContext) -> bool:
        """Return True from the first beat after the silence on, until the network yields."""
        if context.playing:
            return True
        turns = self._settings.turns
        silent = context.heard and context.at_rest and context.silent_ticks >= turns.silence_ticks
        return context.on_beat and (context.asked or (silent and turns.takeover == "silence"))


class Duet(Mode):
    """Duet: the network plays together with the player, around the player's keys.

    The player's register reaches from the lowest to the highest key of the last bar, plus a settable margin. All keys
    in the register are given, so the network strikes none of them. The density target covers both players: the more
    the player strikes, the less the network does.
    """

    def plays(self, context: TurnContext) -> bool:
        """Return True from the player's first note on."""
        return context.heard or context.asked

    def given(self, context: TurnContext) -> Frame:
        """Return the player's keys, and OFF around them. The network's own notes there are left to end naturally."""
        given = np.full(KEYS, UNKNOWN, np.uint8)
        given[self._register(context) & (context.sounding == OFF)] = OFF
        return np.where(context.player == OFF, given, context.player).astype(np.uint8)

    def own(self, context: TurnContext) -> Frame:
        """Release, on a beat, the network's keys a semitone below a key that the player strikes, in any octave."""
        own = super().own(context)
        if context.on_beat:
            struck = np.flatnonzero(context.player == ONSET) % OCTAVE
            own[(context.sounding != OFF) & np.isin((np.arange(KEYS) + 1) % OCTAVE, struck)] = OFF
        return own

    def params(self, params: SamplingParams, context: TurnContext) -> SamplingParams:
        """Forbid onsets in the player's register, and make clashes with the player's keys rarer on a beat."""
        bias = np.zeros(KEYS, np.float32) if params.key_bias is None else params.key_bias
        if context.on_beat:
            for semitones, less in ((1, SEMITONE), (6, TRITONE)):
                bias = bias + np.where(_apart(context.player, semitones), less, np.float32(0))
        return replace(params, forbidden=self._register(context), key_bias=bias)

    def texture(self, followed: Texture) -> Texture:
        """Return the texture of both players together."""
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
    """Return which keys [88], in all octaves, are this interval above or below a key that is down."""
    pitches = np.flatnonzero(frame) % OCTAVE
    return np.isin(np.arange(KEYS) % OCTAVE, [*(pitches + semitones) % OCTAVE, *(pitches - semitones) % OCTAVE])


class Accompany(Duet):
    """Accompaniment: as a duet, but the network is silent when the player is."""

    def plays(self, context: TurnContext) -> bool:
        """Return True until the player has been silent for `turns.silence_ticks`."""
        return context.asked or (context.heard and context.silent_ticks < self._settings.turns.silence_ticks)


class Listen(Mode):
    """Listening: the network only learns from the player."""


def mode_of(settings: Config) -> Mode:
    """Return the mode of the settings. Raises ValueError where the table has no such mode."""
    name = settings.turns.mode
    if name not in MODES:
        raise ValueError(f"turns.mode must be {' or '.join(MODES)}, got {name!r}")
    mode: Mode = resolve(MODES[name].mode)(settings)
    return mode
