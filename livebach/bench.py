"""`livebach bench`: what a frame costs on this machine, hot and as it is woken for a tick; start-up, memory, processor.

Nothing here passes or fails: these are distributions, with the load beside them. Ratios to other implementations are
in bench/ of the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.checkpoint import default_path
from livebach.clock import Clock, make_timely
from livebach.engine import Engine
from livebach.errors import UserError
from livebach.heap import freeze
from livebach.options import add_settings, settings
from livebach.reference import Player, multiply_adds, random_checkpoint
from livebach.take import DEFAULT, load_network

FRAMES = 10_000
TICK_FRAMES = 2_000
PACE_S = 0.010
TICK_S = 0.125
"""A 16th at 120 quarters a minute."""
WARM_UP = 50
QUICK = 20
"""By how much --quick shortens."""
COLD_BYTES = 64 << 20
"""What is written between two frames so that no cache holds anything of the engine: twice a large last-level cache."""
PEAK_SIZE, PEAK_TRIES = 384, 200
"""Short products, so that even on a busy machine some are left alone."""

Summary = dict[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} times fewer frames: about half a minute")
    parser.add_argument("--hot-only", action="store_true", help="leave out what is paced")
    parser.add_argument("--ordinary", action="store_true", help="do not ask for real-time priority and locked memory")
    add_settings(parser, ("--checkpoint",))


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write."""
    if args.json is not None and not args.json.absolute().parent.is_dir():
        raise UserError(f"--json: there is no folder {args.json.absolute().parent}")
    name = settings(args).engine.checkpoint
    engines = {"reference": Engine(random_checkpoint())}
    if name != DEFAULT or default_path().exists():
        engines["shipped" if name == DEFAULT else name] = load_network(name).engine
    timely = stay_ordinary if args.ordinary else make_timely
    report = measure(engines, name, QUICK if args.quick else 1, None if args.hot_only else timely)
    print(as_text(report))
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


# --- a distribution --------------------------------------------------------------------------------------------------


def summary(times_s: list[float] | NDArray[np.float64]) -> Summary:
    """The median and the tail of some times, in milliseconds."""
    ms = np.asarray(times_s, np.float64) * 1000
    p50, p99, p999 = np.percentile(ms, [50, 99, 99.9])
    return {"p50_ms": float(p50), "p99_ms": float(p99), "p99_9_ms": float(p999), "max_ms": float(ms.max())}


def time_frames(player: Player, count: int, before: Callable[[int], None]) -> dict[str, Any]:
    """Draw and push so many frames, `before(i)` ahead of each; the times of both, and of the frame."""
    times = np.zeros((count, 2))
    struck = 0
    for i in range(count):
        player.coming()
        before(i)
        start_s = perf_counter()
        frame = player.draw()
        drawn_s = perf_counter()
        player.push(frame)
        times[i] = drawn_s - start_s, perf_counter() - drawn_s
        struck += int((frame[: len(frame) // 2] == 1).sum())
    frame_times, draws, pushes = times.sum(axis=1), times[:, 0], times[:, 1]
    return {
        "frames": count,
        "frame": summary(frame_times),
        "draw": summary(draws),
        "push": summary(pushes),
        "onsets_per_frame": struck / count,
    }


def paced(period_s: float, cold: bool, clock: Clock | None = None) -> Callable[[int], None]:
    """To be called before each frame: wait for its time, perhaps with all caches emptied beforehand."""
    clock = clock or Clock()
    rubbish = np.zeros(COLD_BYTES // 8 if cold else 0)
    next_s = clock.now()

    def wait(_frame: int) -> None:
        nonlocal next_s
        rubbish.__iadd__(1)
        next_s = max(next_s + period_s, clock.now())
        clock.sleep_until(next_s)

    return wait


def at_once(_frame: int) -> None:
    """Do not wait."""


def peak(tries: int = PEAK_TRIES) -> float:
    """The multiply-adds a second of one core, float32: the best of many products of two square matrices."""
    a, b = (np.random.default_rng(0).random((2, PEAK_SIZE, PEAK_SIZE))).astype(np.float32)
    out = np.empty_like(a)
    best_s = float("inf")
    for _ in range(tries):
        start_s = perf_counter()
        np.matmul(a, b, out=out)
        best_s = min(best_s, perf_counter() - start_s)
    return float(PEAK_SIZE**3 / best_s)


# --- the whole -------------------------------------------------------------------------------------------------------


def stay_ordinary() -> str:
    """Ask the system for nothing; a sentence, as `make_timely` gives one."""
    return "Nothing was asked of the system: no real-time priority."


def measure(
    engines: dict[str, Engine], checkpoint: str, shorten: int, timely: Callable[[], str] | None
) -> dict[str, Any]:
    """Everything, in order: what hot caches give first, as real-time priority and full load do not go together.

    `timely` asks for priority before what is paced, which is left out without it.
    """
    report: dict[str, Any] = {"machine": machine(), "load_before": load_average(), "networks": {}}
    peak_s = peak()
    report["peak_multiply_adds_per_s"] = peak_s
    for name, engine in engines.items():
        found = time_network(engine, FRAMES // shorten)
        floor_ms = found["multiply_adds"] / peak_s * 1000
        found |= {"floor_ms": floor_ms, "times_floor": found["hot"]["frame"]["p50_ms"] / floor_ms}
        report["networks"][name] = found
    report["process"] = in_a_process_of_its_own(checkpoint if len(engines) > 1 else None)
    if timely is not None:
        report["timely"] = timely()
        freeze()
        for name, engine in engines.items():
            report["networks"][name] |= time_paced(engine, FRAMES // shorten, TICK_FRAMES // shorten)
    report["load_after"] = load_average()
    return report


def time_network(engine: Engine, frames: int) -> dict[str, Any]:
    """A network with hot caches: one frame after another."""
    player = Player(engine)
    time_frames(player, WARM_UP, at_once)
    return {"multiply_adds": multiply_adds(engine.spec), "hot": time_frames(player, frames, at_once)}


def time_paced(engine: Engine, frames: int, tick_frames: int) -> dict[str, Any]:
    """A network that is woken every 10 ms, and for every tick."""
    player = Player(engine)
    time_frames(player, WARM_UP, at_once)
    return {
        "paced_10_ms": time_frames(player, frames, paced(PACE_S, cold=False)),
        "paced_tick_cold": time_frames(player, tick_frames, paced(TICK_S, cold=True)),
    }


def machine() -> dict[str, Any]:
    """What it runs on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "openblas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "not set"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def load_average() -> list[float] | None:
    """Processes that wanted to run, on average over 1, 5 and 15 minutes; None where the system does not say."""
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def in_a_process_of_its_own(checkpoint: str | None) -> dict[str, float]:
    """Start-up, memory and processor time of a fresh process that plays; no ports, guard or display."""
    command = [sys.executable, "-m", "livebach.benchplay", *([checkpoint] if checkpoint else [])]
    folder = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))}
    start_s = perf_counter()
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise UserError(f"a process that plays could not be started: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return {"ready_s": found.pop("ready_at_s") - start_s, **found}


# --- for a person ----------------------------------------------------------------------------------------------------

CASES = {
    "hot": "hot, one after another",
    "paced_10_ms": "woken every 10 ms",
    "paced_tick_cold": f"woken every {TICK_S * 1000:g} ms, caches cold",
}


def as_text(report: dict[str, Any]) -> str:
    """The report, to be read."""
    about = report["machine"]
    lines = [
        f"{about['processor']}, {about['cores']} cores; Python {about['python']}, numpy {about['numpy']}",
        f"load {report['load_before']} before, {report['load_after']} after",
        report.get("timely", ""),
    ]
    for name, network in report["networks"].items():
        lines += ["", *_network_lines(name, network)]
    process = report["process"]
    lines += [
        "",
        f"ready {process['ready_s']:.2f} s after the start; {process['resident_mb']:.0f} MB resident",
        f"one core: {process['idle_share']:.1%} idle, {process['playing_share']:.1%} playing",
    ]
    return "\n".join(lines)


def _network_lines(name: str, network: dict[str, Any]) -> list[str]:
    head = (
        f"{name}: {network['multiply_adds'] / 1e6:.1f} M multiply-adds a frame, at least {network['floor_ms']:.3f} ms"
        f" on this core; a hot frame takes {network['times_floor']:.2f} times that"
    )
    table = [f"{'ms':36}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>9}"]
    for key, title in CASES.items():
        if key in network:
            table += [_row(f"{title} ({network[key]['frames']})", network[key]["frame"])]
            table += [_row(f"  {part}", network[key][part]) for part in ("draw", "push")]
    return [head, *table]


def _row(title: str, found: Summary) -> str:
    return f"{title:36}" + "".join(f"{found[key]:9.3f}" for key in ("p50_ms", "p99_ms", "p99_9_ms", "max_ms"))
