"""MIDI files as sound: the built-in instruments play them into a WAV file, in exact samples, as fast as they can."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from livebach.errors import UserError
from livebach.files import write_new
from livebach.music.events import Event, NoteOn, ProgramChange, from_bytes
from livebach.music.general_midi import instrument_of
from livebach.sound.bank import Bank, Tuning, obtainable
from livebach.sound.mixer import PERCUSSION_CHANNEL, Frames, Mixer
from livebach.sound.partials import RATE
from livebach.sound.tone import KEYS

Timed = tuple[float, Event]
"""When something happens, in seconds, and what."""
_TAIL_S = 1.0
"""How long the room is heard after the last note."""
_LONGEST_S = 6 * 3600


def render_midi(midi: Path, wav: Path, instrument: str, tuning: Tuning) -> Path:
    """Write a MIDI file as a WAV file: stereo, 16 bits, 48 kHz.

    Raises:
        UserError: The MIDI file cannot be read, or the WAV file exists or cannot be written.

    """
    return render_events(events_of(midi), wav, instrument, tuning)


def render_events(events: Iterable[Timed], wav: Path, instrument: str, tuning: Tuning) -> Path:
    """Write events as a WAV file; UserError where it exists or cannot be written."""

    def write(out: BinaryIO) -> None:
        with wave.open(out, "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(RATE)
            for block in sounded(events, instrument, tuning):
                file.writeframesraw(np.rint(block * 32767).astype("<i2").tobytes())

    return write_new(wav, write)


def sounded(events: Iterable[Timed], instrument: str, tuning: Tuning) -> Iterator[Frames]:
    """Yield the sound of events, block by block, [BLOCK, 2]: each event happens at its very sample."""
    ordered = sorted(events, key=lambda timed: timed[0])
    banks = {name: obtainable(name, tuning) for name in _instruments(ordered, instrument)}
    _obtain(ordered, instrument, banks)
    mixer = Mixer(instrument, banks.get)
    for time_s, event in ordered:
        mixer.schedule(round(time_s * RATE), event)
    end = round((ordered[-1][0] if ordered else 0.0) * RATE)
    while mixer.sample <= end or mixer.notes:
        yield mixer.mix().copy()
        if mixer.sample > _LONGEST_S * RATE:
            raise UserError(f"the music is longer than {_LONGEST_S // 3600} hours")
    for _ in range(round(_TAIL_S * RATE / len(mixer.mix()))):
        yield mixer.mix().copy()


def events_of(midi: Path) -> list[Timed]:
    """Return the events of a MIDI file with their times in seconds; UserError where it cannot be read."""
    import mido

    try:
        time_s, events = 0.0, []
        for message in mido.MidiFile(midi):
            time_s += message.time
            event = None if message.is_meta or message.type == "sysex" else from_bytes(message.bytes())
            if event is not None:
                events.append((time_s, event))
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"{midi}: cannot be read as a MIDI file: {error}") from None
    return events


def _instruments(events: Iterable[Timed], default: str) -> set[str]:
    programs = (event.program for _, event in events if isinstance(event, ProgramChange))
    return {default, *(instrument_of(program) or default for program in programs)}


def _obtain(events: Iterable[Timed], default: str, banks: dict[str, Bank]) -> None:
    """Have every key that is played, and no other, rendered before it is needed."""
    chosen: dict[int, str] = {}
    for _, event in events:
        if isinstance(event, ProgramChange):
            chosen[event.channel] = instrument_of(event.program) or default
        elif isinstance(event, NoteOn) and event.channel != PERCUSSION_CHANNEL and event.key in KEYS:
            banks[chosen.get(event.channel, default)].obtain(event.key)
