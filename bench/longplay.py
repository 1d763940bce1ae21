"""A day of musical time on a clock that is moved by hand: memory, deadlines, drift.

    python bench/longplay.py [--hours 24]

A player plays a phrase every minute; in between livebach goes on. The real engine, the real loop, ports inside the
process. Memory is the process's own; a deadline that is not met at its very moment is counted.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

from livebach import take
from livebach.bench import load_average, machine
from livebach.benchplay import Silence, resident_mb
from livebach.clock import freeze
from livebach.config import Config
from livebach.daemon import Daemon
from livebach.events import Event
from livebach.fakes import ManualClock
from livebach.phrases import PHRASES
from livebach.rehearsal import Score, rehearse
from livebach.status import Status

MINUTE_S, HOUR_S = 60.0, 3600.0


def phrases(hours: float) -> Iterator[tuple[float, bytes]]:
    """What the player plays, all day: each phrase in turn, one a minute."""
    for number, phrase in zip(range(int(hours * 60)), itertools.cycle(PHRASES.values())):
        yield from ((t, data) for t, data in phrase.score(number * MINUTE_S) if t < number * MINUTE_S + 20)


class Watch:
    """Counts what happens, and reads the memory once an hour of musical time."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.turns = self.missed = 0
        self.memory_mb: list[float] = []
        self.first_minute_mb = 0.0

    def __call__(self, status: Status, _heard: Sequence[Event], _sent: Sequence[Event]) -> None:
        """Take note of a turn of the loop."""
        self.turns += 1
        self.missed = status.missed
        if not self.first_minute_mb and self._clock.now() > MINUTE_S:
            self.first_minute_mb = resident_mb()
        if self._clock.now() >= HOUR_S * (len(self.memory_mb) + 1):
            self.memory_mb.append(round(resident_mb(), 2))


def day(hours: float) -> dict[str, Any]:
    """Play so long; what it took."""
    config, clock, output = take.seeded(Config()), ManualClock(), Silence()
    network = take.load_network(config.engine.checkpoint)
    watch = Watch(clock)
    daemon = Daemon(take.musician(network, config, 0.0), clock, output, watch=watch)
    freeze()
    started_s = perf_counter()
    score: Score = phrases(hours)
    rehearse(daemon, clock, score, hours * HOUR_S)
    daemon.finish()
    return {
        "hours": hours,
        "took_s": perf_counter() - started_s,
        "turns": watch.turns,
        "notes": output.events,
        "deadlines_missed": watch.missed,
        "memory_after_the_first_minute_mb": watch.first_minute_mb,
        "memory_by_the_hour_mb": watch.memory_mb,
        "grew_mb": max(watch.memory_mb, default=watch.first_minute_mb) - watch.first_minute_mb,
    }


def main() -> None:
    """Play, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24)
    args = parser.parse_args()
    found = {"longplay": day(args.hours), "machine": machine(), "load_after": load_average()}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
