"""What the controls do while it plays: a function for each, with the control's argument and the time.

Each returns what must be sent at once. Settings that are turned are `Musician.turn`'s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from livebach.controls import Argument
from livebach.music.events import ALL_NOTES_OFF, ALL_SOUND_OFF, CHANNELS, SUSTAIN, ControlChange, Event
from livebach.musician.performance import Performance
from livebach.musician.tap_tempo import Taps


class Musician(Protocol):
    """The musician, as far as a control needs it."""

    performance: Performance
    taps: Taps

    def set_tempo(self, to: Argument, now_s: float) -> list[Event]:
        """Go at this tempo; return what must be sent at once."""


def mute(musician: Musician, on: bool | None, now_s: float) -> list[Event]:
    """Be silent and go on listening; without a word, change over."""
    play = musician.performance
    play.switches = replace(play.switches, mute=_switched(play.switches.mute, on))
    return play.fall_silent(now_s) if play.switches.mute else []


def hold(musician: Musician, on: bool | None, _now_s: float) -> list[Event]:
    """Let sound what sounds, and strike nothing new; without a word, change over."""
    play = musician.performance
    play.switches = replace(play.switches, hold=_switched(play.switches.hold, on))
    return []


def _switched(before: bool, on: bool | None) -> bool:
    return not before if on is None else on


def take_over(musician: Musician, _argument: None, now_s: float) -> list[Event]:
    """Play from the next beat on."""
    musician.performance.take_over(now_s)
    return []


def finish(musician: Musician, _argument: None, now_s: float) -> list[Event]:
    """End with a cadence."""
    musician.performance.finish(now_s)
    return []


def take_back(musician: Musician, bars: int | None, _now_s: float) -> list[Event]:
    """Forget the last bar, or so many."""
    play = musician.performance
    play.own.memory.back((bars or 1) * play.time.grid.bar_ticks)
    return []


def tap(musician: Musician, _argument: None, now_s: float) -> list[Event]:
    """Take the tempo of the last beats that were tapped, from the third on."""
    bpm = musician.taps.tap(now_s)
    return [] if bpm is None else musician.set_tempo(f"{bpm:.4g}", now_s)


def turn_tempo(musician: Musician, to: Argument, now_s: float) -> list[Event]:
    """Go at another tempo, or a step from the present one."""
    return musician.set_tempo(to, now_s)


def forget(musician: Musician, _argument: None, _now_s: float) -> list[Event]:
    """Forget all that was played."""
    musician.performance.forget()
    return []


def panic(musician: Musician, _argument: None, now_s: float) -> list[Event]:
    """End the network's notes, then all that may sound on any channel; the player's keys count as released."""
    play = musician.performance
    out = play.fall_silent(now_s)
    play.end()
    play.player.listener.release(now_s)
    quiet = [(SUSTAIN, 0), (ALL_NOTES_OFF, 0), (ALL_SOUND_OFF, 0)]
    return [*out, *(ControlChange(control, value, channel) for channel in range(CHANNELS) for control, value in quiet)]
