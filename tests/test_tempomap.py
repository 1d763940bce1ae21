"""The bars of a take's MIDI file, which lie where the beats were, at any tempo."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.commands.replay import play_again
from livebach.config import override, to_dict
from livebach.controls import parse_command
from livebach.live import take_log, take_midi
from livebach.live.daemon import Daemon
from livebach.live.recorder import NoRecorder
from livebach.live.simulated_run import rehearse
from livebach.live.take_log import Call, Header, Log
from livebach.live.tempo_map import Stretch, TempoMap
from livebach.music.events import NoteOff, NoteOn, to_bytes
from livebach.music.grid import Mark
from livebach.music.metre import Metre
from livebach.music.midi_writer import PPQ
from livebach.music.roll import ONSET
from livebach.musician.musician import Musician
from livebach.testing import FakePort, ManualClock, ScriptedEngine
from tests.support.driven import TICK
from tests.support.recorders import header

EACH = [{60 + n % 12: ONSET} for n in range(48)]


def laid(*marks: tuple[float, float], metre: str = "4/4", quarter_s: float = 0.5) -> list[Stretch]:
    """The stretches of beats (place in quarters, time in seconds), and of two bars more."""
    first, *rest = [Mark(quarters, time_s, quarter_s) for quarters, time_s in marks]
    bars = TempoMap(Metre.parse(metre), first, first.time_s)
    return [*(stretch for mark in rest for stretch in bars.add(mark)), *bars.until(marks[-1][1], 2)]


def signatures(stretches: list[Stretch]) -> list[tuple[float, int, int]]:
    """Where bars begin whose signature is another than that of the bar before."""
    found: list[tuple[float, int, int]] = []
    for stretch in stretches:
        if stretch.signature is not None and (not found or found[-1][1:] != stretch.signature):
            found.append((stretch.quarter, *stretch.signature))
    return found


def test_each_beat_is_where_it_was() -> None:
    """Slower and slower: each quarter has its own tempo, and a time in between is where it should be."""
    times = np.cumsum([0, 0.5, 0.55, 0.6, 0.66, 0.7, 0.5, 0.5, 0.5])
    stretches = laid(*enumerate(times.tolist()))
    assert [stretch.quarter_us for stretch in stretches[:5]] == [500_000, 550_000, 600_000, 660_000, 700_000]
    assert stretches[2].tick((times[2] + times[3]) / 2) == 2.5 * PPQ
    assert signatures(stretches) == [(0, 4, 4)]


@pytest.mark.parametrize(("metre", "signature"), [("4/4", (13, 16)), ("3/4", (1, 16)), ("6/8", (1, 16))])
def test_a_bar_that_was_broken_off_has_a_signature_of_its_own(metre: str, signature: tuple[int, int]) -> None:
    """The player began anew a 16th after the third quarter; the next bar is a whole one again."""
    line = 4.0 if metre == "4/4" else 6.0
    stretches = laid(*((n, n / 2) for n in range(4)), (line, 3 / 2 + 0.125), (line + 1, 3 / 2 + 0.625), metre=metre)
    assert [found[1:] for found in signatures(stretches)][1 - (metre == "4/4") :][:1] == [signature]
    assert signatures(stretches)[-1][1:] == tuple(map(int, metre.split("/")))
    assert all(stretch.quarter_us == 500_000 for stretch in stretches)


def test_a_silence_is_whole_bars() -> None:
    """Ten seconds without a beat: stretched a little, so that the next downbeat is one."""
    stretches = laid((0, 0), (1, 0.5), (2, 1), (3, 1.5), (4, 2), (8, 12), (9, 12.5))
    assert signatures(stretches) == [(0, 4, 4)]
    (silence,) = [stretch for stretch in stretches if stretch.from_s == 2]
    assert silence.quarters == 20
    assert silence.until_s == 12


@given(st.lists(st.tuples(st.integers(-40, 400), st.floats(0.001, 30)), min_size=1, max_size=30))
def test_stretches_join(beats: list[tuple[int, float]]) -> None:
    """Whatever is told: each begins where the one before ended, in the file and in time, and is longer than nothing."""
    times = np.cumsum([gap for _, gap in beats]).tolist()
    stretches = laid(*((place, time_s) for (place, _), time_s in zip(beats, times, strict=True)))
    for before, after in pairwise(stretches):
        assert after.from_s == before.until_s
        assert after.quarter == pytest.approx(before.quarter + before.quarters)
    assert all(stretch.quarters > 0 and stretch.until_s > stretch.from_s for stretch in stretches)
    assert all(1 <= stretch.quarter_us <= 0xFFFFFF for stretch in stretches)


# --- a take -----------------------------------------------------------------------------------------------------------


class Kept(NoRecorder):
    """Keeps calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def call(self, call: Call) -> None:
        """Keep it."""
        self.calls.append(call)


def taken(
    score: list[tuple[float, bytes]], until: float, *assignments: str, asked: dict[float, str] | None = None
) -> Log:
    """A take of 120 beats a minute, times in ticks; `asked` are commands and when they come."""
    config = take_log.from_dict(header().config)
    for assignment in ("time.bpm=120", *assignments):
        config = override(config, assignment)
    clock, kept = ManualClock(0.0), Kept()
    musician = Musician(ScriptedEngine(EACH), config, 1, 0.0)
    follow = config.time.clock == "external"
    daemon = Daemon(musician, clock, FakePort("synth", now=clock.now), recorder=kept, follow_clock=follow)
    messages = sorted((at * TICK, data) for at, data in score)
    for at, command in sorted((asked or {}).items()):
        rehearse(daemon, clock, [message for message in messages if message[0] <= at * TICK], at * TICK)
        messages = [message for message in messages if message[0] > at * TICK]
        daemon.command(parse_command(*command.split()))
        daemon.turn()
    rehearse(daemon, clock, messages, until * TICK)
    daemon.finish()
    return Log(Header(to_dict(config), 1, 0.0, "", ""), kept.calls)


def midi(log: Log) -> mido.MidiFile:
    """Its MIDI file, as others read it; made of the log's own lines."""
    lines = [take_log.header_line(log.header), *map(take_log.call_line, log.calls), ""]
    again = take_log.read_text("\n".join(lines))
    assert again.calls == log.calls
    score = take_midi.Score(again.header, BytesIO(), BytesIO())
    for call in again.calls:
        score.add(call)
    return mido.MidiFile(file=BytesIO(score.midi()), charset="utf-8")


def own_onsets(file: mido.MidiFile) -> list[float]:
    """Where livebach's notes are, in ticks of the music."""
    at = np.cumsum([message.time for message in file.tracks[1]])
    return [n / PPQ * 4 for n, message in zip(at, file.tracks[1], strict=True) if message.type == "note_on"]


def sounds_as_it_was(file: mido.MidiFile, log: Log) -> bool:
    """Whether the file, played by others, has the take's notes when they were struck."""
    now, played = 0.0, []
    for message in file:
        now += message.time
        played += [now] if message.type == "note_on" else []
    struck = sorted(call.t for call in log.calls for event in (call.event, *call.out) if isinstance(event, NoteOn))
    return np.allclose(np.diff(played), np.diff(struck), atol=0.002)


def phrase(start: float = 0.0, step: float = 1.0, keys: int = 4) -> list[tuple[float, bytes]]:
    """Notes of the player's."""
    ons = [(start + n * step, to_bytes(NoteOn(60 + n % 12))) for n in range(keys)]
    return [*ons, *((at + 0.9 * step, to_bytes(NoteOff(60 + n % 12))) for n, (at, _) in enumerate(ons))]


def test_a_tempo_that_was_turned_is_in_the_file() -> None:
    """Half as fast: its notes are on the 16ths of the file all the time."""
    log = taken(phrase(8), 90, asked={30.2: "tempo 60"})
    file = midi(log)
    onsets = own_onsets(file)
    assert len(onsets) > 30
    assert onsets == pytest.approx(np.round(onsets), abs=0.02)
    assert np.diff(onsets) == pytest.approx(1, abs=0.02)
    tempi = [message.tempo for message in file.tracks[0] if message.type == "set_tempo"]
    assert (tempi[0], tempi[-1]) == (500_000, 1_000_000)
    assert sounds_as_it_was(file, log)


def test_taps_are_in_the_file() -> None:
    """Six ticks apart: 80 beats a minute, from the third one on."""
    log = taken(phrase(8), 90, asked={30.2: "tap", 36.2: "tap", 42.2: "tap"})
    file = midi(log)
    assert own_onsets(file) == pytest.approx(np.round(own_onsets(file)), abs=0.02)
    assert [message.tempo for message in file.tracks[0] if message.type == "set_tempo"][-1] == 750_000
    assert sounds_as_it_was(file, log)


def test_an_external_clock_is_in_the_file() -> None:
    """Half as fast as is set, and slower later."""
    pulses = np.cumsum([2 / 6] * 400 + [2.2 / 6] * 400)
    score = [(0.9, b"\xfa"), *((1 + at, b"\xf8") for at in pulses.tolist()), (9.0, to_bytes(NoteOn(40)))]
    log = taken(score, 280, "time.clock=external", "turns.mode=duet")
    file = midi(log)
    onsets = own_onsets(file)
    assert len(onsets) > 60
    assert onsets == pytest.approx(np.round(onsets), abs=0.1)
    tempi = [message.tempo for message in file.tracks[0] if message.type == "set_tempo"]
    assert tempi[-1] == pytest.approx(1_100_000, rel=0.01)
    assert sounds_as_it_was(file, log)


def test_a_followed_player_is_in_the_file() -> None:
    """Slower by a tenth than was told: the player's notes are on the 16ths, after some beats. It replays."""
    log = taken(phrase(8, step=1.1, keys=96), 180, "time.clock=player")
    assert list(play_again(Musician(ScriptedEngine(EACH), log.config, 1, 0.0), log.calls)) == log.calls
    file = midi(log)
    assert len(own_onsets(file)) > 20
    at = np.cumsum([message.time for message in file.tracks[0]])
    onsets = np.array([n / 240 for n, message in zip(at, file.tracks[0], strict=True) if message.type == "note_on"])
    assert onsets[32:] == pytest.approx(np.round(onsets[32:]), abs=0.1)
    assert sounds_as_it_was(file, log)


def test_a_new_beginning_and_a_rest_are_in_the_file() -> None:
    """Each beginning of the player's is on a bar line, and the whole sounds as it was."""
    log = taken([*phrase(8), *phrase(34.5), *phrase(200.3), *phrase(206.6)], 240)
    file = midi(log)
    lines, signature, at, starts = [0], (4, 4), 0, []
    for message in file.tracks[0]:
        at += message.time
        while lines[-1] + PPQ * 4 * signature[0] // signature[1] <= at:
            lines.append(lines[-1] + PPQ * 4 * signature[0] // signature[1])
        if message.type == "time_signature":
            assert at in lines
            signature = (message.numerator, message.denominator)
        elif message.type == "note_on" and message.note == 60:
            starts.append(at)
    assert len(starts) == 4
    assert all(min(abs(line - start) for line in lines) <= 2 for start in starts[:3])
    assert sounds_as_it_was(file, log)
