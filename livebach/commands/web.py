"""`livebach web`: play in the browser, with the computer's keyboard, mouse, touch screen or a MIDI keyboard."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from livebach.commands.flags import add_settings, settings
from livebach.config import Config, with_value
from livebach.live import assembly
from livebach.live.display import Both, Display, TextSink
from livebach.live.playing import play
from livebach.live.signals import Stage
from livebach.system.systemd import open_notifier
from livebach.web.backend import NAME
from livebach.web.page import show_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.usage = "%(prog)s [SETTINGS]"
    parser.description = (
        "Play in the browser, with the computer's keyboard, mouse, touch screen or a MIDI keyboard. Ctrl-C ends. Each"
        " take is saved as a MIDI file. The page is the keyboard without --in, and the synth without --out."
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Play until Ctrl-C or a signal, then end all sounding notes."""
    config = assembly.seeded(_with_page(settings(args)))
    network, stage = assembly.configured_network(config), Stage()
    with (
        stage.heeding_signals(),
        closing(open_notifier()) as notifier,
        closing(show_page(config)) as page,
        closing(Display(Both(TextSink(sys.stdout), page))) as display,
    ):
        play(config, network, stage, display, notifier, page)
    return 0


def _with_page(config: Config) -> Config:
    """Return the settings with the page in place of each port that is not set."""
    for name in ("input", "output"):
        if getattr(config.midi, name) is None:
            config = with_value(config, f"midi.{name}", NAME)
    return config
