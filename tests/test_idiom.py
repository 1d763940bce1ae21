"""The idiom of a body of music, measured on pieces of known figures, stored, and read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from livebach.music.idiom import BACH, Idiom, idiom_of
from livebach.music.roll import KEYS, LOW_KEY, ONSET, Frames
from livebach.network.checkpoint import CheckpointError, load, save
from tests.support.small_checkpoint import plain


def chords(*ticks: tuple[int, ...]) -> Frames:
    """Frames on which these MIDI keys are struck."""
    frames = np.zeros((len(ticks), KEYS), np.uint8)
    for frame, keys in zip(frames, ticks, strict=True):
        frame[np.array(keys, int) - LOW_KEY] = ONSET
    return frames


def test_the_figures_of_a_few_chords() -> None:
    """Two parallel octaves and a contrary move; one clash in four pairs."""
    found = idiom_of([chords((48, 60), (50, 62), (52, 64), ()), chords((60, 61), (55,), (48,))])
    assert (found.lowest, found.highest) == (48, 64)
    assert found.chord == pytest.approx(10 / 6)
    assert found.density == pytest.approx(10 / 7)
    assert found.middle == pytest.approx(56)
    assert found.clashes == pytest.approx(1 / 4)
    assert found.parallels == 1
    assert found.polyphony == pytest.approx(10 / 6)
    assert idiom_of([chords((48, 60), (50, 60), (47, 64))]).parallels == 0


def dense(every: int, size: int, ticks: int) -> list[tuple[int, ...]]:
    """Chords of so many keys on every so manyth tick."""
    return [tuple(range(60, 60 + size)) if tick % every == 0 else () for tick in range(ticks)]


def test_it_is_measured_how_far_music_keeps_the_texture_of_the_bars_before() -> None:
    """Wholly where each piece stays as it began, and not at all where every piece goes on alike."""
    steady = [chords(*dense(every, size, 400)) for every, size in ((1, 1), (2, 3), (4, 2))]
    found = idiom_of(steady * 2)
    assert (found.density_kept, found.chord_kept) == (pytest.approx(1), pytest.approx(1))
    alike = [chords(*dense(every, size, 64), *dense(2, 2, 256)) for every, size in ((1, 1), (2, 3), (4, 2))]
    found = idiom_of(alike * 3)
    assert (found.density_kept, found.chord_kept) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))
    assert idiom_of(alike[:1]).density_kept == BACH.density_kept


def test_the_texture_to_expect_lies_between_that_heard_and_the_usual() -> None:
    """At the usual one where nothing is kept, at that heard where all is; the less is heard, the less it counts."""
    idiom = replace(BACH, density=1.6, density_kept=0.5, chord=2, chord_kept=0, polyphony=3, polyphony_kept=1)
    assert idiom.density_after(0.4, 64) == pytest.approx(0.8)
    assert 0.8 < idiom.density_after(0.4, 16) < idiom.density_after(0.4, 0) == pytest.approx(1.6)
    assert (idiom.chord_after(1, 64), idiom.polyphony_after(2, 64)) == (2, 2)


def test_the_spread_is_that_of_passages() -> None:
    """Half of the keys an octave above the others spread by six semitones."""
    assert idiom_of([chords(*[(60,), (72,)] * 200)]).spread == pytest.approx(6)


def test_music_without_notes_has_no_idiom() -> None:
    """One clear line instead of figures that are no numbers."""
    with pytest.raises(ValueError, match="no note"):
        idiom_of([chords((), ())])


@pytest.mark.parametrize(
    "wrong",
    [
        {"lowest": 90},
        {"middle": "high"},
        {"chord": 0},
        {"density": 5},
        {"clashes": 1.5},
        {"parallels": True},
        {"highest": 200},
        {"polyphony": 0.5},
        {"spread": 0},
        {"density_kept": 1.5},
    ],
)
def test_wrong_figures_are_refused(wrong: dict[str, object]) -> None:
    """Whatever a file may hold."""
    with pytest.raises(ValueError, match="idiom"):
        Idiom.from_json(BACH.to_json() | wrong)


def test_a_checkpoint_keeps_its_idiom(tmp_path: Path) -> None:
    """A file without one has Bach's; one with damaged figures is refused by name."""
    path = tmp_path / "a.safetensors"
    idiom = Idiom(30, 90, 64.5, 2.0, 2.5, 0.25, 0.3, 3.5, 12.0, 0.25, 0.5, 0.75)
    save(path, replace(plain(), idiom=idiom))
    assert load(path).idiom == idiom
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"lowest", b"LOWEST"))
    assert load(path).idiom.lowest == BACH.lowest
    path.write_bytes(raw.replace(b'chord\\": 2.5', b'chord\\": 0.5'))
    with pytest.raises(CheckpointError, match="idiom"):
        load(path)
