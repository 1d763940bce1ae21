"""The expression of the network's notes: touch, articulation, timing, and a channel for each voice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livebach.config import Config, ConfigError, from_dict, override
from livebach.live.assembly import programs
from livebach.music.events import NoteOff, NoteOn, ProgramChange
from livebach.music.roll import HOLD, ONSET
from livebach.musician.expression import VoiceChannels
from tests.support.driven import OWN, TICK, Take, taken_over
from tests.support.random_play import MODE, STEP, Steps, carry_out, chance

SCALE = [{60: ONSET}, {62: ONSET}, {62: HOLD}, {64: ONSET}]


def velocities(*assignments: str, touch: int = 80) -> list[int]:
    """Those of the ticks 8 to 16, with a note on each; the player's touch is even."""
    take = Take([{60 + n: ONSET} for n in range(12)], *assignments)
    for tick in range(4):
        take.feed(tick, NoteOn(60 + tick, touch))
        take.feed(tick + 0.9, NoteOff(60 + tick))
    return [event.velocity for _, event in take.run(16).sent if isinstance(event, NoteOn)]


def test_it_plays_as_loud_as_the_player_with_the_metres_accents() -> None:
    """Most on the downbeat, less on the other beats, least between them."""
    assert velocities() == [83, 77, 77, 77, 83, 77, 77, 77, 88]
    assert velocities("time.metre=2/4") == [88, 77, 77, 77, 83, 77, 77, 77, 88]
    assert velocities(touch=127)[-1] == 127
    assert velocities("sound.touch=50") == [50] * 9


def ends(take: Take) -> list[tuple[float, int]]:
    """When which note ended."""
    return [(round(at, 3), event.key) for at, event in take.sent if isinstance(event, NoteOff)]


@pytest.mark.parametrize(("part", "gap"), [(1.0, 0.0), (0.8, 0.2), (0.6, 0.4)])
def test_a_note_fills_so_much_of_its_last_tick(part: float, gap: float) -> None:
    """Its beginning stays on the grid, and what is held is not cut."""
    take = taken_over(SCALE, f"sound.articulation={part}").run(12)
    assert take.onsets[:3] == [(8, 60), (9, 62), (11, 64)]
    assert ends(take)[:3] == [(round(9 - gap, 3), 60), (round(11 - gap, 3), 62), (round(12 - gap, 3), 64)]


def test_notes_start_a_little_late_by_chance() -> None:
    """Never early, never by more than what is set; ends stay; the same seed gives the same."""
    take, again = (taken_over([{60: ONSET, 64: ONSET}], "sound.humanize_ms=10").run(60) for _ in range(2))
    late = [(at - round(at)) * TICK for at, _ in take.onsets]
    assert 0 <= min(late) < 0.002
    assert 0.008 < max(late) <= 0.010
    assert all(at == int(at) for at, _ in ends(take))
    assert take.sent == again.sent


def test_a_note_that_ends_before_it_starts_never_does() -> None:
    """The player comes in between: neither its beginning nor its end is sent."""
    take = taken_over([{60: ONSET}], "sound.humanize_ms=20").run(8)
    assert take.sent == []
    assert take.feed(8.001, NoteOn(70)) == []
    assert take.run(12).sent == []


def test_each_voice_has_its_channel() -> None:
    """From the highest down; a note ends on the channel on which it began."""
    chord = {48: ONSET, 57: ONSET, 64: ONSET, 72: ONSET}
    take = taken_over([chord, {}], "sound.voices=4").run(9)
    began = {event.key: event.channel - OWN for _, event in take.sent if isinstance(event, NoteOn)}
    ended = {event.key: event.channel - OWN for _, event in take.sent if isinstance(event, NoteOff)}
    assert began == ended == {72: 0, 64: 1, 57: 2, 48: 3}


def separated(voices: int, lines: list[list[int | None]]) -> list[list[int]]:
    """Lines of keys, a key a tick, None goes on: which voice each note of each line was given."""
    splitter, down, found = VoiceChannels(0, voices), [0] * len(lines), [list[int]() for _ in lines]
    for tick in range(len(lines[0])):
        striking = {n: key for n, line in enumerate(lines) if (key := line[tick]) is not None}
        splitter.sent([NoteOff(down[n]) for n in striking if down[n]])
        sent = splitter.sent([NoteOn(key) for _, key in sorted(striking.items(), key=lambda item: item[1])])
        channels = {event.key: event.channel for event in sent if isinstance(event, NoteOn)}
        for n, key in striking.items():
            down[n] = key
            found[n].append(channels[key])
    return found


def test_voices_are_followed_through_their_rhythms() -> None:
    """Three lines that move at different times, of which one rises a sixth and another falls an octave."""
    top: list[int | None] = [72, 74, 76, 77, 79, None, 77, 76, 74, None, 72, None]
    middle: list[int | None] = [64, None, 67, None, 72, 71, 69, 67, 65, None, 64, None]
    bass: list[int | None] = [48, None, None, None, 52, None, 53, None, 55, 43, 48, None]
    assert [set(voice) for voice in separated(3, [top, middle, bass])] == [{0}, {1}, {2}]


def test_more_notes_than_voices_all_sound() -> None:
    """The outer ones lead."""
    sent = VoiceChannels(0, 2).sent([NoteOn(key) for key in (48, 55, 64, 72)])
    channels = {event.key: event.channel for event in sent if isinstance(event, NoteOn)}
    assert (channels[72], channels[48]) == (0, 1)
    assert len(channels) == 4


def test_all_its_channels_get_the_program() -> None:
    """Each voice sounds alike, until the synth is told otherwise."""
    config = override(override(Config(), "midi.program=7"), "sound.voices=3")
    assert programs(config) == [ProgramChange(6, 1), ProgramChange(6, 2), ProgramChange(6, 3)]
    assert programs(Config()) == []


def test_there_must_be_channels_for_the_voices() -> None:
    """Else it is told, whichever is set first."""
    with pytest.raises(ConfigError, match=r"sound\.voices must leave"):
        from_dict({"midi": {"output_channel": 14}, "sound": {"voices": 4}})


@settings(deadline=None, max_examples=60)
@given(st.lists(STEP, max_size=25), MODE, st.sampled_from(["sound.voices=3", "sound.voices=null"]))
def test_every_note_still_has_its_end(steps: Steps, mode: str, voices: str) -> None:
    """However its notes leave; and equal calls give equal events."""
    first, second = (
        Take(chance, f"turns.mode={mode}", voices, "sound.humanize_ms=20", "sound.articulation=0.6") for _ in range(2)
    )
    sent = carry_out(first, steps)
    sounding: set[tuple[int, int]] = set()
    for event in sent:
        assert isinstance(event, NoteOn | NoteOff)
        place = (event.channel, event.key)
        assert (place in sounding) == isinstance(event, NoteOff)
        sounding ^= {place}
    assert not sounding
    assert carry_out(second, steps) == sent
