"""Keys: parsing, recognition in music, and keeping to a key."""

from __future__ import annotations

import numpy as np
import pytest

from livebach.music.events import NoteOn
from livebach.music.key import Key, KeyHearing
from livebach.music.roll import KEYS, LOW_KEY, ONSET, Frame
from livebach.musician import governor
from livebach.musician.key_plan import KeyPlan
from livebach.musician.texture_follower import OUTSIDE
from tests.support.driven import ONE_NOTE, Take, taken_over
from tests.support.pieces import OPENINGS, transposed

PIECES = {
    "prelude in C (BWV 846)": "C major",
    "fugue in C (BWV 846)": "C major",
    "fugue in C minor (BWV 847)": "C minor",
}


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("minor", [False, True])
def test_a_key_is_read_as_it_is_written(tonic: int, minor: bool) -> None:
    """Of all twenty-four."""
    assert Key.parse(str(Key(tonic, minor))) == Key(tonic, minor)


@pytest.mark.parametrize("text", ["", "h", "H minor", "d moll", "C## major", "d minor minor", "dminor"])
def test_what_is_no_key_is_refused(text: str) -> None:
    """With what one looks like."""
    with pytest.raises(ValueError, match="like 'd minor'"):
        Key.parse(text)


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("by", range(-5, 7))
def test_the_key_of_an_opening_is_found(name: str, by: int) -> None:
    """Of real music, wherever it is transposed to."""
    hearing = KeyHearing(bar_ticks=16)
    notes = transposed(OPENINGS[name], by)
    for tick in range(max(note.end for note in notes)):
        frame: Frame = np.zeros(KEYS, np.uint8)
        frame[[note.key - LOW_KEY for note in notes if note.start <= tick < note.end]] = ONSET
        hearing.observe(frame)
    written = Key.parse(PIECES[name])
    assert hearing.key() == Key((written.tonic + by) % 12, written.minor)


def test_silence_has_no_key() -> None:
    """Nor has a cluster of all pitches."""
    hearing = KeyHearing(16)
    hearing.observe(np.zeros(KEYS, np.uint8))
    assert hearing.key() is None
    hearing.observe(np.repeat(np.uint8([0, ONSET]), [KEYS - 12, 12]))
    assert hearing.key() is None


MIDDLE_OCTAVE = slice(39, 51)
"""The keys from C4 to B4."""


@pytest.fixture
def no_register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but the key lock favour some keys: no register, and no plan of keys."""
    monkeypatch.setattr(governor, "COMPASS_BIAS", np.zeros(KEYS, np.float32))
    monkeypatch.setattr(governor, "TILT", 0.0)
    monkeypatch.setattr(KeyPlan, "bias", lambda _self: np.zeros(KEYS, np.float32))


def outside(take: Take) -> set[int]:
    """The pitch classes that the last draw made rarer."""
    bias = take.engine.draws[-1][2].key_bias
    assert bias is not None
    assert set(bias[bias != 0]) == {OUTSIDE}
    return {(int(key) + LOW_KEY) % 12 for key in np.flatnonzero(bias)}


@pytest.mark.usefixtures("no_register")
def test_pitches_outside_the_key_that_is_set_are_made_rarer() -> None:
    """And not forbidden; in minor the leading note is inside."""
    take = taken_over(ONE_NOTE, "sampling.key=d minor").run(9)
    assert outside(take) == {3, 6, 8, 11}
    forbidden = take.engine.draws[-1][2].forbidden
    assert forbidden is None or not forbidden[MIDDLE_OCTAVE].any()


@pytest.mark.usefixtures("no_register")
def test_the_key_is_found_from_what_the_player_plays() -> None:
    """After a bar: here A major."""
    take = Take(ONE_NOTE, "sampling.key=auto")
    take.play([69, 73, 76, 73, 69, 74, 78, 74, 69, 73, 76, 80, 81, 80, 81, 69, 73, 76, 81]).run(30)
    assert outside(take) == {0, 3, 5, 7, 10}


@pytest.mark.usefixtures("no_register")
def test_without_a_key_nothing_is_made_rarer() -> None:
    """Neither where none is set nor where too little was played to tell."""
    for setting in ("null", "auto"):
        take = taken_over(ONE_NOTE, f"sampling.key={setting}").run(9)
        take.feed(9.5, NoteOn(60))
        bias = take.engine.draws[-1][2].key_bias
        assert bias is None or not bias.any()
