"""Which device training uses, and how well: its arithmetic against the best, and memory that is used again."""

from __future__ import annotations

import os
import shutil
import sysconfig
import time
from pathlib import Path
from typing import Protocol

import torch

from livebach.network.reference import multiply_adds
from livebach.network.spec import NetworkSpec
from livebach.system.realtime import c_function
from livebach.training.run_files import TrainingError

SIDES = {"cpu": 1024, "mps": 2048, "cuda": 8192}
"""Of the square matrices that the peak is measured with."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_KEPT = 2**31 - 1
_TAKEN = 256 << 20


def reuse_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones, where else each is asked of the system anew.

    On the processor the system's clearing of those pages took a fifth of the time of an update.
    """
    set_option = c_function("mallopt")
    if set_option is not None:
        set_option(_M_MMAP_MAX, 0)
        set_option(_M_TRIM_THRESHOLD, _KEPT)
        set_option(_M_TOP_PAD, _TAKEN)


def training_flops(spec: NetworkSpec) -> int:
    """Floating-point operations of training on one frame: two a multiply-add, forward and twice that backward."""
    return 6 * multiply_adds(spec)


def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """Operations per second of products of large matrices: the best of those that fit into the time."""
    side = SIDES[device.type]
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best, end = 0.0, time.monotonic() + seconds
    while not best or time.monotonic() < end:
        _settle(device)
        start = time.monotonic()
        torch.mm(a, b)
        _settle(device)
        best = max(best, 2 * side**3 / (time.monotonic() - start))
    return best


def _settle(device: torch.device) -> None:
    """Wait for what was queued on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def pick_device(name: str, local: int | None = None) -> torch.device:
    """The device to train on, of several that of process `local`. Raises TrainingError for one that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name not in there:
        raise TrainingError(f"device must be one of auto, {', '.join(there)}, got {name!r}")
    if not there[name]:
        raise TrainingError(f"device {name} is not available on this machine")
    return torch.device(name, local) if name == "cuda" and local is not None else torch.device(name)


class Wishes(Protocol):
    """The settings that say what a run would like to use."""

    @property
    def compile(self) -> bool:
        """Whether to compile."""

    @property
    def bf16(self) -> bool:
        """Whether to compute in bfloat16."""


def worthwhile(config: Wishes, device: torch.device) -> tuple[bool, bool]:
    """Whether to compile and whether to use bf16: where it was asked for, and the machine can and gains by it.

    On a processor compiling needs a C++ compiler and Python's headers, and bf16 is slower than float32 without AVX-512.
    On MPS neither serves.
    """
    if device.type == "cuda":
        return config.compile, config.bf16 and torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False, False
    compiler = any(map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++", "cl")))
    headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return config.compile and compiler and headers, config.bf16 and wide
