"""The theme memory: equal to a slow twin, causal, bounded, and exact after going back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, STATES, UNKNOWN, Frame
from livebach.music.texture import Texture
from livebach.network.checkpoint import CheckpointError, default_path, load, save
from livebach.network.engine import Engine, State
from livebach.network.reference import random_checkpoint
from livebach.network.sampling import SamplingParams, log_likelihood
from livebach.network.theme_evidence import AGED, DOUBT, FEATURES, NEAR, ThemeWeights, evidence
from livebach.network.themes import (
    COUNT_KEPT,
    FURTHEST,
    LEAST_SCORE,
    MOST_ALIGNMENTS,
    PAD,
    SOURCE_TICKS,
    WINDOW,
    ThemeMemory,
)
from tests.support.small_checkpoint import made
from tests.support.small_network import SMALL, random_frames

ROOM = 96, 48
"""Frames of a small memory: of both players, and of the player alone."""
Heard = tuple[Frame, tuple[int, int, int], tuple[int, int, int], bool]
SILENCE = np.zeros(KEYS, np.uint8)


class SlowMemory:
    """The same memory without rings and running sums: everything is counted anew from a list of all frames."""

    def __init__(self, recent: int, archive: int) -> None:
        self.recent, self.archive = recent, archive
        self.frames: list[tuple[Frame, bool]] = []
        self.beat, self.since = 4, 0  # since: number of the frame that the beat has been as long since
        self.archived: list[tuple[Frame, int]] = []  # with the number of the frame, -1 for gaps

    def observe(self, frame: Frame, place: tuple[int, int, int], coming: tuple[int, int, int], players: bool) -> None:
        """Remember a frame, and silence for ticks that are left out."""
        if place[1] != self.beat:
            self.beat, self.since = place[1], len(self.frames)
        self._add(frame, players)
        if coming[1:] == place[1:]:
            for _ in range((coming[0] - place[0] - 1) % place[2]):
                self._add(SILENCE, False)

    def _add(self, frame: Frame, players: bool) -> None:
        leaving = len(self.frames) - self.recent
        if leaving >= 0 and self.frames[leaving][1]:
            follows = bool(self.archived) and self.archived[-1][1] == leaving - 1
            while not follows and len(self.archived) % self.beat != leaving % self.beat:
                self.archived.append((SILENCE, -1))
            self.archived.append((self.frames[leaving][0], leaving))
        self.frames.append((frame, players))

    def source(self, row: int, clock: int) -> Frame:
        """The frame that a source has at a time."""
        if row < self.recent // SOURCE_TICKS:
            at = clock - (row + 1) * self.beat
            return self.frames[at][0] if at >= 0 else SILENCE
        slot = (clock + (row - self.recent // SOURCE_TICKS) * self.beat) % self.archive
        stored = [frame for i, (frame, _) in enumerate(self.archived) if i % self.archive == slot]
        return stored[-1] if stored else SILENCE


def struck(frame: Frame) -> list[int]:
    """The keys that are struck."""
    return np.flatnonzero(frame == ONSET).tolist()


def slow_features(memory: SlowMemory, alignments: list[tuple[int, int]]) -> NDArray[np.float64]:
    """The features of the coming frame by the definition, for alignments as pairs of a row and semitones."""
    clock = len(memory.frames)
    out = np.zeros((len(FEATURES), KEYS))
    name = {feature: i for i, feature in enumerate(FEATURES)}
    latest = memory.frames[-1][0]
    out[name["down"]] = latest != OFF
    for row, semitones in alignments:
        for key in range(KEYS):
            for feature, value in _said(memory, clock, row, semitones, key).items():
                out[name[feature], key] = max(out[name[feature], key], value)
    for key in range(KEYS):
        near = [k for k in (key - 2, key - 1, key + 1, key + 2) if 0 <= k < KEYS]
        out[name["neighbour_mass"], key] = max(out[name["struck_mass_diatonic"], k] for k in near)
    for feature, i in name.items():
        if "mass" in feature or "run" in feature:
            out[i] = np.log1p(out[i])
    return out


def _said(memory: SlowMemory, clock: int, row: int, semitones: int, key: int) -> dict[str, float]:
    """What one alignment says of one key, by feature."""
    figures, at = _judged(memory, clock, row, semitones, key), key - semitones
    state = int(memory.source(row, clock)[at]) if 0 <= at < KEYS else OFF
    before = int(memory.source(row, clock - 1)[at]) if 0 <= at < KEYS else OFF
    if state == ONSET:
        return {f"struck_{measure}": value for measure, value in figures.items()}
    kinds = ["not_struck"]
    kinds += ["held"] if state == HOLD else ["released"] if before != OFF else []
    return {f"{kind}_{measure}": figures[measure] for kind in kinds for measure in ("share", "mass")}


def _judged(memory: SlowMemory, clock: int, row: int, semitones: int, key: int) -> dict[str, float]:
    sums = [0.0, 0.0, 0.0]
    runs, broken = [0, 0], [False, False]
    for age in range(WINDOW):
        if clock - 1 - age < 0:
            break
        real = struck(memory.frames[clock - 1 - age][0])
        kinds = []
        for at in struck(memory.source(row, clock - 1 - age)):
            here = at + semitones
            if 0 <= here < KEYS and abs(here - key) <= NEAR:
                kinds.append(0 if here in real else 1 if {here - 1, here + 1} & set(real) else 2)
        for kind in kinds:
            sums[kind] += float(AGED[age])
        for i, misses in enumerate(([1, 2], [2])):
            broken[i] |= any(kind in misses for kind in kinds)
            runs[i] += 0 if broken[i] else len(kinds)
    both, total = sums[0] + sums[1], sum(sums) + float(DOUBT)
    return {
        "share": sums[0] / total,
        "mass": sums[0] ** 2 / total,
        "run": runs[0],
        "share_diatonic": both / total,
        "mass_diatonic": both**2 / total,
        "run_diatonic": runs[1],
    }


def slow_scores(memory: SlowMemory, row: int) -> NDArray[np.float64]:
    """The score of a source by transposition, [SHIFTS - 2] from 24 semitones up to 24 down; without an archive."""
    clock, kept = len(memory.frames), float(COUNT_KEPT)
    counts = np.zeros(2 * PAD + 1)
    present = there = 0.0
    for age in range(clock):
        t = clock - 1 - age
        present += kept**age * len(struck(memory.frames[t][0]))
        there += kept**age * len(struck(memory.source(row, t)))
        if t >= memory.since:
            for here in struck(memory.frames[t][0]):
                for at in struck(memory.source(row, t)):
                    if abs(here - at) <= PAD:
                        counts[PAD - (here - at)] += kept**age
    sums = counts[:-2] + counts[1:-1] + counts[2:]
    return np.asarray(sums**2 / (present + 0.5) / (there + 0.5))


def heard(seed: int, length: int, beat: int = 4, gaps: bool = False, players: str = "all") -> list[Heard]:
    """Music with passages that come again, transposed and a little changed."""
    rng = np.random.default_rng(seed)
    frames = random_frames(length, seed, 0.03)
    for start in range(24, length - 12, 24):
        source, up = int(rng.integers(0, start - 11)), int(rng.integers(-5, 6))
        frames[start : start + 12] = np.roll(frames[source : source + 12], up, axis=1)
        frames[start + int(rng.integers(12))] = OFF
    bar, position, out = 4 * beat, 0, []
    for t, frame in enumerate(frames):
        coming = (position + 1 + (int(rng.integers(0, 5)) if gaps and t % 17 == 16 else 0)) % bar
        mine = players == "all" or (players == "some" and (t // 13) % 2 == 0)
        out.append((frame, (position, beat, bar), (coming, beat, bar), mine))
        position = coming
    return out


def both(music: list[Heard], room: tuple[int, int] = ROOM) -> tuple[ThemeMemory, SlowMemory]:
    """A memory and its twin that heard the same."""
    fast, slow = ThemeMemory.blank(*room), SlowMemory(*room)
    for one in music:
        fast.observe(*one)
        slow.observe(*one)
    return fast, slow


def chosen(fast: ThemeMemory) -> list[tuple[int, int]]:
    """Its alignments as pairs of a row and semitones."""
    found = fast.alignments()
    return [(int(row), PAD - int(shift)) for row, shift in zip(found.rows, found.shifts, strict=True)]


@pytest.mark.parametrize(
    "music",
    [
        heard(1, 60),
        heard(2, 50, beat=3),
        heard(3, 70, gaps=True),
        heard(4, 40, beat=6) + heard(5, 40, beat=4),
        heard(6, 170, players="some"),
        heard(7, 230, gaps=True),
    ],
    ids=["fours", "threes", "gaps", "another beat", "archive", "archive and gaps"],
)
def test_evidence_is_that_of_the_slow_twin(music: list[Heard]) -> None:
    """Of the coming frame, at several moments, with and without an archive."""
    fast, slow = ThemeMemory.blank(*ROOM), SlowMemory(*ROOM)
    judged = 0
    for t, one in enumerate(music):
        fast.observe(*one)
        slow.observe(*one)
        if t in (len(music) // 2, len(music) - 1):
            pairs = chosen(fast)
            assert np.allclose(evidence(fast), slow_features(slow, pairs), atol=1e-4)
            judged += len(pairs)
    assert judged > 2


@pytest.mark.parametrize("music", [heard(1, 60), heard(3, 80, gaps=True), heard(4, 40, beat=6) + heard(5, 40)])
def test_the_best_alignments_are_those_of_the_slow_twin(music: list[Heard]) -> None:
    """The scores by definition, over all sources: none that was left out is better than one that was taken."""
    fast, slow = both(music)
    scores = {
        (row, FURTHEST - i): float(score)
        for row in fast.rows.tolist()
        for i, score in enumerate(slow_scores(slow, row))
    }
    pairs = chosen(fast)
    assert 0 < len(pairs) <= MOST_ALIGNMENTS
    left_out = [score for pair, score in scores.items() if pair not in set(pairs)]
    assert min(scores[pair] for pair in pairs) >= max(float(LEAST_SCORE), *left_out) - 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "music",
    [
        heard(1, 200),
        heard(2, 90, beat=3),
        heard(4, 40, beat=6) + heard(5, 90, gaps=True),
        heard(7, 230, players="some"),
    ],
    ids=["fours", "threes", "another beat and gaps", "archive"],
)
def test_the_compiled_memory_says_the_same(music: list[Heard]) -> None:
    """On every tick: the same counts and alignments to the bit, and the same evidence up to the order of sums."""
    pytest.importorskip("numba", reason="needs the extra `fast`")
    from livebach.network import numba_themes

    plain, fast = ThemeMemory.blank(*ROOM), numba_themes.FastThemes.blank(*ROOM)
    for one in music:
        plain.observe(*one)
        fast.observe(*one)
        assert np.array_equal(plain.counts, fast.counts)
        there, same = plain.alignments(), numba_themes.alignments(fast)
        pairs = [sorted(zip(some.rows.tolist(), some.shifts.tolist(), strict=True)) for some in (there, same)]
        assert pairs[0] == pairs[1]
        assert np.allclose(numba_themes.evidence(fast), evidence(plain), atol=1e-5)
    assert pairs[0]


@given(st.integers(0, 2**16), st.integers(1, 60), st.integers(1, 30), st.sampled_from([2, 3, 4, 6, 8]))
@settings(max_examples=15, deadline=None)
def test_a_snapshot_goes_on_as_the_memory_does(seed: int, before: int, after: int, beat: int) -> None:
    """Copied, made to hear something else and set back, it says the same as one that never was."""
    music = heard(seed, before + after, beat, gaps=True)
    memory, _ = both(music[:before])
    snapshot = memory.copy()
    for one in heard(seed + 1, 9):
        memory.observe(*one)
    memory.copy_from(snapshot)
    straight, _ = both(music[:before])
    for one in music[before:]:
        memory.observe(*one)
        straight.observe(*one)
    assert np.array_equal(evidence(memory), evidence(straight))


def test_it_keeps_as_much_however_long_it_plays() -> None:
    """Its size is that of a blank memory, and so is the number of sources once it is full."""
    memory, _ = both([])
    size = memory.frames.nbytes + memory.counts.nbytes
    rows = []
    for one in heard(8, 600):
        memory.observe(*one)
        rows.append(len(memory.rows))
    assert memory.frames.nbytes + memory.counts.nbytes == size
    assert max(rows) == rows[-1] == rows[len(rows) // 2]


def test_the_players_phrases_outlast_what_the_network_plays() -> None:
    """The player's subject still lines up after ten times as much of other music as there is room for."""
    subject = [(key, 2 * i) for i, key in enumerate((39, 44, 42, 41, 46, 39, 47, 46))]
    memory = ThemeMemory.blank(*ROOM)
    play(memory, subject, players=True)
    for one in heard(9, 10 * ROOM[0], players="none"):
        memory.observe(*one)
    play(memory, [(key + 7, tick) for key, tick in subject[:6]], players=True)
    found = evidence(memory)
    assert found[FEATURES.index("struck_mass")].argmax() == subject[6][0] + 7
    assert found[FEATURES.index("struck_share"), subject[6][0] + 7] > 0.8


def play(memory: ThemeMemory, notes: list[tuple[int, int]], players: bool) -> None:
    """Hear notes (key 0..87, tick) up to the tick before the next one would be struck, from a downbeat on."""
    frames = np.zeros((2 * len(notes), KEYS), np.uint8)
    for key, tick in notes:
        frames[tick, key] = ONSET
    start = -memory.clock % 16 + 32
    for t, frame in enumerate([*np.zeros((start, KEYS), np.uint8), *frames], memory.clock):
        memory.observe(frame, (t % 16, 4, 16), ((t + 1) % 16, 4, 16), players)


def test_evidence_knows_nothing_of_the_coming_frame() -> None:
    """Two pieces that differ from some frame on have the same evidence up to that frame."""
    one, other = heard(10, 40), heard(10, 40)
    other[30] = (random_frames(1, 99)[0], *other[30][1:])
    first, second = ThemeMemory.blank(*ROOM), ThemeMemory.blank(*ROOM)
    same = []
    for a, b in zip(one, other, strict=True):
        same.append(np.array_equal(evidence(first), evidence(second)))
        first.observe(*a)
        second.observe(*b)
    assert all(same[:31])
    assert not all(same)


# -- in the engine ----------------------------------------------------------------------------------------------------


def weights(seed: int = 0, units: int = 5) -> ThemeWeights:
    """Random weights that say a lot."""
    rng = np.random.default_rng(seed)
    hidden, out = rng.normal(size=(units, len(FEATURES) + 1)), rng.normal(size=(STATES, units + 1))
    return ThemeWeights(hidden.astype(np.float32), out.astype(np.float32))


HIDDEN = weights().hidden


@pytest.fixture(scope="module")
def engines() -> tuple[Engine, Engine]:
    """A small network without weights for themes, and the same network with some."""
    bare = random_checkpoint(SMALL, 3)
    return Engine(bare), Engine(replace(bare, themes=weights()))


def told(engine: Engine, music: list[Heard]) -> State:
    """The state after some music."""
    state = engine.new_state()
    for frame, place, coming, players in music:
        engine.push(state, frame, place, coming, Texture(), players)
    return state


def test_the_memory_adds_its_shift_and_nothing_else(engines: tuple[Engine, Engine]) -> None:
    """The logits are those of the network without it, which learns the same, plus the shift from its own evidence."""
    music, coming = heard(11, 40), random_frames(1, 5)[0]
    bare, full = (told(engine, music) for engine in engines)
    memory = ThemeMemory.blank()
    memory.observe(SILENCE, (15, 4, 16), (0, 4, 16), False)
    for one in music:
        memory.observe(*one)
    nothing = np.full(KEYS, UNKNOWN, np.uint8)
    difference = engines[1].logits(full, coming, nothing) - engines[0].logits(bare, coming, nothing)
    assert np.allclose(difference.T, weights().shift(evidence(memory)), atol=1e-4)
    assert np.abs(difference).max() > 0.1
    assert bare.themes is None


@pytest.mark.parametrize("keep", ["copy", "sketch"])
def test_a_state_taken_back_has_its_themes_back(engines: tuple[Engine, Engine], keep: str) -> None:
    """From a snapshot, whole or in four bits, the memory goes on as if nothing had come between."""
    music, engine = heard(12, 60), engines[1]
    state = told(engine, music[:30])
    kept = getattr(state, keep)()
    for frame, place, coming, players in heard(13, 20):
        engine.push(state, frame, place, coming, Texture(), players)
    state.copy_from(kept)
    for frame, place, coming, players in music[30:]:
        engine.push(state, frame, place, coming, Texture(), players)
    again = told(engine, music)
    assert np.array_equal(state.theme_shift, again.theme_shift)
    assert np.array_equal(state.recalled, again.recalled)
    assert np.array_equal(state.returning, again.returning)
    assert state.returning.any()


def test_only_the_players_music_is_recalled() -> None:
    """After 32 frames of the player's and 16 of the network's: lags whose next frame is the player's, and no others."""
    memory = ThemeMemory.blank(*ROOM)
    for t in range(48):
        memory.observe(random_frames(1, t)[0], (t % 16, 4, 16), ((t + 1) % 16, 4, 16), t < 32)
    lags = 4 * (memory.player_rows + 1)
    assert lags.tolist() == [20, 24, 28, 32, 36, 40, 44, 48]
    assert set(memory.alignments(memory.player_rows, 5).rows) <= set(memory.player_rows)
    assert len(memory.alignments(memory.player_rows, 5).rows) <= 5


def test_recall_strikes_what_the_player_played() -> None:
    """The shipped network plays a subject's first notes a fifth higher: with recall its next note becomes likelier."""
    engine = Engine(load(default_path()))
    subject, nothing = [0, 2, 3, 7, 5, 3, 8, 7, 5, 3, 2, 5], np.full(KEYS, UNKNOWN, np.uint8)
    state = engine.new_state()
    for base, start, notes in ((39, 0, 12), (46, 64, 6)):
        for t in range(64 if start == 0 else 2 * notes):
            frame = np.zeros(KEYS, np.uint8)
            if t // 2 < notes:
                frame[base + subject[t // 2]] = ONSET if t % 2 == 0 else HOLD
            place = (start + t) % 16, 4, 16
            engine.push(state, frame, place, ((start + t + 1) % 16, 4, 16), Texture(), adapt=start == 0)
    assert int(state.recalled.argmax()) == 46 + subject[6]
    uniforms = np.random.default_rng(0).random((200, KEYS))
    struck = [
        sum(engine.draw(state, nothing, u, SamplingParams(recall=recall))[46 + subject[6]] == ONSET for u in uniforms)
        for recall in (0.0, 10.0)
    ]
    assert struck[1] > struck[0]


def test_music_returns_from_five_bars_ago_and_more() -> None:
    """The shipped network expects a subject's next note to return after six bars, and not after two."""
    engine = Engine(load(default_path()))
    subject, expected = [0, 2, 3, 7, 5, 3, 8, 7, 5, 3, 2, 5], []
    for bars in (2, 6):
        state = engine.new_state()
        for t in range(16 * bars + 12):
            frame, note = np.zeros(KEYS, np.uint8), t % (16 * bars) // 2
            if note < len(subject):
                frame[39 + subject[note]] = ONSET if t % 2 == 0 else HOLD
            engine.push(state, frame, (t % 16, 4, 16), ((t + 1) % 16, 4, 16), Texture())
        expected.append(float(state.returning[39 + subject[6]]))
        assert int(state.theme_shift[ONSET].argmax()) == 39 + subject[6]
    assert expected[1] > expected[0] + 1


def test_evidence_outside_the_scale_counts_less_and_the_players_moves_into_it(engines: tuple[Engine, Engine]) -> None:
    """As in a tonal answer: an F sharp that is recalled in C major becomes a G, less likely than a recalled G."""
    state = engines[1].new_state()
    state.recalled[:] = state.returning[:] = 0
    state.recalled[45] = state.returning[33] = 1.1  # two F sharps
    tonal = np.arange(KEYS)
    tonal[[33, 45]] = 34, 46
    plain = engines[1]._shift(state, SamplingParams())[ONSET]
    wide = engines[1]._shift(state, SamplingParams(recall=5.0, again=5.0))[ONSET] - plain
    narrow = engines[1]._shift(state, SamplingParams(recall=5.0, again=5.0, tonal=tonal))[ONSET] - plain
    assert np.flatnonzero(wide > 0.1).tolist() == [33, 45]
    assert np.flatnonzero(narrow > 0.1).tolist() == [33, 45, 46]
    assert narrow[[45, 46]] == pytest.approx(0.4 * wide[45], rel=1e-4)
    assert narrow[33] == pytest.approx(0.6 * wide[33], rel=1e-4)


def test_weights_there_and_back(tmp_path: Path) -> None:
    """In a file with them and in one without."""
    for themes in (weights(), None):
        path = tmp_path / f"{themes is None}.safetensors"
        save(path, replace(made(), themes=themes))
        found = load(path).themes
        assert (found is None) == (themes is None)
        if found is not None and themes is not None:
            assert np.array_equal(found.hidden, themes.hidden)
            assert np.array_equal(found.out, themes.out)


@pytest.mark.parametrize(
    ("themes", "line"),
    [
        (
            ThemeWeights(weights().hidden[:, 1:], weights().out),
            "themes.hidden must be F32 (5, 15), got ('F32', (5, 14))",
        ),
        (ThemeWeights(weights().hidden, weights().out[:2]), "themes.out must be F32 (3, 6), got ('F32', (2, 6))"),
        (
            ThemeWeights(weights().hidden, weights().out * np.float32(np.nan)),
            "themes.out has values that are not finite",
        ),
        (ThemeWeights(weights().hidden[:0], weights().out), "themes.hidden must have 1..256 units, got 0"),
    ],
    ids=["features", "states", "not finite", "no units"],
)
def test_damaged_weights_are_refused_in_one_line(tmp_path: Path, themes: ThemeWeights, line: str) -> None:
    """What, where, and what is allowed."""
    path = tmp_path / "a.safetensors"
    save(path, replace(made(), themes=themes))
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {line}"


def test_weights_for_other_features_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a later version says so."""
    path = tmp_path / "a.safetensors"
    monkeypatch.setattr("livebach.network.checkpoint.THEMES_VERSION", 2)
    save(path, replace(made(), themes=weights()))
    monkeypatch.undo()
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: its theme weights must be of version 1, got 2"


def test_the_shipped_network_knows_a_subject_when_it_comes_again() -> None:
    """A subject alone, then a fifth higher: from its fourth note on the answer is likelier than without memory."""
    checkpoint = load(default_path())
    assert checkpoint.themes is not None
    subject = [0, 2, 3, 7, 5, 3, 8, 7, 5, 3, 2, 5]
    frames = np.zeros((96, KEYS), np.uint8)
    for base, start in ((39, 0), (46, 64)):
        for i, step in enumerate(subject):
            frames[start + 2 * i, base + step] = ONSET
            frames[start + 2 * i + 1, base + step] = HOLD
    costs = []
    for themes in (checkpoint.themes, None):
        engine = Engine(replace(checkpoint, themes=themes))
        state, nats, nothing = engine.new_state(), 0.0, np.full(KEYS, UNKNOWN, np.uint8)
        for t, frame in enumerate(frames[:88]):
            logits = engine.logits(state, frame, nothing)
            nats -= log_likelihood(logits, state.frame, frame, nothing).sum() if t >= 64 + 6 else 0.0
            engine.push(state, frame, (t % 16, 4, 16), ((t + 1) % 16, 4, 16), Texture(), adapt=True)
        costs.append(nats)
    assert costs[0] < 0.6 * costs[1]
