"""`livebach train --touch` and `livebach evaluate --touch`, from MIDI files to figures."""

from __future__ import annotations

import json
from pathlib import Path

import mido
import numpy as np
import pytest

from livebach.cli import main
from livebach.evaluation import touch
from livebach.music.touch import Pedal, Performance
from livebach.musician.touch import TouchPlayer
from livebach.network import touch_checkpoint
from livebach.network.touch import TouchNetwork
from tests.support.performances import performance

NETWORK = TouchNetwork(touch_checkpoint.load(touch_checkpoint.default_path()))


def write(path: Path, piece: Performance) -> None:
    """Write a performance as a MIDI file."""
    moments: list[tuple[int, int, mido.Message]] = []
    for tick, key, end, velocity, offset in zip(
        *(getattr(piece, name).tolist() for name in ("tick", "key", "end", "velocity", "offset")), strict=True
    ):
        moments.append((max(0, tick * 120 + offset * 20), 1, mido.Message("note_on", note=key + 21, velocity=velocity)))
        moments.append((max(1, end * 120 + offset * 20), 0, mido.Message("note_off", note=key + 21, velocity=0)))
    for tick, kind in enumerate(piece.pedal.tolist()):
        if kind in (Pedal.LIFTED, Pedal.CHANGED):
            moments.append((tick * 120 + 10, 2, mido.Message("control_change", control=64, value=0)))
        if kind in (Pedal.PRESSED, Pedal.CHANGED):
            moments.append((tick * 120 + 80, 2, mido.Message("control_change", control=64, value=127)))
    track, before = mido.MidiTrack(), 0
    for time, _, message in sorted(moments, key=lambda moment: moment[:2]):
        track.append(message.copy(time=time - before))
        before = time
    midi = mido.MidiFile(ticks_per_beat=480)
    midi.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.save(path)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Eight works of one composer."""
    for number in range(8):
        write(tmp_path / "music" / "anon" / f"op{number}.mid", performance(60, number))
    return tmp_path / "music"


def test_from_files_to_a_network_to_figures(music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Train, stop, resume, and measure every piece; bad wishes are one line."""
    pytest.importorskip("torch", reason="training needs torch")
    out = tmp_path / "run"
    train = ["train", "--touch", "--data", str(music), "--out", str(out)]
    small = ["--set", "epochs=1", "batch=64", "velocity=8", "offset=8", "pedal=8"]
    assert main([*train, *small]) == 0
    assert "wrote" in capsys.readouterr().out
    assert main([*train, *small]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main([*train, "--resume", "--licence", "CC0-1.0"]) == 0
    assert main([*train, "--resume", "--played", str(music)]) == 2
    assert "--played does not go with --touch" in capsys.readouterr().err
    network = str(out / "touch.safetensors")
    assert touch_checkpoint.load(Path(network)).meta["licence"] == "CC0-1.0"
    assert main(["evaluate", network, "--touch", "--data", str(music), "--split", "test", "--json"]) == 0
    printed = capsys.readouterr()
    assert "left out: " in printed.err
    report = json.loads(printed.out)
    assert report["pieces"]
    assert 0 < report["pooled"]["velocity_nats_per_note"] < 10
    assert report["pooled"]["pedal_nats_per_tick"] > 0
    assert set(report["composers"]) == {"anon"}
    assert main(["evaluate", network, "--touch", "--data", str(music), "--split", "all"]) == 0
    assert "all 8 pieces" in capsys.readouterr().out
    assert main(["evaluate", network, "--touch", "--data", str(music), "--rollouts", "2"]) == 2
    assert "do not go with --touch" in capsys.readouterr().err
    assert main(["evaluate", str(music / "anon" / "op1.mid"), "--touch", "--data", str(music)]) == 2
    assert "not a whole safetensors file" in capsys.readouterr().err


def test_a_network_is_trained_further(music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is validated first, keeps its shape, and is kept where training does not better it; a bad file is one line."""
    pytest.importorskip("torch", reason="training needs torch")
    first, train = tmp_path / "first", ["train", "--touch", "--data", str(music)]
    small = ["--set", "epochs=1", "batch=64"]
    assert main([*train, "--out", str(first), *small, "velocity=8", "offset=8", "pedal=8"]) == 0
    start = ["--init-from", str(first / "touch.safetensors"), "--out", str(tmp_path / "second")]
    capsys.readouterr()
    assert main([*train, *start, "--set", "epochs=1", "batch=64", "learning_rate=0"]) == 0
    assert "touch.safetensors: validation: " in capsys.readouterr().out
    once, further = (touch_checkpoint.load(tmp_path / name / "touch.safetensors") for name in ("first", "second"))
    assert further.shape == once.shape
    assert all(np.array_equal(once.weights[name], further.weights[name]) for name in once.weights)
    start[-1] = str(tmp_path / "third")
    assert main([*train, *start, "--set", "velocity=10"]) == 2
    assert "keeps its shape" in capsys.readouterr().err
    start[1] = str(music / "anon" / "op1.mid")
    assert main([*train, *start]) == 2
    assert "not a whole safetensors file" in capsys.readouterr().err


def test_forced_figures_add_up() -> None:
    """Pooled costs are sums over pieces by their sizes; a piece that does not vary has no correlation."""
    pieces = [performance(60, n, f"a/op{n}.mid") for n in (1, 2)]
    found = touch.report(NETWORK, pieces, pieces, 1)
    total = sum(row["velocity_nats"] for row in found["pieces"])
    assert found["pooled"]["velocity_nats_per_note"] == pytest.approx(total / sum(len(p.key) for p in pieces))
    assert found["pooled"]["notes"] == sum(len(p.key) for p in pieces)
    assert touch.correlation(np.ones(5), np.arange(5)) is None
    assert touch.correlation(np.arange(5), np.arange(5)) == pytest.approx(1)


def test_a_table_knows_what_it_has_counted() -> None:
    """What always comes after the same past costs next to nothing; chance costs what chance does."""
    piece = performance(60)
    steady = Performance(**{**_fields(piece), "offset": np.zeros_like(piece.offset)})
    offsets, _ = touch.tables([steady] * 20)
    assert offsets.nats(steady) / len(steady.key) < 0.05
    assert offsets.nats(piece) > offsets.nats(steady)


def _fields(piece: Performance) -> dict[str, object]:
    return {name: getattr(piece, name) for name in Performance.__slots__}


def test_playing_on_alone_hears_eight_bars_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pianist did later changes nothing of what is played."""
    piece = performance(90)  # 12 bars
    stretch = touch.stretch_of(piece)
    assert stretch is not None
    assert (stretch.heard, stretch.played) == (range(128), range(128, 200))
    first = int(np.searchsorted(piece.tick, 128))
    other = piece.velocity.copy()
    other[first:] = 1
    changed = Performance(**{**_fields(piece), "velocity": other})
    assert np.array_equal(touch.play_on(NETWORK, piece, stretch, 3), touch.play_on(NETWORK, changed, stretch, 3))
    earlier = piece.velocity.copy()
    earlier[:first] = np.maximum(1, earlier[:first] // 3)
    softer = Performance(**{**_fields(piece), "velocity": earlier})
    assert touch.play_on(NETWORK, softer, stretch, 3).mean() < touch.play_on(NETWORK, piece, stretch, 3).mean() - 10


def test_the_top_of_a_chord_is_compared_with_its_bottom() -> None:
    """Single notes do not count."""
    piece = performance(30)
    loud = np.where(np.append(True, piece.tick[1:] != piece.tick[:-1]), 80, 50)
    assert touch.chord_lead(piece, slice(None), loud) == pytest.approx(30)
    assert touch.chord_lead(piece, slice(0, 1), loud) is None


def test_nothing_heard_is_as_loud_as_is_set() -> None:
    """Asked to play before anybody has played."""
    soft, loud = (TouchPlayer(NETWORK, 1, velocity) for velocity in (40, 100))
    of_soft, of_loud = (player.play([60], {}, [], (0, 4, 16))[60].velocity for player in (soft, loud))
    assert abs(of_loud - of_soft - 60) <= 1
