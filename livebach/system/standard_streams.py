"""Standard input, output and error: usable however the program was started.

A shell may start a program with a stream closed (`>&-`), on a full disk, or in a locale that cannot encode the names
of files. This module knows nothing of what is written.
"""

from __future__ import annotations

import faulthandler
import os
import stat
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

STREAMS = ("stdin", "stdout", "stderr")
"""By their file descriptors, 0 to 2."""


def prepare() -> str | None:
    """Make the three streams usable, and return why standard output cannot be written to, or None if it can.

    A closed descriptor leads to the null device from here on: the next file that is opened would get its number, and
    with it whatever is printed. Text that a stream cannot encode is shown with replacements instead of raising an
    error, and each line of output is written at once, so that a disk that is full is noticed before the work is done.
    """
    was_closed = sys.stdout is None
    _fill_gaps()
    sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    return "it is closed" if was_closed else problem_of(sys.stdout)


def _fill_gaps() -> None:
    for number, name in enumerate(STREAMS):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


_kept: int | None = None


def quiet_libraries() -> None:
    """Discard what C libraries print on standard error; what Python prints there goes where it went before.

    MIDI and sound libraries print warnings that nobody can act on, in the middle of the piano roll. A crash still
    prints Python's traceback. Where something has replaced `sys.stderr`, as test runners do, nothing changes.
    """
    global _kept  # noqa: PLW0603 - a process has one standard error
    usual = sys.stderr
    if _kept is not None or usual is not sys.__stderr__ or not isinstance(usual, TextIOWrapper):
        return
    usual.flush()
    _kept = os.dup(2)
    kept = os.fdopen(_kept, "w", buffering=1, encoding=usual.encoding, errors=usual.errors, closefd=False)
    sys.stderr = sys.__stderr__ = kept  # type: ignore[misc]
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    faulthandler.enable(kept)


def standard_error() -> int | None:
    """Return the descriptor of standard error for a child process; None if it is the usual one."""
    return _kept


def problem_of(stream: TextIO) -> str | None:
    """Return why a stream cannot be written to, as far as can be told without writing anything."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a stand-in without one
        return None
    try:
        os.write(descriptor, b"")  # a device answers with its error
        return "No space left on device" if _is_on_a_full_disk(descriptor) else None
    except OSError as error:
        return error.strerror


def _is_on_a_full_disk(descriptor: int) -> bool:
    if not hasattr(os, "fstatvfs") or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    disk = os.fstatvfs(descriptor)
    free = disk.f_bfree if os.geteuid() == 0 else disk.f_bavail  # some blocks are kept for the superuser
    return disk.f_blocks > 0 and free == 0


def discard(stream: TextIO) -> None:
    """Have a stream that failed write to nowhere: else the interpreter reports it again as it ends."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
