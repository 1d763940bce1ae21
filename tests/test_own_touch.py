"""The touch of the network's notes: loudness, offsets and pedal, and equal results for equal seeds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from statistics import mean, pstdev

import numpy as np
import pytest

from livebach.config import Config, ConfigError, override
from livebach.errors import UserError
from livebach.live import assembly
from livebach.music.events import SUSTAIN, ControlChange, Event, NoteOff, NoteOn
from livebach.music.grid import Grid
from livebach.music.roll import HOLD, LOW_KEY, ONSET
from livebach.music.touch import Pedal, Sounded
from livebach.musician.listener import Listener
from livebach.musician.musician import Musician
from livebach.musician.outlet import Delayed, Outlet
from livebach.musician.touch import TouchPlayer
from livebach.network import checkpoint, touch_checkpoint
from livebach.network.touch import TouchNetwork
from livebach.testing import ScriptedEngine
from tests.support.driven import OWN, START, TICK, Take

NETWORK = TouchNetwork(touch_checkpoint.load(touch_checkpoint.default_path()))
EVERY_TICK = [{key: ONSET} for key in (60, 64, 67, 72)]
THREE_A_BEAT = [{72: ONSET, 48: ONSET}, {76: ONSET}, {}, {79: ONSET}]
LONG_SHORT = [{72: ONSET, 48: ONSET}, {72: HOLD}, {72: HOLD}, {79: ONSET}]


def take(script: list[dict[int, int]], *assignments: str) -> Take:
    """A take whose notes are played by the network that comes with livebach."""
    made = Take(script, *assignments)
    config = Config()
    for assignment in ("time.bpm=120", *assignments):
        config = override(config, assignment)
    made.engine = ScriptedEngine(script)
    made.musician = Musician(made.engine, config, seed=1, start_s=START - 100 * TICK, touch=NETWORK)
    return made


def play(made: Take, times: list[float], velocity: int = 70, length: float = 0.4) -> Take:
    """Play a rising figure at these times, in ticks."""
    moments: list[tuple[float, Event]] = []
    for i, at in enumerate(times):
        key = 60 + (0, 4, 7, 12)[i % 4]
        moments += [(at, NoteOn(key, velocity + 3 * (i % 4))), (at + length, NoteOff(key))]
    for at, event in sorted(moments, key=lambda moment: moment[0]):
        made.feed(at, event)
    return made


def own(made: Take) -> list[tuple[float, NoteOn]]:
    """What the network struck, with the times in ticks."""
    return [(at, event) for at, event in made.sent if isinstance(event, NoteOn) and event.channel == OWN]


def parts(made: Take) -> set[int]:
    """Where between the ticks the network's notes begin, in 24ths of a quarter note."""
    return {round((at % 1) * 6) % 6 for at, _ in own(made)}


STRAIGHT = [float(n) for n in range(64)]
TRIPLETS = [n * 4 / 3 for n in range(48)]
THIRTY_SECONDS = [n / 2 for n in range(128)]
SWING = [beat * 4 + off for beat in range(16) for off in (0, 8 / 3)]


def test_straight_playing_is_answered_exactly_on_the_ticks() -> None:
    """A little early or late is no offset either."""
    rng = np.random.default_rng(0)
    ragged = [at + float(np.clip(rng.normal(0, 0.08), -0.2, 0.2)) for at in STRAIGHT[1:]]
    for times in (STRAIGHT, [0.0, *ragged]):
        made = play(take(EVERY_TICK), times).run(200)
        assert len(own(made)) > 60
        assert parts(made) == {0}


@pytest.mark.parametrize(
    ("script", "times", "wanted"),
    [(THREE_A_BEAT, TRIPLETS, {0, 2, 4}), (LONG_SHORT, SWING, {0, 4})],
)
def test_triplets_and_swing_are_answered_by_their_like(
    script: list[dict[int, int]], times: list[float], wanted: set[int]
) -> None:
    """Every note is where the player strikes at that place in the beat: the third of a triplet before its tick."""
    made = play(take(script), times).run(240)
    assert len(own(made)) > 30
    assert parts(made) == wanted


@pytest.mark.parametrize("early", [-0.06, 0.06])
@pytest.mark.parametrize(("times", "wanted"), [(TRIPLETS, {0, 2, 4}), (SWING, {0, 4})])
def test_who_plays_triplets_or_swing_a_little_early_or_late_is_understood(
    times: list[float], wanted: set[int], early: float
) -> None:
    """By 60 thousandths of a tick, and unevenly besides; the first key sets the grid."""
    rng = np.random.default_rng(0)
    ragged = [at - early + float(np.clip(rng.normal(0, 0.04), -0.08, 0.08)) for at in times[1:]]
    made = play(take(LONG_SHORT if times is SWING else THREE_A_BEAT), [0.0, *ragged]).run(240)
    assert parts(made) == wanted


def test_in_a_duet_the_swung_key_of_a_tick_is_given_and_answered_at_its_time() -> None:
    """The notes come 30 ms after the player's, also those before their tick; none is in the middle of a beat."""
    made = play(take([{36: ONSET}], "turns.mode=duet"), SWING, length=0.9)
    delay = 0.03 / TICK
    made.sent.clear()
    made.engine.draws.clear()
    made.feed(64, NoteOn(60, 70))
    made.feed(64.9, NoteOff(60))
    made.feed(64 + 8 / 3, NoteOn(67, 70))
    made.run(66.99)
    assert made.engine.draws[-1][0][67 - LOW_KEY] == ONSET
    assert [round((at - delay - 64) * 6) for at, _ in own(made)] == [0, 8, 16]


@pytest.mark.parametrize("off", [1 / 3, 0.45, -1 / 3])
def test_who_has_left_the_grid_is_answered_on_the_ticks(off: float) -> None:
    """A tempo of one's own is no swing: all strokes are late, or early, those on the beat too."""
    made = play(take(EVERY_TICK), [0.0, *(at + off for at in STRAIGHT[1:])]).run(240)
    assert len(own(made)) > 60
    assert parts(made) == {0}


def test_full_chords_on_the_beat_do_not_hide_a_swinging_melody() -> None:
    """The keys of a chord count once."""
    made = take(LONG_SHORT)
    for beat in range(16):
        chord = [NoteOn(key, 70) for key in (36, 43, 48, 52, 55, 60)]
        made.feed(beat * 4, *chord)
        made.feed(beat * 4 + 2, *(NoteOff(event.key) for event in chord))
        made.feed(beat * 4 + 8 / 3, NoteOn(72, 70))
        made.feed(beat * 4 + 3.5, NoteOff(72))
    made.run(240)
    assert parts(made) == {0, 4}


@pytest.mark.parametrize("apart", [0.1, 0.16, 0.22, 0.28])
@pytest.mark.parametrize(("times", "wanted"), [(STRAIGHT[::2], {0}), (SWING, {0, 4})])
def test_rolled_chords_are_no_rhythm(times: list[float], wanted: set[int], apart: float) -> None:
    """Whether a roll ends before the middle of its tick or after it; nor do they hide one."""
    made, moments = take(LONG_SHORT if times is SWING else EVERY_TICK), []
    rolls = [(at + apart * n, key) for at in STRAIGHT[::8] for n, key in enumerate((36, 40, 43, 48))]
    for at, key in (*rolls, *((at, 72) for at in times)):
        moments += [(at, NoteOn(key, 70)), (at + 1.2, NoteOff(key))]
    for at, event in sorted(moments, key=lambda moment: moment[0]):
        made.feed(at, event)
    made.run(240)
    assert len(own(made)) > 60
    assert parts(made) == wanted


def test_the_harpsichord_swings_too() -> None:
    """It has no dynamics, but time."""
    made = play(take(LONG_SHORT, "sound.instrument=harpsichord"), SWING).run(240)
    assert parts(made) == {0, 4}
    assert {note.velocity for _, note in own(made)} == {72}


def test_a_synth_with_latency_gets_the_third_of_a_triplet_as_early_as_can_be() -> None:
    """The tick before must be closed: with 40 ms of 125 the note is sent as early as without triplets, not sooner."""
    made = play(take(THREE_A_BEAT, "midi.latency_ms=40"), TRIPLETS).run(240)
    early = 0.04 / TICK
    assert {round((at + early) % 1, 2) % 1 for at, _ in own(made)} == {0.0, 0.33, 0.77}


def remembered(times: list[float]) -> list[tuple[int, int]]:
    """The tick in the beat and the offset of each stroke of a listener's memory."""
    made = take(THREE_A_BEAT, "turns.mode=listen")
    heard: list[tuple[int, int]] = []
    touch = made.musician.performance.own.touch
    observe = touch.observe

    def noted(
        own: object, touch: object, player: object, struck: dict[int, Sounded], place: tuple[int, ...], *rest: object
    ) -> None:
        heard.extend((place[0] % 4, sounded.offset) for sounded in struck.values())
        observe(own, touch, player, struck, place, *rest)  # type: ignore[arg-type]

    touch.observe = noted  # type: ignore[method-assign]
    play(made, times, length=0.2).run(80)
    assert len(heard) == len(times)
    return heard


def test_what_is_played_between_the_ticks_is_remembered_there() -> None:
    """Triplets are on the ticks 0, 1 and 3 of a beat, as in a score that is rounded to ticks, with their offsets."""
    heard = remembered(TRIPLETS)
    assert [tick for tick, _ in heard] == [0, 1, 3] * 16
    assert heard[12:] == [(0, 0), (1, 2), (3, -2)] * 12


def test_32nds_are_remembered_with_the_even_ticks() -> None:
    """As in a score that is rounded to ticks."""
    heard = remembered(THIRTY_SECONDS)
    assert heard[32:40] == [(0, 0), (0, 3), (1, 0), (2, -3), (2, 0), (2, 3), (3, 0), (0, -3)]
    assert heard[32:] == heard[32:40] * 12


def test_a_loud_player_is_answered_loudly() -> None:
    """The mean goes with the player's; the notes differ among themselves."""
    found = {}
    for velocity in (35, 95):
        made = play(take(THREE_A_BEAT), STRAIGHT, velocity).run(240)
        found[velocity] = [note.velocity for _, note in own(made)]
        assert pstdev(found[velocity]) > 1
    assert abs(mean(found[35]) - 39) < 15
    assert abs(mean(found[95]) - 99) < 15


@pytest.mark.parametrize("loudness", [30, 72, 110])
@pytest.mark.parametrize("heard", [0, 1, 4, 16])
def test_it_is_as_loud_as_the_player_who_has_played_little(loudness: int, heard: int) -> None:
    """And as loud as is set, before anybody has played. The network alone would fall back to a usual loudness."""
    player, found = TouchPlayer(NETWORK, 1, loudness if heard == 0 else 72), []
    low, high = (30, 42, 37, 46), (49, 51, 53, 54)
    for tick in range(heard * 4 + 256):
        place, keys = (tick % 16, 4, 16), [low[tick // 4 % 4], high[tick // 2 % 4]][: 1 + tick % 2]
        if tick % 4 == 0 and tick < heard * 4:
            player.observe({keys[0]: Sounded(loudness, 0)}, {}, [], place, Pedal.UP)
        elif tick < heard * 4:
            player.observe({}, {}, [], place, Pedal.UP)
        else:
            played = player.play(keys, {}, [], place)
            found += [sounded.velocity for sounded in played.values()]
            player.observe({}, played, [], place, Pedal.UP)
    usual = 72 if heard else loudness
    wanted = loudness + (usual - loudness) / (1 + heard)
    assert abs(mean(found) - wanted) < 10


def test_the_same_seed_and_playing_give_the_same_touch() -> None:
    """Velocities, times and pedal; another seed gives others."""
    once, again = (play(take(THREE_A_BEAT), TRIPLETS).run(240).sent for _ in range(2))
    assert once == again
    assert any(isinstance(event, NoteOn) for _, event in once)


def test_follow_and_a_number_need_no_network() -> None:
    """On the ticks; as loud as the player, or always so loud."""
    follow = play(take(THREE_A_BEAT, "sound.touch=follow"), TRIPLETS).run(240)
    assert parts(follow) == {0}
    fixed = play(take(THREE_A_BEAT, "sound.touch=50"), TRIPLETS).run(240)
    assert {note.velocity for _, note in own(fixed)} == {50}
    without = play(Take(THREE_A_BEAT, "sound.touch=learned"), TRIPLETS).run(240)
    assert [(at, note) for at, note in own(without)] == own(follow)


@pytest.mark.parametrize(
    "setting",
    [f"sound.instrument={name}" for name in ("harpsichord", "organ")] + [f"midi.program={n}" for n in (7, 8, 17, 24)],
)
def test_harpsichord_and_organ_have_neither_dynamics_nor_pedal(setting: str) -> None:
    """All notes are alike, and the pedal never moves, on built-in instruments and on a synth's programs."""
    made = play(take(THREE_A_BEAT, setting, "sound.pedal=on"), STRAIGHT).run(240)
    assert {note.velocity for _, note in own(made)} == {72}
    assert not pedal_moves(made)


def test_a_program_counts_before_the_instrument_and_a_number_counts_always() -> None:
    """As they do for the sound: program 1 is a piano on the harpsichord too."""
    piano = play(take(THREE_A_BEAT, "sound.instrument=harpsichord", "midi.program=1"), STRAIGHT).run(240)
    assert len({note.velocity for _, note in own(piano)}) > 5
    organ = play(take(THREE_A_BEAT, "sound.instrument=organ", "sound.touch=100"), STRAIGHT).run(240)
    assert {note.velocity for _, note in own(organ)} == {100}


def pedal_moves(made: Take) -> list[tuple[float, int]]:
    """When the network's pedal went down and came up."""
    found = [(at, event) for at, event in made.sent if isinstance(event, ControlChange)]
    return [(at, event.value) for at, event in found if event.control == SUSTAIN and event.channel == OWN]


def test_it_pedals_if_the_player_does() -> None:
    """Without being asked to, only then; with `off` never; and the pedal is up when the player returns."""
    for setting, pedals in (("follow", True), ("off", False)):
        made = take(THREE_A_BEAT, f"sound.pedal={setting}")
        for at in range(0, 64, 8):
            made.feed(at, NoteOn(48), NoteOn(60))
            made.feed(at + 0.6, ControlChange(SUSTAIN, 127))
            made.feed(at + 7, NoteOff(48), NoteOff(60))
            made.feed(at + 7.5, ControlChange(SUSTAIN, 0))
        made.run(300)
        assert bool(pedal_moves(made)) is pedals
        made.feed(300.5, NoteOn(60))
        assert not pedal_moves(made) or pedal_moves(made)[-1][1] == 0
    made = play(take(THREE_A_BEAT), STRAIGHT).run(240)
    assert not pedal_moves(made)


def test_the_pedal_goes_up_and_down_in_turn() -> None:
    """Pressed where it is up and lifted where it is down, whatever was chosen; at the end it is up."""
    made = play(take(THREE_A_BEAT, "sound.pedal=on"), STRAIGHT).run(400)
    values = [value for _, value in pedal_moves(made)]
    assert len(values) > 4
    assert values == ([127, 0] * len(values))[: len(values)]
    made.sent += [(400.0, event) for event in made.musician.stop(START + 400 * TICK)]
    assert pedal_moves(made)[-1][1] == 0


def test_the_pedal_is_up_once_the_network_has_ended() -> None:
    """Also where no note of its own sounds any more."""
    made = play(take(THREE_A_BEAT, "sound.pedal=on", "turns.bars=2", "turns.ending=cut"), STRAIGHT[:16]).run(150)
    assert pedal_moves(made)
    assert pedal_moves(made)[-1][1] == 0


def test_the_pedal_of_a_shared_channel_is_the_players() -> None:
    """Who pedals on the network's channel is not lifted by it."""
    made = take(THREE_A_BEAT, "sound.pedal=on")
    made.feed(0, NoteOn(60, 70, OWN), ControlChange(SUSTAIN, 127, OWN))
    made.feed(4, NoteOff(60, 0, OWN), ControlChange(SUSTAIN, 0, OWN))
    made.run(150)
    assert own(made)
    assert not pedal_moves(made)


def test_a_late_note_never_starts_after_the_player_has_returned() -> None:
    """Every note-on of the network's has its note-off, in order."""
    made = play(take(THREE_A_BEAT), TRIPLETS)
    made.run(150.3)
    made.feed(150.4, NoteOn(50))
    made.run(170)
    down: set[int] = set()
    for _, event in made.sent:
        if isinstance(event, NoteOn) and event.channel == OWN:
            assert event.key not in down
            down.add(event.key)
        elif isinstance(event, NoteOff) and event.channel == OWN:
            down.discard(event.key)
    assert not down


def test_the_first_touch_of_a_key_counts_within_a_tick() -> None:
    """The same key twice in one 16th: the second is lost, as the roll has one onset a tick."""
    listener = Listener()
    listener.receive(NoteOn(60, 30), 1.0)
    listener.receive(NoteOff(60), 1.02)
    listener.receive(NoteOn(60, 90), 1.04)
    strikes = listener.strikes(math.inf)
    assert [(strike.time_s, strike.velocity) for strike in strikes.values()] == [(1.0, 30)]


def test_duet_takes_the_keys_of_the_same_tick_into_account() -> None:
    """The player's keys are given with how they were struck; only the network's own are chosen."""
    player = TouchPlayer(NETWORK, 1)
    place = (0, 4, 16)
    played = player.play([72, 60], {65: Sounded(80, 2)}, [40], place)
    assert set(played) == {72, 60}
    assert all(1 <= sounded.velocity <= 127 for sounded in played.values())


def test_outlet_holds_a_controller_back_and_drops_it_for_a_newer_one() -> None:
    """A pedal that was to go down does not, once it is lifted at once."""
    outlet = Outlet(Config(), 1)
    down, up = ControlChange(SUSTAIN, 127, OWN), ControlChange(SUSTAIN, 0, OWN)
    assert outlet.send([Delayed(down, 0.1)], 1.0, TICK) == []
    assert outlet.next_s() == pytest.approx(1.1)
    assert outlet.send([], 1.1, TICK) == [down]
    assert outlet.send([Delayed(down, 0.1)], 2.0, TICK) == []
    assert outlet.send([up], 2.05, TICK) == [up]
    assert outlet.send([], 2.2, TICK) == []


def test_ticks_close_half_way_and_for_32nds_a_little_later_or_sooner() -> None:
    """A 32nd is the even tick's beside it, as in a score that is rounded to ticks."""

    def closes(times: list[float]) -> tuple[float, float]:
        grid = play(take(EVERY_TICK, "turns.mode=listen"), times).musician.performance.time.grid
        return grid.closes, grid.odd_closes

    assert closes(STRAIGHT[:24]) == closes(TRIPLETS[:24]) == closes(SWING[:24]) == (0.5, 0.5)
    assert closes(THIRTY_SECONDS[:24]) == pytest.approx((7 / 12, 5 / 12))
    grid = Grid(0, TICK, 4, 16, 7 / 12, 5 / 12)
    assert [round(grid.close_s(tick) / TICK, 3) for tick in (-1, 0, 1, 2)] == [-0.583, 0.583, 1.417, 2.583]


def test_settings_of_touch() -> None:
    """What can be, and the former name."""
    assert Config().sound.touch == "learned"
    with pytest.raises(ConfigError, match=r"sound\.touch must be learned or follow or a whole number in 1\.\.127"):
        override(Config(), "sound.touch=loud")
    with pytest.raises(ConfigError, match=r"sound\.touch"):
        override(Config(), "sound.velocity=follow")


def test_a_take_is_played_by_the_touch_network_that_comes_with_livebach() -> None:
    """Its SHA-256 is in the log, so that a replay knows whether it is the same."""
    network = assembly.with_touch(assembly.Loaded(ScriptedEngine(), "x", "0" * 64))  # type: ignore[arg-type]
    header = assembly.header(override(Config(), "sampling.seed=1"), network, 0.0)
    assert len(header.touch_sha256) == 64


def test_a_touch_network_of_ones_own(tmp_path: Path) -> None:
    """The settings name its file; where that is missing or no touch network, one line says so."""
    mine, frames = tmp_path / "mine.safetensors", checkpoint.default_path()
    shipped = touch_checkpoint.load(touch_checkpoint.default_path())
    touch_checkpoint.save(mine, replace(shipped, meta={"name": "mine"}))
    network = assembly.configured_network(override(Config(), f"engine.touch_checkpoint={mine}"))
    assert network.touch is not None
    assert network.touch.meta == {"name": "mine"}
    assert network.touch_sha256 == checkpoint.fingerprint(mine)
    assert assembly.configured_network(Config()).touch_sha256 != network.touch_sha256
    for wrong, why in (
        (tmp_path / "no.safetensors", "cannot be read: No such file"),
        (frames, "format must be livebach-touch"),
    ):
        with pytest.raises(UserError, match=rf"engine\.touch_checkpoint: {wrong}: .*{why}"):
            assembly.configured_network(override(Config(), f"engine.touch_checkpoint={wrong}"))
