"""How much of a device training uses: the arithmetic that the model needs against the best the device does."""

from __future__ import annotations

import time

import torch

from livebach.reference import multiply_adds
from livebach.spec import NetworkSpec

SIDES = {"cpu": 1024, "mps": 2048, "cuda": 8192}
"""Of the square matrices that the peak is measured with."""


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
