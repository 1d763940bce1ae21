"""The guides of a playing network: key, rhythm, compass, counterpoint, entries of voices, length of an answer."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from livebach.music.idiom import BACH, Idiom
from livebach.music.key import PITCH_CLASSES, Key, profile
from livebach.music.roll import HOLD, KEYS, LOW_KEY, ONSET, Frame
from livebach.music.texture import Texture
from livebach.musician.frame_draws import EAGERNESS, MOST_DRAWS
from livebach.musician.guides import CANDIDATES, FURTHER_DRAWS, MOST_URGE, OUT_OF_LOOP, Guides
from livebach.musician.key_plan import KeyPlan, near_keys
from livebach.musician.rhythm import RhythmVotes
from livebach.musician.texture_follower import followed
from livebach.musician.vetoes import playable
from livebach.musician.voice_vetoes import ClashWatch, OveruseWatch, ParallelWatch
from livebach.musician.voices_enter import FULL, grown
from livebach.network.quotes import NOTHING
from livebach.network.sampling import SamplingParams
from tests.support.driven import ONE_NOTE, Take

D_MINOR = Key.parse("d minor")
SILENCE = np.zeros(KEYS, np.uint8)


def struck(*midi_keys: int) -> Frame:
    """A frame in which these are struck."""
    frame = SILENCE.copy()
    frame[np.array(midi_keys, int) - LOW_KEY] = ONSET
    return frame


# -- key --------------------------------------------------------------------------------------------------------------


def test_the_plan_leaves_home_for_near_keys_and_comes_back() -> None:
    """It is at home more than half of the time, and every other stay is at home."""
    plan, keys = KeyPlan(D_MINOR, 16, Random(1)), []
    for _ in range(16 * 400):
        keys.append(plan.key)
        plan.advance()
    stays = [key for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
    assert set(stays[::2]) == {D_MINOR}
    assert set(stays[1::2]) == set(near_keys(D_MINOR))
    assert 0.5 < keys.count(D_MINOR) / len(keys) < 0.7


def test_the_plan_raises_what_the_key_lacks_and_lowers_what_is_too_frequent() -> None:
    """After bars of C# major in d minor: D and A are raised, C# and G# lowered; the same in all octaves."""
    plan = KeyPlan(D_MINOR, 16, Random(1))
    for _ in range(10):
        plan.observe(struck(61, 65, 68))
    bias = plan.bias()
    assert bias[62 - LOW_KEY] > 1
    assert bias[69 - LOW_KEY] > 1
    assert bias[68 - LOW_KEY] < -1
    assert (bias[PITCH_CLASSES == 2] == bias[62 - LOW_KEY]).all()


def test_keys_outside_the_scale_have_a_neighbour_in_it() -> None:
    """In C major each stands for itself; the others for the commoner neighbour: F sharp for G."""
    tonal = KeyPlan(Key.parse("C major"), 16, Random(1)).tonal()
    scale = Key.parse("C major").scale
    assert (tonal[scale] == np.flatnonzero(scale)).all()
    assert scale[tonal].all()
    assert (np.abs(tonal - np.arange(KEYS)) <= 1).all()
    assert tonal[66 - LOW_KEY] == 67 - LOW_KEY


def test_music_in_the_key_is_left_alone() -> None:
    """What has the key's profile is hardly corrected; pitches outside the scale are rarer."""
    plan, rng = KeyPlan(D_MINOR, 200, Random(1)), np.random.default_rng(0)
    for pitch in rng.choice(12, 400, p=profile(D_MINOR) / profile(D_MINOR).sum()):
        plan.observe(struck(60 + int(pitch)))
    bias = plan.bias()
    assert np.abs(bias[D_MINOR.scale]).max() < 0.6
    assert bias[~D_MINOR.scale].max() < -1


# -- rhythm -----------------------------------------------------------------------------------------------------------


def test_a_rhythm_that_has_come_again_votes_for_itself() -> None:
    """After four bars of one rhythm the next tick is likely where that has a stroke, and unlikely elsewhere."""
    rhythm = [True, False, True, True] * 4
    votes = RhythmVotes(4, 16)
    for one in rhythm * 4:
        votes.observe(struck(60) if one else SILENCE)
    for one in rhythm:
        assert (votes.chance(0.5) > 0.8) if one else (votes.chance(0.5) < 0.2)
        votes.observe(struck(60) if one else SILENCE)


def test_votes_of_an_unsteady_rhythm_hardly_count() -> None:
    """Outside steady music lags that agree no more than by chance leave the decision to the network."""
    chance, votes = Random(1), RhythmVotes(4, 16)
    for _ in range(128):
        votes.observe(struck(60) if chance.random() < 0.5 else SILENCE)
    assert abs(votes.chance(0.5, steady=False) - 0.5) < 0.1
    rhythm = [True, False, True, True] * 4
    for one in rhythm * 16:
        votes.observe(struck(60) if one else SILENCE)
    for one in rhythm:
        assert (votes.chance(0.5, steady=False) > 0.8) if one else (votes.chance(0.5, steady=False) < 0.2)
        votes.observe(struck(60) if one else SILENCE)


def test_before_anything_was_heard_the_network_decides() -> None:
    """The chance is the network's own at even odds, and is raised by what makes the music busier."""
    votes = RhythmVotes(4, 16)
    assert votes.chance(0.5) == pytest.approx(0.5)
    assert votes.chance(0.5, busier=1.0) > 0.7
    assert 0 < votes.chance(0.0) < votes.chance(1.0) < 1


# -- counterpoint -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [
        ((60, 67), (62, 69), {62, 69}),
        ((60, 72), (65, 77), {65, 77}),
        ((60, 67), (62, 71), None),
        ((60, 64), (62, 69), None),
        ((60, 67), (60, 67), None),
        ((48, 60, 67), (48, 62, 69), {62, 69}),
    ],
    ids=["fifths", "octaves", "fifth to sixth", "third to fifth", "repeated", "above a held bass"],
)
def test_parallels_are_refused(before: tuple[int, ...], now: tuple[int, ...], refused: set[int] | None) -> None:
    """Either key of two voices that move in fifths or octaves: the upper one alone would make the music sink."""
    watch = ParallelWatch(Random(1))
    watch.observe(struck(*before))
    frame = struck(*now)
    for key in set(before) & set(now):
        frame[key - LOW_KEY] = ONSET if before == now else HOLD
    found = [watch.against(frame) for _ in range(20)]
    assert {None if key is None else key + LOW_KEY for key in found} == (refused or {None})


def test_so_many_clashes_are_refused_that_the_share_of_the_idiom_is_left() -> None:
    """Where .27 of the pairs clash unwatched; once decided, a pair stays so for the tick."""

    def left(share: float) -> float:
        watch, passed = ClashWatch(Random(1), share), 0
        for _ in range(600):
            first = watch.against(struck(60, 61))
            assert (watch.against(struck(60, 61)) is None) == (first is None)
            passed += first is None
            watch.observe(struck(60))
        assert watch.against(struck(60, 64)) is None
        return passed / 600

    assert left(0) == 0
    assert left(0.2) == pytest.approx(0.676, abs=0.06)
    assert left(0.4) == 1


def test_a_key_that_is_struck_too_often_is_refused() -> None:
    """Until eight bars have passed without it."""
    watch = OveruseWatch(4)
    for i in range(32):
        watch.observe(struck(60, 61 + i % 16))
    assert watch.against(struck(60)) == 60 - LOW_KEY
    assert watch.against(struck(85)) is None
    for i in range(32):
        watch.observe(struck(61 + i % 16))
    assert watch.against(struck(60)) is None


# -- all of them ------------------------------------------------------------------------------------------------------


def guides() -> Guides:
    """Guides in the middle of a turn in d minor."""
    found = Guides(4, 16, Random(1), Random(2), None)
    found.restart(NOTHING, D_MINOR)
    found.listen(struck(62, 69), struck(62, 69))
    return found


def test_an_idiom_with_parallels_and_a_wide_compass_is_left_alone() -> None:
    """What is a fault in Bach is a habit of others; a network that is exchanged brings its own idiom."""
    wide = Idiom(lowest=24, highest=100, middle=64, density=1.2, chord=2.3, clashes=0.2, parallels=0.2)

    def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        frame = struck(26, 34)
        frame[(frame == ONSET) & (params.forbidden if params.forbidden is not None else False)] = 0
        return frame

    one = guides()
    assert not one.draw(once, SamplingParams(), Texture()).any()
    one.know(NOTHING, wide)
    assert np.array_equal(one.draw(once, SamplingParams(), Texture()), struck(26, 34))


def test_another_metre_keeps_the_idiom() -> None:
    """Its compass is still that of the style: keys far beyond Bach's are not made rarer."""
    seen: list[SamplingParams] = []

    def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        seen.append(params)
        return SILENCE

    one = Guides(4, 16, Random(1), Random(2), None)
    one.restart(NOTHING, idiom=Idiom(lowest=24, highest=100, middle=64, density=1.2, chord=2.3, parallels=0.2))
    one.set_metre(4, 12)
    one.draw(once, SamplingParams(), Texture())
    bias = seen[0].key_bias
    assert bias is not None
    assert bias[26 - LOW_KEY] == bias[60 - LOW_KEY] == bias[98 - LOW_KEY]


def test_other_idioms_leave_the_scale_more_often() -> None:
    """A pitch outside the scale is made less rare than in counterpoint, also after an exchange in a turn."""

    def outside(one: Guides) -> float:
        assert one.plan is not None
        for _ in range(8):
            one.plan.observe(struck(62, 65, 69))
        return float(one.plan.bias()[63 - LOW_KEY])

    free = Idiom(parallels=0.2)
    strict, other, exchanged = guides(), Guides(4, 16, Random(1), Random(2), None), guides()
    other.restart(NOTHING, D_MINOR, free)
    exchanged.know(NOTHING, free)
    assert outside(strict) < outside(other) - 1
    assert outside(exchanged) == outside(other)


def test_a_network_that_is_sure_of_a_rest_is_urged_only_so_far() -> None:
    """After silence a key should be struck, but not half of the keyboard at once, as its full urge would have it."""
    asked: list[float] = []

    def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        asked.append(params.onset_bias)
        return SILENCE

    one = Guides(4, 16, Random(1), Random(2), None)
    one.restart(NOTHING, D_MINOR, Idiom(parallels=0.2))
    for _ in range(4):
        one.listen(SILENCE, SILENCE)
    one.draw(once, SamplingParams(), Texture(), chance=lambda _: 1e-9)
    assert min(asked) > MOST_URGE - 1
    assert max(asked) < MOST_URGE + EAGERNESS * MOST_DRAWS


@pytest.mark.parametrize("parallels", [0.0, 0.2])
def test_a_loop_is_ended_outside_counterpoint(parallels: float) -> None:
    """The keys of two bars before may not be struck, and all others are likelier."""
    seen: list[SamplingParams] = []

    def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        seen.append(params)
        return SILENCE

    one = Guides(2, 4, Random(1), Random(2), None)
    one.restart(NOTHING, idiom=Idiom(parallels=parallels))
    for tick in range(20):
        part = struck(50 + 4 * (tick % 4))
        one.listen(part, SILENCE)
        one.played(part, part)
    one.draw(once, SamplingParams(), Texture())
    worn = seen[0].forbidden is not None and bool(seen[0].forbidden[50 - LOW_KEY])
    assert worn == (parallels > 0)
    assert (seen[0].onset_bias >= OUT_OF_LOOP) == worn


def test_other_idioms_hold_more_voices() -> None:
    """Chords are held while a voice moves; in counterpoint a voice that moves lets go of its last key."""

    def once(_params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        frame = struck(67)
        frame[np.array([48, 60, 65, 76]) - LOW_KEY] = HOLD
        return frame

    one = Guides(4, 16, Random(1), Random(2), None)
    one.restart(NOTHING, D_MINOR, Idiom(parallels=0.2))
    one.listen(struck(62, 69), struck(62, 69))
    assert np.count_nonzero(one.draw(once, SamplingParams(), Texture(4, 5), chance=lambda _: 1.0)) == 5


def test_after_a_sparse_introduction_other_idioms_strike_as_often_as_usual() -> None:
    """More ticks are struck where the idiom's music does not keep the density of the bars before."""

    def struck_ticks(kept: float) -> int:
        one = Guides(4, 16, Random(1), Random(2), None)
        heard = [struck(62, 69) if tick % 8 == 0 else SILENCE for tick in range(32)]
        for frame in heard:
            one.listen(frame, frame)
        idiom = Idiom(density=1.6, chord=2.0, parallels=0.2, density_kept=kept)
        one.restart(NOTHING, None, idiom)
        drawn: list[Frame] = []

        def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
            rests = params.forbidden is not None and params.forbidden.all()
            return SILENCE if rests else struck(60 + len(drawn) % 12, 76)

        while len(drawn) < 128:
            drawn.append(one.draw(once, SamplingParams(), followed(np.stack(heard), idiom), chance=lambda _: 0.4))
            one.listen(drawn[-1], SILENCE)
            one.played(drawn[-1], drawn[-1])
        return sum(bool((frame == ONSET).any()) for frame in drawn)

    assert struck_ticks(0) > 1.2 * struck_ticks(1)


@pytest.mark.parametrize("size", [1, 5])
def test_chords_keep_the_size_of_the_players(size: int) -> None:
    """A network that strikes too many or too few keys at once is asked for fewer or more."""
    seen: list[float] = []

    def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        seen.append(params.onset_bias)
        lowest = 50 + 5 * len(seen) % 12
        return struck(*range(lowest, lowest + 2 * size, 2))

    one = Guides(4, 16, Random(1), Random(2), None)
    for _ in range(32):
        one.listen(struck(55, 60, 64), struck(55, 60, 64))
    loose = replace(BACH, clashes=0.9, parallels=1.0)  # so that no watch takes keys away
    one.restart(NOTHING, idiom=loose)
    for _ in range(40):
        one.played(*[one.draw(once, SamplingParams(), Texture(), chance=lambda _: 0.99)] * 2)
    assert (seen[-1] > seen[0] + 1) if size == 1 else (seen[-1] < seen[0] - 0.5)


def test_after_an_exchange_chords_are_as_large_as_in_the_other_idiom() -> None:
    """Also within a turn: the network is asked for larger ones."""

    def asked(exchanged: bool) -> float:
        seen: list[float] = []

        def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
            seen.append(params.onset_bias)
            return struck(60 + len(seen) % 12, 76)

        one = Guides(4, 16, Random(1), Random(2), None)
        one.restart(NOTHING)
        for _ in range(40):
            one.played(*[one.draw(once, SamplingParams(), Texture(), chance=lambda _: 0.99)] * 2)
        if exchanged:
            one.know(NOTHING, Idiom(chord=4.0, parallels=0.2))
        one.draw(once, SamplingParams(), Texture(), chance=lambda _: 0.99)
        return seen[-1]

    assert asked(exchanged=True) > asked(exchanged=False) + 0.5


def test_nothing_is_struck_outside_the_compass() -> None:
    """C2 to C6, or as far as the player went; a register that is asked for has no such bounds."""
    seen: list[SamplingParams] = []

    def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        seen.append(params)
        return struck(62)

    one = guides()
    one.draw(once, SamplingParams(), Texture())
    one.listen(struck(90), struck(90))
    one.draw(once, SamplingParams(), Texture())
    one.draw(once, SamplingParams(), Texture(), register=100)
    allowed = [None if p.forbidden is None else np.flatnonzero(~p.forbidden)[[0, -1]] + LOW_KEY for p in seen]
    assert [None if a is None else a.tolist() for a in allowed] == [[36, 84], [36, 90], None]


def test_its_own_notes_do_not_widen_the_compass() -> None:
    """What it played around a register that was asked for is no reason to go there again."""
    seen: list[SamplingParams] = []

    def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        seen.append(params)
        return SILENCE

    one = guides()
    one.listen(struck(100), SILENCE)
    one.played(*[struck(100)] * 2)
    one.draw(once, SamplingParams(), Texture())
    assert seen[0].forbidden is not None
    assert seen[0].forbidden[100 - LOW_KEY]


def test_what_is_forgotten_guides_no_more() -> None:
    """The next turn begins like the first one: in the idiom's compass, density, and in the key that is asked for."""
    seen: list[list[SamplingParams]] = [[], []]
    for which, found in enumerate(seen):

        def once(params: SamplingParams, _uniforms: NDArray[np.float64], found: list[SamplingParams] = found) -> Frame:
            found.append(params)
            return struck(62)

        one = Guides(4, 16, Random(1), Random(2), None)
        if which:
            for key in (22, 27, 32, 37, 42) * 12:
                one.listen(*[struck(key, key + 12, key + 19, 100)] * 2)
            one.restart(NOTHING, Key.parse("c# major"))
            one.forget()
        one.restart(NOTHING, D_MINOR)
        one.draw(once, SamplingParams(), Texture(3, 3))
    first, again = seen[0][0], seen[1][0]
    assert (first.onset_bias, first.hold_bias) == (again.onset_bias, again.hold_bias)
    for name in ("forbidden", "key_bias", "tonal"):
        assert np.array_equal(getattr(first, name), getattr(again, name))


def test_a_turn_begins_at_home() -> None:
    """Also where an earlier turn with the same home key was away from it."""
    one = guides()
    one.restart(NOTHING, D_MINOR)
    assert one.plan is not None
    while one.plan.key == D_MINOR:
        one.plan.advance()
    one.restart(NOTHING, D_MINOR)
    assert one.plan.key == D_MINOR


def test_of_several_frames_the_one_with_the_idioms_habits_is_chosen_more_often() -> None:
    """After many fourths thirds are chosen, though both are drawn alike."""
    chance, thirds = Random(3), 0

    def once(_params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        return struck(60, chance.choice((64, 65)))

    one = Guides(4, 16, Random(1), Random(2), None)
    one.restart(NOTHING, idiom=replace(BACH, clashes=0.9))  # so that no watch takes keys away
    for i in range(60):
        fourth = struck(48 + 7 * i % 24, 53 + 7 * i % 24)
        one.listen(fourth, SILENCE)
        one.played(fourth, fourth)
    for _ in range(40):
        thirds += int(one.draw(once, SamplingParams(), Texture(), chance=lambda _: 0.99)[64 - LOW_KEY] == ONSET)
    assert thirds > 32


def test_draws_have_the_bias_of_the_lengths_and_the_scale_of_the_plan() -> None:
    """In a free idiom each key's release, in counterpoint the keys that stand for those outside the scale."""
    seen: list[SamplingParams] = []

    def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        seen.append(params)
        return SILENCE

    for idiom in (BACH, replace(BACH, parallels=0.2)):
        one = Guides(4, 16, Random(1), Random(2), None)
        one.restart(NOTHING, D_MINOR, idiom)
        one.draw(once, SamplingParams(), Texture())
    strict, free = seen[0], seen[-1]
    assert strict.release_bias is None
    assert strict.tonal is not None
    assert free.release_bias is not None
    assert free.tonal is None


def test_alone_it_decides_first_whether_anything_is_struck() -> None:
    """A network that is sure to strike is asked for a stroke; one that is sure to rest may strike no key."""
    seen: list[SamplingParams] = []

    def once(params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        seen.append(params)
        return SILENCE if params.forbidden is not None and params.forbidden.all() else struck(62)

    one = guides()
    assert (one.draw(once, SamplingParams(), Texture(), chance=lambda _: 1.0) == ONSET).any()
    assert not (one.draw(once, SamplingParams(), Texture(), chance=lambda _: 0.0) == ONSET).any()


@pytest.mark.parametrize(
    ("drawn", "most"),
    [
        (SILENCE, MOST_DRAWS),
        (struck(60, 67), MOST_DRAWS + (CANDIDATES - 1) * FURTHER_DRAWS),
        (struck(60), MOST_DRAWS + (CANDIDATES - 1) * FURTHER_DRAWS),
        (struck(*range(48, 60)), MOST_DRAWS + (CANDIDATES - 1) * FURTHER_DRAWS),
    ],
    ids=["rests", "strokes", "one voice", "too many keys"],
)
def test_the_draws_of_a_tick_are_bounded(drawn: Frame, most: int) -> None:
    """However often the network rests where it should strike, and whatever is refused."""
    count = 0

    def once(_params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        nonlocal count
        count += 1
        return drawn

    guides().draw(once, SamplingParams(), Texture(4, 5), chance=lambda _: 1.0)
    assert 1 < count <= most


def test_of_too_many_keys_the_outer_ones_are_left() -> None:
    """Where the network strikes twelve at every draw, hands get eight, with the melody and the bass."""
    crowd = struck(*range(40, 64, 2))
    found = playable(lambda _: crowd, SamplingParams(), ())
    assert (np.flatnonzero(found == ONSET) + LOW_KEY).tolist() == [40, 42, 44, 46, 56, 58, 60, 62]


def test_voices_that_move_on_let_go_of_their_last_key() -> None:
    """The network holds four keys and strikes a fifth; three voices remain, and those nearest to the stroke end."""

    def once(_params: SamplingParams, _uniforms: NDArray[np.float64]) -> Frame:
        frame = struck(67)
        frame[np.array([48, 60, 65, 76]) - LOW_KEY] = HOLD
        return frame

    kept = guides().draw(once, SamplingParams(), Texture(4, 5), chance=lambda _: 1.0)
    assert (np.flatnonzero(kept) + LOW_KEY).tolist() in ([48, 67, 76], [48, 60, 67, 76])
    assert kept[65 - LOW_KEY] == 0


def test_what_is_still_refused_after_the_last_draw_is_left_out() -> None:
    """A network that strikes the same refused key at every draw."""

    class Refusal:
        """Objects to C4."""

        def observe(self, part: Frame) -> None:
            """Remember nothing."""

        def against(self, part: Frame) -> int | None:
            """Return C4 if it is struck."""
            return 60 - LOW_KEY if part[60 - LOW_KEY] == ONSET else None

    frame = playable(lambda _: struck(60, 64), SamplingParams(), [Refusal()], 2)
    assert (np.flatnonzero(frame) + LOW_KEY).tolist() == [64]
    assert not playable(lambda _: struck(60), SamplingParams(), [Refusal()], 2).any()
    assert playable(lambda _: struck(60), SamplingParams(), [], 2, lenient=[Refusal()]).any()


def test_a_struck_key_a_semitone_from_a_held_one_is_often_refused() -> None:
    """In about six of ten cases; the same interval held on is not refused."""
    watch, refused = ClashWatch(Random(1), 1 / 6), 0
    for _ in range(200):
        frame = struck(65)
        frame[64 - LOW_KEY] = HOLD
        refused += watch.against(frame) == 65 - LOW_KEY
        watch.observe(frame)
    assert 90 < refused < 150
    frame[65 - LOW_KEY] = HOLD
    assert watch.against(frame) is None


def test_voices_enter_after_a_single_line() -> None:
    """After a line alone the texture is fuller; after chords, or where none is asked for, as it was."""
    line = np.stack([struck(60 + i % 5) for i in range(32)])
    chords = np.stack([struck(60, 64, 67)] * 32)
    assert grown(Texture(2, 2), line, 16) == Texture(5, FULL.polyphony)
    assert grown(Texture(2, 2), chords, 16) == Texture(2, 2)
    assert grown(Texture(), line, 16) == Texture()


@pytest.mark.parametrize("bars", [1, 2, 3])
def test_an_answer_may_be_as_long_as_the_phrase(bars: int) -> None:
    """Rounded to bars, from the next downbeat on."""
    take = Take(ONE_NOTE, "turns.bars=phrase", "turns.ending=cut").play([60 + i % 12 for i in range(16 * bars - 2)])
    take.run(400)
    own = [at for at, _ in take.onsets]
    begun = own[0]
    last_downbeat = -(-begun // 16) * 16 + 16 * bars
    assert last_downbeat - 4 <= own[-1] < last_downbeat
