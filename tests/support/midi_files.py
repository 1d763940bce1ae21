"""Write notes to small MIDI files."""

from __future__ import annotations

from pathlib import Path

import mido

from livebach.music.roll import Note


def write_midi(path: Path, notes: list[Note]) -> None:
    """Notes to a file of one track, 24 MIDI ticks to one of ours."""
    path.parent.mkdir(exist_ok=True)
    moves = sorted([(n.start, 1, n.key) for n in notes] + [(n.end, 0, n.key) for n in notes])
    track, now = mido.MidiTrack(), 0
    for tick, on, key in moves:
        track.append(mido.Message("note_on" if on else "note_off", note=key, velocity=64, time=(tick - now) * 24))
        now = tick
    mido.MidiFile(type=0, ticks_per_beat=96, tracks=[track]).save(path)
