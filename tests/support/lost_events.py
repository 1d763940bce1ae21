"""Repeats a test during which JACK lost events.

On a machine whose processor is taken away for some milliseconds, a client misses a cycle of JACK, and with it the MIDI
messages of that cycle. JACK says so in its log. What such a test saw is no fault of livebach's. A test without a lost
cycle is never repeated. A client that a test ends by force may lose its last cycle too, so a failed test is at times
repeated without need. A fault that is always there fails every time.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

MOST_RUNS = 3
LOST = "XRun"
"""The word in JACK's log for a client that was not finished when its cycle ended."""
LOST_CYCLES = pytest.StashKey[int]()


def count_lost(node: pytest.Item, log: Path) -> None:
    """Note how many cycles were lost during a test, from the log of its JACK server."""
    node.stash[LOST_CYCLES] = log.read_text(errors="replace").count(LOST) if log.exists() else 0


def run(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run a test, and again if it failed while JACK lost events; report the last run."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for left in reversed(range(MOST_RUNS)):
        item.stash[LOST_CYCLES] = 0
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if not left or not item.stash[LOST_CYCLES] or not any(report.failed for report in reports):
            break
        item._initrequest()  # type: ignore[attr-defined]  # the fixtures begin anew
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
