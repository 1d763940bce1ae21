"""Sources of sound: the built-in instruments, or FluidSynth with a soundfont on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from livebach.sound import fluidsynth
from livebach.sound.loudspeakers import Loudspeakers, SoundError, SoundSettings

_PATIENCE_S = 0.8  # a start that takes longer is explained


class Voice(Protocol):
    """A source that sounds the events sent to it."""

    @property
    def alive(self) -> bool:
        """Whether it still runs."""

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Play a MIDI message."""

    def close(self) -> None:
        """End it."""


class Source(Protocol):
    """A source of sound."""

    @property
    def title(self) -> str:
        """The name to display."""

    def start(self, say: Callable[[str], object]) -> Voice:
        """Return what sounds on this machine's loudspeakers; SoundError in one line where nothing can."""

    def render(self, midi: Path, wav: Path) -> Path:
        """Write a MIDI file as a WAV file; UserError where that cannot be."""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """The built-in instruments."""

    settings: SoundSettings

    @property
    def title(self) -> str:
        """The instrument's name."""
        return f"the built-in {self.settings.instrument}"

    def start(self, say: Callable[[str], object]) -> Loudspeakers:
        """Return the loudspeakers once they are ready; call `say` with the reason if that takes long."""
        speakers = Loudspeakers(self.settings)
        try:
            if not speakers.answers_within(_PATIENCE_S):
                say(f"The notes of {self.title} are computed once, in this tuning: a few seconds.")
            speakers.ready()
        except BaseException:
            speakers.close()
            raise
        return speakers

    def render(self, midi: Path, wav: Path) -> Path:
        """Write a MIDI file as a WAV file, in exact samples."""
        from livebach.sound.bank import Tuning  # numpy: only here
        from livebach.sound.wav import render_midi

        settings = self.settings
        return render_midi(midi, wav, settings.instrument, Tuning(settings.temperament, settings.a4_hz))


@dataclass(frozen=True, slots=True)
class SoundFont:
    """FluidSynth with a soundfont of the user's."""

    synth: fluidsynth.FluidSynth

    @property
    def title(self) -> str:
        """The soundfont's name."""
        return f"FluidSynth with {self.synth.soundfont.name}"

    def start(self, say: Callable[[str], object]) -> fluidsynth.Synth:
        """Return a synth that sounds."""
        del say
        synth = self.synth.start()
        if synth is None:
            raise SoundError("there is no audio device here that FluidSynth can use")
        return synth

    def render(self, midi: Path, wav: Path) -> Path:
        """Have FluidSynth write the WAV file."""
        return self.synth.render(midi, wav)


def open_source(settings: SoundSettings, soundfont: str | None) -> Source:
    """Return what the settings ask for; SoundError where FluidSynth or the soundfont is missing."""
    return BuiltIn(settings) if soundfont is None else SoundFont(fluidsynth.with_soundfont(soundfont))
