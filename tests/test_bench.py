"""The arithmetic of the bench: percentiles, multiply-adds, the form of the report. Nothing is timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livebach.commands import bench, bench_process, timing
from livebach.music.roll import KEYS, UNKNOWN
from livebach.network.checkpoint import weight_shapes
from livebach.network.engine import Engine
from livebach.network.reference import LOWEST_GIVEN, REFERENCE, Player, multiply_adds, random_checkpoint
from livebach.network.spec import NetworkSpec

pytestmark = pytest.mark.clock

TINY = NetworkSpec(
    time_channels=4,
    time_dilations=(1, 2),
    mixing_layers=(1,),
    mixing_heads=2,
    context_channels=3,
    condition_channels=5,
    key_channels=4,
    key_dilations=(1, 2, 4),
    given_channels=2,
    given_dilations=(1,),
    reach=1,
)


def test_summary_of_known_times() -> None:
    """Median and tail are the usual percentiles, in milliseconds."""
    found = timing.summary([i / 1000 for i in range(1001)])
    assert found == pytest.approx({"p50_ms": 500, "p99_ms": 990, "p99_9_ms": 999, "max_ms": 1000})


def test_multiply_adds_are_the_weights_times_the_keys() -> None:
    """Each weight matrix is used once for each key, but for what is used once a frame or never."""
    shapes = weight_shapes(TINY)
    once = ("condition.weight",)
    products = {n: s for n, s in shapes.items() if len(s) > 1 and n != "place" and "by_interval" not in n}
    total = sum(int(np.prod(s)) * (1 if n.endswith(once) else KEYS) for n, s in products.items())
    c, k, width = TINY.time_channels, TINY.key_channels, 2 * TINY.reach + 1
    tables = width * c + 3 * TINY.given_channels + 3 * k  # whether a key is there; states looked up, not multiplied
    unused = c * c + k * k  # what the last layers would hand to a next one
    mixing = len(TINY.mixing_layers) * KEYS * KEYS * c
    assert multiply_adds(TINY) == total + mixing - KEYS * (tables + unused)


def test_the_reference_network_is_the_one_that_was_agreed() -> None:
    """11 time layers of 64 channels, 6 key layers of 32, about 29 million multiply-adds."""
    assert (len(REFERENCE.time_dilations), REFERENCE.time_channels) == (11, 64)
    assert (len(REFERENCE.key_dilations), REFERENCE.key_channels) == (6, 32)
    assert 28e6 < multiply_adds(REFERENCE) < 30e6


def test_random_checkpoints_are_the_same_again() -> None:
    """A seed is a network."""
    first, again = random_checkpoint(TINY, 3), random_checkpoint(TINY, 3)
    assert all(np.array_equal(w, again.weights[name]) for name, w in first.weights.items())


def test_the_player_gives_keys_and_plays() -> None:
    """Every frame has given keys above and free ones below, and something sounds."""
    player = Player(Engine(random_checkpoint(TINY)))
    sounded = 0
    for _ in range(40):
        player.coming()
        assert (player.given[:LOWEST_GIVEN] == UNKNOWN).all()
        assert (player.given[LOWEST_GIVEN:] != UNKNOWN).all()
        frame = player.draw()
        player.push(frame)
        sounded += bool(frame[:LOWEST_GIVEN].any())
    assert sounded


class Slept:
    """A clock that notes what it was asked to sleep until; each look at it takes a little."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self.until: list[float] = []

    def now(self) -> float:
        """The time."""
        return self.time_s

    def sleep_until(self, deadline_s: float) -> None:
        """Be there."""
        self.until.append(deadline_s)
        self.time_s = max(self.time_s, deadline_s)


def test_paced_frames_keep_their_period_and_never_burst() -> None:
    """Frames are a period apart; after one that took too long the next does not hurry."""
    clock = Slept()
    wait = timing.paced(0.5, cold=False, clock=clock)  # type: ignore[arg-type]
    wait(0)
    wait(1)
    clock.time_s = 3.0
    wait(2)
    wait(3)
    assert clock.until == [0.5, 1.0, 3.0, 3.5]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A whole report, of a tiny network, a few frames and a process that was not started."""
    process = {"ready_s": 0.25, "resident_mb": 50.0, "idle_share": 0.001, "playing_share": 0.02, "notes": 9}
    monkeypatch.setattr(bench, "in_a_process_of_its_own", lambda _name: process)
    monkeypatch.setattr(bench, "freeze", lambda: None)
    monkeypatch.setattr(bench, "peak", lambda: 5e10)
    monkeypatch.setattr(bench, "TICK_S", 0.001)
    monkeypatch.setattr(bench, "PACE_S", 0.001)
    monkeypatch.setattr(timing, "COLD_BYTES", 1024)
    return bench.measure({"reference": Engine(random_checkpoint(TINY))}, "default", 2000, bench.stay_ordinary)


def test_the_report_is_json_with_every_distribution(report: dict[str, Any]) -> None:
    """Three ways of calling, each with frame, draw and push, each with a median and a tail."""
    again = json.loads(json.dumps(report))
    assert again == report
    network = report["networks"]["reference"]
    assert network["multiply_adds"] == multiply_adds(TINY)
    for case in bench.CASES:
        for part in ("frame", "draw", "push"):
            assert set(network[case][part]) == {"p50_ms", "p99_ms", "p99_9_ms", "max_ms"}
            assert 0 < network[case][part]["p50_ms"] <= network[case][part]["max_ms"]
    assert {"machine", "load_before", "load_after", "process", "timely", "peak_multiply_adds_per_s"} < set(report)


def test_the_report_as_text(report: dict[str, Any]) -> None:
    """A person is told the machine, the load, each distribution, start-up, memory and processor."""
    text = bench.as_text(report)
    for part in ("numpy", "load", "p99.9", "woken every", "caches cold", "ready 0.25 s", "50 MB", "2.0% playing"):
        assert part in text


def test_json_into_a_missing_folder_is_told_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2, at once."""
    from livebach.cli import main

    assert main(["bench", "--json", str(tmp_path / "no" / "b.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_compiled_pass_without_numba_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and how to get it."""
    from livebach.errors import UserError
    from livebach.live import assembly

    monkeypatch.setattr(assembly, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match="needs numba: pip install numba"):
        assembly.load_network("default", fast=True)


def test_what_is_timed_plays_with_touch() -> None:
    """As play does: touch takes a tenth of the work."""
    assert bench_process.network("bach").touch is not None
