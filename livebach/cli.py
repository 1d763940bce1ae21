"""The command line: a table of commands. The module of a command is imported only when the command runs.

A command module defines `add_arguments(parser)` and `run(args) -> int`. A module whose user errors include other
exceptions than `UserError` lists them in the tuple `ERRORS`. Exit status: 0 success; 1 the command ran and failed; 2
the request is invalid and nothing was started; 130 interrupted.
"""

from __future__ import annotations

import argparse
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
    "play": ("livebach.commands.play", "play a MIDI keyboard; livebach continues your music (the default command)"),
    "web": ("livebach.commands.web", "play in the browser, with the computer's keyboard, mouse, touch screen or MIDI"),
    "demo": ("livebach.commands.demo", "listen to livebach continuing a phrase; needs no keyboard"),
    "styles": ("livebach.commands.styles", "list the composers that livebach can play like"),
    "ports": ("livebach.commands.ports", "list the MIDI ports"),
    "learn": (
        "livebach.commands.learn",
        "bind a controller, key or program to a control, such as tempo or mode",
    ),
    "doctor": ("livebach.commands.doctor", "measure this machine and its ports, and advise what to change"),
    "panic": ("livebach.commands.panic", "silence a synth"),
    "replay": ("livebach.commands.replay", "replay a saved take and compare it note for note"),
    "plot": ("livebach.commands.plot", "draw a saved take as a picture"),
    "generate": ("livebach.commands.generate", "write music to a MIDI file, offline"),
    "frames": ("livebach.commands.frames", "convert a MIDI file to the frames that the network reads"),
    "train": ("livebach.commands.train", "train a network on a folder of MIDI files"),
    "evaluate": ("livebach.commands.evaluate", "measure a network on a folder of MIDI files"),
    "corpus": ("livebach.commands.corpus", "prepare training data"),
    "bench": ("livebach.commands.bench", "measure the speed of the network"),
}
HEADINGS = {
    "play": "Play",
    "ports": "Set up",
    "replay": "Work with takes and files",
    "train": "Train and measure networks",
}
"""The headings of the help, each by the command that it stands before."""

TORCH = ("train",)
"""Commands that use torch, which may need several threads."""
MIDI = ("play", "web", "ports", "learn", "doctor", "panic")
"""Commands that use MIDI libraries, which print warnings."""

RENAMED_FLAGS = {("train", "--from"): "--init-from", ("frames", "--steps"): "--steps-per-quarter"}
"""Former names of flags, by command, and today's names."""


class Command(Protocol):
    """The module of a command."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments of the command."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the command, and return the exit status."""


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error as one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"^argument (\S+): must ", r"\1 must ", message)  # as the settings report a range
        raise UserError(f"{message} ({self.prog} --help describes the arguments)")


def _present() -> dict[str, tuple[str, str]]:
    return {name: entry for name, entry in COMMANDS.items() if find_spec(entry[0]) is not None}


USAGE = """\
usage: livebach [SETTINGS]
       livebach COMMAND ...

You play a keyboard. When you pause, a neural network trained on Bach continues your music.

Start here
  livebach demo                    listen first: no keyboard needed
  livebach web                     play in the browser
  livebach                         play the connected MIDI keyboard on the built-in piano
  livebach --in "USB Keyboard" --out "FluidSynth"
                                   choose the ports; "livebach ports" lists them
"""


def _help() -> str:
    lines = [USAGE.rstrip()]
    for name, (_, text) in _present().items():
        if name in HEADINGS:
            lines += ["", HEADINGS[name]]
        lines.append(f"  {name:10} {text}")
    closing = '"livebach COMMAND --help" describes a command; "livebach play --help" lists the settings for playing.'
    return "\n".join([*lines, "", closing])


def _split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command and its arguments. The default command is `play`."""
    if not argv or argv[0].startswith("-"):
        return "play", list(argv)
    if argv[0] not in (present := _present()):
        import difflib  # loaded only for a mistake, as 0.4 MB would stay for the session

        near = difflib.get_close_matches(argv[0], present, n=1, cutoff=0.4)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        raise UserError(f"unknown command {argv[0]!r}{hint}; the commands are {', '.join(present)}")
    return argv[0], list(argv[1:])


def _one_thread() -> None:
    """Limit numpy to one thread, unless the environment sets a number: the products are too small to share.

    numpy reads these variables when it is imported. No module imported so far imports numpy.
    """
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")


def _run(name: str, argv: list[str]) -> int:
    if name not in TORCH:
        _one_thread()
    if name in MIDI:
        standard_streams.quiet_libraries()
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
    with suppress(OSError):  # if standard error is full too, the exit status reports the error
        print(f"{command}: {error}", file=sys.stderr)
    return 2


def _text_of(error: OSError) -> str:
    """Return an operating system's error as one line that names the file or the stream."""
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
    except SystemExit as ended:  # argparse has printed the help
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
    """Flush standard output, and return the exit status; 2 if flushing fails."""
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
