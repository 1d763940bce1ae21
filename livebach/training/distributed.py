"""Run one training in several processes started by `torchrun`: ranks, sums over all processes, synchronisation.

A single process has rank 0 of 1 and does not use torch's distributed package.
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
"""Time that a process waits for the other processes in an update. After this time the run fails."""
LONG_PATIENCE = timedelta(hours=24)
"""The same, while the first process prepares the frames of the whole corpus."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of this process, the number of processes, and the rank on this machine (`local`)."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes the files and the messages."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return this process's slice of `count` items. `count` must be a multiple of `size`."""
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes. `values` is changed in place.

        Every process must call this method.

        Raises:
            RuntimeError: If another process is lost.

        """
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return the model for training. The backward pass then averages the gradients over all processes."""
        if self.size == 1:
            return model
        on = next(model.parameters()).device
        return DistributedDataParallel(model, device_ids=[on.index] if on.type == "cuda" else None)

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Make the other processes wait until the first process has left this block, at most LONG_PATIENCE."""
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
    """Join the processes of this run, and yield the ranks.

    The environment variables of `torchrun` describe the processes. Without these variables there is one process.
    """
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
