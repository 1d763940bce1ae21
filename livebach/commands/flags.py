"""Command-line flags that stand for settings, and the settings that result: file, then flags, then `--set`."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from livebach.config import Config, ConfigError, load, override, with_value
from livebach.errors import UserError
from livebach.files import expanded
from livebach.midi.backends import backend_names
from livebach.styles import STYLES

INDEX_HELP = "a CSV file with the columns file, work and split: read only the files that it lists"


NETWORK = "engine.checkpoint"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag for one setting. `bare` is the value of a flag that is given without one."""

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
            "the keyboard's port or a part of its name; virtual: a port of its own (default: the one there)",
        ),
        Flag("--out", "midi.output", "NAME", "the synth's port, likewise; piano, harpsichord, organ: built in (piano)"),
        Flag("--wait", "midi.wait", "on|off", "wait for ports that are not there yet", bare="on"),
        Flag(
            "--api",
            "midi.api",
            "API",
            f"look only in {', '.join(backend_names())}",
        ),
        Flag("--channel", "midi.input_channel", "1..16", "the keyboard's channel (all)"),
        Flag("--out-channel", "midi.output_channel", "1..16", "the channel of livebach's notes"),
        Flag("--program", "midi.program", "1..128", "the program of livebach's channel, numbered as in General MIDI"),
        Flag("--thru", "midi.thru", "on|off", "whether your notes go to the synth too"),
        Flag(
            "--latency-ms",
            "midi.latency_ms",
            "MS",
            "send livebach's notes earlier by this time, for a synth that sounds late",
        ),
        Flag("--bpm", "time.bpm", "BPM", "beats a minute"),
        Flag("--metre", "time.metre", "3/4", "time signature"),
        Flag("--count-in", "time.count_in_bars", "BARS", "bars of clicks before the first downbeat", bare="1"),
        Flag("--click", "time.click", "on|off", "a metronome while you play", bare="on"),
        Flag("--mode", "turns.mode", "MODE", "who plays when"),
        Flag("--checkpoint", "engine.checkpoint", "FILE", "the network: a checkpoint of your own"),
        Flag("--temperature", "sampling.temperature", "T", "lower is more predictable, higher is wilder"),
        Flag("--min-p", "sampling.min_p", "P", "drop choices below this share of the likeliest one's probability"),
        Flag(
            "--key",
            "sampling.key",
            "KEY",
            "such as 'd minor': makes other pitches rarer; auto: the key that you play in",
        ),
        Flag("--seed", "sampling.seed", "N", "the same seed and the same playing give the same notes"),
        Flag("--instrument", "sound.instrument", "NAME", "the built-in sound: piano, harpsichord or organ"),
        Flag("--temperament", "sound.temperament", "NAME", "its tuning: equal, werckmeister3, kirnberger3 or vallotti"),
        Flag("--pitch-hz", "sound.pitch_hz", "HZ", "its A above middle C: 440, 415, …"),
        Flag("--soundfont", "sound.soundfont", "FILE.sf2", "FluidSynth plays, with these sounds"),
        Flag("--browser", "web.open", "on|off", "whether a page opens the browser, or only prints its address"),
        Flag("--save", "take.save", "on|off", "whether takes are saved"),
        Flag("--folder", "take.folder", "DIR", "the folder of the takes"),
    )
}


# --- types of arguments, for argparse --------------------------------------------------------------------------------


def user_path(text: str) -> Path:
    """Read a file's or folder's name; `~` and `~user` are home folders."""
    try:
        return expanded(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return the type of a whole number within bounds."""

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
    """Return the type of a number within bounds; infinity and not-a-number are in none."""

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
    """Read the name of a style."""
    if text not in STYLES:
        near = difflib.get_close_matches(text, STYLES, n=1, cutoff=0.5)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        raise argparse.ArgumentTypeError(f"no style {text!r}{hint}; there are {', '.join(STYLES)}")
    return text


# --- settings --------------------------------------------------------------------------------------------------------


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str] = FLAGS) -> None:
    """Add the named flags, `--config` and `--set` to a command."""
    group = parser.add_argument_group("settings", "config.yaml describes all of them, with their defaults")
    for flag in (FLAGS[name] for name in names):
        nargs = {"nargs": "?", "const": flag.bare} if flag.bare else {}
        group.add_argument(flag.name, dest=flag.key, metavar=flag.metavar, help=flag.help, **nargs)  # type: ignore[arg-type]
        if flag.key == NETWORK:
            group.add_argument("--style", type=_style, metavar="NAME", help=f"whose music: {', '.join(STYLES)}")
    group.add_argument("--config", type=user_path, metavar="FILE", help="read the settings from this file")
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change any setting: --set time.bpm=72"
    )


def settings(args: argparse.Namespace) -> Config:
    """The settings that a command line asks for; ConfigError names the flag."""
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
    """Return whether the command line itself sets a setting, by its flag or by `--set`."""
    return getattr(args, key, None) is not None or any(text.partition("=")[0].strip() == key for text in args.set)


def check_used(args: argparse.Namespace, used: Callable[[str], bool], reason: str) -> None:
    """Refuse a `--set` of a setting that the command would ignore.

    Args:
        args: The parsed command line.
        used: Tells of a setting, such as «time.bpm», whether the command uses it.
        reason: Why the others are ignored, for the message.

    Raises:
        UserError: If a setting would be ignored; names the setting.

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
