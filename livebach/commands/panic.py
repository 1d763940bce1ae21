"""`livebach panic`: silence a synth."""

from __future__ import annotations

import argparse
import sys

from livebach.commands.flags import add_settings, settings
from livebach.errors import UserError
from livebach.midi import ports


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_settings(parser, ["--out", "--api"])


def run(args: argparse.Namespace) -> int:
    """Silence the synth."""
    midi = settings(args).midi
    if midi.output is None:
        raise UserError("name the synth's port: --out NAME (livebach ports lists them)")
    sys.stdout.write(f"{ports.panic(midi.output, midi.api)}: silent\n")
    return 0
