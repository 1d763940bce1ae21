"""The compiled touch network chooses what the numpy one chooses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from livebach.music.grid import Place
from livebach.music.roll import KEYS
from livebach.music.touch import Pedal, Sounded
from livebach.musician.touch import TouchPlayer
from livebach.network.touch import NextTick, TouchNetwork
from livebach.network.touch_checkpoint import default_path, load
from livebach.network.velocity_memory import VelocityMemory

pytest.importorskip("numba", reason="needs the extra `fast`")

PLACES = ((4, 16), (6, 12), (4, 12), (2, 6))
"""Lengths of beat and bar, in ticks."""
PEDALS = {False: [Pedal.UP, Pedal.PRESSED], True: [Pedal.DOWN, Pedal.LIFTED, Pedal.CHANGED]}
"""What the pedal can do, by whether it is down."""


@pytest.fixture(scope="module")
def networks() -> tuple[TouchNetwork, TouchNetwork]:
    """The network that ships, plain and compiled."""
    from livebach.network.numba_touch import FastTouchNetwork

    checkpoint = load(default_path())
    return TouchNetwork(checkpoint), FastTouchNetwork(checkpoint)


def chord(rng: np.random.Generator) -> list[int]:
    """Up to four keys; as a rule of few keys, so that turns return."""
    keys = range(KEYS) if rng.random() < 0.1 else (39, 44, 48, 51)
    return sorted({int(key) for key in rng.choice(keys, rng.integers(0, 5))}, reverse=True)


def places() -> Iterator[tuple[int, Place]]:
    """Ticks and their places, in several metres."""
    for number in range(480):
        beat, bar = PLACES[number // 120]
        yield number, (number % bar, beat, bar)


class Twins:
    """The plain and the compiled network with the same music behind them."""

    def __init__(self, networks: tuple[TouchNetwork, TouchNetwork]) -> None:
        self.networks, self.memories = networks, [network.new_memory() for network in networks]
        self.heard = VelocityMemory()
        self.down = False

    def pedal(self, tick: NextTick) -> list[np.ndarray]:
        """The chances of the pedal's moves, of each twin."""
        both = zip(self.networks, self.memories, strict=True)
        chances = [np.array(network.pedal_chances(memory, tick)) for network, memory in both]
        return [each / each.sum() for each in chances]

    def offsets(self, tick: NextTick, *arguments: Any) -> list[list[int]]:
        """The offsets that each twin draws."""
        both = zip(self.networks, self.memories, strict=True)
        return [network.draw_offsets(memory, tick, *arguments) for network, memory in both]

    def velocities(self, tick: NextTick, offsets: list[int], mean: float) -> list[np.ndarray]:
        """What each twin expects of the velocities."""
        both = zip(self.networks, self.memories, strict=True)
        return [np.array(network.expected(memory, self.heard, tick, offsets, mean)) for network, memory in both]

    def returns(self, tick: NextTick) -> bool:
        """Whether the chord was played before in the same turn of notes."""
        return self.memories[0].matches(tick.struck) != (None, None)

    def commit(self, tick: NextTick, offsets: list[int], velocities: list[float], pedal: Pedal) -> None:
        """Let both remember the tick."""
        struck, held, place = tick
        memory = self.memories[0]
        self.heard.commit(struck, velocities, memory.tick, place, memory.notes, memory.matches(struck))
        for memory in self.memories:
            memory.commit(struck, held, place, offsets, pedal)
        self.down = pedal.down


@pytest.mark.slow
def test_compiled_touch_is_the_same_touch(networks: tuple[TouchNetwork, TouchNetwork]) -> None:
    """Tick after tick, of both players, in several metres; rounding has its say in a draw at an edge only."""
    rng, twins = np.random.default_rng(0), Twins(networks)
    drawn = different = returned = 0
    for number, place in places():
        if number == 300:
            for _ in range(1200):  # longer than distances in time are told apart
                twins.commit(NextTick([], [], place), [], [], Pedal.UP)
        tick = NextTick(chord(rng), chord(rng), place)
        plain, compiled = twins.pedal(tick)
        assert np.allclose(plain, compiled, atol=1e-5)
        offsets: list[int] = []
        if tick.struck:
            given = [int(rng.integers(-3, 4)) if rng.random() < 0.3 else None for _ in tick.struck]
            usual = {0: 0.5, 2: 0.3, -3: 0.2} if rng.random() < 0.9 else {1: 0.0, 3: 1.0}
            offsets, others = twins.offsets(tick, given, usual, rng.random(len(given)).tolist())
            drawn, different = drawn + given.count(None), different + (offsets != others)
            returned += twins.returns(tick)
            plain, compiled = twins.velocities(tick, offsets, float(rng.normal()))
            assert np.allclose(plain, compiled, rtol=1e-3, atol=1e-4)
        players = rng.random() < 0.4
        velocities = [float(rng.integers(1, 128)) if players else float("nan") for _ in tick.struck]
        twins.commit(tick, offsets, velocities, PEDALS[twins.down][rng.integers(len(PEDALS[twins.down]))])
    assert twins.heard.count > 128
    assert min(drawn, returned) > 50
    assert different <= 1


@pytest.mark.slow
def test_nothing_is_compiled_while_playing(networks: tuple[TouchNetwork, TouchNetwork]) -> None:
    """A tick would be late by seconds. Whatever is played, the functions were compiled before for such arguments."""
    from livebach.network import numba_touch, numba_touch_features

    functions = [
        function
        for module in (numba_touch, numba_touch_features)
        for function in vars(module).values()
        if hasattr(function, "signatures")
    ]
    before = [list(function.signatures) for function in functions]
    rng, player = np.random.default_rng(1), TouchPlayer(networks[1], 1)
    for number, place in places():
        own, both = chord(rng), chord(rng)
        touch = {key: Sounded(int(rng.integers(1, 128)), int(rng.integers(-3, 4))) for key in both if number % 3}
        usual = {0: 1.0} if number % 5 else {0: 0.5, 2: 0.5}
        held = chord(rng)
        played = player.play(own, touch, held, place, usual)
        pedal = player.pedal(sorted({*own, *touch}, reverse=True), held, place)
        assert set(played) == set(own)
        player.observe(touch, played, held, place, pedal, Pedal.UP)
    assert [list(function.signatures) for function in functions] == before
    assert sum(map(len, before)) >= 3
