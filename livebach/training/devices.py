"""Choose the training device, and measure its use: achieved against peak arithmetic, and reuse of memory."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from livebach.network.reference import multiply_adds
from livebach.network.spec import NetworkSpec
from livebach.system.realtime import c_function
from livebach.training.run_files import TrainingError

SIDES = {"cpu": 1024, "mps": 2048, "cuda": 8192}
"""Side of the square matrices in the measurement of the peak, by type of device."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_KEPT = 2**31 - 1
_TAKEN = 256 << 20


def reuse_freed_memory() -> None:
    """Make glibc keep the memory of freed tensors for new tensors, instead of returning the memory to the system.

    Otherwise the kernel clears new pages for each tensor. On a CPU this took a fifth of the time of an update.
    """
    set_option = c_function("mallopt")
    if set_option is not None:
        set_option(_M_MMAP_MAX, 0)
        set_option(_M_TRIM_THRESHOLD, _KEPT)
        set_option(_M_TOP_PAD, _TAKEN)


def training_flops(spec: NetworkSpec) -> int:
    """Return the floating-point operations per training frame.

    A multiply-add counts as two operations. The backward pass counts as two forward passes.
    """
    return 6 * multiply_adds(spec)


def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """Return the peak of a device in floating-point operations per second.

    The function multiplies large matrices for `seconds` and takes the fastest product.
    """
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
    """Wait until the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def pick_device(name: str, local: int | None = None) -> torch.device:
    """Return the training device.

    Args:
        name: cpu, cuda, mps or auto. `auto` takes the fastest available type.
        local: Number of the process on this machine, if there are several. Each process gets its own GPU.

    Raises:
        TrainingError: If the name is unknown or the device is not available.

    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name not in available:
        raise TrainingError(f"device must be one of auto, {', '.join(available)}, got {name!r}")
    if not available[name]:
        raise TrainingError(f"device {name} is not available on this machine")
    return torch.device(name, local) if name == "cuda" and local is not None else torch.device(name)


class Wishes(Protocol):
    """Settings of a run that not every device supports."""

    @property
    def compile(self) -> bool:
        """Whether to compile the model."""

    @property
    def bf16(self) -> bool:
        """Whether to compute in bfloat16."""


def worthwhile(config: Wishes, device: torch.device) -> tuple[bool, bool]:
    """Return whether to compile and whether to use bfloat16.

    Each is true if the settings request it and the device profits. On a CPU, compilation needs a C++ compiler and the
    Python headers, and bfloat16 without AVX-512 is slower than float32. On MPS both are off.
    """
    if device.type == "cuda":
        return config.compile, config.bf16 and torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False, False
    compiler = any(map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++", "cl")))
    headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return config.compile and compiler and headers, config.bf16 and wide


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function that is compiled at its first call. Where the compiler fails, it runs as it is.

    A run that ends while it compiles can leave incomplete files in the compiler's cache, and later runs read them.
    """
    from torch._dynamo.exc import BackendCompilerFailed  # takes a second to import

    fast: Callable[..., Tensor] | None = torch.compile(function)

    def call(*inputs: object) -> Tensor:
        nonlocal fast
        if fast is not None:
            try:
                return fast(*inputs)
            except BackendCompilerFailed as error:
                fast = None
                reason = str(error.inner_exception).partition("\n")[0]
                sys.stderr.write(f"training goes on without torch.compile, which failed: {reason}\n")
        return function(*inputs)

    return call
