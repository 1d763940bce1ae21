"""The programs in examples/ run as they are, and the public interface has all that they need."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import mido
import pytest

import livebach
from livebach.controls import MODES
from tests.support.midi_files import write_midi
from tests.support.pieces import OPENINGS

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: str) -> None:
    """Run an example as `python examples/NAME` does, in this process."""
    before = sys.argv
    sys.argv = [name, *arguments]
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        sys.argv = before


def test_the_embedded_musician_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """After the phrase, livebach strikes notes of its own, later than the last note of the phrase."""
    run("embedded.py")
    times = [float(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert len(times) > 4
    assert times == sorted(times)
    assert min(times) > 8 * 0.25


def test_a_mode_of_ones_own_plays(capsys: pytest.CaptureFixture[str]) -> None:
    """The echo answers, and ends after two beats."""
    try:
        run("own_mode.py")
    finally:
        MODES.pop("echo", None)
    count = int(capsys.readouterr().out.split()[0])
    assert 0 < count < 40


def test_a_piece_is_written(tmp_path: Path) -> None:
    """The file holds eight bars of 3/4."""
    path = tmp_path / "piece.mid"
    run("write_a_piece.py", str(path))
    messages = [message for track in mido.MidiFile(path).tracks for message in track]
    (metre,) = [message for message in messages if message.type == "time_signature"]
    assert (metre.numerator, metre.denominator) == (3, 4)
    assert sum(message.type == "note_on" for message in messages) > 20


def test_the_likelihood_of_bach_is_better_than_of_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fugue's opening costs less than the same notes in random order."""
    notes = OPENINGS["fugue in C (BWV 846)"]
    keys = [note.key for note in notes]
    mixed = [type(note)(key, note.start, note.end) for note, key in zip(notes, keys[::2] + keys[1::2], strict=True)]
    means = []
    for name, content in (("bach.mid", notes), ("mixed.mid", mixed)):
        write_midi(tmp_path / name, content)
        run("likelihood.py", str(tmp_path / name))
        means.append(float(re.findall(r"mean +([\d.]+)", capsys.readouterr().out)[0]))
    assert means[0] < means[1]


def test_every_public_name_is_there() -> None:
    """Each name of the public interface loads, and nothing else is promised."""
    assert set(dir(livebach)) == set(livebach.__all__)
    for name in livebach.__all__:
        assert getattr(livebach, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = livebach.nothing


def test_the_public_interface_loads_late_and_without_torch() -> None:
    """`import livebach` loads none of its modules but the version, and no name of it ever loads torch."""
    code = (
        "import sys, livebach\n"
        "print(*sorted(name for name in sys.modules if name.startswith('livebach')))\n"
        "[getattr(livebach, name) for name in livebach.__all__]\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["livebach livebach.version", "False"], done.stderr
