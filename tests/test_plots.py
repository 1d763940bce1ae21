"""Pictures of rolls, and the command that writes frames."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from livebach.cli import main
from livebach.errors import UserError
from livebach.evaluation import pictures
from livebach.music.roll import KEYS, Note, frames_from_notes
from tests.support.midi_files import write_midi
from tests.support.pictures import PNG, drawing
from tests.support.pieces import OPENINGS


@pytest.fixture
def fugue(tmp_path: Path) -> Path:
    """A subject as a MIDI file."""
    path = tmp_path / "fugue.mid"
    write_midi(path, OPENINGS["fugue in C (BWV 846)"])
    return path


def test_bars_of_notes() -> None:
    """Start, end and key of each note; those over before the row are left out, one that goes on is cut."""
    frames = frames_from_notes([Note(60, 0, 2), Note(64, 1, 5), Note(67, 4, 6)])
    assert sorted(pictures._bars_of_notes(frames, 0)) == [(0, 2, 60), (1, 5, 64), (4, 6, 67)]
    assert sorted(pictures._bars_of_notes(frames, 3)) == [(3, 5, 64), (4, 6, 67)]


@drawing
@pytest.mark.parametrize("length", [0, 1, 20, 1100])
def test_roll_png(tmp_path: Path, length: int) -> None:
    """Rolls of any length become a picture, with nothing in them too."""
    frames = frames_from_notes([Note(60, t, t + 3) for t in range(0, length, 5)], length)
    pictures.roll_png(tmp_path / "roll.png", frames, 16, primed=8, upbeat=4)
    assert (tmp_path / "roll.png").read_bytes().startswith(PNG)


@drawing
def test_prime_and_network_have_two_colours() -> None:
    """A note that goes on past the prime's end is drawn in both."""
    from matplotlib.colors import to_hex

    axes = pictures.roll_figure(frames_from_notes([Note(60, 0, 8)]), [0], primed=4).axes[0]
    drawn = [c for c in axes.collections if len(c.get_facecolors()) and len(c.get_paths())]
    spans = {to_hex(c.get_facecolors()[0]): c.get_paths()[0].get_extents().intervalx.tolist() for c in drawn}
    assert spans[pictures.GIVEN_COLOUR] == pytest.approx([0, 4 - 0.15])
    assert spans[pictures.OWN_COLOUR] == pytest.approx([4, 8 - 0.15])


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, fugue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what to install, and no file is left behind."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"livebach\[plot\]"):
        pictures.figure_of(1, 1)
    picture = fugue.with_suffix(".png")
    assert main(["frames", str(fugue), "--png", str(picture)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not picture.exists()


# -- frames -----------------------------------------------------------------------------------------------------------


def test_frames_are_written(fugue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The arrays are those of the corpus: states, and tick in the bar with beat and bar."""
    out = fugue.with_suffix(".npz")
    assert main(["frames", str(fugue), "-o", str(out)]) == 0
    assert "onsets" in capsys.readouterr().out
    with np.load(out) as arrays:
        frames, places = arrays["frames"], arrays["places"]
    assert np.array_equal(frames, frames_from_notes(OPENINGS["fugue in C (BWV 846)"]))
    assert (frames.dtype, places.dtype) == (np.uint8, np.int16)
    assert frames.shape == (len(places), KEYS)
    assert places[0, 1:].tolist() == [4, 16]


@drawing
def test_frames_are_drawn(fugue: Path) -> None:
    """With --png there is a picture."""
    assert main(["frames", str(fugue), "--png", str(fugue.with_suffix(".png"))]) == 0
    assert fugue.with_suffix(".png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{}"], "name an output"),
        (["{}", "-o", "{}"], "nothing is overwritten"),
        (["{}", "-o", "nowhere/x.npz"], "cannot be written"),
        (["{}", "-o", "x.npz", "--steps-per-quarter", "0"], "--steps-per-quarter must be 1..48, got 0"),
        (["nowhere.mid", "-o", "x.npz"], "nowhere.mid"),
    ],
)
def test_errors_in_one_line(fugue: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be is said in one line, with status 2."""
    assert main(["frames", *(word.replace("{}", str(fugue)) for word in words)]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
