"""`livebach styles`: list the packaged networks, one for each composer."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from livebach.files import data_path
from livebach.styles import DEFAULT, STYLES, Style


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own arguments."""
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the table; return 0."""
    styles = [style for style in STYLES.values() if data_path(style.checkpoint).exists()]
    if args.json:
        sys.stdout.write(json.dumps([asdict(style) for style in styles], indent=1, ensure_ascii=False) + "\n")
        return 0
    for style in styles:
        sys.stdout.write(_line(style) + "\n")
    sys.stdout.write(
        "\nPlay a style with livebach --style NAME, or listen to it with livebach demo --style NAME. While playing,\n"
        "press s or S, or bind a control (livebach learn style). checkpoints/README.md lists the scores and licences.\n"
    )
    return 0


def _line(style: Style) -> str:
    default = " (default)" if style.name == DEFAULT else ""
    return f"{style.name:10} {style.composer:22} trained on {style.about}; weights {style.licence}{default}"
