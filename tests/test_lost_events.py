"""A test on JACK is repeated where JACK lost events, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest
from tests.support import lost_events

def pytest_runtest_protocol(item, nextitem):
    lost_events.run(item, nextitem)
    return True

@pytest.fixture
def server(request, tmp_path):
    log = tmp_path / "jackd.log"
    yield log
    lost_events.count_lost(request.node, log)
"""
TEST = """
from pathlib import Path

RUNS = Path(__file__).with_name("runs.txt")

def test_it(server):
    runs = len(RUNS.read_text()) if RUNS.exists() else 0
    RUNS.write_text("x" * (runs + 1))
    server.write_text({log!r})
    assert runs >= {fails}
"""
LOST = "JackEngine::XRun: client = wire was not finished, state = Triggered"


@pytest.mark.parametrize(
    ("log", "fails", "passed", "runs"),
    [(LOST, 1, 1, 2), (LOST, 9, 0, 3), (LOST, 0, 1, 1), ("", 1, 0, 1)],
    ids=["lost once", "always fails", "passes all the same", "nothing was lost"],
)
def test_what_failed_while_events_were_lost_is_repeated(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, log: str, fails: int, passed: int, runs: int
) -> None:
    """At most three runs, of which the last counts; a failure without a lost cycle counts at once."""
    monkeypatch.syspath_prepend(Path(__file__).parent.parent)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TEST.format(log=log, fails=fails))
    pytester.runpytest_inprocess().assert_outcomes(passed=passed, failed=1 - passed)
    assert len((pytester.path / "runs.txt").read_text()) == runs
