"""`livebach doctor`: its texts for given findings, and its measurement of the round trip. Nothing is timed."""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue

import pytest

from livebach.commands import doctor
from livebach.commands.doctor import Checked, Findings, diagnose
from livebach.commands.timing import Summary
from livebach.config import Config, MidiSettings, with_value
from livebach.midi.loopback import FakePort
from livebach.system.realtime import Permissions
from livebach.web.examine import PageFindings, examine_page

pytestmark = pytest.mark.clock


def times(p50: float, p99: float, most: float) -> Summary:
    """A distribution, in milliseconds."""
    return {"p50_ms": p50, "p99_ms": p99, "p99_9_ms": most, "max_ms": most}


WELL = Findings(
    permissions=Permissions(real_time=True, locked_memory=True),
    wakes=times(0.002, 0.05, 0.2),
    draw=times(0.4, 0.6, 0.9),
    push=times(0.5, 0.7, 1.0),
    tick_ms=125,
    lead_ms=4,
    cores=4,
    load=0.3,
    ports=("keyboard", "synth"),
    round_trip=times(2.0, 3.0, 4.0),
)


def test_a_machine_that_is_well_needs_nothing() -> None:
    """No advice, and it says so."""
    found = diagnose(WELL)
    assert not found.advice
    assert found.lines[-1] == "Nothing needs to be changed."


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"permissions": Permissions(real_time=False, locked_memory=True)}, "rtprio"),
        ({"permissions": Permissions(real_time=True, locked_memory=False)}, "memlock"),
        ({"permissions": Permissions(real_time=False, locked_memory=False)}, "audio.conf"),
        ({"sound": Checked(trouble="there is no audio device here")}, "livebach web"),
        ({"load": 6.0}, "Close other programs"),
        ({"wakes": times(0.1, 12.0, 40.0)}, "12.0 ms late"),
        ({"wakes": times(0.1, 2.0, 40.0), "governor": "powersave"}, "cpupower"),
        ({"draw": times(2, 5, 7.2)}, "engine.lead_ms=9"),
        ({"draw": times(20, 40, 60)}, "too slow for this tempo"),
        ({"round_trip": times(20, 30, 40)}, "takes 30 ms"),
        ({"lost": 3}, "another cable"),
        ({"page": PageFindings(failure="the page needs websockets: pip install websockets")}, "pip install websockets"),
        ({"page": PageFindings(0.5, (0.04,) * 50, True)}, "web.delay_ms=80"),
    ],
)
def test_each_trouble_has_its_advice(change: dict[str, object], part: str) -> None:
    """One trouble, one piece of advice, in plain words."""
    advice = diagnose(replace(WELL, **change)).advice  # type: ignore[arg-type]
    assert any(part in line for line in advice)
    assert len(advice) == (2 if "governor" in change else 1)


def test_systems_that_are_not_asked_get_no_advice_for_linux() -> None:
    """Where priority is not asked for, /etc is not spoken of."""
    assert not diagnose(replace(WELL, permissions=Permissions())).advice


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"sound": Checked("Headphones (ALSA)")}, "The built-in instruments sound on Headphones (ALSA)."),
        ({"sound": Checked(trouble="no device")}, "The built-in instruments do not sound: no device."),
    ],
)
def test_what_is_said_of_the_sound(change: dict[str, object], line: str) -> None:
    """There is a line, whether it works or not."""
    assert line in diagnose(replace(WELL, **change)).lines  # type: ignore[arg-type]


def test_the_sound_is_tried() -> None:
    """On a device that plays nowhere it sounds; one that is not there is named."""
    config = with_value(Config(), "sound.device", "silent")
    assert doctor.check_sound(config).works_on.startswith("silent")
    assert "no-such-device" in doctor.check_sound(with_value(config, "sound.device", "no-such-device")).trouble


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"ports": None, "round_trip": None}, "name both ports"),
        ({"round_trip": None, "lost": 3}, "join the two by a cable"),
        ({}, "'synth' to 'keyboard'"),
    ],
)
def test_what_is_said_of_the_way(change: dict[str, object], part: str) -> None:
    """Ports that were not named, no loop, and a loop are told apart; a missing loop is no fault."""
    found = diagnose(replace(WELL, **change))  # type: ignore[arg-type]
    assert any(part in line for line in found.lines)
    assert not found.advice


def test_pings_come_back_over_a_cable() -> None:
    """Every ping is recognised among other messages, and none sounds."""
    answers: doctor.Answers = SimpleQueue()
    port = FakePort()
    port.open_input(lambda data, time_s: (answers.put((b"\x90\x3c\x40", time_s)), answers.put((data, time_s))))  # type: ignore[func-returns-value]
    trips = doctor.round_trips(port, answers, wait_s=0)
    assert len(trips) == doctor.PINGS
    assert None not in trips
    assert not port.sounding


def test_without_a_cable_it_gives_up_early() -> None:
    """A few lost pings are enough to know."""
    trips = doctor.round_trips(FakePort(), SimpleQueue(), wait_s=0)
    assert trips == [None] * 3
    found = doctor.with_round_trip(WELL, ("a", "b"), trips)
    assert found.round_trip is None


def test_lost_pings_are_counted() -> None:
    """The rest is summed up without them."""
    found = doctor.with_round_trip(WELL, ("a", "b"), [0.001, None, 0.003])
    assert found.lost == 1
    assert found.round_trip is not None
    assert found.round_trip["max_ms"] == pytest.approx(3)


def test_the_page_is_served_and_asked() -> None:
    """The doctor serves the page for a moment, lets itself in, and measures messages; it opens no browser."""
    pytest.importorskip("websockets")
    found = examine_page(with_value(Config(midi=MidiSettings("a", "b")), "web.port", 1))
    assert found.failure is None
    assert len(found.trips_s) == 50
    assert min(found.trips_s) > 0
    line = diagnose(replace(WELL, page=found)).lines[-2]
    assert line.startswith("The page in the browser: served after")


def test_a_page_that_cannot_be_served_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without websockets there is one line and one piece of advice."""
    monkeypatch.setattr("livebach.web.page.find_spec", lambda _: None)
    found = diagnose(replace(WELL, page=examine_page(Config())))
    assert any("the page needs websockets" in line for line in found.lines)
    assert found.advice == ["To play in the browser (livebach web): pip install websockets."]
