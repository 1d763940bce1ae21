"""`livebach demo`: play a phrase into the daemon in real time; the network continues it.

The demo opens no MIDI port and does not import rtmidi. On a machine with loudspeakers the music sounds live, on a
built-in instrument or through FluidSynth with a soundfont.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import Any

from livebach.commands.flags import add_settings, check_used, is_set, settings, user_path, whole
from livebach.config import Config, with_value
from livebach.errors import UserError
from livebach.files import check_new, expanded
from livebach.live import assembly
from livebach.live.daemon import Daemon
from livebach.live.display import Display, open_display
from livebach.live.hotkeys import HELP, Hotkeys, open_hotkeys
from livebach.live.network_swap import Swapper
from livebach.live.recorder import NoRecorder, Recorder, open_recorder
from livebach.live.signals import Stage
from livebach.live.simulated_run import rehearse
from livebach.midi.loopback import FakePort
from livebach.midi.port_watcher import PortWatcher
from livebach.midi.ports import OutputPort, Thru
from livebach.music.events import Event
from livebach.music.phrases import PHRASES, Phrase
from livebach.musician.status import Status
from livebach.sound.loudspeakers import SoundError
from livebach.sound.source import Source, Voice
from livebach.styles import DEFAULT, STYLES
from livebach.system.clock import Clock, ManualClock
from livebach.system.realtime import freeze, make_timely

FLAGS = (
    *("--seed", "--mode", "--checkpoint", "--temperature", "--min-p", "--key", "--bpm", "--program", "--folder"),
    *("--instrument", "--temperament", "--pitch-hz", "--soundfont"),
)
UNUSED = (
    *("midi.input", "midi.output", "midi.api", "midi.wait", "midi.thru", "midi.feedback_filter", "take.save"),
    *("time.metre", "time.count_in_bars", "time.clock", "time.send_clock", "web.port", "web.delay_ms", "web.open"),
)
"""The settings that have no effect on a demo."""
FIRST_S = 0.5
"""Seconds from the start to the first note."""
PAUSE_BARS = 2
"""Bars of rest before an accompanied phrase repeats. livebach should be silent in them too."""
MOST_BARS = 1000
STOPPED_S = 0.5
"""A delay in seconds. A phrase delayed longer was stopped by Ctrl-Z."""
PATIENCE_BARS = 8
"""Bars after the phrase. The demo ends if livebach has not begun by then."""
IDLE_S = 2.0
"""Seconds after the phrase without anybody playing, after which the demo ends."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "--bars",
        type=whole(1, MOST_BARS),
        default=16,
        metavar="N",
        help="let livebach play this many bars (default: 16)",
    )
    parser.add_argument(
        "--phrase",
        metavar="NAME",
        help=f"start with this phrase: {', '.join(PHRASES)} (default: a phrase by the composer)",
    )
    parser.add_argument("--wav", type=user_path, metavar="FILE.wav", help="write the music as sound too")
    parser.add_argument("--fast", action="store_true", help="play as fast as the machine can, without sound")
    parser.add_argument("--quiet", action="store_true", help="play without sound")
    add_settings(parser, FLAGS)


def run(args: argparse.Namespace) -> int:
    """Play the demo, and print the path of its MIDI file. Return 1 if the take could not be saved."""
    config, phrase = _prepared(args)
    source = assembly.sound_source(config)
    network = assembly.configured_network(config)
    with ExitStack() as stack:
        show = Show(config, phrase, args.bars, stack.enter_context(closing(open_display())))
        voice = None if args.fast or args.quiet else _voice(source, show.display)
        show.play(network, voice, args.fast, stack)
    midi = show.recorder.midi
    if midi is None:  # a warning has given the reason
        print("livebach demo: the music was not saved", file=sys.stderr)
        return 1
    if args.wav is not None:
        print(f"As sound: {source.render(midi, args.wav)}")
    elif voice is None:
        print("To hear the music, open the file in a music program, or add --wav FILE.wav for a sound file.")
    print(f"Saved as {midi}")
    return 0


def _voice(source: Source, display: Display) -> Voice | None:
    """Return the voice that plays. If sound is unavailable, show the reason and return None."""
    try:
        return source.start(display.say)
    except SoundError as trouble:
        display.say(f"No sound: {trouble}. Everything else works.")
        return None


def _prepared(args: argparse.Namespace) -> tuple[Config, Phrase]:
    if args.phrase is not None and args.phrase not in PHRASES:
        raise UserError(f"--phrase must be {' or '.join(PHRASES)}, got {args.phrase!r}")
    if args.wav is not None:
        check_new(args.wav)
    config = assembly.seeded(settings(args))
    check_used(
        args,
        lambda key: key not in UNUSED,
        "the demo plays a phrase in its own metre, saves the take, and opens no port",
    )
    style = STYLES.get(config.engine.checkpoint, STYLES[DEFAULT])
    phrase = PHRASES[args.phrase or style.phrase]
    phrase = phrase if config.turns.mode == "continue" else phrase.upper()
    bpm = config.time.bpm if is_set(args, "time.bpm") else phrase.bpm
    time = replace(config.time, bpm=bpm, metre=phrase.metre, count_in_bars=0)
    return with_value(replace(config, time=time), "take.save", True), replace(phrase, bpm=bpm)


@dataclass
class Bars:
    """A counter of livebach's bars, which decides when the demo is over."""

    wanted: int
    patience: int
    first: int | None = None  # livebach's first bar; None until livebach has taken over

    def over(self, status: Status) -> bool:
        """Return whether livebach has played all its bars, or has failed to begin in time."""
        if self.first is None and status.state == "playing":
            self.first = status.bar + (status.tick > 0)
        if self.first is None:
            return status.bar > self.patience
        return status.bar >= self.first + self.wanted


@dataclass
class Show:
    """One demo."""

    config: Config
    phrase: Phrase
    bars: int
    display: Display
    recorder: Recorder = field(default_factory=NoRecorder)
    idle: bool = True
    """Whether nobody plays. livebach waits for the player then."""

    def play(self, network: assembly.Loaded, voice: Voice | None, fast: bool, stack: ExitStack) -> None:
        """Play the demo. The stack closes everything that this method opens."""
        clock = ManualClock(Clock().now()) if fast else Clock()
        keyboard = FakePort("keyboard", now=clock.now)
        synth = OutputPort("sound", (), voice) if voice is not None else FakePort("synth", now=clock.now)
        stack.callback(synth.close)
        stage = Stage()
        stack.enter_context(stage.heeding_signals())
        daemon = self._daemon(network, clock, synth, stage, stack)
        keyboard.open_input(daemon.receive)
        score = self._score(clock.now() + FIRST_S)
        if isinstance(clock, ManualClock):
            rehearse(daemon, clock, score)
            daemon.finish()
        else:
            self._listen_to_the_terminal(daemon, stage, stack)
            _in_real_time(daemon, clock, keyboard, score, lambda: self.idle)

    def _listen_to_the_terminal(self, daemon: Daemon, stage: Stage, stack: ExitStack) -> None:
        """Read the terminal's keys as `play` does, and watch the network's file."""
        swapper = stage.swapper
        assert swapper is not None
        watcher = stack.enter_context(closing(PortWatcher([swapper], daemon.tell)))
        watcher.start()
        hotkeys = stack.enter_context(closing(open_hotkeys(lambda command: swapper.command(command, daemon.command))))
        stage.on_terminal += [hotkeys, self.display]
        if isinstance(hotkeys, Hotkeys):
            self.display.say(HELP)

    def _daemon(
        self, network: assembly.Loaded, clock: Any, synth: OutputPort, stage: Stage, stack: ExitStack
    ) -> Daemon:
        config, start_s = self.config, clock.now()
        header = assembly.header(config, network, start_s)
        self.recorder = open_recorder(True, expanded(config.take.folder), header, self.display.warn)
        stack.callback(self.recorder.close)
        bars = Bars(self.bars, self.phrase.bars + PATIENCE_BARS, None if self._answers else 1)

        swapper = stack.enter_context(closing(Swapper(network, config)))

        def watch(status: Status, heard: Sequence[Event], sent: Sequence[Event]) -> None:
            self.display.show(status, heard, sent)
            self.idle = status.bar == 0
            swapper.observe(heard)
            if bars.over(status):
                daemon.end()

        musician = assembly.musician(network, config, start_s)
        daemon = Daemon(
            musician, clock, synth, thru=Thru(synth), recorder=self.recorder, watch=watch, say=self.display.say
        )
        stage.daemon, stage.swapper = daemon, swapper
        swapper.start(daemon)
        for program in assembly.programs(config):
            synth.send(program)
        self.display.say(self._announcement())
        return daemon

    @property
    def _answers(self) -> bool:
        """Whether livebach plays after the phrase, rather than along with it."""
        return self.config.turns.mode == "continue"

    def _score(self, start_s: float) -> list[tuple[float, bytes]]:
        """Return the timed messages of the phrase. The phrase repeats in modes in which livebach plays along."""
        pause = PAUSE_BARS if self.config.turns.mode == "accompany" else 0
        times = 1 if self._answers else -(-self.bars // (self.phrase.bars + pause))
        apart_s = self.phrase.length_s * (1 + pause / self.phrase.bars)
        starts_s = (start_s + n * apart_s for n in range(times))
        return [message for at_s in starts_s for message in self.phrase.score(at_s)]

    def _announcement(self) -> str:
        time, seed = self.config.time, self.config.sampling.seed
        mode = self.config.turns.mode
        bars = "1 bar" if self.bars == 1 else f"{self.bars} bars"
        turn = f"Then livebach, {bars}." if self._answers else f"With you, livebach: {mode}."
        return f"You: {self.phrase.title}. {turn}\n{time.bpm:g} bpm, {time.metre}, seed {seed}. Ctrl-C ends."


def _in_real_time(
    daemon: Daemon, clock: Clock, keyboard: FakePort, score: Sequence[tuple[float, bytes]], idle: Callable[[], bool]
) -> None:
    """Play the phrase on a second thread, like a player's hands, while the loop runs.

    When the phrase is over and `idle` stays true, as after a change to a mode in which livebach only listens, the demo
    ends: nobody would ever play again.
    """

    def hands() -> None:
        late_s = 0.0  # the time for which the process was stopped; the phrase does not catch up
        for time_s, data in score:
            clock.sleep_until(time_s + late_s)
            if daemon.ending:
                return
            if clock.now() - time_s - late_s > STOPPED_S:
                late_s = clock.now() - time_s
            keyboard.send_bytes(data)
        idle_since_s = clock.now()
        while not daemon.ending and clock.now() - idle_since_s < IDLE_S:
            time.sleep(IDLE_S / 10)
            if not idle():
                idle_since_s = clock.now()
        daemon.end()

    thread = threading.Thread(target=hands, name="hands", daemon=True)
    make_timely()
    freeze()
    thread.start()
    daemon.run()
    thread.join()
