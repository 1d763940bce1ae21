"""`livebach play`: play on named ports; a page in the browser may show and steer it, or be a port itself."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, closing

from livebach.commands.flags import add_settings, settings
from livebach.errors import UserError
from livebach.live import assembly, playing
from livebach.live.display import Both, Display, Sink, terminal_sink
from livebach.live.log_lines import FORMS, LEVELS, LogSink
from livebach.live.signals import Stage
from livebach.midi.ports import list_inputs, list_outputs
from livebach.system.systemd import open_notifier

BROWSER = "browser"
"""As a port, the page in the browser."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_settings(parser)
    parser.add_argument("--web", action="store_true", help="a page in the browser shows and steers it, too")
    parser.add_argument("--log", choices=tuple(FORMS), help="lines with time and level on stderr, not the live roll")
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="the least that is logged")


def run(args: argparse.Namespace) -> int:
    """Play until Ctrl-C or a signal; what sounds then is ended."""
    config = assembly.seeded(settings(args))
    _check_named("input", config.midi.input, "--in", config.midi.api)
    _check_named("output", config.midi.output, "--out", config.midi.api)
    network, stage = assembly.load_network(config.engine.checkpoint, config.engine.fast), Stage()
    with ExitStack() as stack:
        stack.enter_context(stage.heeding_signals())
        notifier = stack.enter_context(closing(open_notifier()))
        page = None
        if args.web or BROWSER in (config.midi.input, config.midi.output):
            from livebach.web.page import show_page  # only here: playing on MIDI ports alone gets no heavier

            page = stack.enter_context(closing(show_page(config)))
        sink: Sink = LogSink(sys.stderr, args.log, args.log_level) if args.log else terminal_sink()
        display = stack.enter_context(closing(Display(sink if page is None else Both(sink, page))))
        playing.play_takes(config, network, stage, display, notifier, page)
    return 0


def _check_named(which: str, name: str | None, flag: str, api: str | None) -> None:
    if name is None:
        there = list_inputs(api) if which == "input" else list_outputs(api)
        ports = ", ".join(map(repr, there)) if there else "there is none"
        raise UserError(f"midi.{which} is not set: {flag} NAME, one of: {ports}")
