"""One run in several processes started by `torchrun`: ranks, sums over all of them, and lost processes.

A process on its own is the first of one, and nothing is asked of torch's distributed package.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(minutes=10)
"""How long one process waits for the others in an update before it gives the run up."""
LONG_PATIENCE = timedelta(hours=24)
"""And while the first one prepares the frames of the whole corpus."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many processes this is; `local` is its number on its machine."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """The part of `count` things that is for this process; its size divides them."""
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def total(self, values: Tensor) -> Tensor:
        """The sum of every process's `values`; all have to ask. Raises RuntimeError where one is lost."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model as it is called in training: backward then averages the gradients of all processes."""
        if self.size == 1:
            return model
        on = next(model.parameters()).device
        return DistributedDataParallel(model, device_ids=[on.index] if on.type == "cuda" else None)

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The others wait, for as long as it takes, until the first process has left this block."""
        if self.size == 1:
            yield
            return
        group = dist.new_group(backend="gloo", timeout=LONG_PATIENCE)
        if not self.first:
            dist.barrier(group)
        yield
        if self.first:
            dist.barrier(group)


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The processes of this run, found by the variables that `torchrun` sets; alone without them."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    cuda = device in ("auto", "cuda") and torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), local)
    finally:
        dist.destroy_process_group()
