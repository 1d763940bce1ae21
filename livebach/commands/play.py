"""`livebach play`: play on the keyboard that is there, or on named ports; a page in the browser may steer it."""

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
from livebach.midi.backends import open_backends
from livebach.midi.keyboards import keyboards_here
from livebach.midi.port_names import PortError, unnumbered
from livebach.system.systemd import open_notifier

BROWSER = "browser"
"""As a port, the page in the browser."""
ALONE = "livebach web plays in the browser, livebach demo plays by itself."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_settings(parser)
    parser.add_argument("--web", action="store_true", help="a page in the browser shows and steers it, too")
    parser.add_argument("--log", choices=tuple(FORMS), help="lines with time and level on stderr, not the live roll")
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="the least that is logged")


def run(args: argparse.Namespace) -> int:
    """Play until Ctrl-C or a signal; what sounds then is ended."""
    config = assembly.seeded(settings(args))
    hint = _look_for_keyboard(config.midi.api) if config.midi.input is None else None
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
        if hint is not None:
            display.warn(hint)
        playing.play_takes(config, network, stage, display, notifier, page)
    return 0


def _look_for_keyboard(api: str | None) -> str | None:
    """Look which keyboards are there, for somebody who named none.

    Returns:
        A line to show when there is none, or None.

    Raises:
        UserError: If several are there, or if no MIDI port can be used at all.

    """
    try:
        found = [name for _, name in keyboards_here(open_backends(api))]
    except PortError as error:
        raise UserError(f"{error}. Without a MIDI keyboard: {ALONE}") from None
    if len(found) > 1:
        raise UserError(f"there are {len(found)} keyboards: name one, or a part of its name: {_choices(found)}")
    return None if found else f"There is no MIDI keyboard: plug one in, and it is taken up. Without one: {ALONE}"


def _choices(names: list[str]) -> str:
    return " or ".join(f'--in "{unnumbered(name)}"' for name in names)
