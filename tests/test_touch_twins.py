"""The touch network at play: its fast paths say what the slow ones say, which training uses."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livebach.music.roll import KEYS
from livebach.music.touch import LATEST, OFFSETS, Pedal
from livebach.network.heard_notes import HeardNotes
from livebach.network.touch import NextTick, TouchNetwork, quick_rows, with_habits
from livebach.network.touch_checkpoint import default_path, load
from livebach.network.touch_history import OffsetHabits, OneHots, Sums
from livebach.network.touch_memory import MOST_WRITTEN, OFFSET_FEATURES, OFFSET_ROW, TouchMemory, write
from livebach.network.touch_shape import FREE, MATCH_INPUTS, OUTPUTS, VELOCITY_INPUTS
from livebach.network.velocity_kernels import (
    HEARD,
    REFERENCE,
    VELOCITY_FEATURES,
    Notes,
    kernel_features,
    place_codes,
)
from livebach.network.velocity_memory import VelocityMemory
from livebach.network.velocity_mixture import deviation, velocities_of

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
    out, alone = np.zeros((len(keys) + 1, 200), np.float32), np.zeros((len(keys), VELOCITY_FEATURES), np.float32)
    velocities.write_features(keys, 20, place, out, 30)
    velocities.write_features(keys, 20, place, alone, 0)
    assert alone.any()
    assert np.array_equal(out[:-1, 30 : 30 + VELOCITY_FEATURES], alone)
    out[:-1, 30 : 30 + VELOCITY_FEATURES] = 0
    assert not out.any()


@given(SEEDS, st.integers(1, 6), st.sampled_from([None, 0.0, 0.5]))
def test_what_is_expected_of_velocities_is_what_the_whole_pass_says(
    network: TouchNetwork, seed: int, n: int, share: float | None
) -> None:
    """Whether no note was in an earlier turn (None), or a share of them. It is relative to the mean heard so far."""
    rng, mean = np.random.default_rng(seed), np.float32(-0.3)
    inputs = np.zeros((quick_rows(n), VELOCITY_INPUTS), np.float32)
    inputs[:n, :-MATCH_INPUTS] = rng.normal(size=(n, VELOCITY_INPUTS - MATCH_INPUTS))
    there = rng.random((n, 2)) < (share or 0)
    matched = np.where(there, rng.normal(size=(n, 2)), np.nan).astype(np.float32)
    whole = network.velocities(inputs[:n, :-MATCH_INPUTS], np.full(n, mean), matched)
    above, deviations = network.velocity_moments(inputs, mean, None if share is None else matched)
    assert np.allclose(np.array(above[:n]) + mean, whole.mean, atol=1e-5)
    assert np.allclose(deviations[:n], whole.deviation, rtol=1e-4)


@given(SEEDS)
def test_the_mixture_has_components_only_where_something_was_heard(network: TouchNetwork, seed: int) -> None:
    """The weights of components at earlier turns are 0 where there was none; all add up to 1, as do the velocities."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(4, VELOCITY_INPUTS - MATCH_INPUTS)).astype(np.float32)
    matched = np.where(rng.random((4, 2)) < 0.5, rng.normal(size=(4, 2)), np.nan).astype(np.float32)
    mixture = network.velocities(features, np.full(4, 0.7, np.float32), matched).mixture
    assert np.allclose(mixture.weight.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(mixture.weight[:, FREE : FREE + 2] > 0, ~np.isnan(matched))
    every = sum(np.exp(-mixture.nats(np.full(4, velocity))) for velocity in range(1, 128))
    assert np.allclose(every, 1, atol=1e-3)


@pytest.mark.parametrize("log_variance", [-1e9, -6.5, -2.0, 0.0, 3.5, 1e9, math.inf, -math.inf])
def test_deviations_are_bounded(log_variance: float) -> None:
    """Whatever the network says; as in the whole pass."""
    outputs = np.zeros((1, OUTPUTS["velocity"]), np.float32)
    outputs[:, -1] = log_variance
    unknown, zero = np.zeros((1, 2), np.bool_), np.zeros(1, np.float32)
    whole = velocities_of(outputs, zero, np.zeros((1, 2), np.float32), unknown, zero)
    assert deviation(log_variance) == pytest.approx(float(whole.deviation[0]), rel=1e-5)
    assert 0.04 < deviation(log_variance) < 5


# --- offsets and pedal -----------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 6))
def test_offsets_have_the_logits_of_the_whole_pass(network: TouchNetwork, seed: int, n: int) -> None:
    """Without what they owe to the next higher note, which is the same for all notes."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=OFFSET_FEATURES - OFFSET_ROW).astype(np.float32)
    rows = rng.normal(size=(n, OFFSET_ROW)).astype(np.float32)
    logits = np.array(network.offset_logits(shared, rows))
    features = np.concatenate([np.tile(shared, (n, 1)), rows], axis=1)
    pairs = load(default_path()).weights["offset.pairs"]
    for above in range(OFFSETS + 1):
        whole = network.offsets(features, np.full(n, above))
        assert np.ptp(logits + pairs[above] - whole, axis=1).max() < 1e-3  # logits are known up to a constant


@pytest.mark.parametrize(
    ("given", "which", "above"),
    [([None], 0, OFFSETS), ([2, None], 1, 2 + LATEST), ([None, 2], 0, 2 + LATEST)],
    ids=["one note", "after the next higher note", "with a given lower note"],
)
@pytest.mark.parametrize("known", [False, True])
def test_offsets_are_drawn_by_the_network_and_the_habits(
    network: TouchNetwork, given: list[int | None], which: int, above: int, known: bool
) -> None:
    """As often as the mixture of both has it, times the shares of the usual ones."""
    memory, place = TouchMemory(), (1, 4, 16)
    for at in [0, 1, 2, 3] * 15 + [0] if known else []:
        offset = 2 if at else 0
        memory.commit([60, 50], [], (at, 4, 16), [offset, offset], 0)
    tick, usual = NextTick([60, 50][: len(given)], [], place), {0: 0.5, 2: 0.3, -2: 0.2}
    habits = memory.offset_habits(place)[[above]]
    assert habits.any() == known
    features = memory.offset_features(tick.struck, place)[[which]]
    chances = with_habits(np.exp(network.offsets(features, np.array([above]))), habits)[0]
    assert chances.sum() == pytest.approx(1, abs=1e-4)
    wanted = np.array([share * chances[offset + LATEST] for offset, share in usual.items()])
    uniforms = ((np.arange(2000) + 0.5) / 2000).tolist()
    drawn = [network.draw_offsets(memory, tick, given, usual, [uniform] * len(given))[which] for uniform in uniforms]
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


@given(st.lists(st.floats(-1e6, 1e6) | st.booleans(), max_size=MOST_WRITTEN), st.integers(0, 7))
def test_numbers_are_written_as_numpy_writes_them(numbers: list[float], at: int) -> None:
    """Row by row, and nothing beside them."""
    out, wanted = np.full((4, 40), 7, np.float32), np.full((4, 40), 7, np.float32)
    write(numbers, out, at)
    wanted.reshape(-1)[at : at + len(numbers)] = numbers
    assert np.array_equal(out, wanted)


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
