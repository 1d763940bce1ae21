"""`livebach bench`: measure the time of a frame, hot and after waiting for a tick; and start-up, memory and processor.

The results are distributions with the load of the machine. Nothing passes or fails. The folder bench/ of the repository
compares livebach with other implementations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from livebach.commands.flags import add_settings, settings, user_path
from livebach.commands.timing import (
    Summary,
    at_once,
    load_average,
    machine,
    paced,
    peak,
    time_frames,
)
from livebach.errors import UserError
from livebach.files import check_replaceable, replace_file
from livebach.live.assembly import load_network
from livebach.network.checkpoint import default_path
from livebach.network.engine import Engine
from livebach.network.reference import Player, multiply_adds, random_checkpoint
from livebach.styles import DEFAULT
from livebach.system.realtime import freeze, make_timely

FRAMES = 10_000
TICK_FRAMES = 2_000
PACE_S = 0.010
TICK_S = 0.125
"""A 16th at 120 quarters a minute."""
WARM_UP = 50
QUICK = 20
"""The factor by which --quick shortens the measurements."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write the figures to this file too")
    parser.add_argument(
        "--quick", action="store_true", help=f"measure {QUICK} times fewer frames, in about half a minute"
    )
    parser.add_argument("--hot-only", action="store_true", help="skip the measurements at the pace of playing")
    parser.add_argument("--ordinary", action="store_true", help="run without real-time priority and locked memory")
    add_settings(parser, ("--checkpoint",))


def run(args: argparse.Namespace) -> int:
    """Measure, print the figures, and write them if asked to."""
    if args.json is not None:
        check_replaceable(args.json)
    name = settings(args).engine.checkpoint
    engines = {"reference": Engine(random_checkpoint())}
    if name != DEFAULT or default_path().exists():
        engines["shipped" if name == DEFAULT else name] = load_network(name).engine
    timely = stay_ordinary if args.ordinary else make_timely
    report = measure(engines, name, QUICK if args.quick else 1, None if args.hot_only else timely)
    print(as_text(report))
    if args.json is not None:
        replace_file(args.json, (json.dumps(report, indent=1) + "\n").encode())
    return 0


# --- the whole -------------------------------------------------------------------------------------------------------


def stay_ordinary() -> str:
    """Request no real-time priority, and return a line that says so."""
    return "Real-time priority was not requested."


def measure(
    engines: dict[str, Engine], checkpoint: str, shorten: int, timely: Callable[[], object] | None
) -> dict[str, Any]:
    """Measure everything, hot caches first, because full load and real-time priority do not go together.

    Args:
        engines: The engines to measure, by name.
        checkpoint: The name of the shipped network or the user's.
        shorten: Divide the number of frames by this factor.
        timely: Requests real-time priority before the paced measurements. None skips these measurements.

    Returns:
        The report, as plain JSON values.

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
        report["timely"] = str(timely())
        freeze()
        for name, engine in engines.items():
            report["networks"][name] |= time_paced(engine, FRAMES // shorten, TICK_FRAMES // shorten)
    report["load_after"] = load_average()
    return report


def time_network(engine: Engine, frames: int) -> dict[str, Any]:
    """Return the times of a network with hot caches: frames without pauses."""
    player = Player(engine)
    time_frames(player, WARM_UP, at_once)
    return {"multiply_adds": multiply_adds(engine.spec), "hot": time_frames(player, frames, at_once)}


def time_paced(engine: Engine, frames: int, tick_frames: int) -> dict[str, Any]:
    """Return the times of a network that wakes every 10 ms, and once per tick."""
    player = Player(engine)
    time_frames(player, WARM_UP, at_once)
    return {
        "paced_10_ms": time_frames(player, frames, paced(PACE_S, cold=False)),
        "paced_tick_cold": time_frames(player, tick_frames, paced(TICK_S, cold=True)),
    }


def in_a_process_of_its_own(checkpoint: str | None) -> dict[str, float]:
    """Return the start-up, memory and processor time of a fresh process that plays without ports or display."""
    command = [sys.executable, "-m", "livebach.commands.bench_process", *([checkpoint] if checkpoint else [])]
    folder = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))}
    start_s = perf_counter()
    try:
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise UserError("the measured process did not end within 120 s") from None
    if done.returncode:
        raise UserError(f"the measured process could not be started: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return {"ready_s": found.pop("ready_at_s") - start_s, **found}


# --- for a person ----------------------------------------------------------------------------------------------------

CASES = {
    "hot": "hot, without pauses",
    "paced_10_ms": "woken every 10 ms",
    "paced_tick_cold": f"woken every {TICK_S * 1000:g} ms, caches cold",
}


def as_text(report: dict[str, Any]) -> str:
    """Return the report as text."""
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
        f"{name}: {network['multiply_adds'] / 1e6:.1f} M multiply-adds a frame, which take at least"
        f" {network['floor_ms']:.3f} ms on this core; a hot frame takes {network['times_floor']:.2f} times as long"
    )
    table = [f"{'ms':36}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>9}"]
    for key, title in CASES.items():
        if key in network:
            table += [_row(f"{title} ({network[key]['frames']})", network[key]["frame"])]
            table += [_row(f"  {part}", network[key][part]) for part in ("draw", "push")]
    return [head, *table]


def _row(title: str, found: Summary) -> str:
    return f"{title:36}" + "".join(f"{found[key]:9.3f}" for key in ("p50_ms", "p99_ms", "p99_9_ms", "max_ms"))
