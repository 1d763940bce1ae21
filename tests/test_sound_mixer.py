"""The mixer: sample-exact starts, releases, pedal, stealing and gains, without clicks or clipping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livebach.music.events import ControlChange, Event, NoteOff, NoteOn, ProgramChange
from livebach.sound import limiter
from livebach.sound import mixer as mixing
from livebach.sound.bank import Bank, Stored
from livebach.sound.instruments import INSTRUMENTS, pan
from livebach.sound.mixer import BLOCK, NOTES, Mixer
from livebach.sound.partials import RATE
from livebach.sound.room import PREDELAY_S, Room, impulse_response
from livebach.sound.voices import Rows

HZ = 187.5  # of the sine that the stand-in plays: a whole number of cycles in its loop
AMPLITUDE = 0.02


class Sines:
    """A stand-in for a bank: every key is the same endless sine, so each click shows."""

    def __init__(self, start: float = 0.0) -> None:
        phase = 2 * np.pi * HZ * np.arange(RATE) / RATE + start
        samples = np.rint(32_000 * np.sin(phase)).astype(np.int16)
        self.layer = Stored(samples, AMPLITUDE / 32_000, 0)

    def key(self, key: int) -> Mapping[str, Stored]:
        """Return the sine."""
        del key
        quiet = Stored(np.zeros(100, np.int16), 1.0, -1)
        return {"body": self.layer, "bright": quiet, "release": quiet}


@pytest.fixture
def dry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No room: what is heard is what the voices play."""
    monkeypatch.setattr(Room, "answer", lambda self, sent: np.zeros((2, BLOCK), np.float32))


def played(mixer: Mixer, *events: tuple[int, Event], blocks: int = 60) -> np.ndarray:
    """Schedule events and return what sounds, [samples, 2]."""
    for sample, event in events:
        mixer.schedule(sample, event)
    return np.concatenate([mixer.mix().copy() for _ in range(blocks)])


def bend(sound: np.ndarray) -> float:
    """Return the greatest second difference: of a sine it is small, of a step as large as the step."""
    return float(np.abs(np.diff(sound, 2, axis=0)).max())


SMOOTH = AMPLITUDE * (2 * np.pi * HZ / RATE) ** 2
"""The greatest second difference of the stand-in's sine at full level."""


def sines(instrument: str = "organ") -> Mixer:
    """Return a mixer that plays the stand-in."""
    return Mixer(instrument, lambda _: Sines())


@pytest.mark.usefixtures("dry")
@given(st.integers(0, 5 * BLOCK))
def test_a_note_starts_on_its_very_sample(sample: int) -> None:
    """What comes out is silent up to the sample at which the note is due, and then the note from its first sample."""
    mixer = Mixer("organ", lambda _: Sines(start=np.pi / 2))
    sound = played(mixer, (sample, NoteOn(60, 100)), blocks=8)
    left, _ = pan(INSTRUMENTS["organ"], 60)
    assert not sound[:sample].any()
    wanted = Sines(start=np.pi / 2).layer.samples[: len(sound) - sample] * (AMPLITUDE / 32_000) * left
    np.testing.assert_allclose(sound[sample:, 0], wanted, atol=1e-6)


@pytest.mark.usefixtures("dry")
@settings(max_examples=20)
@given(st.integers(0, 3 * BLOCK), st.integers(1, 3 * BLOCK), st.sampled_from(list(INSTRUMENTS)))
def test_a_release_makes_no_click(on: int, length: int, instrument: str) -> None:
    """A key that comes up, wherever the sine is then, makes no step: the second difference stays that of a decay."""
    sound = played(sines(instrument), (on, NoteOn(60, 127)), (on + length, NoteOff(60)), blocks=160)
    assert bend(sound[on + 3 :]) < 2 * SMOOTH
    assert not sound[-BLOCK:].any()


@pytest.mark.usefixtures("dry")
@settings(max_examples=4)
@given(st.integers(0, BLOCK))
def test_stealing_and_striking_again_make_no_click(shift: int) -> None:
    """More notes than there may be, and one key again and again: no step where a note gives way."""
    many = [(7 * RATE // 100 * n + shift, NoteOn(30 + n, 127)) for n in range(NOTES + 8)]
    again = [(RATE // 20 * n + shift, NoteOn(60, 127)) for n in range(20)]
    for events in (many, again):
        mixer = Mixer("organ", lambda _: Sines())
        sound = played(mixer, *events, blocks=(events[-1][0] + RATE // 5) // BLOCK)
        starts = np.zeros(len(sound), bool)
        for sample, _ in events:  # the stand-in begins with a corner of its own
            starts[sample : sample + 3] = True
        second = np.abs(np.diff(sound, 2, axis=0)).max(axis=1)
        sounding = min(len(events), NOTES + 8)
        assert second[~starts[2:]].max() < 1.6 * SMOOTH * sounding


@pytest.mark.usefixtures("dry")
def test_a_click_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure bites: with fades of one sample instead of milliseconds, both tests above would fail."""
    hard = np.array([1.0, 0.0], np.float32)
    monkeypatch.setattr(mixing, "decay", lambda _: hard)
    sound = played(sines(), (0, NoteOn(60, 127)), (640, NoteOff(60)))
    assert bend(sound[3:]) > 20 * SMOOTH


@pytest.mark.usefixtures("dry")
def test_the_least_missed_note_gives_way() -> None:
    """With all places taken, a released note goes first, then one that only the pedal holds, then the oldest."""
    mixer = sines()
    notes = [(n, NoteOn(30 + n, 100)) for n in range(NOTES)]
    played(mixer, *notes, (100, NoteOff(40)), blocks=2)
    for key, gone in ((100, 40), (101, 30), (102, 31)):
        mixer.schedule(mixer.sample, NoteOn(key, 100))
        mixer.mix()
        assert {note.key for note in mixer._notes if note.gone} >= {gone}
    assert sum(not note.gone for note in mixer._notes) == NOTES


@pytest.mark.usefixtures("dry")
def test_the_pedal_holds_what_keys_let_go() -> None:
    """With the pedal down a lifted key sounds on; when the pedal comes up, it ends; a key that is down stays."""
    events = [(0, ControlChange(64, 127)), (0, NoteOn(60, 100)), (0, NoteOn(64, 100)), (480, NoteOff(60))]
    mixer = sines("piano")
    played(mixer, *events, blocks=40)
    assert mixer.notes == 2
    played(mixer, (mixer.sample, ControlChange(64, 0)), blocks=200)
    assert [note.key for note in mixer._notes] == [64]


@pytest.mark.usefixtures("dry")
def test_high_strings_of_the_piano_have_no_damper() -> None:
    """A key above the dampers rings on after it came up; one below does not."""
    mixer = sines("piano")
    played(mixer, (0, NoteOn(100, 100)), (0, NoteOn(60, 100)), (10, NoteOff(100)), (10, NoteOff(60)), blocks=200)
    assert [note.key for note in mixer._notes] == [100]


@pytest.mark.usefixtures("dry")
def test_volume_and_expression_move_smoothly() -> None:
    """A controller that jumps makes no step, and a channel's volume concerns that channel only."""
    mixer = sines()
    sound = played(mixer, (0, NoteOn(60, 100)), (0, NoteOn(62, 100, 1)), (4800, ControlChange(7, 0)), blocks=60)
    assert bend(sound[3:]) < 2.5 * 2 * SMOOTH
    one = played(sines(), (0, NoteOn(62, 100)), blocks=60)
    np.testing.assert_allclose(np.abs(sound[-2400:]).max(), np.abs(one[-2400:]).max(), rtol=0.02)


@pytest.mark.usefixtures("dry")
@pytest.mark.parametrize("control", [120, 123])
def test_all_notes_off_and_all_sound_off_end_their_channel(control: int) -> None:
    """Both leave silence on their channel, without a step, and other channels alone."""
    mixer = sines()
    sound = played(mixer, (0, NoteOn(60, 100)), (0, NoteOn(60, 100, 3)), (1000, ControlChange(control, 0)), blocks=200)
    assert [note.channel for note in mixer._notes] == [3]
    assert bend(sound[3:]) < 2 * 2 * SMOOTH


def test_programs_choose_the_instrument_of_a_channel() -> None:
    """General MIDI's harpsichord, church organ and piano are played by these; any other program by the default."""
    asked: list[str] = []

    def bank(name: str) -> Sines:
        asked.append(name)
        return Sines()

    mixer = Mixer("piano", bank)
    for number in (7, 20, 1, 74):
        mixer.schedule(mixer.sample, ProgramChange(number - 1, 2))
        mixer.schedule(mixer.sample, NoteOn(60, 80, 2))
        mixer.mix()
    assert asked == ["harpsichord", "organ", "piano", "piano"]


@pytest.mark.usefixtures("dry")
def test_the_percussion_channel_clicks() -> None:
    """The metronome's two keys sound, differently, and end by themselves."""
    sounds = []
    for key in (76, 77):
        mixer = sines()
        sounds.append(played(mixer, (0, NoteOn(key, 110, 9)), blocks=80))
        assert not mixer.notes
    assert np.abs(sounds[0]).max() > 0.01
    assert np.abs(sounds[0] - sounds[1]).max() > 0.01


@pytest.mark.usefixtures("dry")
def test_a_note_that_is_not_rendered_yet_begins_when_it_is() -> None:
    """A key that the bank lacks starts as soon as it has it, unless it comes up before, or it takes too long."""
    there: dict[int, Sines] = {}

    class Late:
        def key(self, key: int) -> Mapping[str, Stored] | None:
            return there[key].key(key) if key in there else None

    mixer = Mixer("organ", lambda _: Late())
    played(mixer, (0, NoteOn(60, 100)), (0, NoteOn(61, 100)), (500, NoteOff(61)), blocks=5)
    assert not mixer.notes
    there[60] = there[61] = Sines()
    mixer.mix()
    assert [note.key for note in mixer._notes] == [60]
    played(mixer, (mixer.sample, NoteOn(70, 100)), blocks=RATE // 2 // BLOCK)
    there[70] = Sines()
    mixer.mix()
    assert [note.key for note in mixer._notes] == [60]


def test_late_events_are_counted_and_done_at_once() -> None:
    """An event whose sample has been mixed already happens at the start of the next block."""
    mixer = sines()
    played(mixer, blocks=4)
    mixer.schedule(100, NoteOn(60, 100))
    assert np.abs(mixer.mix()).max() > 0
    assert mixer.late == 1


@pytest.fixture(scope="module")
def banks(sound_folder: Path) -> dict[str, Bank]:
    """The real banks; only the keys that are played are rendered."""
    return {name: Bank(name, folder=sound_folder) for name in INSTRUMENTS}


CHORDS = {
    "cluster": list(range(55, 71)),
    "bass": list(range(28, 60, 2)),
    "fifths": [24 + 5 * n for n in range(16)],
    "thirds": [31 + 4 * n for n in range(16)],
}


@pytest.mark.parametrize("chord", CHORDS)
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_sixteen_voices_do_not_clip(instrument: str, chord: str, banks: dict[str, Bank]) -> None:
    """Sixteen keys struck at the same sample with all force are turned down smoothly, neither clipped nor bent."""
    bank = banks[instrument]
    for key in CHORDS[chord]:
        bank.obtain(key)
    mixer = Mixer(instrument, banks.get)
    sound = played(mixer, *((100, NoteOn(key, 127)) for key in CHORDS[chord]), blocks=300)
    assert 0.05 < np.abs(sound).max() < limiter._KNEE


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_real_notes_start_and_end_without_a_click(instrument: str, banks: dict[str, Bank]) -> None:
    """A note rises from zero, and its release has no step that is large beside its own course."""
    for key in (33, 60, 84):
        banks[instrument].obtain(key)
        mixer = Mixer(instrument, banks.get)
        sound = played(mixer, (RATE // 10, NoteOn(key, 127)), (RATE // 2, NoteOff(key)), blocks=600)
        steps = np.abs(np.diff(sound[:, 0]))
        own = steps[RATE // 10 + 480 : RATE // 2].max()
        assert np.abs(sound[: RATE // 10 + 5]).max() < 0.1 * np.abs(sound).max()
        around = steps[RATE // 2 - 5 : RATE // 2 + 5].max()
        assert around <= own
        assert np.abs(sound[-10:]).max() < 1e-4


def test_far_too_many_voices_stay_below_full_scale() -> None:
    """Whatever is played, no sample leaves -1..1."""
    loud = Sines()
    loud.layer = Stored(loud.layer.samples, 0.5 / 32_000, 0)
    mixer = Mixer("organ", lambda _: loud)
    sound = played(mixer, *((0, NoteOn(40 + n, 127)) for n in range(30)), blocks=40)
    assert 0.65 < np.abs(sound).max() <= 1


def test_the_limiter_turns_down_smoothly_and_up_slowly() -> None:
    """A loud passage is held at the ceiling without a step in the gain; quiet sound before it passes unchanged."""
    sine = np.sin(2 * np.pi * 200 * np.arange(200 * BLOCK) / RATE).astype(np.float32)
    loudness = np.where((np.arange(len(sine)) >= 20 * BLOCK) & (np.arange(len(sine)) < 60 * BLOCK), 3.0, 0.3)
    sent = np.stack([sine * loudness, 0.5 * sine * loudness]).astype(np.float32)
    limit = limiter.Limiter()
    blocks = np.split(sent.copy(), 200, axis=1)
    heard = np.concatenate([limit.limit(block) for block in blocks], axis=1)
    np.testing.assert_array_equal(heard[:, : 20 * BLOCK], sent[:, : 20 * BLOCK])
    assert 0.65 < np.abs(heard).max() <= 0.9
    gains = heard[0][np.abs(sent[0]) > 0.01] / sent[0][np.abs(sent[0]) > 0.01]
    assert np.abs(np.diff(gains)).max() < 0.05
    assert 0.24 < gains[-1] <= 1


def test_the_room_is_a_convolution_with_its_impulse_response() -> None:
    """Block by block, the room answers what one long convolution gives."""
    rng = np.random.default_rng(3)
    sent = rng.standard_normal(40 * BLOCK).astype(np.float32)
    room = Room(BLOCK)
    heard = np.concatenate([room.answer(block) for block in sent.reshape(-1, BLOCK)], axis=1)
    for side in (0, 1):
        wanted = np.convolve(sent, impulse_response()[side])[: len(sent)]
        np.testing.assert_allclose(heard[side], wanted, atol=1e-3)
    assert not impulse_response()[:, : round(PREDELAY_S * RATE)].any()


def test_a_silent_room_costs_nothing_and_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long silence the room computes nothing; what is sent then is answered as by a new room."""
    burst = np.random.default_rng(5).standard_normal((3, BLOCK)).astype(np.float32)
    silence = np.zeros(BLOCK, np.float32)
    used, new = Room(BLOCK), Room(BLOCK)
    for block in burst:
        used.answer(block)
    heard = [used.answer(silence) for _ in range(300)]
    assert np.abs(heard[0]).max() > 0.1
    with monkeypatch.context() as patch:
        patch.setattr(np.fft, "rfft", None)
        assert not used.answer(silence).any()
    for block in [*burst, silence, silence]:
        np.testing.assert_allclose(used.answer(block), new.answer(block), atol=1e-6)


def test_rows_are_given_back() -> None:
    """After many notes have come and gone every row is free again, and silence is exact."""
    mixer = sines()
    rows = mixer._rows
    assert isinstance(rows, Rows)
    before = rows.free
    events = [(n * 500, event) for n in range(60) for event in (NoteOn(40 + n % 30, 90), NoteOff(40 + n % 30))]
    played(mixer, *events, blocks=400)
    assert rows.free == before
    assert not rows.mixed().any()
