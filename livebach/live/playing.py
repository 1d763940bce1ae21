"""Opens all that a take needs (ports, guard, recorder, display, loop, page), plays, and closes it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from threading import Thread
from time import perf_counter
from typing import Protocol

from livebach.bindings import Controls
from livebach.config import Config, MidiSettings
from livebach.controls import Command
from livebach.files import expanded
from livebach.live import assembly
from livebach.live.assembly import READY_S
from livebach.live.built_in_sound import BuiltInSound
from livebach.live.daemon import Daemon, Watch
from livebach.live.display import Display
from livebach.live.hotkeys import HELP, Hotkeys, open_hotkeys
from livebach.live.network_swap import Swapper, show_nowhere, watching
from livebach.live.recorder import Recorder, open_recorder
from livebach.live.signals import Stage
from livebach.midi.backends import Backend
from livebach.midi.feedback_filter import FeedbackFilter
from livebach.midi.guard import Guard
from livebach.midi.keyboards import AnyKeyboard
from livebach.midi.port_watcher import PortWatcher, Watched
from livebach.midi.ports import Callback, InputPort, OutputPort, Thru
from livebach.music.events import Event
from livebach.musician.status import Status
from livebach.sound.names import INSTRUMENT_NAMES
from livebach.system.clock import Clock
from livebach.system.realtime import freeze, lift_helpers, make_timely
from livebach.system.systemd import Notifier


class Page(Protocol):
    """A page in a browser that shows and steers the take, and may be a keyboard and a loudspeaker."""

    backend: Backend

    def watch(self, status: Status, heard: Sequence[Event], sent: Sequence[Event]) -> None:
        """Show a turn of the loop. Must not wait."""

    def obey(self, command: Callable[[Command], None]) -> None:
        """Carry out the page's commands by this function."""

    def show_take(self, folder: str | None) -> None:
        """Show the folder of the take; None if it is not recorded."""

    def show_network(self, name: str) -> None:
        """Show the style or checkpoint that plays."""

    def check(self) -> str | None:
        """Look after the page's server; return a sentence when something has changed."""


class FeedbackWatch:
    """Has the feedback filter look at a loop also while nothing comes in, and passes on what it has found."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def check(self) -> str | None:
        """Send a probe where one is due; return the news, if any."""
        self._stage.probe(perf_counter())
        return " ".join(self._stage.feedback.news()) or None


Lights = Sequence[tuple[str, bool]]
"""The names of the ports, and whether each is connected."""


class PortLights:
    """Shows which ports are connected, whenever the watcher checks."""

    def __init__(self, show: Callable[[Lights], None], heard: InputPort, output: OutputPort) -> None:
        self._show, self._heard, self._output = show, heard, output
        self._last: list[tuple[str, bool]] = []

    def check(self) -> None:
        """Show the ports if something has changed."""
        ports = (("in", self._heard), ("out", self._output))
        now = [(f"{way}: {port.name}", port.connected) for way, port in ports]
        if now != self._last:
            self._last = now
            self._show(now)


def play(
    config: Config,
    network: assembly.Loaded,
    stage: Stage,
    display: Display,
    notifier: Notifier,
    page: Page | None = None,
) -> None:
    """Open all parts, play one take until the stage ends it, and close the parts again."""
    with ExitStack() as stack:
        daemon = _opened(config, network, stage, display, notifier, page, stack)
        stack.callback(notifier.close)
        notifier.ready()
        daemon.run()


def _opened(
    config: Config,
    network: assembly.Loaded,
    stage: Stage,
    display: Display,
    notifier: Notifier,
    page: Page | None,
    stack: ExitStack,
) -> Daemon:
    """Open all parts, leave their closing on the stack, and return the daemon."""
    clock, midi = Clock(), config.midi
    heard = stack.enter_context(
        closing(_input(midi, page, stage.receive))
    )  # first: a missing port is found before the rest is opened
    stage.feedback = FeedbackFilter(midi.output_channel - 1, on=midi.feedback_filter)
    output, thru = _outputs(config, page, stage.feedback, display.say, stack)
    stage.send_probe = thru.output.send_bytes
    guards = [_guard(output, thru, stack)] if output.needs_guard else []
    start_s = clock.now() + READY_S
    recorder = _recorder(config, network, start_s, display, stack)
    musician = assembly.musician(network, config, start_s)
    show_network = show_nowhere if page is None else page.show_network
    swapper = stack.enter_context(closing(Swapper(network, config, show_network)))
    daemon = Daemon(
        musician,
        clock,
        output,
        thru=thru,
        claims=Controls(config.control.bindings).claims,
        follow_clock=config.time.clock == "external",
        recorder=recorder,
        watch=watching(display.show if page is None else _both(display.show, page.watch), swapper),
        say=display.warn,
        alive=notifier.alive,
    )
    lights = PortLights(display.show_ports, heard, output)
    watched: list[Watched] = [heard, output, thru.output, *guards, FeedbackWatch(stage), swapper, lights]
    if page is not None:
        watched.append(page)
        page.show_take(None if recorder.folder is None else str(recorder.folder))
    watcher = stack.enter_context(closing(PortWatcher(watched, daemon.tell)))
    for program in assembly.programs(config):
        output.send(program)
    display.say(str(make_timely()))
    freeze()
    stage.daemon, stage.swapper = daemon, swapper
    display.say(_banner(config, heard, output))  # it invites the player: from here on no note is missed
    watcher.start()
    swapper.start(daemon)

    def obey(command: Command) -> None:
        swapper.command(command, daemon.command)

    hotkeys = stack.enter_context(closing(open_hotkeys(obey)))
    stage.on_terminal = [hotkeys, display]
    if page is not None:
        page.obey(obey)
    if isinstance(hotkeys, Hotkeys):
        display.say(HELP)
    lift_helpers()
    return daemon


def _is_page(wanted: str, page: Page | None) -> bool:
    """Return whether a port of this name is the page's."""
    return page is not None and wanted == page.backend.name


def _backends(wanted: str, page: Page | None) -> Sequence[Backend] | None:
    """Return the back-ends that may have a port of this name: the page's, or None for those of the table."""
    return [page.backend] if page is not None and _is_page(wanted, page) else None


def _both(one: Watch, other: Watch) -> Watch:
    """Return one watcher that calls two."""

    def watch(status: Status, heard: Sequence[Event], sent: Sequence[Event]) -> None:
        one(status, heard, sent)
        other(status, heard, sent)

    return watch


def _input(midi: MidiSettings, page: Page | None, receive: Callback) -> InputPort:
    """Open the input that the settings name, or any keyboard if they name none."""
    if midi.input is None:
        return AnyKeyboard.open_any(midi.api, receive)
    return InputPort.open(midi.input, midi.api, receive, wait=midi.wait, backends=_backends(midi.input, page))


def _output(config: Config, page: Page | None, say: Callable[[str], None]) -> OutputPort:
    """Open the output that the settings name; a built-in instrument if they name one, or nothing."""
    midi = config.midi
    if midi.output is not None and midi.output not in INSTRUMENT_NAMES:
        return OutputPort.open(midi.output, midi.api, wait=midi.wait, backends=_backends(midi.output, page))
    sound = BuiltInSound(assembly.sound_source(config, midi.output), say)
    output = OutputPort.open(sound.title, wait=True, backends=[sound])
    if sound.trouble:
        say(f"No sound: {sound.trouble}. All else works; --out NAME plays on a MIDI port (livebach ports lists them).")
    return output


def _outputs(
    config: Config, page: Page | None, feedback: FeedbackFilter, say: Callable[[str], None], stack: ExitStack
) -> tuple[OutputPort, Thru]:
    """Open the connections for livebach's notes and for the player's; the feedback filter knows what both send."""

    def sent(data: bytes) -> None:
        feedback.sent(data, perf_counter())

    output = stack.enter_context(closing(_output(config, page, say)))
    output.before = sent
    return output, stack.enter_context(closing(Thru(output.twin(), config.midi.thru)))


def _guard(output: OutputPort, thru: Thru, stack: ExitStack) -> Guard:
    """Start the guard. At the end, once all notes are silent, ask it to end, which it does while the ports close."""
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
    recorder = open_recorder(config.take.save, expanded(config.take.folder), header, display.warn)
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
