"""Measure the touch network's time per tick, and the best boundary between ticks. Prints JSON.

`python -m bench.touch`: the time of a tick is processor time of one thread, with random notes. Simulated players strike
straight 16ths, triplets or swung eighths a little early or late. The figure is the share of strokes that are assigned
to the right tick with the right offset.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np

from livebach.config import Config
from livebach.music.events import NoteOff, NoteOn
from livebach.music.grid import Grid
from livebach.music.metre import Metre
from livebach.music.touch import BOUNDARY, Pedal, Sounded, played_offset
from livebach.musician.player_part import PlayerPart
from livebach.musician.touch import TouchPlayer
from livebach.network.touch import TouchNetwork
from livebach.network.touch_checkpoint import default_path, load

BPM = 90
TICKS, HEARD = 2400, 400
PATTERNS = {
    "straight": ((0, 0), (1, 0), (2, 0), (3, 0)),
    "triplets": ((0, 0), (1, 2), (2, 4)),
    "swing": ((0, 0), (2, 4)),
}
"""The strokes of a beat, as ticks with offsets."""
UNEVEN_MS = (5, 10, 15, 20, 30)
BEATS = 300
BOUNDARIES = {"1/2": 0.5, "2/3": 4 / 6, "3/4": 0.75, "5/6": BOUNDARY}


def tick_ms(triplets: bool) -> dict[str, dict[str, float]]:
    """Return percentiles of the time of a tick: before it sounds (`play`, `pedal`), and at its end (`observe`)."""
    rng, player = np.random.default_rng(0), TouchPlayer(TouchNetwork(load(default_path())), 0)
    taken: dict[str, list[float]] = {"play": [], "pedal": [], "observe": []}
    for tick in range(TICKS):
        keys = sorted({int(key) for key in rng.integers(15, 70, rng.integers(0, 5))}, reverse=True)
        place = tick % 16, 4, 16
        if tick < HEARD:
            touch = {key: Sounded(int(rng.integers(40, 90)), (0, 2, 4)[tick % 3] if triplets else 0) for key in keys}
            player.observe(touch, {}, [], place, Pedal.UP, Pedal.UP)
            continue
        moments = [time.thread_time()]
        played = player.play(keys, {}, [20], place)
        moments.append(time.thread_time())
        pedal = player.pedal(keys, [20], place)
        moments.append(time.thread_time())
        player.observe({}, played, [20], place, pedal)
        moments.append(time.thread_time())
        for name, spent in zip(taken, np.diff(moments), strict=True):
            taken[name].append(spent * 1000)
    return {name: {f"p{p}": round(float(np.percentile(t, p)), 3) for p in (50, 99)} for name, t in taken.items()}


def fixed(pattern: str, uneven_s: float, closes: float, tick_s: float) -> float:
    """Return the share of strokes assigned correctly if every tick closes at the same point."""
    rng, right = np.random.default_rng(1), []
    for beat in range(BEATS):
        for tick, offset in PATTERNS[pattern]:
            wanted = beat * 4 + tick
            at = wanted + offset / 6 + rng.normal(0, uneven_s) / tick_s
            found = int(np.floor(at - closes)) + 1
            right.append((found, played_offset(at - found)) == (wanted, offset))
    return round(float(np.mean(right)), 3)


def judged(pattern: str, uneven_s: float, tick_s: float) -> float:
    """Return the share if the player's timing decides when ticks close, as in play, without the first two beats."""
    rng, player = np.random.default_rng(1), PlayerPart(Config(), 16)
    grid = Grid.of(BPM, Metre(4, 4), 4)
    strokes = [
        (beat * 4 + tick, offset, (beat * 4 + tick + offset / 6) * tick_s + rng.normal(0, uneven_s))
        for beat in range(BEATS)
        for tick, offset in PATTERNS[pattern]
    ]
    found: dict[int, tuple[int, int]] = {}
    waiting = list(enumerate(sorted(strokes, key=lambda stroke: stroke[2])))
    for tick in range(BEATS * 4):
        grid = replace(grid, closes=BOUNDARY if player.between else 0.5)
        while waiting and waiting[0][1][2] < grid.close_s(tick):
            number, (_, _, at_s) = waiting.pop(0)
            player.strikes(NoteOn(21 + number % 88), at_s)
            player.strikes(NoteOff(21 + number % 88), at_s)
            found[21 + number % 88] = (number, 0)
        for key, sounded in player.struck(grid, tick).items():
            found[1000 + found[key + 21][0]] = tick, sounded.offset
        player.judge_timing(grid, tick)
        player.close_tick(grid.close_s(tick), follow=False)
    ordered = sorted(strokes, key=lambda stroke: stroke[2])
    right = [found.get(1000 + n) == (tick, offset) for n, (tick, offset, _) in enumerate(ordered) if tick >= 8]
    return round(float(np.mean(right)), 3)


def boundaries() -> dict[str, dict[str, list[float]]]:
    """Return the shares for each pattern and boundary, one for each standard deviation."""
    tick_s = Grid.of(BPM, Metre(4, 4), 4).tick_s
    return {
        pattern: {
            **{
                name: [fixed(pattern, ms / 1000, closes, tick_s) for ms in UNEVEN_MS]
                for name, closes in BOUNDARIES.items()
            },
            "judged": [judged(pattern, ms / 1000, tick_s) for ms in UNEVEN_MS],
        }
        for pattern in PATTERNS
    }


if __name__ == "__main__":
    report = {"straight_ms": tick_ms(triplets=False), "triplets_ms": tick_ms(triplets=True), "uneven_ms": UNEVEN_MS}
    print(json.dumps({**report, "right": boundaries()}, indent=1))
