"""The actions of the controls: one function for each control.

Each function takes the musician, the control's argument and the time in seconds, and returns the events to send at
once. `Musician.turn` handles the dials.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from livebach.controls import Argument
from livebach.music.events import ALL_NOTES_OFF, ALL_SOUND_OFF, CHANNELS, SUSTAIN, ControlChange, Event
from livebach.musician.performance import Performance
from livebach.musician.tap_tempo import Taps


class Musician(Protocol):
    """The part of the musician that the controls use."""

    performance: Performance
    taps: Taps

    def set_tempo(self, to: Argument, now_s: float) -> list[Event]:
        """Set the tempo; return the events to send at once."""


def mute(musician: Musician, on: bool | None, now_s: float) -> list[Event]:
    """Mute or unmute the network, which goes on listening. None toggles."""
    play = musician.performance
    play.switches = replace(play.switches, mute=_switched(play.switches.mute, on))
    return play.fall_silent(now_s) if play.switches.mute else []


def hold(musician: Musician, on: bool | None, _now_s: float) -> list[Event]:
    """Hold the sounding notes and strike nothing new, or end this. None toggles."""
    play = musician.performance
    play.switches = replace(play.switches, hold=_switched(play.switches.hold, on))
    return []


def _switched(before: bool, on: bool | None) -> bool:
    return not before if on is None else on


def take_over(musician: Musician, _argument: None, now_s: float) -> list[Event]:
    """Let the network play from the next beat on."""
    musician.performance.take_over(now_s)
    return []


def finish(musician: Musician, _argument: None, now_s: float) -> list[Event]:
    """Let the network end with a cadence."""
    musician.performance.finish(now_s)
    return []


def take_back(musician: Musician, bars: int | None, _now_s: float) -> list[Event]:
    """Forget the last bars, one where None."""
    play = musician.performance
    play.own.memory.back((bars or 1) * play.time.grid.bar_ticks)
    return []


def tap(musician: Musician, _argument: None, now_s: float) -> list[Event]:
    """Set the tempo from the last taps, from the third on."""
    bpm = musician.taps.tap(now_s)
    return [] if bpm is None else musician.set_tempo(f"{bpm:.4g}", now_s)


def turn_tempo(musician: Musician, to: Argument, now_s: float) -> list[Event]:
    """Set the tempo, or move it by a step."""
    return musician.set_tempo(to, now_s)


def forget(musician: Musician, _argument: None, _now_s: float) -> list[Event]:
    """Forget all the music so far."""
    musician.performance.forget()
    return []


def panic(musician: Musician, _argument: None, now_s: float) -> list[Event]:
    """End the network's notes, then all notes on every channel. The player's keys count as released."""
    play = musician.performance
    out = play.fall_silent(now_s)
    play.end()
    play.player.listener.release(now_s)
    quiet = [(SUSTAIN, 0), (ALL_NOTES_OFF, 0), (ALL_SOUND_OFF, 0)]
    return [*out, *(ControlChange(control, value, channel) for channel in range(CHANNELS) for control, value in quiet)]
