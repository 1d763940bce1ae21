"""`livebach play`: play on named MIDI ports."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from livebach.commands.flags import add_settings, settings
from livebach.errors import UserError
from livebach.live import assembly, playing
from livebach.live.display import Display, open_display
from livebach.live.log_lines import FORMS, LEVELS, LogSink
from livebach.live.signals import Stage
from livebach.midi.ports import list_inputs, list_outputs
from livebach.system.systemd import open_notifier


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
        playing.play(config, network, stage, display, notifier)
    return 0


def _display(args: argparse.Namespace) -> Display:
    return Display(LogSink(sys.stderr, args.log, args.log_level)) if args.log else open_display()


def _check_named(which: str, name: str | None, flag: str, api: str | None) -> None:
    if name is None:
        there = list_inputs(api) if which == "input" else list_outputs(api)
        ports = ", ".join(map(repr, there)) if there else "there is none"
        raise UserError(f"midi.{which} is not set: {flag} NAME, one of: {ports}")
