"""`livebach styles`: list the networks that come with livebach, one for each composer."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from livebach.files import data_path
from livebach.styles import DEFAULT, STYLES, Style


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("--json", action="store_true", help="the table, for programs")


def run(args: argparse.Namespace) -> int:
    """Print the table; return 0."""
    styles = [style for style in STYLES.values() if data_path(style.checkpoint).exists()]
    if args.json:
        sys.stdout.write(json.dumps([asdict(style) for style in styles], indent=1, ensure_ascii=False) + "\n")
        return 0
    for style in styles:
        sys.stdout.write(_line(style) + "\n")
    sys.stdout.write(
        "\nPlay one: livebach --style NAME …; hear one: livebach demo --style NAME; change while playing: s and S,\n"
        "or a controller, key or program (control.style). The scores and their licences: checkpoints/README.md.\n"
    )
    return 0


def _line(style: Style) -> str:
    default = " (default)" if style.name == DEFAULT else ""
    return f"{style.name:10} {style.composer:22} trained on {style.about}; weights {style.licence}{default}"
