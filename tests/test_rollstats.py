"""Figures of roll-outs on cases that can be counted by hand, and the report."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.cli import main
from livebach.config import load as load_config
from livebach.evaluation import roll_statistics as stats
from livebach.evaluation import rollout_report, rollout_runs
from livebach.evaluation.copied_runs import Source
from livebach.evaluation.rollout_runs import RollOutRecord, metre_of
from livebach.music.metre import Metre, metre_track
from livebach.music.roll import HOLD, KEYS, ONSET, Frames, Note, frames_from_notes, notes_from_frames
from livebach.network import checkpoint
from livebach.network.quotes import line_steps_of, steps_of
from livebach.training.corpus import Corpus
from tests.support import small_network
from tests.support.midi_files import write_midi
from tests.support.pieces import OPENINGS, line, transposed

SCALE = line("60:1 62:1 64:1 65:1 67:1 69:1 71:1 72:1")


def drawn(text: str, length: int | None = None) -> Frames:
    """One voice as frames."""
    return frames_from_notes(line(text), length)


# -- figures ----------------------------------------------------------------------------------------------------------


def test_onset_rate_and_polyphony() -> None:
    """Three strikes in six ticks; 1 + 2 + 2 + 1 keys over the four ticks that sound."""
    frames = frames_from_notes([Note(60, 0, 4), Note(64, 1, 2), Note(64, 2, 3)], 6)
    assert stats.onset_rate(frames) == pytest.approx(0.5)
    assert stats.polyphony(frames) == pytest.approx(6 / 4)


def test_silence_has_figures() -> None:
    """A window in which nothing sounds has the figure nought for everything."""
    empty = np.zeros((8, KEYS), np.uint8)
    assert {name: figure(empty) for name, figure in stats.FIGURES.items()} == dict.fromkeys(stats.FIGURES, 0.0)
    assert stats.longest_silence(empty) == 8


def test_pitch_class_entropy() -> None:
    """One class has none, octaves are one class, two alike have a bit, twelve have log 12."""
    assert stats.pitch_class_entropy(drawn("60:1 72:1 48:1")) == 0
    assert stats.pitch_class_entropy(drawn("60:1 61:1")) == pytest.approx(1)
    twelve = drawn(" ".join(f"{key}:1" for key in range(60, 72)))
    assert stats.pitch_class_entropy(twelve) == pytest.approx(math.log2(12))


def test_scale_consistency() -> None:
    """A major scale lies in a scale in every key; all twelve classes leave seven."""
    assert stats.scale_consistency(frames_from_notes(SCALE)) == 1
    assert stats.scale_consistency(frames_from_notes(transposed(SCALE, 3))) == 1
    twelve = drawn(" ".join(f"{key}:1" for key in range(60, 72)))
    assert stats.scale_consistency(twelve) == pytest.approx(7 / 12)


def test_register() -> None:
    """The mean MIDI key of the notes struck, however long they are."""
    assert stats.register(drawn("60:1 70:9")) == pytest.approx(65)


def test_note_lengths() -> None:
    """Lengths in ticks, a repeated key apart, a note that the roll's end cuts, long ones in the last bin."""
    frames = frames_from_notes([Note(60, 0, 2), Note(60, 2, 5), Note(64, 4, 9)], 6)
    assert sorted(stats.note_ticks(frames).tolist()) == [2, 2, 3]
    assert stats.length_counts(drawn("60:90"))[-1] == 1


@given(st.integers(0, 999))
def test_note_lengths_are_those_of_the_notes(seed: int) -> None:
    """On any legal frames the lengths are those of `notes_from_frames`."""
    frames = small_network.random_frames(12, seed, 0.3)
    assert sorted(stats.note_ticks(frames)) == sorted(n.end - n.start for n in notes_from_frames(frames))


def test_positions_in_the_bar() -> None:
    """Keys struck are counted by their tick in the bar."""
    frames, places = drawn("60:2 62:1 64:1 60+64:2"), metre_track(6, [(0, Metre(2, 8))], 4)
    assert stats.position_counts(frames, places[:, 0], 4).tolist() == [3, 0, 1, 1]


def test_windows_are_whole() -> None:
    """A window that would not be full is left out."""
    frames = np.zeros((1200, KEYS), np.uint8)
    assert len(stats.windows(frames)) == 2
    assert len(stats.windows(frames, 256)) == 3
    assert stats.windows(frames[:511]) == []


# -- stretches --------------------------------------------------------------------------------------------------------


def test_longest_silence() -> None:
    """Held keys are no silence."""
    assert stats.longest_silence(drawn("60:3 -:2 62:1 -:4 64:1")) == 4


@pytest.mark.parametrize(("times", "found"), [(1, 1), (2, 2), (5, 5)])
def test_times_in_a_row(times: int, found: int) -> None:
    """A passage is counted as often as it is heard on end, wherever it begins."""
    passage = "60:1 62:2 64:1 "
    assert stats.times_in_a_row(drawn("71:3 " + passage * times + "72:1"), 4) == found


def test_a_long_note_is_not_a_passage_of_many() -> None:
    """A trill is repeated at its own period and at its multiples."""
    assert stats.times_in_a_row(drawn("60:1 62:1 " * 8), 4) == 4
    assert stats.times_in_a_row(drawn("60:4 62:4"), 4) == 1


def test_repeated_bars() -> None:
    """Of four bars the third is as the first; with one bar back only neighbours count."""
    frames = drawn("60:4 62:4 60:4 64:4")
    assert stats.repeated_share(frames, 4) == pytest.approx(1 / 4)
    assert stats.repeated_share(frames, 4, back=1) == 0


# -- distributions ----------------------------------------------------------------------------------------------------


def test_overlap_of_counts() -> None:
    """Shares, not numbers; 1 where they are alike, 0 where nothing is shared."""
    a = np.array([1, 1, 0])
    assert stats.overlap_of_counts(a, 5 * a) == pytest.approx(1)
    assert stats.overlap_of_counts(a, np.array([0, 0, 3])) == 0
    assert stats.overlap_of_counts(a, np.array([0, 2, 2])) == pytest.approx(0.5)


def test_overlap_of_values() -> None:
    """1 with itself, 0 with what is far off; two normal densities two deviations apart share a third."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=1000)
    assert stats.overlap_of_values(a, a) == pytest.approx(1, abs=1e-3)
    assert stats.overlap_of_values(a, a + 100) == pytest.approx(0, abs=1e-6)
    assert stats.overlap_of_values(a, rng.normal(size=1000) + 2) == pytest.approx(math.erfc(1 / math.sqrt(2)), abs=0.05)


def test_overlap_of_one_value() -> None:
    """Values that do not spread are compared all the same."""
    assert stats.overlap_of_values(np.ones(3), np.ones(4)) == pytest.approx(1, abs=1e-2)
    assert stats.overlap_of_values(np.ones(3), np.zeros(4)) == pytest.approx(0, abs=1e-6)


def test_positions_are_compared_metre_by_metre() -> None:
    """Only shared metres count, each for its share of the first one's onsets."""
    four, three = (4, 16), (4, 12)
    ours = {four: np.array([3, 1]), three: np.array([4, 0])}
    theirs = {four: np.array([1, 1]), (3, 6): np.array([1, 0])}
    assert rollout_report.overlap_of_positions(ours, theirs, ours) == pytest.approx(0.75)
    both = {**theirs, three: np.array([0, 9])}
    assert rollout_report.overlap_of_positions(ours, both, ours) == pytest.approx(0.375)
    assert rollout_report.overlap_of_positions(ours, {}, ours) is None


# -- copies -----------------------------------------------------------------------------------------------------------


def test_a_copy_is_found_in_any_key() -> None:
    """Five notes of a scale, moved up a third between other notes, are a run of five."""
    source = Source([steps_of(frames_from_notes(SCALE))])
    other = drawn("50:3 64:1 66:1 68:1 69:1 71:1 80:2 50:1")
    assert source.longest(steps_of(other)) == 5


def test_a_copy_keeps_its_rhythm() -> None:
    """The same intervals at another pace are no copy, and nothing is a copy of nothing."""
    source = Source([steps_of(frames_from_notes(SCALE))])
    assert source.longest(steps_of(drawn("60:2 62:2 64:2 65:2"))) == 0
    assert source.longest(steps_of(drawn("60:1"))) == 0
    assert Source([]).longest(steps_of(drawn("60:1 62:1"))) == 0


def test_a_copy_does_not_run_over_the_end_of_a_piece() -> None:
    """The end of one piece and the start of the next are not one run."""
    halves = [drawn("60:1 62:1 64:1"), drawn("65:1 67:1 69:1")]
    source = Source([steps_of(half) for half in halves])
    assert source.longest(steps_of(drawn("60:1 62:1 64:1 65:1 67:1 69:1"))) == 3


def test_the_upper_line_is_copied_under_other_basses() -> None:
    """The upper line is one stream, all voices another."""
    tune = line("60:1 62:1 64:1 65:1")
    source, other = (frames_from_notes([*tune, Note(40, at, 4)]) for at in (0, 2))
    assert Source([line_steps_of(source)]).longest(line_steps_of(other)) == 4
    assert Source([steps_of(source)]).longest(steps_of(other)) == 2


@given(st.lists(st.integers(0, 2), max_size=30), st.lists(st.integers(0, 2), max_size=30))
def test_runs_are_those_of_a_plain_search(source: list[int], steps: list[int]) -> None:
    """From every step, the run is the longest that a search of every place finds."""
    a, b = np.array(source, np.int64), np.array(steps, np.int64)

    def run(at: int) -> int:
        fits = [n for n in range(len(b) - at + 1) if n == 0 or bytes(b[at : at + n]) in _slices(a, n)]
        return max(fits)

    assert Source([a]).runs(b).tolist() == [run(at) for at in range(len(b))]


def _slices(steps: np.ndarray, length: int) -> set[bytes]:
    return {bytes(steps[i : i + length]) for i in range(len(steps) - length + 1)}


def test_copies_stay_in_their_window() -> None:
    """A piece copied whole counts in each window as many notes as the window has."""
    frames = drawn(" ".join(f"{60 + i * i % 17}:4" for i in range(256)))
    source = Source([steps_of(frames)])
    assert rollout_report.copies(frames, "copied_notes", source) == [128, 128]
    assert rollout_report.copies(frames[:40], "copied_notes", source) == [10]


# -- the report -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metre", ["4/4", "3/4", "6/8", "12/16", "3/8", "2/2", "9/8", "4/2"])
def test_a_metre_has_its_beat_and_bar(metre: str) -> None:
    """A metre found for a beat and a bar has just them."""
    wanted = Metre.parse(metre)
    found = metre_of(wanted.beat_ticks(4), wanted.bar_ticks(4), 4)
    assert (found.beat_ticks(4), found.bar_ticks(4)) == (wanted.beat_ticks(4), wanted.bar_ticks(4))


def test_bounds() -> None:
    """A value on the bound keeps it; what cannot be told does not."""
    assert rollout_report.check("x", 2, high=2)["ok"]
    assert not rollout_report.check("x", 2.1, high=2)["ok"]
    assert not rollout_report.check("x", 0.5, low=0.8)["ok"]
    assert not rollout_report.check("x", None, low=0.8)["ok"]


def record(frames: Frames, metre: Metre = Metre(3, 4)) -> RollOutRecord:  # noqa: B008
    """A roll-out that played these frames."""
    places = metre_track(len(frames), [(0, metre)], 4)
    return RollOutRecord("a", 0, frames[:12], frames, metre, places)


def test_a_roll_out_like_its_model_is_in_bounds() -> None:
    """A piece held against itself differs in nothing; what it copies is all of it."""
    one = small_network.piece("a", small_network.melody(1, 600))
    real = rollout_report.reference(
        Corpus({"train": [one], "valid": [small_network.piece("b", small_network.melody(2, 300))], "test": []})
    )
    report = rollout_report.report(real, [record(one.frames)])
    kept = {check["name"]: check["ok"] for check in report["checks"]}
    assert [name for name, ok in kept.items() if not ok] == ["copied_notes, longest", "copied_line, longest"]
    assert report["copies"]["copied_notes"]["above"] == 1
    json.dumps(report, allow_nan=False)


def test_a_roll_out_that_falls_silent_is_out_of_bounds() -> None:
    """Silence for half of it breaks the bounds on silence, repetition, onset rate and drift."""
    one = small_network.piece("a", small_network.melody(1, 600))
    real = rollout_report.reference(Corpus({"train": [one], "valid": [], "test": []}))
    frames = one.frames.copy()
    frames[600:] = 0
    report = rollout_report.report(real, [record(frames)])
    broken = {check["name"] for check in report["checks"] if not check["ok"]}
    assert {
        "longest silence, bars", "two bars in a row, times", "onset_rate, least of a window",
        "onset_rate, last quarter to first",
    } <= broken  # fmt: skip


def struck_every(ticks: int, length: int) -> Frames:
    """A key struck every so many ticks, and held in between."""
    frames = np.zeros((length, KEYS), np.uint8)
    frames[:, 40] = HOLD
    frames[::ticks, 40] = ONSET
    return frames


def test_a_knob_is_held_against_music_like_it() -> None:
    """Roll-outs that strike every fourth tick are like the slow part of a piece, and unlike the whole of it."""
    frames = np.concatenate([struck_every(4, 1024), struck_every(1, 1024)])
    places = metre_track(len(frames), [(0, Metre(4, 4))], 4)
    both = replace(small_network.piece("a", small_network.melody(1, 20)), frames=frames, places=places)
    many = [replace(both, name=f"{i}") for i in range(rollout_report.LEAST_PIECES)]
    real = rollout_report.reference(Corpus({"train": many, "valid": [], "test": []}))
    found = rollout_report.summary(real, [record(struck_every(4, 600), Metre(4, 4))], "onset_rate")
    whole = next(c for c in found["checks"] if c["name"].startswith("note_lengths"))
    assert whole["value"] < 0.3  # four of five real notes are short
    like = found["alike"]
    assert (like["windows"], like["pieces"], like["low"]) == (8 * 5, 8, pytest.approx(0.2375))
    assert like["overlaps"]["note_lengths"]["share"] == pytest.approx(1, abs=0.02)
    faster = rollout_report.summary(real, [record(struck_every(2, 600), Metre(4, 4))], "onset_rate")["alike"]
    assert (faster["windows"], faster["pieces"]) == (0, 0)
    few = replace(real, pieces=real.pieces[:7], shapes=real.shapes[:7])
    slow = rollout_report.shape_of_rollouts([record(struck_every(4, 600), Metre(4, 4))])
    assert "overlaps" in rollout_report.alike(real, slow, "onset_rate")
    assert "overlaps" not in rollout_report.alike(few, slow, "onset_rate")


def test_roll_outs_go_through_the_pieces() -> None:
    """Each has a piece in turn and a seed of its own, from the settings' seed on."""
    pieces = small_network.corpus().splits["train"]
    todo = rollout_runs.tasks(load_config(assignments=["sampling.seed=5"]), pieces, 512, 3)
    assert [(t.piece.name, t.seed) for t in todo] == [("a", 5), ("b", 6), ("a", 7)]


def test_a_knob_is_turned_alone() -> None:
    """Low, middle and high differ in one knob; the other stays as it was set."""
    found = rollout_runs.turned(load_config(), "density")
    assert [c.sampling.density for c in found.values()] == sorted(rollout_runs.LEVELS.values())
    assert {c.sampling.polyphony for c in found.values()} == {load_config().sampling.polyphony}


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pieces long enough for a window, one of them for validation."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("wtc1p06", "wtc1p01", "other")):
        write_midi(folder / f"{name}.mid", small_network.melody(seed, 300))
    write_midi(folder / "short.mid", OPENINGS["fugue in C (BWV 846)"])
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small network of random weights."""
    pytest.importorskip("torch", reason="needs the extra train")
    from livebach.training.model import to_checkpoint

    path = tmp_path_factory.mktemp("network") / "small_network.safetensors"
    checkpoint.save(path, to_checkpoint(small_network.network(), {}))
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_command_writes_all(data: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures as JSON, notes as MIDI and arrays, a picture for each figure; the same figures on standard output."""
    out = tmp_path / "out"
    words = ["--data", str(data), "--rollouts", "1", "--frames", "520", "--out", str(out), "--json"]
    assert main(["evaluate", str(network), *words]) == 0
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out) == {"checkpoint": str(network), "split": "valid", **report}
    assert {"settings", "checks", "real", "overlaps", "rollouts"} <= set(report)
    assert [r["prime"] for r in report["rollouts"]] == ["wtc1p06.mid"]
    names = {path.name for path in out.iterdir()}
    assert {"rollout01.mid", "rollout01.npz"} <= names
    with np.load(out / "rollout01.npz") as kept:
        assert kept["frames"].shape == (520, KEYS)
        assert kept["places"][0].tolist() == [0, 4, 16]
    pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    figures = {*stats.FIGURES, "note_lengths", "onsets_by_position", "copied_notes", "copied_line", "rollout01"}
    assert {f"{name}.png" for name in figures} <= names


def test_roll_outs_in_processes_are_the_same(data: Path, network: Path) -> None:
    """Played two at once, they are what they are one after the other."""
    from livebach.training.corpus import load_corpus

    todo = rollout_runs.tasks(load_config(), load_corpus(data).splits["valid"], 40, 2)
    alone, beside = (rollout_runs.play_all(network, todo, jobs) for jobs in (1, 2))
    assert len(alone) == len(beside) == 2
    for a, b in zip(alone, beside, strict=True):
        assert np.array_equal(a.frames, b.frames)
    assert not np.array_equal(alone[0].frames, alone[1].frames)


def test_the_sweep(data: Path, network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each knob at three settings, with what was measured."""
    words = ["--data", str(data), "--rollouts", "1", "--frames", "512", "--sweep", "--json"]
    assert main(["evaluate", str(network), *words]) == 0
    sweep = json.loads(capsys.readouterr().out)["sweep"]
    assert {knob: list(settings) for knob, settings in sweep.items()} == {
        knob: ["low", "middle", "high"] for knob in ("density", "polyphony")
    }
    assert "onset_rate" in sweep["density"]["low"]
    assert {sweep[knob]["low"]["alike"]["figure"] for knob in sweep} == {"onset_rate", "polyphony"}
