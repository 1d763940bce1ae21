"""Timing of frames, shared by `livebach bench` and `livebach doctor`."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.network.reference import Player
from livebach.system.clock import Clock

COLD_BYTES = 64 << 20
"""Bytes written between two frames to evict the engine's data from the caches: twice a large last-level cache."""
PEAK_SIZE, PEAK_TRIES = 384, 200
"""The size and number of matrix products. They are short, so that some run undisturbed even on a busy machine."""
Summary = dict[str, float]


def summary(times_s: list[float] | NDArray[np.float64]) -> Summary:
    """Return the median and the tail, in milliseconds, of times in seconds."""
    ms = np.asarray(times_s, np.float64) * 1000
    p50, p99, p999 = np.percentile(ms, [50, 99, 99.9])
    return {"p50_ms": float(p50), "p99_ms": float(p99), "p99_9_ms": float(p999), "max_ms": float(ms.max())}


def time_frames(player: Player, count: int, before: Callable[[int], None]) -> dict[str, Any]:
    """Draw and push `count` frames, each after `before(i)`; return summaries of draw, push and frame times."""
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
    """Return a function that waits for the next frame's time; with `cold` it first evicts the caches."""
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
    """Return one core's float32 multiply-adds per second: the fastest of `tries` matrix products."""
    a, b = (np.random.default_rng(0).random((2, PEAK_SIZE, PEAK_SIZE))).astype(np.float32)
    out = np.empty_like(a)
    best_s = float("inf")
    for _ in range(tries):
        start_s = perf_counter()
        np.matmul(a, b, out=out)
        best_s = min(best_s, perf_counter() - start_s)
    return float(PEAK_SIZE**3 / best_s)


def machine() -> dict[str, Any]:
    """Describe the machine."""
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
    """Return the load average over 1, 5 and 15 minutes; None if the system has none."""
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None
