"""`livebach play`: play on the connected keyboard or on named ports, optionally with a page in the browser."""

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
"""The name of the page in the browser as a port."""
ALONE = "livebach web plays in the browser, livebach demo plays by itself."
DESCRIPTION = """\
Play a MIDI keyboard. When you pause, livebach continues your music; play again, and it stops and listens.
Ctrl-C ends. Each take is saved as a MIDI file. No setting is required."""
EXAMPLES = """\
examples:
  livebach --out organ                           the built-in organ
  livebach --in "USB Keyboard" --out FluidSynth  named ports; "livebach ports" lists them
  livebach --style scarlatti --mode duet         Scarlatti's style, playing along with you
  livebach --bpm 72 --metre 3/4 --click          a slow three-four with a metronome"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.usage = "%(prog)s [SETTINGS]"
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_settings(parser)
    group = parser.add_argument_group("display")
    group.add_argument("--web", action="store_true", help="show and control the music on a page in the browser too")
    group.add_argument(
        "--log", choices=tuple(FORMS), help="write a log to standard error instead of the live piano roll"
    )
    group.add_argument("--log-level", choices=LEVELS, default="info", help="log this level and above (default: info)")


def run(args: argparse.Namespace) -> int:
    """Play until Ctrl-C or a signal, then end all sounding notes."""
    config = assembly.seeded(settings(args))
    hint = _look_for_keyboard(config.midi.api) if config.midi.input is None else None
    network, stage = assembly.configured_network(config), Stage()
    with ExitStack() as stack:
        stack.enter_context(stage.heeding_signals())
        notifier = stack.enter_context(closing(open_notifier()))
        page = None
        if args.web or BROWSER in (config.midi.input, config.midi.output):
            from livebach.web.page import show_page  # imported here, so that playing without the page stays light

            page = stack.enter_context(closing(show_page(config)))
        sink: Sink = LogSink(sys.stderr, args.log, args.log_level) if args.log else terminal_sink()
        display = stack.enter_context(closing(Display(sink if page is None else Both(sink, page))))
        if hint is not None:
            display.warn(hint)
        playing.play(config, network, stage, display, notifier, page)
    return 0


def _look_for_keyboard(api: str | None) -> str | None:
    """Look for connected keyboards when the settings name none.

    Returns:
        A line to show if no keyboard is connected, otherwise None.

    Raises:
        UserError: If several keyboards are connected, or if no MIDI back-end can be used.

    """
    try:
        found = [name for _, name in keyboards_here(open_backends(api))]
    except PortError as error:
        raise UserError(f"{error}. Without a MIDI keyboard: {ALONE}") from None
    if len(found) > 1:
        raise UserError(f"there are {len(found)} keyboards: name one, or a part of its name: {_choices(found)}")
    return (
        None if found else f"There is no MIDI keyboard: plug one in, and livebach connects to it. Without one: {ALONE}"
    )


def _choices(names: list[str]) -> str:
    return " or ".join(f'--in "{unnumbered(name)}"' for name in names)
