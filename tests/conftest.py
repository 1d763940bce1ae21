"""What all tests share: a JACK server and synth, Hypothesis without deadlines, and the order of the tests.

Hypothesis has no deadlines, as machines that test are busy. Tests that need no clock come first. Beside them, the tests
in tests/alsa run in their virtual machine, if they are required. Tests with a clock come last, with nothing beside.
A test on JACK that failed while JACK lost events is repeated.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings

from tests.support import lost_events
from tests.support.alsa_suite import AlsaSuite, is_required
from tests.support.jack_rig import jack, synth
from tests.support.sound_rig import sound_cache, sound_folder

__all__ = ["alsa_suite", "jack", "sound_cache", "sound_folder", "synth"]

settings.register_profile("livebach", deadline=None, max_examples=50)
settings.load_profile("livebach")

CLOCKED = ("clock", "jack", "browser")
"""Marks of tests with a clock."""
SUITE = pytest.StashKey[AlsaSuite]()


def _turn(item: pytest.Item) -> int:
    """Return when a test runs: 0 without a clock, 2 with one, and in between the one that waits for the ALSA suite."""
    if item.get_closest_marker("alsa") is not None:
        return 1
    return 2 if any(item.get_closest_marker(mark) is not None for mark in CLOCKED) else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests."""
    items.sort(key=_turn)


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test on JACK so that it is repeated where JACK lost events; leave the others to pytest."""
    if item.get_closest_marker("jack") is None:
        return None
    lost_events.run(item, nextitem)
    return True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the ALSA suite, if a test waits for it."""
    wanted = is_required() and sys.platform.startswith("linux") and not session.config.option.collectonly
    if wanted and any(item.get_closest_marker("alsa") is not None for item in session.items):
        session.config.stash[SUITE] = AlsaSuite()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the ALSA suite, if no test has waited for it."""
    suite = config.stash.get(SUITE, None)
    if suite is not None:
        suite.close()


@pytest.fixture
def alsa_suite(request: pytest.FixtureRequest) -> AlsaSuite | None:
    """The run of the ALSA suite; None where it was not asked for."""
    return request.config.stash.get(SUITE, None)
