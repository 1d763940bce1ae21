"""Who plays when, and what the network is told of the player's part: a small class for each mode of playing.

A mode only decides; time, notes and memory are the musician's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from livebach.roll import KEYS, UNKNOWN, Frame
from livebach.sampling import Policy

if TYPE_CHECKING:
    from livebach.config import Config


@dataclass(frozen=True, slots=True)
class Scene:
    """What a mode may know when it decides about a tick."""

    tick: int
    on_beat: bool
    playing: bool  # whether the network played on the tick before
    heard: bool  # whether the player has played anything at all
    at_rest: bool  # the player, now: no key down, and no pedal where that counts
    silent_ticks: int  # for how many whole ticks the player has been at rest
    player: Frame  # the player's part of this tick, as far as it is known


class Mode:
    """The player plays and the network listens: what all modes have in common."""

    yields = False
    """Whether the network falls silent at once when the player strikes a key."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings

    def plays(self, scene: Scene) -> bool:
        """Whether the network plays on this tick; asked half a tick before it."""
        return False

    def given(self, scene: Scene) -> Frame:
        """What is given of the coming frame: states, or UNKNOWN where the network is free."""
        return np.full(KEYS, UNKNOWN, np.uint8)

    def policy(self, policy: Policy, scene: Scene) -> Policy:
        """How to sample this tick."""
        return policy


class Continue(Mode):
    """Call and answer: when the player has been silent for a while the network goes on, until the player returns."""

    yields = True

    def plays(self, scene: Scene) -> bool:
        """From the first beat after the silence on, until it yields."""
        if scene.playing:
            return True
        long_enough = scene.silent_ticks >= self._settings.turns.silence_ticks
        return scene.heard and scene.at_rest and long_enough and scene.on_beat


MODES: dict[str, type[Mode]] = {"continue": Continue}


def mode_of(settings: Config) -> Mode:
    """The mode that the settings name."""
    name = settings.turns.mode
    if name not in MODES:
        raise ValueError(f"turns.mode must be {' or '.join(MODES)}, got {name!r}")
    return MODES[name](settings)
