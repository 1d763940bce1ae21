"""Measure the touch network's time per tick, and the best boundary between ticks. Prints JSON.

`python -m bench.touch`: the time of a tick is processor time of one thread, with random notes, in numpy and with
`engine.fast`. Simulated players strike straight 16ths, triplets, swung eighths or 32nds unevenly, or
all of it early. The figure is the share of strokes that are assigned to the right tick with the right offset.
"""

from __future__ import annotations

import gc
import json
import time
from importlib.util import find_spec

import numpy as np

from livebach.commands.timing import load_average, machine
from livebach.config import Config
from livebach.music.events import NoteOff, NoteOn
from livebach.music.grid import Grid
from livebach.music.metre import Metre
from livebach.music.roll import KEYS, LOW_KEY
from livebach.music.touch import HALVES, PARTS, TRIPLETS, Pedal, Sounded
from livebach.musician.open_tick import Moments
from livebach.musician.player_part import PlayerPart
from livebach.musician.player_timing import STRAIGHT
from livebach.musician.touch import TouchPlayer
from livebach.network.touch import TouchNetwork
from livebach.network.touch_checkpoint import default_path, load

BPM = 90
TICKS, HEARD = 2400, 400
REPEATS = 7
"""How often the same ticks are played. The shortest of these times is what a tick itself takes: all above it is what
other programs took from the processor, as the documentation of `timeit` explains."""
THIRDS = {0: 0.4, 2: 0.3, -2: 0.3}
"""Shares of a player's offsets, so that each of livebach's notes may have any of them."""
PATTERNS = {
    "straight": ((0, 0), (1, 0), (2, 0), (3, 0)),
    "triplets": ((0, 0), (1, TRIPLETS), (3, -TRIPLETS)),
    "swing": ((0, 0), (3, -TRIPLETS)),
    "32nds": ((0, 0), (0, HALVES), (1, 0), (2, -HALVES), (2, 0), (2, HALVES), (3, 0), (4, -HALVES)),
}
"""The strokes of a beat, as ticks with offsets."""
UNEVEN_MS = (5, 10, 15, 20, 30)
EARLY_MS, EARLY_UNEVEN_MS = (0, 10, 20, 30), 10
"""How early a player is on the average, and the standard deviation around it."""
BEATS = 300
BOUNDARIES = {"1/3": 1 / 3, "5/12": 5 / 12, "1/2": 0.5, "7/12": 7 / 12, "2/3": 2 / 3}


def networks() -> dict[str, TouchNetwork]:
    """Return the touch network that ships, in numpy and compiled."""
    found = {"numpy": TouchNetwork(load(default_path()))}
    if find_spec("numba") is not None:
        from livebach.network.numba_touch import FastTouchNetwork

        found["compiled"] = FastTouchNetwork(load(default_path()))
    return found


def tick_ms(network: TouchNetwork, triplets: bool) -> dict[str, dict[str, float]]:
    """Return percentiles over ticks: before it sounds (`play`, `pedal`), at its end (`observe`), and all.

    `p50` and `p99` are of all the times measured; `own_p99` is of each tick's shortest time over REPEATS.
    """
    repeats = np.array([times_ms(network, triplets) for _ in range(REPEATS)])  # [repeats, ticks, parts]
    own = np.percentile(repeats.min(axis=0), 99, axis=0)
    p50, p99 = np.percentile(repeats, (50, 99), axis=(0, 1))
    return {
        part: {"p50": round(p50[i], 3), "p99": round(p99[i], 3), "own_p99": round(own[i], 3)}
        for i, part in enumerate(("play", "pedal", "observe", "tick"))
    }


def times_ms(network: TouchNetwork, triplets: bool) -> list[list[float]]:
    """Play the same random ticks as every time, and return for each its three parts' times and their sum."""
    rng, player = np.random.default_rng(0), TouchPlayer(network, 0)
    taken: list[list[float]] = []
    for tick in range(TICKS):
        keys = sorted({int(key) for key in rng.integers(15, 70, rng.integers(0, 5))}, reverse=True)
        place = tick % 16, 4, 16
        if tick < HEARD:
            touch = {key: Sounded(int(rng.integers(40, 90)), (0, 2, -2)[tick % 3] if triplets else 0) for key in keys}
            player.observe(touch, {}, [], place, Pedal.UP, Pedal.UP)
            continue
        moments = [time.thread_time()]
        played = player.play(keys, {}, [20], place, THIRDS if triplets else STRAIGHT)
        moments.append(time.thread_time())
        pedal = player.pedal(keys, [20], place)
        moments.append(time.thread_time())
        player.observe({}, played, [20], place, pedal)
        moments.append(time.thread_time())
        taken.append([1000 * spent for spent in (*np.diff(moments), moments[-1] - moments[0])])
    return taken


def strokes(pattern: str, early_s: float, uneven_s: float, tick_s: float) -> list[tuple[int, int, float]]:
    """Return the tick, the offset and the time of each stroke, in order of time. The first stroke begins the grid."""
    rng, out = np.random.default_rng(1), []
    for beat in range(BEATS):
        for tick, offset in PATTERNS[pattern]:
            wanted = beat * 4 + tick
            out.append((wanted, offset, (wanted + offset / PARTS) * tick_s - early_s + rng.normal(0, uneven_s)))
    return sorted(out, key=lambda stroke: stroke[2])


def fixed(played: list[tuple[int, int, float]], closes: float, tick_s: float) -> float:
    """Return the share of strokes assigned correctly if every tick closes at the same point."""
    right = []
    for tick, offset, time_s in played:
        found = int(np.floor(time_s / tick_s - closes)) + 1
        nearest = min((0, 2, -2, 3, -3), key=lambda other: abs(other - (time_s / tick_s - found) * PARTS))
        right.append((found, nearest) == (tick, offset))
    return round(float(np.mean(right)), 3)


def judged(played: list[tuple[int, int, float]]) -> float:
    """Return the share if the player's timing decides, as in play, without the first four beats."""
    config, right = Config(), []
    player, grid = PlayerPart(config, 16), Grid.of(BPM, Metre(4, 4), 4)
    waiting = [(number, stroke) for number, stroke in enumerate(played)][::-1]
    for tick in range(BEATS * 4):
        grid = Moments.of(grid, config, player.timing.between).grid
        key_of = {}
        while waiting and waiting[-1][1][2] < grid.close_s(tick):
            number, stroke = waiting.pop()
            key_of[number % KEYS] = stroke
            player.strikes(NoteOn(LOW_KEY + number % KEYS), stroke[2])
            player.strikes(NoteOff(LOW_KEY + number % KEYS), stroke[2])
        for key, sounded in player.struck(grid, tick).items():
            if tick >= 16:
                right.append((tick, sounded.offset) == key_of[key][:2])
        player.judge_timing(grid, tick)
        player.close_tick(grid.close_s(tick), follow=False)
    return round(float(np.mean(right)), 3)


def boundaries() -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return the shares for each pattern and boundary: by unevenness, and by how early the player is."""
    tick_s = Grid.of(BPM, Metre(4, 4), 4).tick_s
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for pattern in PATTERNS:
        for name, cases in (
            ("uneven", [(0, uneven) for uneven in UNEVEN_MS]),
            ("early", [(early, EARLY_UNEVEN_MS) for early in EARLY_MS]),
        ):
            players = [strokes(pattern, early / 1000, uneven / 1000, tick_s) for early, uneven in cases]
            rows = {label: [fixed(one, closes, tick_s) for one in players] for label, closes in BOUNDARIES.items()}
            found.setdefault(pattern, {})[name] = {**rows, "judged": [judged(one) for one in players]}
    return found


if __name__ == "__main__":
    before, found = load_average(), networks()
    gc.collect()
    gc.freeze()  # as play does
    report = {
        name: {"straight_ms": tick_ms(network, triplets=False), "triplets_ms": tick_ms(network, triplets=True)}
        for name, network in found.items()
    }
    players = {"uneven_ms": UNEVEN_MS, "early_ms": EARLY_MS}
    ran = {"machine": machine(), "load_before": before, "load_after": load_average()}
    print(json.dumps({**report, **players, **ran, "right": boundaries()}, indent=1))
