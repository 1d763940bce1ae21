"""The command line: a table of commands. The module of a command is imported only when the command is run.

A command module has `add_arguments(parser)`, `run(args) -> int` and, where it can fail on the user's part with other
than a `UserError`, `ERRORS`, the tuple of those exceptions. Exit status: 0 done, 1 it ran and failed, 2 it was asked
for something that cannot be and nothing was started, 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import NoReturn, Protocol

from livebach.errors import UserError
from livebach.system import standard_streams
from livebach.version import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "play": ("livebach.commands.play", "play a MIDI keyboard, and Bach goes on (also without the word play)"),
    "web": (
        "livebach.commands.web",
        "play in the browser: with the computer's keyboard, mouse, touch or MIDI keyboard",
    ),
    "demo": ("livebach.commands.demo", "hear it without a keyboard: a phrase of Bach is played in, and it goes on"),
    "styles": ("livebach.commands.styles", "list the styles: whose music it can play"),
    "ports": ("livebach.commands.ports", "list the MIDI ports"),
    "panic": ("livebach.commands.panic", "silence a synth"),
    "learn": ("livebach.commands.learn", "bind a controller, key or program to what you do while playing"),
    "replay": ("livebach.commands.replay", "play a saved take again, note for note"),
    "plot": ("livebach.commands.plot", "draw a saved take"),
    "generate": ("livebach.commands.generate", "write music to a MIDI file, offline"),
    "doctor": ("livebach.commands.doctor", "measure this machine and its ports, and say what to change"),
    "bench": ("livebach.commands.bench", "time the network"),
    "train": ("livebach.commands.train", "train a network on a folder of MIDI files"),
    "evaluate": ("livebach.commands.evaluate", "measure a network on a folder of MIDI files"),
    "frames": ("livebach.commands.frames", "write a MIDI file's frames"),
    "corpus": ("livebach.commands.corpus", "prepare training sets"),
}

TORCH = ("train",)
"""Commands that use torch, which may need several threads."""


RENAMED_FLAGS = {("train", "--from"): "--init-from", ("frames", "--steps"): "--steps-per-quarter"}
"""Former names of flags, by command, and today's names."""


class Command(Protocol):
    """The module of a command."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments of the command."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the command, and return the exit status."""


class _Parser(argparse.ArgumentParser):
    """Reports an error as one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"^argument (\S+): must ", r"\1 must ", message)  # a range, as the settings state it
        raise UserError(f"{message} ({self.prog} --help says more)")


def _present() -> dict[str, tuple[str, str]]:
    return {name: entry for name, entry in COMMANDS.items() if find_spec(entry[0]) is not None}


USAGE = """\
usage: livebach                            play the MIDI keyboard that is there, on a built-in piano
       livebach --in "USB Keyboard" --out "FluidSynth" [settings]
       livebach COMMAND …
"""


def _help() -> str:
    lines = [f"  {name:10} {text}" for name, (_, text) in _present().items()]
    return "\n".join([USAGE, *lines, "", "livebach COMMAND --help says more."])


def _split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command and its own arguments; without a command it is `play`."""
    if not argv or argv[0].startswith("-"):
        return "play", list(argv)
    if argv[0] not in (present := _present()):
        near = difflib.get_close_matches(argv[0], present, n=1, cutoff=0.4)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        raise UserError(f"no command {argv[0]!r}{hint}; there are {', '.join(present)}")
    return argv[0], list(argv[1:])


def _one_thread() -> None:
    """Keep numpy's products on one thread, unless the environment says otherwise: they are too small to share.

    It is read when numpy is loaded, and no module up to here loads it.
    """
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")


def _run(name: str, argv: list[str]) -> int:
    if name not in TORCH:
        _one_thread()
    module = import_module(COMMANDS[name][0])
    command: Command = module
    parser = _Parser(prog=f"livebach {name}", description=COMMANDS[name][1], allow_abbrev=False)
    command.add_arguments(parser)
    for flag in (word.partition("=")[0] for word in argv):
        if (name, flag) in RENAMED_FLAGS:
            return _complain(f"livebach {name}", UserError(f"{flag} is now called {RENAMED_FLAGS[name, flag]}"))
    expected: tuple[type[Exception], ...] = (UserError, *getattr(module, "ERRORS", ()))
    try:
        return command.run(parser.parse_args(argv))
    except expected as error:
        return _complain(f"livebach {name}", error)


def _complain(command: str, error: object) -> int:
    with suppress(OSError):  # if standard error is full too, the exit status says it
        print(f"{command}: {error}", file=sys.stderr)
    return 2


def _text_of(error: OSError) -> str:
    """Return an operating system's error as a line, with the file or stream that it is about."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {reason}"
    if standard_streams.problem_of(sys.stdout) is not None:
        return f"standard output cannot be written to: {reason}"
    return reason


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, and return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    problem = standard_streams.prepare()
    if problem is not None:
        standard_streams.discard(sys.stdout)
        return _complain("livebach", f"standard output cannot be written to: {problem}")
    try:
        status = _main(argv)
    except UserError as error:
        status = _complain("livebach", error)
    except SystemExit as ended:  # argparse has shown the help
        raise SystemExit(_flushed(int(ended.code or 0))) from None
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        standard_streams.discard(sys.stdout)
        return 1
    except OSError as error:
        status = _complain("livebach", _text_of(error))
    return _flushed(status)


def _flushed(status: int) -> int:
    """Write the rest of the output, and return the exit status; 2 if that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        standard_streams.discard(sys.stdout)
        return status or 1
    except OSError as error:
        standard_streams.discard(sys.stdout)
        return status or _complain("livebach", f"standard output cannot be written to: {error.strerror}")
    return status


def _main(argv: Sequence[str]) -> int:
    if argv and argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if argv and argv[0] in ("-V", "--version"):
        print(f"livebach {__version__}")
        return 0
    return _run(*_split(argv))
