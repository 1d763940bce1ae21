"""Writes a take as a MIDI file: one track for the player and one for livebach, with the bars as they were played."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from livebach.bindings import Controls
from livebach.config import from_dict
from livebach.files import write_new
from livebach.live.take_log import (
    MOST_WAITING,
    SAME_US,
    Call,
    Header,
    Log,
)
from livebach.live.tempo_map import Stretch, TempoMap
from livebach.music.events import NoteOn, Realtime
from livebach.music.grid import Mark
from livebach.music.midi_writer import PPQ, Ruler, Track, joined


class Score:
    """A take's tracks, «you» and «livebach», written to two files bar by bar, as the beats say.

    Until the next bar begins, calls wait. A take without beats (an older one, or in which nothing was played) goes by
    the tempo that was set, from the first onset on.
    """

    def __init__(self, header: Header, you: BinaryIO, own: BinaryIO) -> None:
        config = from_dict(header.config)
        self._files = you, own
        self._metre = config.time.metre
        self._quarter_s = Ruler(config.time.bpm, config.time.metre).quarter_us / 1e6
        self._start_s = header.start_s
        self._counted = config.time.count_in_bars > 0 or config.time.click
        self._controls = Controls(config.control.bindings)
        self._you, self._own = Track(you, "you"), Track(own, "livebach")
        self._map: TempoMap | None = None
        self._waiting: list[Call] = []
        self._quarter_us, self._signature = 0, (0, 0)
        self._end = 0  # tick of the last call

    def add(self, call: Call) -> None:
        """Add a call, and write the bars that are over."""
        self._waiting.append(call)
        if call.mark is not None:
            if self._map is None:
                self._map = self._begun(call.mark)
            self._write(self._map.add(call.mark))
        elif len(self._waiting) % MOST_WAITING == 0:
            self._go_on()

    def _begun(self, mark: Mark) -> TempoMap:
        return TempoMap(self._metre, mark, min((call.t for call in self._waiting), default=mark.time_s))

    def _go_on(self, beyond: int = 0) -> None:
        """Continue at the last tempo, without a beat."""
        if self._map is None:
            self._map = self._begun(Mark(0.0, self._first_s, self._quarter_s))
        self._write(self._map.until(max((call.t for call in self._waiting), default=self._start_s), beyond))

    @property
    def _first_s(self) -> float:
        """Return the time of the first downbeat if there is no beat."""
        onsets = (call.t for call in self._waiting if isinstance(call.event, NoteOn))
        return self._start_s if self._counted else next(onsets, self._start_s)

    def _write(self, stretches: Iterable[Stretch]) -> None:
        for stretch in stretches:
            self._lay(stretch)
            over = [call for call in self._waiting if call.t < stretch.until_s]
            self._waiting = [call for call in self._waiting if call.t >= stretch.until_s]
            for call in over:
                self._end = stretch.tick(call.t)
                self._play(call, self._end)

    def _lay(self, stretch: Stretch) -> None:
        """Write the tempo and the time signature if they change."""
        tick = round(stretch.quarter * PPQ)
        if abs(stretch.quarter_us - self._quarter_us) > SAME_US:
            self._quarter_us = stretch.quarter_us
            self._you.tempo(tick, self._quarter_us)
        if stretch.signature is not None and stretch.signature != self._signature:
            self._signature = stretch.signature
            self._you.signature(tick, *self._signature)

    def _play(self, call: Call, tick: int) -> None:
        if call.event is not None and not self._controls.claims(call.event):
            self._you.add(tick, call.event)
        for event in call.out:
            if not isinstance(event, Realtime):  # a MIDI file may hold none
                self._own.add(tick, event)

    def midi(self) -> bytes:
        """Write the last bars, and return the MIDI file. Notes that still sound last to the end of the take."""
        self._go_on(beyond=1)
        for track in (self._you, self._own):
            track.close(self._end)
        return joined([_whole(file) for file in self._files])


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def midi(log: Log) -> bytes:
    """Return a take as a MIDI file, with the tracks «you» and «livebach»."""
    score = Score(log.header, BytesIO(), BytesIO())
    for call in log.calls:
        score.add(call)
    return score.midi()


def write_midi(log: Log, path: Path) -> Path:
    """Make the MIDI file of a take."""
    return write_new(path, midi(log))
