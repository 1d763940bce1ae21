"""`livebach doctor`: measure this machine, the network, the sound and the ports, and advise what to change.

The measurement is silent: the ports get a controller that MIDI leaves undefined, and the built-in instrument no note.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from time import perf_counter, sleep
from typing import Protocol

from livebach.commands.flags import add_settings, settings
from livebach.commands.timing import Summary, load_average, paced, summary, time_frames
from livebach.config import Config
from livebach.live.assembly import configured_network, sound_settings
from livebach.live.inbox import Inbox
from livebach.midi.port_list import BackendReport, reports
from livebach.midi.ports import InputPort, OutputPort
from livebach.music.events import ControlChange, Event, to_bytes
from livebach.music.grid import Grid
from livebach.network.engine import Engine
from livebach.network.reference import Player
from livebach.sound.loudspeakers import Loudspeakers, SoundError
from livebach.system.clock import SPIN_S, Clock
from livebach.system.realtime import Permissions, freeze, make_timely
from livebach.web.examine import PageFindings, examine_page

FLAGS = ("--in", "--out", "--api", "--bpm", "--metre", "--checkpoint")
WAKES, WAKE_EVERY_S = 400, 0.010
FRAMES, SHORTEST_S = 60, 0.04
PINGS, PING_EVERY_S, PING_WAIT_S = 50, 0.02, 0.25
PING_CONTROLLER, PING_CHANNEL = 3, 15
"""A controller that MIDI leaves undefined, on the last channel: no synth responds to it."""

LATE_MS = 1.0
LONG_WAY_MS = 12.0
LEAD_MARGIN_MS = 1.5
PAGE_TRIP_MS = 30.0
MOST_LEAD_MS = 100


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check: the device that a part of livebach works on, or the reason why it does not work."""

    works_on: str = ""
    trouble: str = ""


UNCHECKED = Checked()


@dataclass(frozen=True, slots=True)
class Findings:
    """The measurements. Times are in milliseconds, as `timing.summary` returns them."""

    permissions: Permissions
    wakes: Summary
    draw: Summary
    push: Summary
    tick_ms: float
    lead_ms: float
    cores: int
    load: float
    governor: str | None = None
    ports: tuple[str, str] | None = None  # input and output, if both were named
    round_trip: Summary | None = None  # None if no ping came back
    lost: int = 0
    sound: Checked = UNCHECKED
    page: PageFindings | None = None  # None if the page was not checked


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings, one line each, and the advice, most important first."""

    lines: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_settings(parser, FLAGS)


def run(args: argparse.Namespace) -> int:
    """Measure, and print the findings and the advice."""
    config = settings(args)
    with ExitStack() as stack:
        output, heard, answers = _open(config, stack)
        network = configured_network(config)
        print("The measurement takes about twenty seconds and makes no sound.")
        found = examine(config, network.engine)
        if output is not None and heard is not None:
            found = with_round_trip(found, (heard.name, output.name), round_trips(output, answers))
    diagnosis = diagnose(replace(found, sound=check_sound(config), page=examine_page(config)))
    print("\n".join([*diagnosis.lines, *backend_lines(reports(config.midi.api))]))
    print("\n".join(["", "What to change:", *(f"- {line}" for line in diagnosis.advice)]) if diagnosis.advice else "")
    return 0


Answers = SimpleQueue[tuple[bytes, float]]


def _open(config: Config, stack: ExitStack) -> tuple[OutputPort | None, InputPort | None, Answers]:
    """Open the ports that the settings name; raise PortError if one is missing."""
    answers: Answers = SimpleQueue()
    output = heard = None
    if config.midi.output is not None:
        output = stack.enter_context(closing(OutputPort.open(config.midi.output, config.midi.api)))
    if config.midi.input is not None:
        listen = InputPort.open(config.midi.input, config.midi.api, lambda data, time_s: answers.put((data, time_s)))
        heard = stack.enter_context(closing(listen))
    return output, heard, answers


# --- measuring -------------------------------------------------------------------------------------------------------


def examine(config: Config, engine: Engine) -> Findings:
    """Measure everything but the round trip."""
    permissions = make_timely()
    freeze()
    grid = Grid.of(config.time.bpm, config.time.metre, engine.spec.steps_per_quarter)
    player = Player(engine)
    frames = time_frames(player, FRAMES, paced(max(SHORTEST_S, min(grid.tick_s, 0.15)), cold=True))
    return Findings(
        permissions=permissions,
        wakes=summary(wake_ups(WAKES)),
        draw=frames["draw"],
        push=frames["push"],
        tick_ms=grid.tick_s * 1000,
        lead_ms=config.engine.lead_ms,
        cores=os.cpu_count() or 1,
        load=(load_average() or [math.nan])[0],
        governor=governor(),
    )


def wake_ups(count: int, clock: Clock | None = None) -> list[float]:
    """Wait `count` times as the loop does; return the lateness of each wake-up in seconds."""
    clock, inbox = clock or Clock(), Inbox()
    late: list[float] = []
    due_s = clock.now()
    for _ in range(count):
        due_s = max(due_s + WAKE_EVERY_S, clock.now() + 2 * SPIN_S)
        inbox.take(due_s - clock.now() - SPIN_S)
        clock.sleep_until(due_s)
        late.append(clock.now() - due_s)
    return late


def check_sound(config: Config) -> Checked:
    """Start the built-in instrument for a moment, without a note."""
    speakers = Loudspeakers(sound_settings(config))
    try:
        ready = speakers.ready()
    except SoundError as error:
        return Checked(trouble=str(error))
    finally:
        speakers.close()
    return Checked(works_on=f"{ready['device']} ({ready['backend']})")


class Sender(Protocol):
    """The destination of the pings."""

    def send(self, event: Event) -> None:
        """Send a ping."""


def round_trips(output: Sender, answers: Answers, wait_s: float = PING_WAIT_S) -> list[float | None]:
    """Return the round trip of each ping in seconds, None for a lost ping. Stop if the first three are lost."""
    trips: list[float | None] = []
    for number in range(PINGS):
        ping = ControlChange(PING_CONTROLLER, number, PING_CHANNEL)
        sent_s = perf_counter()
        output.send(ping)
        trips.append(_trip(answers, to_bytes(ping), sent_s, wait_s))
        if number == 2 and not any(trips):
            break
        sleep(PING_EVERY_S if wait_s else 0)
    return trips


def _trip(answers: Answers, ping: bytes, sent_s: float, wait_s: float) -> float | None:
    while (rest_s := sent_s + wait_s - perf_counter()) > 0 or not answers.empty():
        try:
            data, time_s = answers.get(timeout=max(0, rest_s))
        except Empty:
            return None
        if data == ping:
            return time_s - sent_s
    return None


def with_round_trip(found: Findings, names: tuple[str, str], trips: Sequence[float | None]) -> Findings:
    """Return the findings with the round trip added."""
    came = [trip for trip in trips if trip is not None]
    lost = len(trips) - len(came)
    return replace(found, ports=names, round_trip=summary(came) if came else None, lost=lost)


def governor() -> str | None:
    """Return Linux's policy for the processor's clock (the cpufreq governor); None if unknown."""
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text(encoding="ascii").strip() if path.exists() else None


# --- reporting -------------------------------------------------------------------------------------------------------


PRIORITY = (
    "Allow livebach real-time priority and locked memory. On Linux, create /etc/security/limits.d/audio.conf with"
    " the lines «@audio - rtprio 95» and «@audio - memlock unlimited», run «sudo usermod -aG audio $USER» and log in"
    " again."
)
NO_SOUND = (
    "To hear livebach on this machine, connect loudspeakers or headphones (sound.device selects them), name a synth"
    " (--out), or play in the browser (livebach web)."
)
SLOW_WAY = (
    "On JACK, use a shorter period (jackd … -p 128). Bluetooth and network MIDI are always slow. If the synth itself"
    " is slow, --latency-ms sends its notes earlier."
)


def diagnose(found: Findings) -> Diagnosis:
    """Return the findings and the advice as text."""
    lines = [
        str(found.permissions),
        f"Load {found.load:.1f} on {found.cores} cores.",
        f"Wake-ups: {_spread(found.wakes)} late.",
        f"Choosing the notes of a tick: {_spread(found.draw)}; the choice begins {found.lead_ms:g} ms before the tick.",
        f"Remembering a tick: {_spread(found.push)}; the limit is half a tick, {found.tick_ms / 2:.0f} ms.",
        *_way_lines(found),
        *_sound_lines(found.sound),
        *_page_lines(found.page),
    ]
    advice = [
        *_priority_advice(found),
        *_load_advice(found),
        *_network_advice(found),
        *_way_advice(found),
        *_sound_advice(found),
        *_page_advice(found.page),
    ]
    if not advice:
        lines.append("Nothing needs to be changed.")
    return Diagnosis(lines, advice)


def _spread(times: Summary) -> str:
    usual, rare, most = (times[key] for key in ("p50_ms", "p99_ms", "max_ms"))
    return f"{usual:.2f} ms typically, {rare:.2f} ms one time in a hundred, {most:.2f} ms at most"


def backend_lines(found: Sequence[BackendReport]) -> list[str]:
    """Return a line for each MIDI back-end: the number of its ports, or why it cannot be used."""
    return [_backend_line(report) for report in found]


def _backend_line(report: BackendReport) -> str:
    title = f"{report.row.name} ({report.row.title})"
    if report.trouble:
        return f"{title}: not available: {report.trouble}."
    return f"{title}: {_count(len(report.inputs), 'input')}, {_count(len(report.outputs), 'output')}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _page_lines(found: PageFindings | None) -> list[str]:
    if found is None:
        return []
    if found.failure is not None:
        return [f"The page in the browser: {found.failure}."]
    there = "livebach web opens the page" if found.browser else "no browser found; livebach web prints the address"
    trip = f"the round trip of a message takes {_spread(summary(list(found.trips_s)))}"
    return [f"The page in the browser: served after {found.ready_s:.2f} s; {trip}; {there}."]


def _page_advice(found: PageFindings | None) -> list[str]:
    if found is None:
        return []
    if found.failure is not None and "pip install" in found.failure:
        return ["To play in the browser (livebach web): pip install websockets."]
    if found.trips_s and summary(list(found.trips_s))["p99_ms"] > PAGE_TRIP_MS:
        return ["Messages to the page are slow: close other programs, or set web.delay_ms=80 for the page's sound."]
    return []


def _way_lines(found: Findings) -> list[str]:
    if found.ports is None:
        return ["The round trip was not measured: name both ports, --in and --out, and join them by a cable."]
    there = f"from {found.ports[1]!r} to {found.ports[0]!r}"
    if found.round_trip is None:
        return [f"No message came back {there}: to measure the round trip, join the two by a cable."]
    lost = f"; {found.lost} of {PINGS} messages were lost" if found.lost else ""
    return [f"Round trip {there}: {_spread(found.round_trip)}{lost}."]


def _sound_lines(sound: Checked) -> list[str]:
    if sound.trouble:
        return [f"The built-in instruments do not sound: {sound.trouble}."]
    return [f"The built-in instruments sound on {sound.works_on}."] if sound.works_on else []


def _priority_advice(found: Findings) -> list[str]:
    return [PRIORITY] if found.permissions.refused else []


def _load_advice(found: Findings) -> list[str]:
    advice = []
    if found.load > found.cores:
        advice.append("Close other programs: more programs are running than there are cores.")
    if found.wakes["p99_ms"] > LATE_MS:
        advice.append(
            f"The machine wakes livebach up to {found.wakes['p99_ms']:.1f} ms late; about 10 ms are audible:"
            " close other programs, plug in the charger, and allow real-time priority."
        )
    if found.governor == "powersave" and found.wakes["p99_ms"] > LATE_MS:
        advice.append("The processor is in power-saving mode: run «sudo cpupower frequency-set -g performance».")
    return advice


def _network_advice(found: Findings) -> list[str]:
    needed_ms = math.ceil(found.draw["max_ms"] + LEAD_MARGIN_MS)
    if found.push["max_ms"] + found.draw["max_ms"] > found.tick_ms * 0.45:
        return ["The network is too slow for this tempo: play slower, or use a smaller network (--checkpoint)."]
    if found.lead_ms < needed_ms <= MOST_LEAD_MS:
        return [f"Start the network earlier: --set engine.lead_ms={needed_ms}."]
    return []


def _sound_advice(found: Findings) -> list[str]:
    return [NO_SOUND] if found.sound.trouble else []


def _way_advice(found: Findings) -> list[str]:
    way = found.round_trip
    if way is None or (way["p99_ms"] <= LONG_WAY_MS and not found.lost):
        return []
    if found.lost:
        return ["Messages are lost on the way: try another cable or another USB port, without a hub."]
    return [f"The round trip takes {way['p99_ms']:.0f} ms. {SLOW_WAY}"]
