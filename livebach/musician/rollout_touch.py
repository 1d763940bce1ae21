"""The touch of music that the network played alone, after a prime as it was played.

This module knows no file and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from livebach.config import Config
from livebach.music.grid import Grid, Place
from livebach.music.prime import Prime
from livebach.music.roll import HOLD, KEYS, LOW_KEY, Frame, Frames, Note, notes_from_frames
from livebach.music.touch import NO_TOUCH, PARTS, STEPS_PER_QUARTER, Pedal, Sounded, TickTouch
from livebach.musician.listener import TOUCH_WEIGHT
from livebach.musician.own_touch import LIFT, PRESS, OwnTouch
from livebach.musician.player_timing import PlayerTiming
from livebach.network.touch import TouchNetwork

FINE = 2 * PARTS
"""Steps of a tick in the notes that are written: half a 24th of a quarter note, as the pedal's moves need."""
SILENCE: Frame = np.zeros(KEYS, np.uint8)


@dataclass(slots=True)
class TouchedTracks:
    """Music with touch. All times are in FINE steps of a tick.

    Attributes:
        notes: The notes of each track, by its name.
        pedals: The moves of the sustain pedal: the time, and whether it is down from then on.

    """

    notes: dict[str, list[Note]] = field(default_factory=dict)
    pedals: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)


def touched_tracks(
    frames: Frames, steps_per_quarter: int, prime: Prime | None, network: TouchNetwork | None, config: Config
) -> TouchedTracks:
    """Choose the touch of the network's notes.

    Args:
        frames: Frames uint8 [T, 88] of prime and continuation.
        steps_per_quarter: Ticks per quarter note.
        prime: The prime.
        network: The touch network; None plays by rules.
        config: The settings, with a seed.

    """
    assert config.sampling.seed is not None
    primed, start, metre = 0, 0, config.time.metre
    touches: list[TickTouch] = []
    fits = network if steps_per_quarter == STEPS_PER_QUARTER else None
    player = _Player(config, OwnTouch(fits, config, config.sampling.seed))
    if prime is not None:
        primed, start, metre = len(prime.frames), int(prime.places[-1, 0]), prime.metre
        touches += prime.touches or [NO_TOUCH] * primed
        for frame, touch, (position, beat, bar) in zip(prime.frames, touches, prime.places.tolist(), strict=False):
            player.hear(frame, touch, (position, beat, bar))
    grid = Grid.of(60, metre, steps_per_quarter)
    touches += [player.play(frame, grid, start + tick) for tick, frame in enumerate(frames[primed:])]
    tracks = TouchedTracks()
    for name, first, last in (("prime", 0, primed), ("livebach", primed, len(frames))):
        tracks.notes[name] = _notes(frames, touches, first, last, config.sound.velocity_default)
        down = first > 0 and touches[first - 1].pedal.down
        tracks.pedals[name] = _pedal_moves(touches, first, last, down)
    if touches and touches[-1].pedal.down:
        tracks.pedals["livebach"].append((len(frames) * FINE, False))
    return tracks


class _Player:
    """Hears the prime, then plays."""

    def __init__(self, config: Config, touch: OwnTouch) -> None:
        self._touch, self._timing = touch, PlayerTiming()
        self._loudness: float | None = None
        self._default = float(config.sound.velocity_default)

    def hear(self, frame: Frame, touch: TickTouch, place: Place) -> None:
        """Take in a tick of the prime."""
        self._timing.observe([sounded.offset / PARTS for sounded in touch.notes.values()], place)
        struck = {}
        for key, sounded in touch.notes.items():
            struck[key] = Sounded(sounded.velocity, self._timing.offset(sounded.offset / PARTS))
            before = sounded.velocity if self._loudness is None else self._loudness
            self._loudness = before + TOUCH_WEIGHT * (sounded.velocity - before)
        self._touch.observe(SILENCE, NO_TOUCH, frame, struck, place, touch.pedal, playing=False)

    def play(self, frame: Frame, grid: Grid, tick: int) -> TickTouch:
        """Choose the touch of a frame that the network plays."""
        place, held = grid.place(tick), np.flatnonzero(frame == HOLD).tolist()
        loudness = self._default if self._loudness is None else self._loudness
        touch = self._touch.choose(frame, {}, held, grid, tick, loudness, self._timing.usual(place))
        self._touch.observe(frame, touch, SILENCE, {}, place, Pedal.UP, playing=True)
        return touch


def _notes(frames: Frames, touches: list[TickTouch], first: int, last: int, velocity: int) -> list[Note]:
    """Return the notes that begin on the ticks from `first` up to `last`; `velocity` is for notes without touch.

    A note that ends on a tick ends when that tick sounds.
    """
    out = []
    for note in notes_from_frames(frames, velocity):
        if first <= note.start < last:
            sounded = touches[note.start].notes.get(note.key - LOW_KEY, Sounded(note.velocity))
            ahead = touches[note.end].first if note.end < len(touches) else 0
            start = max(0, note.start * FINE + 2 * sounded.offset)
            out.append(Note(note.key, start, max(start + 1, note.end * FINE + 2 * ahead), sounded.velocity))
    return out


def _pedal_moves(touches: list[TickTouch], first: int, last: int, down: bool) -> list[tuple[int, bool]]:
    """Return the moves of the pedal on the ticks from `first` up to `last`; `down` is its state before."""
    out = []
    for tick in range(first, last):
        pedal = touches[tick].pedal
        if down and (pedal is Pedal.CHANGED or not pedal.down):
            out.append((tick * FINE + round(2 * LIFT), False))
        if pedal.down and (pedal is Pedal.CHANGED or not down):
            out.append((tick * FINE + round(2 * PRESS), True))
        down = pedal.down
    return out
