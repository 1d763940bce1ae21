"""`livebach ports`: list the MIDI ports, and the ports that livebach itself has."""

from __future__ import annotations

import argparse

from livebach.commands.flags import add_settings, settings
from livebach.midi.port_list import listing, part
from livebach.sound.names import INSTRUMENT_NAMES
from livebach.web.backend import NAME as BROWSER

ALWAYS_THERE = "\n".join(
    [
        "built in: instruments on this machine's sound device",
        *part("outputs (--out)", INSTRUMENT_NAMES),
        f"{BROWSER}: the page that livebach web opens",
        *part("inputs (--in)", [BROWSER]),
        *part("outputs (--out)", [BROWSER]),
    ]
)
"""The ports that need no MIDI system."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_settings(parser, ["--api"])


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    print(listing(settings(args).midi.api), ALWAYS_THERE, sep="\n")
    return 0
