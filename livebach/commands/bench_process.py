"""The process that `livebach bench` measures: play without ports, and print start-up, memory and processor time."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from threading import Thread
from time import perf_counter, process_time, sleep

from livebach.config import Config
from livebach.live import assembly
from livebach.live.daemon import Daemon
from livebach.music.events import Event, NoteOff, NoteOn, to_bytes
from livebach.network.engine import Engine
from livebach.network.reference import random_checkpoint
from livebach.system.clock import Clock
from livebach.system.realtime import freeze, make_timely

IDLE_S = 3.0
PLAYING_S = 8.0
PHRASE = (60, 64, 67, 72)
NOTE_S = 0.15
TAKEOVER_S = 1.5


class Silence:
    """A silent output that counts notes."""

    def __init__(self) -> None:
        self.events = 0

    def send(self, event: Event, due_s: float | None = None) -> None:
        """Count a note."""
        self.events += isinstance(event, NoteOn)


def share(seconds: float) -> float:
    """Return the share of one core that this process takes during `seconds`."""
    start_s, used_s = perf_counter(), process_time()
    sleep(seconds)
    return (process_time() - used_s) / (perf_counter() - start_s)


def perform(daemon: Daemon) -> tuple[float, float]:
    """Idle, play a phrase, and let livebach continue; return the shares of one core while idle and while playing."""
    idle = share(IDLE_S)
    for key in PHRASE:
        daemon.receive(to_bytes(NoteOn(key, 80, 0)), perf_counter())
        sleep(NOTE_S)
        daemon.receive(to_bytes(NoteOff(key, channel=0)), perf_counter())
    sleep(TAKEOVER_S)
    return idle, share(PLAYING_S)


def network(name: str | None) -> assembly.Loaded:
    """Return the network `name`; None means the reference network."""
    if name is not None:
        return assembly.with_touch(assembly.load_network(name))
    return assembly.Loaded(Engine(random_checkpoint()), "", "")


def resident_mb() -> float:
    """Return the memory of this process, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:  # not available on Windows
        return math.nan
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main(name: str | None = None) -> int:
    """Play, and print one line of JSON."""
    config = assembly.seeded(Config())
    loaded, clock, output = network(name), Clock(), Silence()
    daemon = Daemon(assembly.musician(loaded, config, clock.now() + assembly.READY_S), clock, output)
    make_timely()
    freeze()
    found: dict[str, float] = {"ready_at_s": clock.now()}

    def rehearse() -> None:
        idle, playing = perform(daemon)
        found.update(idle_share=idle, playing_share=playing, notes=output.events, resident_mb=resident_mb())
        daemon.end()

    Thread(target=rehearse, daemon=True).start()
    daemon.run()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
