"""Measure the touch network's time per tick, and the best boundary between ticks. Prints JSON.

`python -m bench.touch`: the time of a tick is processor time of one thread, in numpy and with `engine.fast`. livebach
plays the demo's phrases, or random chords. Simulated players strike straight 16ths, triplets, swung eighths or 32nds
unevenly, or all of it early. The figure is the share of strokes that are assigned to the right tick with the right
offset.
"""

from __future__ import annotations

import gc
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from livebach.commands.timing import load_average, machine
from livebach.config import Config
from livebach.music.events import NoteOff, NoteOn
from livebach.music.grid import Grid, Place
from livebach.music.metre import Metre
from livebach.music.phrases import PHRASES, STEPS_PER_QUARTER, Phrase
from livebach.music.roll import KEYS, LOW_KEY
from livebach.music.touch import HALVES, PARTS, TRIPLETS, Pedal, Sounded, tick_and_offset
from livebach.musician.open_tick import Moments
from livebach.musician.player_part import PlayerPart
from livebach.musician.player_timing import STRAIGHT, PlayerTiming
from livebach.musician.touch import TouchPlayer
from livebach.network.touch import TouchNetwork
from livebach.network.touch_checkpoint import default_path, load

BPM = 90
TICKS, HEARD = 2400, 400
PLAYERS_ROUNDS, ROUNDS = 2, 4
"""How often the player plays a phrase, and livebach after that."""
REPEATS = 15
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


@dataclass(frozen=True)
class Tick:
    """A tick that the player plays, or that livebach plays with the player's usual offsets."""

    place: Place
    keys: list[int]
    held: list[int]
    touch: dict[int, Sounded] | None
    usual: Mapping[int, float]

    def plays(self, player: TouchPlayer) -> list[float]:
        """Play it, and return the milliseconds before it sounds (notes, pedal), those after, and their sum."""
        moments = [time.thread_time()]
        played = player.play(self.keys, {}, self.held, self.place, self.usual)
        moments.append(time.thread_time())
        pedal = player.pedal(self.keys, self.held, self.place)
        moments.append(time.thread_time())
        player.observe({}, played, self.held, self.place, pedal)
        moments.append(time.thread_time())
        return [1000 * spent for spent in (*np.diff(moments), moments[-1] - moments[0])]


def random_ticks(triplets: bool) -> list[Tick]:
    """Return ticks with chords of up to four random keys each, straight or with any of three offsets for every note."""
    rng, ticks = np.random.default_rng(0), []
    for tick in range(TICKS):
        keys = sorted({int(key) for key in rng.integers(15, 70, rng.integers(0, 5))}, reverse=True)
        offset, touch = (0, 2, -2)[tick % 3] if triplets else 0, None
        if tick < HEARD:
            touch = {key: Sounded(int(rng.integers(40, 90)), offset) for key in keys}
        ticks.append(Tick((tick % 16, 4, 16), keys, [20], touch, THIRDS if triplets else STRAIGHT))
    return ticks


def phrase_ticks() -> list[list[Tick]]:
    """Return the phrases of the demo: the player plays each twice, then livebach plays the same notes."""
    return [_ticks_of(phrase) for phrase in PHRASES.values()]


def _ticks_of(phrase: Phrase) -> list[Tick]:
    beat, bar = phrase.metre.beat_ticks(STEPS_PER_QUARTER), phrase.metre.bar_ticks(STEPS_PER_QUARTER)
    struck: dict[int, dict[int, Sounded]] = defaultdict(dict)
    held: dict[int, list[int]] = defaultdict(list)
    for note in phrase.notes():
        tick, offset = tick_and_offset(phrase.part(note.start))
        struck[tick][note.key - LOW_KEY] = Sounded(note.velocity, offset)
        for later in range(tick + 1, note.end):
            held[later].append(note.key - LOW_KEY)
    ticks, timing, length = list[Tick](), PlayerTiming(), phrase.bars * bar
    for round_number in range(PLAYERS_ROUNDS + ROUNDS):
        for tick in range(length):
            place, touch = (tick % bar, beat, bar), dict(sorted(struck[tick].items(), reverse=True))
            heard = round_number < PLAYERS_ROUNDS
            if heard:
                timing.observe([sounded.offset / PARTS for sounded in touch.values()], place)
            keys = [key for key in held[tick] if key not in touch]
            ticks.append(Tick(place, list(touch), keys, touch if heard else None, timing.usual(place)))
    return ticks


def tick_ms(network: TouchNetwork, pieces: list[list[Tick]]) -> dict[str, dict[str, float]]:
    """Return percentiles over livebach's ticks: before it sounds (`play`, `pedal`), at its end (`observe`), and all.

    `p50` and `p99` are of all the times measured; `own_p99` is of each tick's shortest time over REPEATS.
    """
    repeats = np.array([[taken for piece in pieces for taken in times_ms(network, piece)] for _ in range(REPEATS)])
    own = np.percentile(repeats.min(axis=0), 99, axis=0)  # of [repeats, ticks, parts]
    p50, p99 = np.percentile(repeats, (50, 99), axis=(0, 1))
    return {
        part: {"p50": round(p50[i], 3), "p99": round(p99[i], 3), "own_p99": round(own[i], 3)}
        for i, part in enumerate(("play", "pedal", "observe", "tick"))
    }


def times_ms(network: TouchNetwork, ticks: list[Tick]) -> list[list[float]]:
    """Play ticks in order, and return the times of each that livebach plays."""
    player, taken = TouchPlayer(network, 0), list[list[float]]()
    for tick in ticks:
        if tick.touch is None:
            taken.append(tick.plays(player))
        else:
            player.observe(tick.touch, {}, tick.held, tick.place, Pedal.UP, Pedal.UP)
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
    kinds = {"phrases": phrase_ticks(), "straight": [random_ticks(False)], "triplets": [random_ticks(True)]}
    report = {
        name: {f"{kind}_ms": tick_ms(network, ticks) for kind, ticks in kinds.items()}
        for name, network in found.items()
    }
    players = {"uneven_ms": UNEVEN_MS, "early_ms": EARLY_MS}
    ran = {"machine": machine(), "load_before": before, "load_after": load_average()}
    print(json.dumps({**report, **players, **ran, "right": boundaries()}, indent=1))
