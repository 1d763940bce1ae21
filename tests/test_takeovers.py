"""Fifty takeovers with the shipped network: each begins within a beat, and lasts for sixteen bars."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from livebach.config import Config
from livebach.live.assembly import seeded
from livebach.music.events import Event, NoteOff, NoteOn
from livebach.music.roll import Note
from livebach.musician.musician import Musician
from livebach.network import checkpoint
from livebach.network.engine import Engine
from tests.support.pieces import OPENINGS, transposed

TICK_S = 60 / 90 / 4
BEAT, BAR, BARS = 4, 16, 16
SHIFTS = (-5, -2, 0, 3, 6)
PHRASES = [(name, by) for name in OPENINGS for by in SHIFTS]


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The shipped network."""
    return Engine(checkpoint.load(checkpoint.default_path()))


def events_of(notes: list[Note]) -> list[tuple[float, Event]]:
    """A player with an even touch, note-offs a little early."""
    timed: list[tuple[float, Event]] = []
    for note in notes:
        timed += [(note.start * TICK_S, NoteOn(note.key, 70)), (note.end * TICK_S - 0.02, NoteOff(note.key))]
    return sorted(timed, key=lambda item: item[0])


def perform(engine: Engine, notes: list[Note], seed: int) -> tuple[float, list[tuple[float, Event]]]:
    """Play the notes in, then let it go on for sixteen bars: when it took over, and what it sent, with times."""
    config = seeded(Config())
    musician = Musician(engine, config, seed, 0.0)
    sent: list[tuple[float, Event]] = []

    def run_until(time_s: float) -> None:
        while (due := musician.deadline_s()) <= time_s:
            sent.extend((due, event) for event in musician.advance(due))

    for time_s, event in events_of(notes):
        run_until(time_s)
        sent.extend((time_s, out) for out in musician.feed(event, time_s))
    while musician.status().state != "playing":
        run_until(musician.deadline_s())
    took_over = musician.deadline_s()
    run_until(took_over + (BARS * BAR + 1) * TICK_S)
    end = took_over + (BARS * BAR + 1) * TICK_S
    sent.extend((end, event) for event in musician.stop(end))
    return took_over, sent


@pytest.mark.parametrize("number", range(len(PHRASES)), ids=[f"{name}{by:+d}" for name, by in PHRASES])
def test_takeover(engine: Engine, number: int) -> None:
    """After this phrase it strikes a key within one beat, and no two bars of the next sixteen are without an onset."""
    name, by = PHRASES[number]
    took_over, sent = perform(engine, transposed(OPENINGS[name], by), seed=number)
    onsets = np.array([time_s for time_s, event in sent if isinstance(event, NoteOn)])
    assert len(onsets)
    assert onsets[0] - took_over <= BEAT * TICK_S + 1e-6
    per_two_bars = np.histogram(onsets - onsets[0], bins=np.arange(0, BARS + 1, 2) * BAR * TICK_S)[0]
    assert per_two_bars.min() >= 2
    assert len(onsets) >= 2 * BARS


def test_phrases_differ() -> None:
    """There are fifty of them, no two alike."""
    rolls = {tuple((n.key, n.start, n.end) for n in transposed(OPENINGS[name], by)) for name, by in PHRASES}
    assert len(rolls) == 50
    assert len(list(islice(rolls, 50))) == len(PHRASES)
