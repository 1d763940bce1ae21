"""What a turn keeps to after the music heard: chords, register, density."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livebach.music.idiom import BACH, Idiom
from livebach.music.roll import KEYS, LOW_KEY, ONSET, Frames
from livebach.music.texture import DENSITY_CENTRES
from livebach.musician.targets import HEARD_CHORDS, HEARD_NOTES, MOST_STRUCK, Targets
from livebach.musician.texture_follower import MOST

FREE = replace(BACH, parallels=0.2, chord=3.0, chord_kept=0.5, density=2.0, density_kept=0.5)
NOTHING: Frames = np.zeros((0, KEYS), np.uint8)


def music(*chord: int, ticks: int = 64, every: int = 2) -> Frames:
    """A chord of these MIDI keys on every so many ticks."""
    frames = np.zeros((ticks, KEYS), np.uint8)
    frames[::every, np.array(chord) - LOW_KEY] = ONSET
    return frames


@pytest.mark.parametrize("idiom", [BACH, FREE], ids=["counterpoint", "free"])
def test_before_any_music_it_is_the_idiom(idiom: Idiom) -> None:
    """Its chords, its register, its density, and the centre of each level that is asked for."""
    found = Targets.of(NOTHING, idiom)
    assert found == Targets(idiom.chord, idiom.middle, idiom.density, None)
    assert found.share_struck(3) == min(MOST_STRUCK, DENSITY_CENTRES[3] / idiom.chord)


def test_chords_and_register_lie_between_the_idiom_and_the_music_heard() -> None:
    """32 chords of three keys around E4 weigh as the constants say."""
    found = Targets.of(music(60, 64, 68), BACH)
    assert found.chord == pytest.approx((96 + HEARD_CHORDS * BACH.chord) / (32 + HEARD_CHORDS))
    assert found.middle == pytest.approx((96 * 64 + HEARD_NOTES * BACH.middle) / (96 + HEARD_NOTES))


def test_a_single_line_is_to_be_joined_by_chords() -> None:
    """Its size of chords, 1, does not count; its register does."""
    found = Targets.of(music(84), BACH)
    assert found.chord == BACH.chord
    assert found.middle > BACH.middle


@pytest.mark.parametrize("idiom", [BACH, FREE], ids=["counterpoint", "free"])
def test_rests_after_the_music_do_not_count(idiom: Idiom) -> None:
    """The player has stopped, and that makes nothing sparser; nor does silence alone."""
    heard, rests = music(60, 64, ticks=32, every=1), np.zeros((20, KEYS), np.uint8)
    assert Targets.of(np.concatenate([heard, rests]), idiom) == Targets.of(heard, idiom)
    assert Targets.of(rests, idiom) == Targets.of(NOTHING, idiom)


def test_in_a_free_idiom_it_is_what_follows_such_music() -> None:
    """Chords and density move to the idiom as far as its music does; more of the music is kept the longer it is."""
    short, long = (Targets.of(music(60, 64, ticks=ticks), FREE) for ticks in (32, 512))
    assert 2 < long.chord < short.chord < FREE.chord
    assert 1 < long.density < short.density < FREE.density


def test_the_density_heard_counts_where_its_level_is_asked_for() -> None:
    """Other levels have their centres. In counterpoint an answer is at most as dense as the highest level followed."""
    found = Targets.of(music(60, 64), BACH)
    assert found.level is not None
    assert found.share_struck(found.level) == pytest.approx(found.density / found.chord)
    other = found.level - 1
    assert found.share_struck(other) == pytest.approx(min(MOST_STRUCK, DENSITY_CENTRES[other] / found.chord))
    assert Targets.of(music(50, 54, 57, 60, 64, 68, every=1), BACH).level == MOST.density
    assert Targets.of(music(60, ticks=64, every=1), BACH).share_struck(7) <= MOST_STRUCK
