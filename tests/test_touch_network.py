"""The touch network: its twins in torch, its file, and its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.score_reader import CorpusError
from livebach.music.touch import LATEST, OFFSETS, PARTS, Pedal, tick_and_offset
from livebach.network import touch_checkpoint
from livebach.network.touch import TouchNetwork
from livebach.network.touch_checkpoint import TouchError
from livebach.network.touch_memory import VELOCITY_CENTRE, VELOCITY_UNIT, TouchMemory
from livebach.network.touch_shape import INPUTS, MATCH_INPUTS, VELOCITY_INPUTS, TouchShape
from livebach.network.velocity_kernels import VELOCITY_FEATURES
from livebach.network.velocity_memory import MOST_TURNS, VelocityMemory, in_units
from livebach.training import touch_rows
from livebach.training.performances import load_performances, read_performance, split_works, work_of
from tests.support.performances import performance

torch = pytest.importorskip("torch", reason="training needs torch")

from livebach.training.run_files import TrainingError
from livebach.training.touch_loop import TouchConfig, TouchTrainer, run
from livebach.training.touch_model import TouchModel, from_checkpoint, to_checkpoint

SMALL = TouchShape(8, 8, 8)


def small_checkpoint() -> touch_checkpoint.TouchCheckpoint:
    """A touch network of chance."""
    torch.manual_seed(0)
    return to_checkpoint(TouchModel(SMALL), {"licence": "none"})


# --- the grid between the ticks --------------------------------------------------------------------------------------


@given(st.integers(0, 10_000))
def test_a_time_is_where_its_tick_and_offset_put_it(parts: int) -> None:
    """On the tick on which it is in a score that is rounded to ticks."""
    tick, offset = tick_and_offset(parts)
    assert -LATEST <= offset <= LATEST
    assert tick * PARTS + offset == parts
    assert tick == round(parts / PARTS)


def test_the_pedal_is_read_with_notes_velocities_and_offsets(tmp_path: Path) -> None:
    """480 file ticks a quarter: a triplet is 2 parts late and 2 early; the pedal is pressed, changed and lifted."""
    track = mido.MidiTrack()
    moments = [
        (0, "note_on", {"note": 60, "velocity": 50}),
        (100, "control_change", {"control": 64, "value": 127}),
        (20, "note_off", {"note": 60, "velocity": 0}),
        (40, "note_on", {"note": 60, "velocity": 99}),
        (130, "control_change", {"control": 64, "value": 0}),
        (160, "note_on", {"note": 62, "velocity": 70}),
        (200, "control_change", {"control": 64, "value": 100}),
        (320, "note_on", {"note": 64, "velocity": 90}),
        (470, "note_on", {"note": 65, "velocity": 91}),
        (490, "control_change", {"control": 64, "value": 10}),
        (600, "note_off", {"note": 65, "velocity": 0}),
    ]
    before = 0
    for time, kind, values in sorted(moments, key=lambda moment: moment[0]):
        track.append(mido.Message(kind, time=time - before, **values))
        before = time
    midi = mido.MidiFile(ticks_per_beat=480)
    midi.tracks.append(track)
    midi.save(tmp_path / "x.mid")
    piece = read_performance(tmp_path / "x.mid", "x.mid")
    assert piece.tick.tolist() == [0, 1, 3, 4]
    assert piece.offset.tolist() == [0, 2, -2, 0]
    assert piece.velocity.tolist() == [50, 70, 90, 91]
    assert piece.pedal[:5].tolist() == [Pedal.PRESSED, Pedal.CHANGED, Pedal.DOWN, Pedal.DOWN, Pedal.LIFTED]
    assert (piece.key + 21).tolist() == [60, 62, 64, 65]
    assert piece.lost.tolist() == [1, 0, 0, 0, 0]


def test_performances_come_from_the_cache_as_they_were_read(tmp_path: Path) -> None:
    """The second reading opens no MIDI file anew, and a damaged cache is read anew."""
    midi = mido.MidiFile(ticks_per_beat=480)
    note = mido.Message("note_on", note=60, velocity=64), mido.Message("note_off", note=60, velocity=0, time=480)
    midi.tracks.append(mido.MidiTrack(note))
    (tmp_path / "midi").mkdir()
    midi.save(tmp_path / "midi" / "x.mid")
    first = load_performances(tmp_path / "midi", tmp_path / "cache")
    again = load_performances(tmp_path / "midi", tmp_path / "cache")
    kept = next((tmp_path / "cache").glob("*.npz"))
    kept.write_bytes(b"damaged")
    anew = load_performances(tmp_path / "midi", tmp_path / "cache")
    for other in (again, anew):
        assert other[0].name == "x.mid"
        assert np.array_equal(other[0].velocity, first[0].velocity)
        assert np.array_equal(other[0].place, first[0].place)
    with pytest.raises(CorpusError, match="no such folder"):
        load_performances(tmp_path / "nowhere")


# --- the split -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Beethoven/mond_1.mid", "Beethoven/mond_3.mid", True),
        ("Debussy/deb_clai.mid", "Debussy/deb_pass.mid", True),
        ("Chopin/chpn_op10_e01.mid", "Godowsky/god_chpn_op10_e01.mid", True),
        ("Albeniz/alb_esp2.mid", "Godowsky/god_alb_esp2.mid", True),
        ("Chopin/chpn-p1.mid", "Chopin/chpn-p24.mid", True),
        ("Chopin/chpn_op25_e1.mid", "Chopin/chpn_op10_e1.mid", False),
        ("Chopin/chpn_op23.mid", "Chopin/chpn_op53.mid", False),
        ("Mozart/mz_331_1.mid", "Mozart/mz_332_1.mid", False),
    ],
)
def test_movements_and_arrangements_are_one_work(one: str, other: str, same: bool) -> None:
    """The names of piano-midi.de tell works apart."""
    assert (work_of(one) == work_of(other)) is same


@given(
    st.dictionaries(
        st.sampled_from([f"{c}/op{n}_{m}.mid" for c in "ab" for n in range(9) for m in "123"]), st.integers(1, 500)
    )
)
def test_no_work_is_on_two_sides(notes: dict[str, int]) -> None:
    """Whatever the sizes, a work's movements stay together, and no composer's test share runs over."""
    sides = split_works(notes)
    assert set(sides) == set(notes)
    by_work: dict[str, set[str]] = {}
    for name, side in sides.items():
        by_work.setdefault(work_of(name), set()).add(side)
    assert all(len(found) == 1 for found in by_work.values())


# --- twins -----------------------------------------------------------------------------------------------------------


def test_numpy_and_torch_say_the_same() -> None:
    """Velocity, offset and pedal, note for note and tick for tick."""
    checkpoint = small_checkpoint()
    network, model = TouchNetwork(checkpoint), from_checkpoint(checkpoint).eval()
    score = touch_rows.read_score(performance())
    rows, piece = touch_rows.forced(score), score.piece
    features = rows.features.astype(np.float32)
    ours = network.velocities(features, rows.mean, rows.matched)
    away = (piece.velocity - VELOCITY_CENTRE) / VELOCITY_UNIT - ours.mean
    loss = np.log(ours.deviation) + 0.5 * (away / ours.deviation) ** 2
    tensors = [torch.from_numpy(a) for a in (features, rows.mean, rows.matched, piece.velocity.astype(np.float32))]
    with torch.no_grad():
        nats, moments = (both.numpy() for both in model.velocity_nats(*tensors))
        offsets = model.offset_nats(
            torch.from_numpy(score.offsets.astype(np.float32)),
            torch.from_numpy(score.above),
            torch.from_numpy(piece.offset.astype(np.int64) + LATEST),
        ).numpy()
        pedals = model.pedal_nats(
            torch.from_numpy(score.pedals.astype(np.float32)),
            torch.from_numpy(score.was_down),
            torch.from_numpy(piece.pedal.astype(np.int64)),
        ).numpy()
    assert np.abs(ours.mixture.nats(piece.velocity) - nats).max() < 1e-3
    assert np.allclose(loss, moments, atol=1e-3, rtol=1e-3)
    numbers = np.arange(len(piece.key))
    found = network.offsets(score.offsets.astype(np.float32), score.above)
    assert np.abs(-found[numbers, piece.offset + LATEST] - offsets).max() < 1e-3
    told = network.pedals(score.pedals.astype(np.float32), score.was_down)
    assert np.abs(-told[np.arange(piece.ticks), piece.pedal] - pedals).max() < 1e-3


def test_the_mixture_is_a_distribution() -> None:
    """Over all 127 velocities it adds up to 1."""
    network = TouchNetwork(small_checkpoint())
    rows = touch_rows.forced(touch_rows.read_score(performance(20)))
    total = np.zeros(len(rows.mean))
    mixture = network.velocities(rows.features.astype(np.float32), rows.mean, rows.matched).mixture
    for velocity in range(1, 128):
        total += np.exp(-mixture.nats(np.full(len(rows.mean), velocity)))
    assert np.abs(total - 1).max() < 1e-3


@pytest.mark.parametrize("heard", [0, 1, 60, 150])
def test_at_play_the_features_are_those_of_training(heard: int) -> None:
    """So many notes are heard, then it plays alone: what it knows of each note is what training shows it."""
    piece = performance(150)
    score = touch_rows.read_score(piece)
    first = int(score.first[heard])  # whole ticks
    known = np.arange(len(piece.key)) < first
    rows = touch_rows.velocity_rows(score, np.flatnonzero(~known), known)
    memory, velocities, found, matched, means = TouchMemory(), VelocityMemory(), [], [], []
    starts = np.searchsorted(piece.tick, np.arange(piece.ticks + 1)).tolist()
    sounding: dict[int, int] = {}
    for tick in range(piece.ticks):
        part = slice(starts[tick], starts[tick + 1])
        keys, place = piece.key[part].tolist(), tuple(piece.place[tick].tolist())
        sounding = {key: end for key, end in sounding.items() if end > tick}
        held = [key for key in sounding if key not in keys]
        matches = memory.matches(keys)
        if keys and starts[tick] >= first:
            features = np.zeros((len(keys), VELOCITY_FEATURES), np.float32)
            of_turn = velocities.matched(len(keys), matches)
            velocities.write_features(keys, tick, place, features, 0)
            timing = np.eye(OFFSETS, dtype=np.float32)[piece.offset[part] + LATEST]
            found.append(np.concatenate([memory.note_features(keys, held, place), timing, features], axis=1))
            matched.append(np.full((len(keys), 2), np.nan) if of_turn is None else of_turn)
            means += [velocities.mean] * len(keys)
        own = starts[tick] >= first
        heard_now = [float("nan")] * len(keys) if own else piece.velocity[part].tolist()
        velocities.commit(keys, heard_now, tick, place, memory.notes, matches)
        memory.commit(keys, held, place, piece.offset[part].tolist(), int(piece.pedal[tick]))
        sounding |= dict(zip(keys, piece.end[part].tolist(), strict=True))
    assert np.abs(np.concatenate(found) - rows.features).max() < 0.02  # training keeps them in 16 bits
    assert np.abs(np.array(means) - rows.mean).max() < 1e-5
    assert np.allclose(np.concatenate(matched), rows.matched, equal_nan=True)


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_touch_network_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Weights, shape, pair and metadata; and it is small."""
    checkpoint = small_checkpoint()
    touch_checkpoint.save(tmp_path / "t.safetensors", checkpoint)
    again = touch_checkpoint.load(tmp_path / "t.safetensors")
    assert again.shape == SMALL
    assert again.meta == checkpoint.meta
    assert all(np.array_equal(again.weights[name], value) for name, value in checkpoint.weights.items())
    TouchNetwork(again)


def test_a_damaged_touch_network_is_refused_in_one_line(tmp_path: Path) -> None:
    """Another pair, a tensor that is missing, a file that is none, another format."""
    checkpoint, path = small_checkpoint(), tmp_path / "t.safetensors"
    wrong = {**checkpoint.pair, "pair.pedal.out": checkpoint.pair["pair.pedal.out"] + 1}
    with pytest.raises(TouchError, match="its part pedal differs by 1"):
        TouchNetwork(replace(checkpoint, pair=wrong))
    weights = {name: value for name, value in checkpoint.weights.items() if name != "pedal.mean"}
    touch_checkpoint.save(path, replace(checkpoint, weights=weights))
    with pytest.raises(TouchError, match=r"t.safetensors: lacks pedal.mean"):
        touch_checkpoint.load(path)
    broken = {**checkpoint.weights, "pedal.mean": np.full_like(checkpoint.weights["pedal.mean"], np.nan)}
    touch_checkpoint.save(path, replace(checkpoint, weights=broken))
    with pytest.raises(TouchError, match=r"pedal\.mean has values that are not finite"):
        touch_checkpoint.load(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(TouchError, match="not a whole safetensors file"):
        touch_checkpoint.load(path)
    with pytest.raises(TouchError, match="cannot be read"):
        touch_checkpoint.load(tmp_path / "nowhere")


@pytest.mark.parametrize("value", [0, -3, 1000, 8.0, True, "8", None])
def test_a_shape_is_refused_that_no_network_has(value: object) -> None:
    """Hidden layers have 1 to 512 channels."""
    with pytest.raises(ValueError, match=r"pedal must be a whole number in 1\.\.512"):
        TouchShape.from_dict({"velocity": 8, "offset": 8, "pedal": value})


# --- training --------------------------------------------------------------------------------------------------------


def trainer(folder: Path, epochs: int = 1) -> TouchTrainer:
    """A tiny run."""
    folder.mkdir(exist_ok=True)
    config = TouchConfig(epochs=epochs, batch=64, warmup=2, learning_rate=0.02, dropout=0.0, ema_decay=0.9)
    parts = {"train": [performance(seed=n) for n in (1, 2)], "valid": [performance(seed=3)]}
    return TouchTrainer(SMALL, config, parts, folder)


def test_training_lowers_what_the_validation_piece_costs(tmp_path: Path) -> None:
    """Its velocities are chance, but come twice: the turn is learnt."""
    one = trainer(tmp_path, 4)
    before = one.validate()
    run(one, lambda *_: None)
    assert one.valid.velocity < before.velocity - 0.2


def test_a_resumed_run_is_the_run_that_was_not_interrupted(tmp_path: Path) -> None:
    """Weight for weight, and its file cannot be another run's."""
    whole = trainer(tmp_path / "a")
    run(whole, lambda *_: None)
    half = trainer(tmp_path / "b")
    run(half, lambda *_: None, stop=lambda: half.update >= 5)
    again = trainer(tmp_path / "b")
    again.resume()
    assert again.update == 5
    run(again, lambda *_: None)
    for name, value in whole.averaged.state_dict().items():
        assert torch.equal(value, again.averaged.state_dict()[name]), name
    other = TouchTrainer(
        SMALL, TouchConfig(), {"train": [performance(seed=1)], "valid": [performance(seed=3)]}, tmp_path / "b"
    )
    with pytest.raises(TrainingError, match="another shape or other music"):
        other.resume()
    with pytest.raises(TrainingError, match="no saved run"):
        trainer(tmp_path / "c").resume()


def test_inputs_have_the_width_that_the_shape_says() -> None:
    """The rows of training fill every input of the perceptrons."""
    score = touch_rows.read_score(performance())
    assert touch_rows.forced(score).features.shape[1] + MATCH_INPUTS == VELOCITY_INPUTS == INPUTS["velocity"]
    assert score.offsets.shape[1] == INPUTS["offset"]
    assert score.pedals.shape[1] == INPUTS["pedal"]


def test_velocities_of_old_turns_are_forgotten() -> None:
    """It knows the newest notes by their numbers, and no longer those before."""
    memory, place = VelocityMemory(), (0, 4, 16)
    for first in range(0, MOST_TURNS + 300, 3):
        own = first % 2 == 1
        velocities = [float("nan")] * 3 if own else [float(1 + (first + i) % 127) for i in range(3)]
        memory.commit([50, 47, 40], velocities, first, place, first, (None, None))
    newest = first + 2
    oldest = newest - MOST_TURNS + 1
    for start in (0, oldest - 2, oldest + 3 - oldest % 3, newest - 5):
        matched = memory.matched(3, (start, start))
        assert matched is not None
        for i, velocity in enumerate(matched[:, 0].tolist()):
            note = start + i
            known = note >= oldest and (note - note % 3) % 2 == 0
            assert velocity == (
                pytest.approx(in_units(1 + note % 127)) if known else pytest.approx(np.nan, nan_ok=True)
            )
