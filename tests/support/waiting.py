"""Waiting for other threads and processes, and callbacks that keep messages, for tests on real MIDI."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from livebach.midi.port_watcher import PortWatcher
from livebach.midi.ports import InputPort, OutputPort


def until(condition: Callable[[], object], what: str, limit_s: float = 20.0, pause_s: float = 0.01) -> None:
    """Wait until a condition is true; fail after the limit."""
    end_s = time.perf_counter() + limit_s
    while not condition():
        if time.perf_counter() > end_s:
            pytest.fail(f"after {limit_s:g} s: not {what}")
        time.sleep(pause_s)


class Heard(list[tuple[bytes, float]]):
    """A callback that keeps its messages with their times."""

    def __call__(self, data: bytes, time_s: float) -> None:
        """Keep a message."""
        self.append((data, time_s))

    @property
    def data(self) -> list[bytes]:
        """The messages without their times."""
        return [data for data, _ in self]


@contextmanager
def watched(*ports: InputPort | OutputPort, period_s: float = 0.05) -> Iterator[list[str]]:
    """Watch ports often, and close them afterwards; yield the list of the watcher's messages."""
    said: list[str] = []
    watcher = PortWatcher(ports, said.append, period_s=period_s)
    watcher.start()
    try:
        yield said
    finally:
        watcher.close()
        for port in ports:
            port.close()
