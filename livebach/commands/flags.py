"""Command-line flags for settings, and the resulting settings.

`--set` overrides the flags, and the flags override the settings file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from livebach.config import Config, ConfigError, load, override, with_value
from livebach.controls import MODES
from livebach.errors import UserError
from livebach.files import expanded
from livebach.midi.backends import backend_names
from livebach.styles import STYLES

INDEX_HELP = "read only the files that this CSV file lists, with the columns file, work and split"
NETWORK = "engine.checkpoint"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag for one setting. `bare` is the value of the flag without an argument."""

    name: str
    key: str
    metavar: str
    help: str
    bare: str | None = None


FLAGS = {
    flag.name: flag
    for flag in (
        Flag(
            "--in",
            "midi.input",
            "NAME",
            "the keyboard's port, or a part of its name; virtual: create a port (default: the connected keyboard)",
        ),
        Flag(
            "--out",
            "midi.output",
            "NAME",
            "the synth's port, or a part of its name; piano, harpsichord, organ: built-in sound (default: piano)",
        ),
        Flag("--wait", "midi.wait", "on|off", "wait for ports that are not there yet", bare="on"),
        Flag("--api", "midi.api", "API", f"use only this MIDI system: {', '.join(backend_names())}"),
        Flag("--channel", "midi.input_channel", "1..16", "listen only to this channel (default: all channels)"),
        Flag("--out-channel", "midi.output_channel", "1..16", "send livebach's notes on this channel"),
        Flag("--program", "midi.program", "1..128", "set the General MIDI program of livebach's channel"),
        Flag("--thru", "midi.thru", "on|off", "send your notes to the synth too"),
        Flag("--latency-ms", "midi.latency_ms", "MS", "send livebach's notes this much earlier, for a slow synth"),
        Flag("--bpm", "time.bpm", "BPM", "the tempo, in beats a minute"),
        Flag("--metre", "time.metre", "3/4", "the time signature"),
        Flag("--count-in", "time.count_in_bars", "BARS", "click for this many bars before the first one", bare="1"),
        Flag("--click", "time.click", "on|off", "play a metronome", bare="on"),
        Flag("--mode", "turns.mode", "MODE", f"who plays when: {', '.join(MODES)}"),
        Flag("--checkpoint", "engine.checkpoint", "FILE", "play with your own network, from this checkpoint"),
        Flag("--temperature", "sampling.temperature", "T", "lower is more predictable, higher is more surprising"),
        Flag("--min-p", "sampling.min_p", "P", "drop choices less likely than this share of the likeliest choice"),
        Flag("--key", "sampling.key", "KEY", "prefer the pitches of a key, such as 'd minor'; auto: your key"),
        Flag("--seed", "sampling.seed", "N", "the same seed and the same playing give the same notes"),
        Flag("--instrument", "sound.instrument", "NAME", "the built-in instrument: piano, harpsichord or organ"),
        Flag(
            "--temperament",
            "sound.temperament",
            "NAME",
            "the tuning of the instrument: equal, werckmeister3, kirnberger3 or vallotti",
        ),
        Flag("--pitch-hz", "sound.pitch_hz", "HZ", "the pitch of the A above middle C, such as 440 or 415"),
        Flag("--soundfont", "sound.soundfont", "FILE.sf2", "play this soundfont through FluidSynth instead"),
        Flag("--browser", "web.open", "on|off", "open the page in the browser, or only print its address"),
        Flag("--save", "take.save", "on|off", "save the takes"),
        Flag("--folder", "take.folder", "DIR", "save the takes in this folder"),
    )
}
HEADINGS = {
    "midi": "ports and channels",
    "time": "tempo and metre",
    "turns": "music",
    "engine": "music",
    "sampling": "music",
    "sound": "built-in instruments",
    "web": "page and takes",
    "take": "page and takes",
}
"""The heading of each flag in the help, by the section of its setting."""


# --- types of arguments, for argparse --------------------------------------------------------------------------------


def user_path(text: str) -> Path:
    """Return the path that a command line names; `~` and `~user` are home folders."""
    try:
        return expanded(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return an argument type: a whole number within bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number in {low}..{high}, got {text!r}") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {low}..{high}, got {value}")
        return value

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """Return an argument type: a number within bounds. Infinity and not-a-number are refused."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number in {low:g}..{high:g}, got {text!r}") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {low:g}..{high:g}, got {value:g}")
        return value

    return read


def _style(text: str) -> str:
    """Check the name of a style."""
    if text not in STYLES:
        import difflib  # loaded only for a mistake, as 0.4 MB would stay for the session

        near = difflib.get_close_matches(text, STYLES, n=1, cutoff=0.5)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        raise argparse.ArgumentTypeError(f"no style {text!r}{hint}; there are {', '.join(STYLES)}")
    return text


# --- settings --------------------------------------------------------------------------------------------------------


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str] = FLAGS) -> None:
    """Add the named flags, `--config` and `--set` to a command."""
    flags = [FLAGS[name] for name in names]
    headings = dict.fromkeys(HEADINGS[_section(flag)] for flag in flags)
    groups = {heading: parser.add_argument_group(heading) for heading in headings}
    for flag in flags:
        group = groups[HEADINGS[_section(flag)]]
        nargs = {"nargs": "?", "const": flag.bare} if flag.bare else {}
        group.add_argument(flag.name, dest=flag.key, metavar=flag.metavar, help=flag.help, **nargs)  # type: ignore[arg-type]
        if flag.key == NETWORK:
            group.add_argument("--style", type=_style, metavar="NAME", help=f"play like {', '.join(STYLES)}")
    group = parser.add_argument_group("all settings", "docs/settings.md and config.yaml list every KEY.")
    group.add_argument("--config", type=user_path, metavar="FILE", help="read the settings from this file")
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting, such as time.bpm=72"
    )


def _section(flag: Flag) -> str:
    return flag.key.partition(".")[0]


def settings(args: argparse.Namespace) -> Config:
    """Return the settings of a command line; raise ConfigError, which names the flag, if one is invalid."""
    config = load(args.config)
    for flag in FLAGS.values():
        given = getattr(args, flag.key, None)
        if given is not None:
            config = _apply(config, flag, given)
    if style := getattr(args, "style", None):
        if getattr(args, NETWORK) is not None:
            raise ConfigError("--style and --checkpoint both name the network: give one of them")
        config = with_value(config, NETWORK, style)
    for assignment in args.set:
        config = override(config, assignment)
    return config


def is_set(args: argparse.Namespace, key: str) -> bool:
    """Return whether the command line changes a setting, by its flag or by `--set`."""
    return getattr(args, key, None) is not None or any(text.partition("=")[0].strip() == key for text in args.set)


def check_used(args: argparse.Namespace, used: Callable[[str], bool], reason: str) -> None:
    """Refuse a `--set` of a setting that the command would ignore.

    Args:
        args: The parsed command line.
        used: Returns whether the command uses a setting, such as "time.bpm".
        reason: Why the command ignores other settings, for the message.

    Raises:
        UserError: If the command would ignore a setting. The message names the setting.

    """
    for assignment in args.set:
        key = assignment.partition("=")[0].strip()
        if not used(key):
            raise UserError(f"--set {key}: this setting has no effect here: {reason}")


def _apply(config: Config, flag: Flag, given: str) -> Config:
    try:
        return override(config, f"{flag.key}={given}")
    except ConfigError as error:
        raise ConfigError(f"{flag.name}: {error}") from None
