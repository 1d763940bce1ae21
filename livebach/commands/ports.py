"""`livebach ports`: list the MIDI ports."""

from __future__ import annotations

import argparse

from livebach.commands.flags import add_settings, settings
from livebach.midi.port_list import listing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_settings(parser, ["--api"])


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    print(listing(settings(args).midi.api))
    return 0
