"""`livebach play`: ports, guard, recorder, display and loop, put together and taken apart again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from time import perf_counter

from livebach.commands.flags import add_settings, settings
from livebach.config import Config, Midi
from livebach.controls import Controls
from livebach.errors import UserError
from livebach.live import assembly
from livebach.live.assembly import READY_S
from livebach.live.daemon import Daemon
from livebach.live.display import Display, open_display
from livebach.live.hotkeys import HELP, Hotkeys, open_hotkeys
from livebach.live.log_lines import FORMS, LEVELS, LogSink
from livebach.live.network_swap import Swapper, watching
from livebach.live.recorder import Recorder, open_recorder
from livebach.live.signals import Stage
from livebach.midi.feedback_filter import LoopFilter
from livebach.midi.guard import Guard
from livebach.midi.port_watcher import Watched, Watcher
from livebach.midi.ports import InputPort, OutputPort, Thru, list_inputs, list_outputs
from livebach.system.clock import Clock
from livebach.system.realtime import freeze, lift_helpers, make_timely
from livebach.system.systemd import Notifier, open_notifier


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_settings(parser)
    parser.add_argument("--log", choices=tuple(FORMS), help="lines with time and level on stderr, not the live roll")
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="the least that is logged")


def run(args: argparse.Namespace) -> int:
    """Play until Ctrl-C or a signal; what sounds then is ended."""
    config = assembly.seeded(settings(args))
    _check_named("input", config.midi.input, "--in", config.midi.api)
    _check_named("output", config.midi.output, "--out", config.midi.api)
    network, stage = assembly.load_network(config.engine.checkpoint, config.engine.fast), Stage()
    with stage.heeding_signals(), closing(open_notifier()) as notifier, closing(_display(args)) as display:
        _play(config, network, stage, display, notifier)
    return 0


def _display(args: argparse.Namespace) -> Display:
    return Display(LogSink(sys.stderr, args.log, args.log_level)) if args.log else open_display()


def _check_named(which: str, name: str | None, flag: str, api: str | None) -> None:
    if name is None:
        there = list_inputs(api) if which == "input" else list_outputs(api)
        ports = ", ".join(map(repr, there)) if there else "there is none"
        raise UserError(f"midi.{which} is not set: {flag} NAME, one of: {ports}")


class LoopNews:
    """What the loop filter has found out, for the watcher to tell."""

    def __init__(self, loops: LoopFilter) -> None:
        self._loops = loops

    def check(self) -> str | None:
        """The news, if any."""
        return " ".join(self._loops.news()) or None


Lights = Sequence[tuple[str, bool]]
"""Ports' names, and whether they are connected."""


class PortLights:
    """Shows whether the ports are connected, on the watcher's round."""

    def __init__(self, show: Callable[[Lights], None], heard: InputPort, output: OutputPort) -> None:
        self._show, self._heard, self._output = show, heard, output
        self._last: list[tuple[str, bool]] = []

    def check(self) -> None:
        """Show them when something has changed."""
        ports = (("in", self._heard), ("out", self._output))
        now = [(f"{way}: {port.name}", port.connected) for way, port in ports]
        if now != self._last:
            self._last = now
            self._show(now)


def _play(config: Config, network: assembly.Loaded, stage: Stage, display: Display, notifier: Notifier) -> None:
    """Open everything, play, and close it again."""
    with ExitStack() as stack:
        daemon = _opened(config, network, stage, display, notifier, stack)
        stack.callback(notifier.close)
        notifier.ready()
        daemon.run()


def _opened(
    config: Config, network: assembly.Loaded, stage: Stage, display: Display, notifier: Notifier, stack: ExitStack
) -> Daemon:
    """The daemon, with everything open, each with its closing on the stack."""
    clock, midi = Clock(), config.midi
    output, thru = _outputs(midi, stage.loops, stack)
    guards = [] if output.virtual else [_guard(output, thru, stack)]
    start_s = clock.now() + READY_S
    recorder = _recorder(config, network, start_s, display, stack)
    assert midi.input is not None
    heard = stack.enter_context(closing(InputPort.open(midi.input, midi.api, stage.hear, wait=midi.wait)))
    musician = assembly.musician(network, config, start_s)
    swapper = stack.enter_context(closing(Swapper(network, config)))
    daemon = Daemon(
        musician,
        clock,
        output,
        thru=thru,
        claims=Controls(asdict(config.control)).claims,
        follow_clock=config.time.clock == "external",
        recorder=recorder,
        watch=watching(display.show, swapper),
        say=display.warn,
        alive=notifier.alive,
    )
    lights = PortLights(display.show_ports, heard, output)
    watched: list[Watched] = [heard, output, thru.output, *guards, LoopNews(stage.loops), swapper, lights]
    watcher = stack.enter_context(closing(Watcher(watched, daemon.tell)))
    for program in assembly.programs(config):
        output.send(program)
    display.say(make_timely())
    freeze()
    stage.daemon, stage.swapper = daemon, swapper
    display.say(_banner(config, heard, output))  # it says «play»: from here on nothing is missed
    watcher.start()
    swapper.start(daemon)
    hotkeys = stack.enter_context(closing(open_hotkeys(lambda command: swapper.command(command, daemon.command))))
    if isinstance(hotkeys, Hotkeys):
        display.say(HELP)
    lift_helpers()
    return daemon


def _outputs(midi: Midi, loops: LoopFilter, stack: ExitStack) -> tuple[OutputPort, Thru]:
    """The connection for its own notes and the one for the player's; what either sends is known when it comes back."""

    def sent(data: bytes) -> None:
        loops.sent(data, perf_counter())

    assert midi.output is not None
    output = stack.enter_context(closing(OutputPort.open(midi.output, midi.api, wait=midi.wait)))
    output.before = sent
    return output, stack.enter_context(closing(Thru(output.twin(), midi.thru)))


def _guard(output: OutputPort, thru: Thru, stack: ExitStack) -> Guard:
    """Start the guard. At the end it is told goodbye as soon as all is silent, and leaves while the ports close."""
    guard = Guard(output, thru.output)
    leaving = Thread(target=guard.close, name="livebach-goodbye")

    def say_goodbye() -> None:
        thru.switch(on=False)
        output.release()
        leaving.start()

    stack.callback(leaving.join)
    stack.enter_context(closing(output))
    stack.enter_context(closing(thru))
    stack.callback(say_goodbye)
    return guard


def _recorder(config: Config, network: assembly.Loaded, start_s: float, display: Display, stack: ExitStack) -> Recorder:
    header = assembly.header(config, network, start_s)
    parent = Path(config.session.folder).expanduser()
    recorder = open_recorder(config.session.save, parent, header, display.warn)
    stack.callback(lambda: _close(recorder, display))
    return recorder


def _close(recorder: Recorder, display: Display) -> None:
    folder = recorder.close()
    if folder is not None:
        display.say(f"The take is in {folder}")


def _banner(config: Config, heard: InputPort, output: OutputPort) -> str:
    def name(port: InputPort | OutputPort) -> str:
        return port.name if port.connected else f"{port.wanted} (waiting for it)"

    time, thru = config.time, "on" if config.midi.thru else "off"
    first = f"in: {name(heard)}   out: {name(output)}   api: {config.midi.api or 'any'}   thru: {thru}"
    second = f"{time.bpm:g} bpm   {time.metre}   {config.turns.mode}   seed {config.sampling.seed}"
    return f"{first}\n{second}\nPlay, and pause: it goes on. Ctrl-C ends."
