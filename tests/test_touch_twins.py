"""The touch network at play: its fast paths say what the slow ones say, which training uses."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livebach.music.roll import KEYS
from livebach.music.touch import LATEST, OFFSETS, Pedal
from livebach.network.heard_notes import HeardNotes
from livebach.network.touch import NextTick, TouchNetwork, with_habits
from livebach.network.touch_checkpoint import default_path, load
from livebach.network.touch_history import OffsetHabits, OneHots, Sums
from livebach.network.touch_memory import NOTE_FEATURES, OFFSET_FEATURES, OFFSET_ROW, TouchMemory, known_offsets
from livebach.network.touch_shape import OUTPUTS, VELOCITY_INPUTS
from livebach.network.velocity_kernels import (
    HEARD,
    REFERENCE,
    VELOCITY_FEATURES,
    Notes,
    kernel_features,
    place_codes,
)
from livebach.network.velocity_memory import VelocityMemory
from livebach.network.velocity_mixture import fast_moments, mixture_of

T = TypeVar("T")
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def network() -> TouchNetwork:
    """The network that ships."""
    return TouchNetwork(load(default_path()))


def chord(rng: np.random.Generator, notes: int) -> list[int]:
    """Up to so many keys, the highest first."""
    return sorted({int(key) for key in rng.integers(0, KEYS, notes)}, reverse=True)


# --- velocities ------------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(0, HEARD // 2), st.sampled_from([1, 20, 3000]))
@settings(max_examples=60)
def test_heard_notes_have_the_features_of_the_kernels(seed: int, chords: int, silence: int) -> None:
    """After any number of notes, from none to more than are remembered, and after any silence."""
    rng, fast = np.random.default_rng(seed), HeardNotes()
    heard: list[tuple[int, int, int, int]] = []
    velocities: list[float] = []
    tick = 0
    for _ in range(chords):
        keys, codes = chord(rng, 6), place_codes((tick % 12, 6, 12))
        values = rng.normal(size=len(keys)).tolist()
        fast.add(list(zip(keys, values, strict=True)), tick, codes)
        heard += [(key, tick, *codes) for key in keys]
        velocities += values
        tick += int(rng.integers(1, 4))
    tick += silence
    keys, codes = chord(rng, 5) or [KEYS - 1], place_codes((tick % 12, 6, 12))
    out = np.zeros((len(keys), VELOCITY_FEATURES), np.float32)
    fast.write_features(keys, tick, codes, out)
    slow, mean = slow_features(keys, tick, codes, in_slots(heard), in_slots(velocities))
    assert fast.count == len(heard)
    assert np.abs(out[:, :REFERENCE] - slow[:, :REFERENCE]).max() < 1e-5
    assert fast.mean == pytest.approx(mean, abs=1e-5)


def in_slots(newest: list[T]) -> list[T]:
    """The newest notes in the order in which they are kept: of two equally near notes the first counts as nearer."""
    slots = newest[:HEARD]
    for i, note in enumerate(newest[HEARD:]):
        slots[i % HEARD] = note
    return slots


def slow_features(
    keys: list[int], tick: int, codes: tuple[int, int], heard: list[tuple[int, int, int, int]], velocities: list[float]
) -> tuple[np.ndarray, float]:
    """The features of the keys, and the mean velocity, as training computes them."""
    notes = Notes(np.array(keys), *(np.full(len(keys), value) for value in (tick, *codes)))
    known = Notes(*np.array(heard or [(0, 0, 0, 0)]).T)
    visible = np.full((len(keys), max(1, len(heard))), bool(heard))
    near = np.full((len(keys), 4), np.nan, np.float32)
    features, mean = kernel_features(notes, near, known, np.array(velocities or [0.0], np.float32), visible)
    return features, float(mean[0])


@given(SEEDS)
def test_features_are_written_where_they_are_wanted(seed: int) -> None:
    """Into columns of a larger array, as into one of their own."""
    rng = np.random.default_rng(seed)
    memory, velocities, place = TouchMemory(), VelocityMemory(), (3, 4, 16)
    for tick in range(20):
        keys = chord(rng, 4)
        velocities.commit(keys, [64.0 + key for key in keys], tick, place, memory.notes, memory.matches(keys))
        memory.commit(keys, [], place, [0] * len(keys), 0)
    keys = chord(rng, 4) or [50]
    out = np.zeros((len(keys), VELOCITY_INPUTS), np.float32)
    memory.note_features(keys, [60], place, out[:, :NOTE_FEATURES])
    velocities.features(keys, 20, place, out[:, NOTE_FEATURES : NOTE_FEATURES + VELOCITY_FEATURES])
    alone = np.concatenate([memory.note_features(keys, [60], place), velocities.features(keys, 20, place)], axis=1)
    assert np.array_equal(out[:, : alone.shape[1]], alone)
    assert not out[:, alone.shape[1] :].any()


@given(SEEDS, st.integers(1, 6))
def test_moments_of_new_notes_are_those_of_the_mixture(network: TouchNetwork, seed: int, n: int) -> None:
    """Where no note was in an earlier turn."""
    rng, mean = np.random.default_rng(seed), -0.3
    features = rng.normal(size=(n, VELOCITY_INPUTS)).astype(np.float32)
    features[:, -6:] = 0
    nowhere = np.full((n, 2), np.nan, np.float32)
    slow, variance = network.velocities(features[:, :-6], np.full(n, mean, np.float32), nowhere).moments()
    for matched in (None, nowhere):
        above, found = network.velocity_moments(features.copy(), mean, matched)
        assert np.allclose(above + mean, slow, atol=1e-5)
        assert np.allclose(found, variance, rtol=1e-4)


@given(SEEDS)
def test_moments_where_some_notes_were_in_an_earlier_turn(network: TouchNetwork, seed: int) -> None:
    """They are those of the mixture, whose mean is above the heard mean by the first of them."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(4, VELOCITY_INPUTS)).astype(np.float32)
    matched = np.where(rng.random((4, 2)) < 0.5, rng.normal(size=(4, 2)), np.nan).astype(np.float32)
    mixture = network.velocities(inputs[:, :-6], np.full(4, 0.7, np.float32), matched)
    assert np.allclose(mixture.weight.sum(axis=1), 1, atol=1e-5)
    above, variance = network.velocity_moments(inputs, 0.7, matched)
    assert np.allclose(above + 0.7, mixture.moments()[0], atol=1e-5)
    assert np.allclose(variance, mixture.moments()[1], atol=1e-5)


def test_moments_are_finite_whatever_the_network_says() -> None:
    """Log odds and log variances of any size overflow nowhere."""
    for size in (1, 1e3, 1e9):
        rng = np.random.default_rng(0)
        out = (rng.normal(size=(50, 18)) * size).astype(np.float32)
        out[:, 12:] = rng.normal(size=(50, 6))  # the means
        out[:, 0] = 0  # the first component's log odds against itself
        mean, variance = fast_moments(out, np.zeros(50, np.float32))
        assert np.isfinite(mean).all()
        assert np.isfinite(variance).all()
        assert (variance > 0).all()
    outputs = np.zeros((1, OUTPUTS["velocity"]), np.float32)
    unknown, zero = np.zeros((1, 2), np.bool_), np.zeros(1, np.float32)
    assert mixture_of(outputs, zero, np.zeros((1, 2), np.float32), unknown, zero).weight[0, 5:7].max() == 0


# --- offsets and pedal -----------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 6), st.integers(1, OFFSETS), st.integers(0, 3))
def test_offsets_have_the_logits_of_the_whole_pass(
    network: TouchNetwork, seed: int, n: int, different: int, before: int
) -> None:
    """Whether none, one or several offsets are known, of which some may be the player's."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=OFFSET_FEATURES - OFFSET_ROW).astype(np.float32)
    rows = rng.normal(size=(n, OFFSET_ROW)).astype(np.float32)
    offsets = (rng.integers(0, different, n + before) - LATEST).tolist()
    logits = network.offset_logits(shared, rows)
    for note in range(n):
        known = offsets[: before + note]
        whole = network.offsets(np.concatenate([shared, rows[note], known_offsets(known)])[None])[0]
        assert np.ptp(logits.of(note, known) - whole) < 1e-3  # logits are known up to a constant


@given(SEEDS, st.booleans())
@settings(max_examples=20)
def test_offsets_are_drawn_by_the_network_and_the_habits(network: TouchNetwork, seed: int, known: bool) -> None:
    """As often as the mixture of both has it, times the shares of the usual ones."""
    rng, memory, place = np.random.default_rng(seed), TouchMemory(), (1, 4, 16)
    for played in [0, 2, 2] * 5 if known else []:
        for at in range(4):
            memory.commit([60], [], (at, 4, 16), [played], 0)
    for _ in range(1 if known else 0):
        memory.commit([60], [], (0, 4, 16), [0], 0)
    tick, usual = NextTick(chord(rng, 1) or [50], [], place), {0: 0.5, 2: 0.3, -2: 0.2}
    features = np.concatenate([memory.offset_features(tick.struck, place)[0], known_offsets([])])
    habits = memory.offset_habits(place)[[OFFSETS]]
    assert habits.any() == known
    chances = with_habits(np.exp(network.offsets(features[None])), habits)[0]
    assert chances.sum() == pytest.approx(1, abs=1e-4)
    wanted = np.array([share * chances[offset + LATEST] for offset, share in usual.items()])
    uniforms = (np.arange(2000) + 0.5) / 2000
    drawn = [network.draw_offsets(memory, tick, [None], usual, [uniform])[0] for uniform in uniforms.tolist()]
    assert np.allclose([drawn.count(offset) / 2000 for offset in usual], wanted / wanted.sum(), atol=2e-3)


@given(SEEDS, st.sampled_from([Pedal.UP, Pedal.PRESSED, Pedal.CHANGED]))
def test_the_pedal_has_the_chances_of_the_whole_pass(network: TouchNetwork, seed: int, before: Pedal) -> None:
    """And none for moves that cannot follow."""
    rng, memory, place = np.random.default_rng(seed), TouchMemory(), (3, 4, 16)
    for pedal in (Pedal.UP, Pedal.UP, before):
        keys = chord(rng, 4)
        memory.commit(keys, [], place, [0] * len(keys), pedal)
    tick = NextTick(chord(rng, 4), chord(rng, 2), place)
    chances = np.array(network.pedal_chances(memory, tick))
    whole = np.exp(network.pedals(memory.pedal_features(*tick)[None], np.array([before.down]))[0])
    assert np.abs(chances / chances.sum() - whole).max() < 1e-5


# --- what both remember ----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 6), max_size=40))
def test_states_and_sums_are_those_of_the_newest_values(values: list[int]) -> None:
    """One-hot, the oldest first; the sums over spans, as if everything before were 0."""
    states, sums = OneHots(5, 7, 2), Sums((1, 4))
    for value in values:
        states.add(value)
        sums.add(value)
    newest = ([2] * 5 + values)[-5:]
    assert np.array_equal(states.array.reshape(5, 7), np.eye(7)[newest])
    assert sums.sums == [sum(values[-1:]), sum(values[-4:])]


def test_habits_are_counts_in_the_same_circumstances() -> None:
    """Note by note from above, in a table for each; what did not occur has zeros."""
    habits = OffsetHabits()
    for where, offsets in (("a", [3, 5, 5]), ("b", [0]), ("a", [3, 3])):
        habits.count(where, offsets)
    found = {
        (int(above), int(offset)): int(habits.there("a")[above, offset])
        for above, offset in zip(*habits.there("a").nonzero(), strict=True)
    }
    assert found == {(OFFSETS, 3): 2, (3, 5): 1, (5, 5): 1, (3, 3): 1}
    assert habits.there("b").sum() == 1
    assert not habits.there("c").any()


def test_rare_habits_change_little_and_frequent_ones_much() -> None:
    """The network's chances weigh as much as eight strokes, of each kind."""
    chances = np.full((1, OFFSETS), 1 / OFFSETS, np.float32)
    for strokes, wanted in ((0, 1 / 7), (8, 0.5 + 0.5 / 7), (792, 0.99 + 0.01 / 7)):
        habits = np.zeros((1, OFFSETS), np.float32)
        habits[0, 2] = strokes
        assert with_habits(chances, habits)[0, 2] == pytest.approx(wanted, rel=1e-4)


@given(st.lists(st.lists(st.integers(-LATEST, LATEST), min_size=1, max_size=5), min_size=1, max_size=12))
def test_each_offset_takes_its_part_of_the_shares(ticks: list[list[int]]) -> None:
    """Counted by ticks as one after another."""
    memory, place, shares = TouchMemory(), (0, 4, 16), np.zeros(OFFSETS)
    for offsets in ticks:
        memory.commit(list(range(60, 60 - len(offsets), -1)), [], place, offsets, 0)
        for offset in offsets:
            shares *= 0.97
            shares[offset + LATEST] += 0.03
    at = 24 * (OFFSETS + 1)
    assert np.allclose(memory.offset_features([40], place)[0, at : at + OFFSETS], shares, atol=1e-6)


def test_a_turn_is_found_again_whichever_chords_were_asked_for_before() -> None:
    """A turn is hashed once, and anew for another chord or after another turn."""
    memory, place = TouchMemory(), (0, 4, 16)
    found = []
    for chord in [[60, 57], [55]] * 3:
        memory.matches([33])
        found.append(memory.matches(chord))
        assert memory.matches(chord) == found[-1]
        memory.commit(chord, [], place, [0] * len(chord), 0)
    assert found == [(None, None)] * 4 + [(3, None), (5, None)]
    assert memory.matches([60, 57]) == (6, 6)
