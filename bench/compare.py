"""Compare the step engine with its slow twins and the arithmetic floor, in one process, on one thread.

    python -m bench.compare [--fast] [--json FILE] [--seconds 20]

The implementations take turns of a few frames, so that other programs on the machine affect them equally. Ratios are
ratios of medians. Run this bench on an idle machine and again on a busy one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from bench.twins import QueueTwin, RecomputeTwin
from livebach.commands.timing import load_average, machine, peak, summary
from livebach.network import checkpoint
from livebach.network.engine import Engine
from livebach.network.reference import Player, multiply_adds, random_checkpoint

CHUNKS = {"numpy": 40, "numba": 40, "torch queues": 4, "torch, everything again": 1}
"""Frames per round of each implementation, chosen for about equal times, except for the last one."""


def check(checkpoint_: checkpoint.Checkpoint, others: dict[str, Any], frames: int = 24) -> dict[str, int]:
    """Count the frames that each implementation draws differently from the engine, given the same past."""
    player = Player(Engine(checkpoint_), seed=1)
    states = {name: other.new_state() for name, other in others.items()}
    different = dict.fromkeys(others, 0)
    for _ in range(frames):
        player.coming()
        frame = player.draw()
        for name, other in others.items():
            drawn = other.draw(states[name], player.given, player.uniforms, player.params)
            different[name] += int((drawn != frame).any())
            places = player.place(player.tick), player.place(player.tick + 1)
            other.push(states[name], frame, *places, player.texture)
        player.push(frame)
    return different


def play(player: Player, frames: int) -> list[float]:
    """Return the times of some frames."""
    times = []
    for _ in range(frames):
        player.coming()
        start_s = perf_counter()
        player.push(player.draw())
        times.append(perf_counter() - start_s)
    return times


def compare(checkpoint_: checkpoint.Checkpoint, fast: bool, seconds: float) -> dict[str, Any]:
    """Measure everything on one network."""
    engines: dict[str, Any] = {"numpy": Engine(checkpoint_)}
    if fast:
        from livebach.network.numba_engine import FastEngine

        engines["numba"] = FastEngine(checkpoint_)
    engines |= {"torch queues": QueueTwin(checkpoint_), "torch, everything again": RecomputeTwin(checkpoint_)}
    different = check(checkpoint_, {name: e for name, e in engines.items() if name != "numpy"})
    players = {name: Player(engine) for name, engine in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in engines}
    for name, player in players.items():
        play(player, CHUNKS[name])
    peaks, end_s = [peak()], perf_counter() + seconds
    while perf_counter() < end_s:
        for name, player in players.items():
            times[name] += play(player, CHUNKS[name])
        peaks.append(peak(tries=20))
    floor_ms = multiply_adds(checkpoint_.spec) / max(peaks) * 1000
    found = {name: {"frames": len(t), **summary(t)} for name, t in times.items()}
    queue_ms = found["torch queues"]["p50_ms"]
    for name, line in found.items():
        line |= {
            "times_floor": line["p50_ms"] / floor_ms,
            "queues_over_it": queue_ms / line["p50_ms"],
            "frames_that_differ": different.get(name, 0),
        }
    return {
        "multiply_adds": multiply_adds(checkpoint_.spec),
        "peak_multiply_adds_per_s": max(peaks),
        "floor_ms": floor_ms,
        "implementations": found,
    }


def on_one_thread() -> None:
    """Restart if necessary with numpy and torch limited to one thread: they read the limit when loaded."""
    wanted = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    if not wanted.items() <= os.environ.items():
        os.environ.update(wanted)
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main() -> None:
    """Compare on the reference network and on the shipped one."""
    on_one_thread()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="measure the numba engine too")
    parser.add_argument("--seconds", type=float, default=20, help="seconds per network")
    parser.add_argument("--checkpoint", type=Path, default=checkpoint.default_path())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    networks = {"reference": random_checkpoint()}
    if args.checkpoint.exists():
        networks["shipped"] = checkpoint.load(args.checkpoint)
    report: dict[str, Any] = {"machine": machine() | {"torch": torch.__version__}, "load_before": load_average()}
    for name, network in networks.items():
        report[name] = compare(network, args.fast, args.seconds)
        show(name, report[name])
    report["load_after"] = load_average()
    print(f"\nload {report['load_before']} before, {report['load_after']} after")
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


def show(name: str, found: dict[str, Any]) -> None:
    """Print one network's table."""
    print(f"\n{name}: {found['multiply_adds'] / 1e6:.1f} M multiply-adds, floor {found['floor_ms']:.3f} ms")
    print(f"{'':26}{'frames':>8}{'p50 ms':>9}{'p99':>9}{'max':>9}{'x floor':>9}{'queues/it':>11}{'differ':>8}")
    for title, line in found["implementations"].items():
        print(
            f"{title:26}{line['frames']:8d}{line['p50_ms']:9.3f}{line['p99_ms']:9.3f}{line['max_ms']:9.3f}"
            f"{line['times_floor']:9.2f}{line['queues_over_it']:11.1f}{line['frames_that_differ']:8d}"
        )


if __name__ == "__main__":
    main()
