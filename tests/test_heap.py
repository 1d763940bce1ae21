"""Memory is allocated before playing: garbage collection finds nothing to do, and the allocators have a reserve."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from livebach.system import realtime

pytestmark = pytest.mark.clock

NOW = """
from pathlib import Path
from livebach.system import realtime

def anonymous_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
"""


def run(code: str) -> list[int]:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", NOW + code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")


def test_freezing_leaves_the_collector_nothing_to_do() -> None:
    """What is there at the start is not looked at again."""
    realtime.freeze()
    try:
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()


@needs_proc
def test_the_reserve_is_used_before_the_system_is_asked() -> None:
    """Objects of 1.2 MB and blocks of 0.4 MB, kept: without the reserve they are more, with it next to nothing."""
    code = """
before = anonymous_kb()
{freeze}
ready = anonymous_kb()
objects = [(i, i) for i in range(13000)]
blocks = [b"x" * 20000 for _ in range(18)]
print(ready - before, anonymous_kb() - ready)
"""
    taken, grown = run(code.format(freeze="realtime.freeze()"))
    assert taken > 1500
    _, grown_without = run(code.format(freeze=""))
    assert grown < 400 < 1100 < grown_without
