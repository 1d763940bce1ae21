"""Likelihood by the step engine: cases by hand, agreement with the torch network, and the command."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from livebach.cli import main
from livebach.evaluation.likelihood import (
    MarkovKeys,
    Tally,
    changing,
    key_nats,
    states_before,
    tally,
    top_keys,
    true_textures,
)
from livebach.music.roll import HOLD, KEYS, OFF, ONSET, STATES, Note, frames_from_notes
from livebach.music.score_reader import Piece
from livebach.music.texture import Texture
from livebach.network import checkpoint
from livebach.network.engine import Engine
from livebach.training.corpus import Corpus, load_corpus
from tests.support import small_network
from tests.support.midi_files import write_midi
from tests.support.pieces import OPENINGS, transposed

LOG2, LOG3 = math.log(2), math.log(3)
EMPTY = np.zeros(KEYS, np.uint8)


class Undecided:
    """Stands in for the engine: every state of every key is as likely as any other. Remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[tuple] = []

    def new_state(self, first: tuple, texture: Texture) -> SimpleNamespace:
        """The memory of an empty frame."""
        self.heard.append((first, texture))
        return SimpleNamespace(frame=EMPTY)

    def push(
        self, state: SimpleNamespace, frame: np.ndarray, place: tuple, coming: tuple, texture: Texture, adapt: bool
    ) -> None:
        """Remember a frame."""
        self.heard.append((place, coming, texture))
        state.frame = frame

    def logits(self, state: SimpleNamespace, frame: np.ndarray, given: np.ndarray) -> np.ndarray:
        """All alike."""
        return np.zeros((KEYS, STATES), np.float32)


def piece(*notes: Note, name: str = "x") -> Piece:
    """A piece in 3/4."""
    return small_network.piece(name, notes)


def test_every_frame_is_counted_by_hand() -> None:
    """A key that was off has two states to choose from, one that was down three; given OFF above is not counted."""
    found = tally(Undecided(), piece(Note(60, 0, 2), Note(64, 1, 2)), given=True)  # type: ignore[arg-type]
    first, second = 88 * LOG2, 87 * LOG2 + LOG3
    assert (found.frames, found.onsets, found.changing_frames) == (2, 2, 2)
    assert found.nats == pytest.approx(first + second)
    assert found.changing_nats == pytest.approx(first + second)
    assert found.texture_nats == found.fixed_nats == pytest.approx(first + second)
    assert found.expected_onsets == pytest.approx(88 / 2 + 87 / 2 + 1 / 3)
    below = 39 * LOG2 + 42 * LOG2 + LOG3  # keys below 60, then those below 64, of which 60 was down
    assert found.below_frames == 2
    assert found.below_nats == found.below_given_nats == found.below_key_nats == pytest.approx(below)


def test_a_frame_without_a_key_has_no_top_voice() -> None:
    """A rest counts as a frame, but not among those in which a top voice can be given."""
    found = tally(Undecided(), piece(Note(60, 1, 2)), given=True)  # type: ignore[arg-type]
    assert (found.frames, found.below_frames, found.changing_frames) == (2, 1, 1)


def test_the_engine_is_told_where_each_frame_stands() -> None:
    """The first frame's own place, then each frame's and the next one's, with the next one's texture."""
    engine, shades = Undecided(), [Texture(1), Texture(2), Texture(3)]
    one = piece(Note(60, 0, 3))
    assert len(list(states_before(engine, one, shades))) == 3  # type: ignore[arg-type]
    places = [(0, 4, 12), (1, 4, 12), (2, 4, 12)]
    assert engine.heard == [(places[0], shades[0]), (*places[:2], shades[1]), (*places[1:], shades[2])]


def test_changing_frames() -> None:
    """A frame changes where a key is struck, struck again or let go; not where all is held or nothing sounds."""
    frames = frames_from_notes([Note(60, 1, 3), Note(60, 3, 4)], 6)
    assert changing(frames).tolist() == [False, True, False, True, True, False]


def test_the_top_key() -> None:
    """The highest key down, held or struck; -1 in a rest."""
    frames = frames_from_notes([Note(21, 0, 3), Note(60, 1, 2)], 4)
    assert top_keys(frames).tolist() == [0, 39, 0, -1]


def test_tallies_add_up_and_divide() -> None:
    """Pooled figures are of the sums, and a figure of nothing is null."""
    both = Tally(frames=2, onsets=1, nats=3.0) + Tally(
        frames=4, onsets=2, nats=6.0, changing_frames=4, changing_nats=5.0
    )
    report = both.to_dict()
    assert report["nats_per_frame"] == pytest.approx(1.5)
    assert report["nats_per_onset"] == pytest.approx(3.0)
    assert report["repeating"] == {"frames": 2, "nats_per_frame": pytest.approx(2.0)}
    assert "below_the_top_voice" not in report
    assert Tally().to_dict()["nats_per_frame"] is None


def test_markov_chain_by_hand() -> None:
    """One key held through two frames of training: of 1 + 1 strikes after OFF among 1 + 2 chances, and so on."""
    naive = MarkovKeys([piece(Note(60, 0, 2))])
    odds = np.exp(naive.log_odds)
    assert odds[39, OFF] == pytest.approx([1 / 3, 2 / 3, 0])
    assert odds[39, ONSET] == pytest.approx([1 / 4, 1 / 4, 2 / 4])
    assert odds[39, HOLD] == pytest.approx([1 / 3] * 3)
    assert odds[0, OFF] == pytest.approx([3 / 4, 1 / 4, 0])
    nats = naive.nats(frames_from_notes([Note(60, 0, 2)]))
    assert nats.shape == (2, KEYS)
    assert nats.sum() == pytest.approx(-math.log(2 / 3) - math.log(2 / 4) - 2 * 87 * math.log(3 / 4))


def test_an_untrained_chain_knows_nothing() -> None:
    """Without a training piece every possible transition is alike."""
    assert np.exp(MarkovKeys([]).log_odds)[5, OFF] == pytest.approx([1 / 2, 1 / 2, 0])


# -- against torch ----------------------------------------------------------------------------------------------------


def test_agrees_with_the_torch_network() -> None:
    """The engine's nats per frame are those of the parallel network, on pieces of several metres."""
    torch = pytest.importorskip("torch", reason="needs the extra train")
    from livebach.training.model import to_checkpoint
    from livebach.training.validation import likelihood

    pieces = [p for split in small_network.corpus().splits.values() for p in split]
    for seed in range(2):
        model = small_network.network(seed=seed, loud=2.0)
        engine = Engine(to_checkpoint(model, {}))
        found = sum((tally(engine, p) for p in pieces), Tally()).to_dict()
        wanted = likelihood(model, pieces, torch.device("cpu"))
        assert found["without_adaptation"]["nats_per_frame"] == pytest.approx(wanted, abs=1e-3)


def test_true_texture_agrees_with_the_torch_network() -> None:
    """With the texture told, engine and parallel network see the same levels at the same frames."""
    torch = pytest.importorskip("torch", reason="needs the extra train")
    from livebach.music.texture import texture_track
    from livebach.training.batches import before, condition_rows
    from livebach.training.model import to_checkpoint
    from livebach.training.validation import on_device, whole_piece

    one, model = small_network.corpus().splits["valid"][0], small_network.network(loud=2.0)
    batch = whole_piece(one)
    batch.condition[0] = condition_rows(one.places, before(one.places), texture_track(one.frames))
    with torch.no_grad():
        parallel = model(*on_device(batch, torch.device("cpu")))
    engine = Engine(to_checkpoint(model, {}))
    found = key_nats(engine, one, true_textures(one.frames), adapt=False)
    assert found.sum() == pytest.approx(float(parallel.sum()), abs=1e-2)


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Openings under names that the Well-Tempered Clavier's numbers split: one validates, one tests."""
    folder = tmp_path_factory.mktemp("data")
    names = ["wtc1p06", "wtc1p03", "wtc1p01", "wtc1p02", "other"]
    for by, (name, notes) in enumerate(zip(names, OPENINGS.values(), strict=False)):
        write_midi(folder / f"{name}.mid", transposed(notes, by))
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small network of random weights."""
    pytest.importorskip("torch", reason="needs the extra train")
    from livebach.training.model import to_checkpoint

    path = tmp_path_factory.mktemp("network") / "small_network.safetensors"
    checkpoint.save(path, to_checkpoint(small_network.network(), {}))
    return path


def test_json(data: Path, network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every figure piece by piece and pooled, under the documented names; counts are those of the pieces."""
    assert main(["evaluate", str(network), "--data", str(data), "--split", "all", "--given", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"checkpoint", "split", "pooled", "pieces"}
    assert sorted(p["name"] for p in report["pieces"]) == [
        "other.mid", "wtc1p01.mid", "wtc1p02.mid", "wtc1p03.mid", "wtc1p06.mid",
    ]  # fmt: skip
    for one in (report["pooled"], *report["pieces"]):
        assert set(one) - {"name"} == {
            *("frames", "onsets", "nats_per_frame", "nats_per_onset", "changing", "repeating"),
            *("expected_onsets", "without_adaptation", "with_texture", "naive", "below_the_top_voice"),
        }
    pieces = [p for split in load_corpus(data).splits.values() for p in split]
    assert report["pooled"]["frames"] == sum(len(p.frames) for p in pieces)
    assert report["pooled"]["onsets"] == sum(p.onsets for p in pieces)
    total = sum(p["nats_per_frame"] * p["frames"] for p in report["pieces"])
    assert report["pooled"]["nats_per_frame"] == pytest.approx(total / report["pooled"]["frames"])


def test_table(data: Path, network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people: the validation piece, the pooled figures and the baseline."""
    assert main(["evaluate", str(network), "--data", str(data)]) == 0
    out = capsys.readouterr().out
    assert "wtc1p06.mid" in out
    assert "wtc1p03.mid" not in out
    assert "Markov chain" in out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--data", "{data}", "--out", "x"], "--out and --sweep need --rollouts N"),
        (["--data", "{data}", "--rollouts", "0"], "--rollouts must be 1..1000, got 0"),
        (["--data", "{data}", "--rollouts", "1", "--frames", "9"], "--frames must be 512..1000000, got 9"),
        (["--data", "{data}", "--rollouts", "1", "--out", "{data}"], "nothing is overwritten"),
        (["--data", "{data}", "--temperature", "0"], "temperature"),
        (["--data", "{data}", "--split", "most"], "--split"),
        ([], "--data"),
    ],
)
def test_errors_in_one_line(
    data: Path, network: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be is said in one line, with status 2."""
    try:
        status = main(["evaluate", str(network), *(word.replace("{data}", str(data)) for word in more)])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_split_without_a_piece(tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder has pieces, none of them in the split: the line says how to take them all."""
    write_midi(tmp_path / "wtc1p01.mid", OPENINGS["fugue in C (BWV 846)"])
    assert main(["evaluate", str(network), "--data", str(tmp_path), "--split", "test"]) == 2
    assert "--split all" in capsys.readouterr().err


def test_a_file_that_is_no_checkpoint(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A MIDI file in place of the checkpoint is refused by name."""
    assert main(["evaluate", str(data / "other.mid"), "--data", str(data)]) == 2
    err = capsys.readouterr().err
    assert "other.mid" in err
    assert err.count("\n") == 1


@pytest.fixture(scope="session")
def bach() -> Corpus:
    """The corpus that the shipped network was measured on, where it is."""
    folder = Path(os.environ.get("LIVEBACH_CORPUS", Path(__file__).parents[2] / "shared" / "corpus")) / "wtc"
    if not folder.is_dir():
        pytest.skip("no corpus: set LIVEBACH_CORPUS to a folder with a folder wtc of MIDI files")
    return load_corpus(folder)


@pytest.mark.slow
def test_the_shipped_network_on_one_validation_piece(bach: Corpus) -> None:
    """It finds a prelude that it has never seen far likelier than a chain of transitions does."""
    path = checkpoint.default_path()
    if not path.exists():
        pytest.skip("no checkpoint is shipped")
    one = next(p for p in bach.splits["valid"] if p.name == "wtc1p06.mid")
    found = tally(Engine(checkpoint.load(path)), one, MarkovKeys(bach.splits["train"]))
    assert found.nats < 0.95 * found.fixed_nats
    assert found.fixed_nats < 0.6 * found.naive_nats
