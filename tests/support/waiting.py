"""Waiting for what other threads and processes do, and hearing what ports say: for tests on real MIDI."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from livebach.midi.port_watcher import PortWatcher
from livebach.midi.ports import InputPort, OutputPort


def until(condition: Callable[[], object], what: str, limit_s: float = 20.0, pause_s: float = 0.01) -> None:
    """Wait for something to be so; fail where it never is."""
    end_s = time.perf_counter() + limit_s
    while not condition():
        if time.perf_counter() > end_s:
            pytest.fail(f"after {limit_s:g} s: not {what}")
        time.sleep(pause_s)


class Heard(list[tuple[bytes, float]]):
    """A callback that keeps what it is given."""

    def __call__(self, data: bytes, time_s: float) -> None:
        """Keep it."""
        self.append((data, time_s))

    @property
    def data(self) -> list[bytes]:
        """What came, without the times."""
        return [data for data, _ in self]


@contextmanager
def watched(*ports: InputPort | OutputPort, period_s: float = 0.05) -> Iterator[list[str]]:
    """Watch ports often, and close them afterwards; the list is what the watcher says."""
    said: list[str] = []
    watcher = PortWatcher(ports, said.append, period_s=period_s)
    watcher.start()
    try:
        yield said
    finally:
        watcher.close()
        for port in ports:
            port.close()
