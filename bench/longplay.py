"""Play for a long time: does memory grow, does the grid drift, is a deadline lost?

    python -m bench.longplay day [--hours 24]        # musical time, on a simulated clock
    python -m bench.longplay hour [--minutes 60]     # real time, on JACK, as a person runs it

A player plays a phrase every minute, and livebach continues it. `day` runs the real engine and loop with ports inside
the process. It measures the memory of the process, and counts each deadline that is not met at its exact moment. `hour`
runs keyboard, livebach (with click, display, guard and recorder) and listener as separate processes, and measures the
memory of all processes of livebach. The grid for log and wire is that of the click: tick n is due n ticks after the
start, by the machine's monotonic clock.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.live import newest_take
from bench.rig import Livebach, Rig, rig
from livebach.commands.bench_process import Silence, resident_mb
from livebach.commands.timing import load_average, machine, summary
from livebach.config import Config
from livebach.live import assembly, take_log
from livebach.live.daemon import Daemon
from livebach.live.simulated_run import Score, rehearse
from livebach.music.events import Event, NoteOn
from livebach.music.phrases import PHRASES
from livebach.musician.status import Status
from livebach.system.clock import ManualClock
from livebach.system.realtime import freeze

MINUTE_S, HOUR_S = 60.0, 3600.0
PHRASE_S = 20.0
BPM = 120
TICK_S = 60 / BPM / 4
BEAT_TICKS = 4
CLICK_ON = 0x99
SAME_S = 1e-6
"""Times closer than this, in seconds, count as the same moment."""


def phrases(hours: float) -> Iterator[tuple[float, bytes]]:
    """Yield the player's messages for the whole day: each phrase in turn, one per minute."""
    for number, phrase in zip(range(int(hours * 60)), itertools.cycle(PHRASES.values())):
        yield from ((t, data) for t, data in phrase.score(number * MINUTE_S) if t < number * MINUTE_S + PHRASE_S)


# --- a day on a clock that is moved by hand --------------------------------------------------------------------------


class Watch:
    """Counts events, and reads the memory once per hour of musical time."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.turns = self.missed = 0
        self.memory_mb: list[float] = []
        self.first_minute_mb = 0.0

    def __call__(self, status: Status, _heard: Sequence[Event], _sent: Sequence[Event]) -> None:
        """Record a turn of the loop."""
        self.turns += 1
        self.missed = status.missed
        if not self.first_minute_mb and self._clock.now() > MINUTE_S:
            self.first_minute_mb = resident_mb()
        if self._clock.now() >= HOUR_S * (len(self.memory_mb) + 1):
            self.memory_mb.append(round(resident_mb(), 2))


def day(args: argparse.Namespace) -> dict[str, Any]:
    """Play for `hours`, and return the counts and the memory."""
    config, clock, output = assembly.seeded(Config()), ManualClock(), Silence()
    network = assembly.configured_network(config)
    watch = Watch(clock)
    daemon = Daemon(assembly.musician(network, config, 0.0), clock, output, watch=watch)
    freeze()
    started_s = time.perf_counter()
    score: Score = phrases(args.hours)
    rehearse(daemon, clock, score, args.hours * HOUR_S)
    daemon.finish()
    return {
        "hours": args.hours,
        "took_s": time.perf_counter() - started_s,
        "turns": watch.turns,
        "notes": output.events,
        "deadlines_missed": watch.missed,
        "memory_after_the_first_minute_mb": watch.first_minute_mb,
        "memory_by_the_hour_mb": watch.memory_mb,
        "grew_mb": max(watch.memory_mb, default=watch.first_minute_mb) - watch.first_minute_mb,
    }


# --- an hour of real time on JACK ------------------------------------------------------------------------------------


def hour(args: argparse.Namespace) -> dict[str, Any]:
    """Play for some minutes; return the memory by the minute, and the grid by the log and on the wire."""
    with rig() as here:
        with here.livebach("--bpm", str(BPM), "--click", "--folder", "takes") as program:
            memory = [minute(here, program, phrase) for phrase in rounds(args.minutes)]
        log = take_log.read(newest_take(here.folder))
        heard = [t for t, data in here.wire.heard() if data[0] == CLICK_ON and data[2]]
    first = memory[0]
    return {
        "minutes": args.minutes,
        "memory_by_the_minute_mb": memory,
        "grew_after_the_first_minute_mb": {
            name: round(max(found[name] for found in memory) - first[name], 2) for name in first
        },
        "grid": on_the_grid(log),
        "clicks_on_the_wire": on_the_wire(np.array(heard) - log.header.start_s),
        "remarks": log.remarks,
    }


def rounds(minutes: int) -> Iterator[list[tuple[float, bytes]]]:
    """Yield the phrase of each minute."""
    for phrase in itertools.islice(itertools.cycle(PHRASES.values()), minutes):
        yield [(t, data) for t, data in phrase.score(0.0) if t < PHRASE_S]


def minute(here: Rig, program: Livebach, phrase: Sequence[tuple[float, bytes]]) -> dict[str, float]:
    """Play a phrase, let livebach continue it, and return the memory at the end of the minute."""
    start_s = here.keyboard.play(phrase)
    here.keyboard.sent(len(phrase))
    time.sleep(max(0.0, start_s + MINUTE_S - time.perf_counter()))
    memory = program.memory_mb()
    print(memory, file=sys.stderr)
    return memory


def on_the_grid(log: take_log.Log) -> dict[str, Any]:
    """Account for every deadline, the end of each tick and the click of each beat; measure its distance from the grid.

    A deadline is met by its own call, or by a late call for an earlier deadline. Otherwise it is lost.
    """
    timed = [call for call in log.calls if call.do == "advance" and call.due is not None]
    due = np.array([call.due for call in timed]) - log.header.start_s
    at = np.array([call.t for call in timed]) - log.header.start_s
    ticks = np.arange(int((at[-1] - TICK_S) / TICK_S))
    half = TICK_S / 2
    off_grid = np.abs(due - np.round(due / half) * half)
    on_grid = off_grid < 0.001  # the other deadlines are for choosing a frame before its tick
    return {
        "deadlines": len(timed),
        "lateness": summary(at - due),
        "ends_of_ticks": accounted((ticks + 0.5) * TICK_S, due, at),
        "clicks": accounted(ticks[::BEAT_TICKS] * TICK_S, due, at),
        "clicks_sent": sum(is_click(event) for call in log.calls for event in call.out),
        "planned_off_the_grid_ms": {"most": float(off_grid[on_grid].max() * 1000), "of": int(on_grid.sum())},
        "lateness_median_drift_ms": drift_ms(due, at - due),
    }


def is_click(event: Event) -> bool:
    """Return whether a message is a click of the metronome."""
    return isinstance(event, NoteOn) and event.channel == CLICK_ON & 0x0F


def accounted(moments: NDArray[np.floating], due: NDArray[np.float64], at: NDArray[np.float64]) -> dict[str, int]:
    """Count the deadlines that had a call of their own, were met in the call of an earlier one, or were lost."""
    before = np.maximum(np.searchsorted(due, moments + SAME_S, side="right") - 1, 0)
    own = np.abs(due[before] - moments) < SAME_S
    late = ~own & (at[before] >= moments)
    return {
        "all": len(moments),
        "own_call": int(own.sum()),
        "with_another": int(late.sum()),
        "lost": int((~own & ~late).sum()),
    }


def on_the_wire(heard_s: NDArray[np.float64]) -> dict[str, Any]:
    """Return the delays of the clicks after their beats."""
    beat_s = BEAT_TICKS * TICK_S
    beats = np.floor(heard_s / beat_s)
    delay_s = heard_s - beats * beat_s
    return {
        "clicks": len(heard_s),
        "delay": summary(delay_s),
        "median_drift_ms": drift_ms(heard_s, delay_s),
    }


def drift_ms(time_s: NDArray[np.float64], delay_s: NDArray[np.float64]) -> float:
    """Return the median delay of the last minute minus that of the first minute, in ms."""
    first, last = delay_s[time_s < time_s[0] + MINUTE_S], delay_s[time_s > time_s[-1] - MINUTE_S]
    return float(np.median(last) - np.median(first)) * 1000


def main() -> None:
    """Play, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["day", "hour"])
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--minutes", type=int, default=60)
    args = parser.parse_args()
    before = load_average()
    found = {"day": day, "hour": hour}[args.what](args)
    load = {"load_before": before, "load_after": load_average()}
    print(json.dumps({args.what: found, "machine": machine(), **load}, indent=1))


if __name__ == "__main__":
    main()
