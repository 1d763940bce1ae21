"""The cadence at an end, with a scripted network, and fifty times with the shipped network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from livebach.config import Config
from livebach.controls import Command
from livebach.music.events import Event, NoteOff, NoteOn
from livebach.music.roll import ONSET, Note
from livebach.musician.musician import Musician
from livebach.network import checkpoint
from livebach.network.engine import Engine
from tests.support.driven import ONE_NOTE, Take, taken_over
from tests.support.pieces import OPENINGS, transposed

C_MAJOR = [60, 64, 67, 64, 65, 69, 72, 69, 67, 71, 74, 71, 60, 64, 67, 72]


def in_c(*assignments: str) -> Take:
    """The player plays a bar of C major; the network takes over at tick 20."""
    return Take([{72: ONSET, 74: ONSET}], *assignments).play(C_MAJOR).run(24)


def struck(take: Take, tick: int) -> list[int]:
    """What was struck on a tick, from the bass up."""
    return sorted(key for at, key in take.onsets if at == tick)


def test_it_ends_on_the_tonic_by_way_of_the_dominant() -> None:
    """On a downbeat, with nothing below; the chord fills a bar, then there is silence."""
    take = in_c()
    take.command(24.2, "finish")
    take.run(200)
    assert struck(take, 44)[0] == 43
    assert struck(take, 48)[0] == 36
    assert {key % 12 for key in struck(take, 48)} <= {0, 4, 7}
    assert 4 in {key % 12 for key in struck(take, 48)}
    assert max(at for at, _ in take.onsets) == 48
    assert take.sent[-1][0] == 64
    assert take.state == "idle"


def test_the_key_may_be_set() -> None:
    """Then it is that one."""
    take = in_c("sampling.key=eb minor")
    take.command(24.2, "finish")
    chord = {key % 12 for key in struck(take.run(100), 48)}
    assert chord <= {3, 6, 10}
    assert {3, 6} <= chord


def test_asked_while_the_player_plays_it_makes_the_end_itself() -> None:
    """From the next beat on."""
    take = Take([{72: ONSET}]).play(C_MAJOR)
    take.command(16.2, "finish")
    assert take.run(100).onsets[0][0] == 20
    assert struck(take, 32)[0] == 36


def test_the_player_comes_in_and_it_does_not_end() -> None:
    """It yields, and later goes on as ever."""
    take = in_c()
    take.command(24.2, "finish")
    take.play([60, 62], at=32.2)
    assert {at for at, _ in take.run(100).onsets} >= {96.2}


def test_in_a_duet_the_players_keys_stay_the_players() -> None:
    """The end goes around them."""
    take = Take([{72: ONSET}], "turns.mode=duet", "turns.delay_ms=0").play(C_MAJOR)
    take.feed(16, NoteOn(36))
    take.command(17.2, "finish")
    take.run(100)
    assert 36 not in [key for at, key in take.onsets if at > 17]
    assert {key % 12 for key in struck(take, 48)} <= {0, 4, 7}
    assert max(at for at, _ in take.onsets) == 48


def test_nothing_was_heard_and_there_is_nothing_to_end() -> None:
    """It stays idle."""
    take = Take(ONE_NOTE)
    take.command(3, "finish")
    assert take.state == "idle"


@pytest.mark.parametrize("bars", [2, 4])
def test_so_many_bars_end_with_a_cadence(bars: int) -> None:
    """The last of them is its chord."""
    take = taken_over([{72: ONSET}], f"turns.bars={bars}", "sampling.key=c major").run(300)
    last = 16 + 16 * (bars - 1)
    assert struck(take, last)[0] == 36
    assert take.sent[-1][0] == last + 16


# --- the shipped network ----------------------------------------------------------------------------------------------

TICK_S, BAR = 60 / 90 / 4, 16
PLAYED_BARS, WITHIN_BARS = 6, 4
MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
Timed = list[tuple[float, Event]]


def spans(events: Timed, end_s: float) -> list[tuple[int, float, float]]:
    """Notes as (key, from, to)."""
    down: dict[tuple[int, int], float] = {}
    notes = []
    for time_s, event in sorted(events, key=lambda item: item[0]):
        if isinstance(event, NoteOn):
            down[event.channel, event.key] = time_s
        elif isinstance(event, NoteOff) and (event.channel, event.key) in down:
            notes.append((event.key, down.pop((event.channel, event.key)), time_s))
    return [*notes, *((key, since, end_s) for (_, key), since in down.items())]


def tonic_of(events: Timed, start_s: float, end_s: float) -> int:
    """The tonic of a stretch by correlation with the profiles, found here anew."""
    weights = np.zeros(12)
    for key, since, until in spans(events, end_s):
        weights[key % 12] += max(0.0, min(until, end_s) - max(since, start_s))
    fits = [np.corrcoef(np.roll(mode, tonic), weights)[0, 1] for mode in (MAJOR, MINOR) for tonic in range(12)]
    return int(np.argmax(fits)) % 12


def ends_well(engine: Engine, notes: list[Note], seed: int) -> bool:
    """Play a phrase, let it go on for some bars, ask it to stop; whether it ends as it should."""
    musician = Musician(engine, Config(), seed, 0.0)
    played: Timed = [(n.start * TICK_S, NoteOn(n.key, 70)) for n in notes]
    played = sorted([*played, *((n.end * TICK_S - 0.02, NoteOff(n.key)) for n in notes)], key=lambda item: item[0])
    sent: Timed = []
    first_s = min(time_s for time_s, _ in played)

    def run_until(time_s: float) -> None:
        while (due := musician.deadline_s()) <= time_s:
            sent.extend((due, event) for event in musician.advance(due))

    for time_s, event in played:
        run_until(time_s)
        sent.extend((time_s, out) for out in musician.feed(event, time_s))
    asked_s = max(time_s for time_s, _ in played) + (PLAYED_BARS * BAR + seed % BAR) * TICK_S
    run_until(asked_s)
    sent.extend((asked_s, out) for out in musician.command(Command("finish"), asked_s))
    tonic = tonic_of([*played, *sent], asked_s - 8 * BAR * TICK_S, asked_s)
    run_until(asked_s + 12 * BAR * TICK_S)
    last_s = max(time_s for time_s, event in sent if isinstance(event, NoteOn))
    bars = (last_s - first_s) / (BAR * TICK_S)
    chord = [event.key for time_s, event in sent if time_s == last_s and isinstance(event, NoteOn)]
    held = [key for key, since, until in spans(sent, last_s + 1) if since <= last_s < until]
    on_time = 0 < last_s - asked_s <= WITHIN_BARS * BAR * TICK_S and abs(bars - round(bars)) < 1e-6
    return on_time and len(chord) > 1 and min(held) % 12 == tonic and musician.status().own_keys == ()


def network() -> Path:
    """Where the shipped network is, or the one that is tried out."""
    return checkpoint.default_path()


@pytest.mark.skipif(not network().exists(), reason="no network is shipped yet")
@pytest.mark.timeout(900)
def test_it_ends_well_forty_five_times_of_fifty() -> None:
    """Within four bars, on a downbeat, the bass on the tonic of the key it was in."""
    engine = Engine(checkpoint.load(network()))
    phrases = [transposed(OPENINGS[name], by) for name in OPENINGS for by in (-5, -2, 0, 3, 6)]
    assert sum(ends_well(engine, phrase, seed) for seed, phrase in enumerate(phrases[:50])) >= 45
