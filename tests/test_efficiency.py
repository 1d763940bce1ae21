"""Training reuses freed memory. The arithmetic of the device's use is tested in test_ranks.py."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.clock

pytest.importorskip("torch", reason="training needs torch")

TENSORS = """
import resource
import torch
from livebach.training.devices import reuse_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def update():
    return sum(float(torch.ones(12_000_000).sum()) for _ in range(5))

{reuse}
update()
before = faults()
update()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")
def test_freed_tensors_make_room_for_the_next() -> None:
    """Five tensors of 48 MB, once more: the pages of each are taken anew unless they were kept."""

    def faults(reuse: str) -> int:
        code = TENSORS.format(reuse=reuse)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
        return int(done.stdout)

    assert faults("reuse_freed_memory()") < 500 < 20_000 < faults("")
