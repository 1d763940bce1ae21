"""Ask the operating system to wake the calling thread on time: priority, locked memory, timers, the allocator."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

_LOCK_CURRENT, _LOCK_FUTURE, _LOCK_ON_FAULT = 1, 2, 4
_CAP_IPC_LOCK = 14
_PR_SET_TIMERSLACK = 29

_HELPERS_PRIORITY = 5
_PRIORITY = 20  # above everything ordinary, below JACK's and the sound card's own threads
_SWITCH_S = 0.0005  # how long a computing thread may keep Python's lock from a thread that passes a note on


@dataclass(frozen=True, slots=True)
class Permissions:
    """The grants of the operating system; None where it cannot be asked. `str` gives a sentence for people."""

    real_time: bool | None = None
    """Real-time priority."""
    locked_memory: bool | None = None

    @property
    def refused(self) -> bool:
        """Whether the system has refused something."""
        return self.real_time is False or self.locked_memory is False

    def __str__(self) -> str:
        """Return the sentence."""
        if self.real_time is None and self.locked_memory is None:
            return "Real-time priority and locked memory are not asked for on this system."
        named = {"real-time priority": self.real_time, "locked memory": self.locked_memory}
        given = [name for name, granted in named.items() if granted]
        refused = [name for name, granted in named.items() if granted is False]
        if not refused:
            return f"The system grants {' and '.join(given)}."
        if not given:
            return f"The system grants neither {' nor '.join(refused)}: notes may be late when it is busy."
        return f"The system grants {given[0]}, but not {refused[0]}."


def make_prompt() -> bool:
    """Have the calling thread wake on time, and before others if that is permitted; return whether it was."""
    if not sys.platform.startswith("linux"):
        return False
    _fine_timers()
    return _real_time()


def make_timely() -> Permissions:
    """Ask the system for all it permits, for the calling thread and this process; return what it granted."""
    sys.setswitchinterval(_SWITCH_S)
    if not sys.platform.startswith("linux"):
        return Permissions()
    return Permissions(make_prompt(), _lock_memory())


def lift_helpers() -> None:
    """Give the other threads of this process real-time priority too, below the caller's, if the caller has it.

    These threads do little, but they hold Python's lock while they do it: if a busy program preempted one of them at
    that moment, the caller would have to wait. Threads that start later keep ordinary priority.
    """
    if not sys.platform.startswith("linux") or _policy(0) != os.SCHED_FIFO:
        return
    with suppress(OSError):  # /proc is not mounted
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # it has ended
                if _policy(int(task.name)) == os.SCHED_OTHER:
                    _set_real_time(int(task.name), _HELPERS_PRIORITY)


def _real_time() -> bool:
    """Ask for SCHED_FIFO for this thread alone: child processes and new threads keep ordinary priority."""
    try:
        _set_real_time(0, _PRIORITY)
    except OSError:
        return False
    return True


def _set_real_time(thread: int, priority: int) -> None:
    os.sched_setscheduler(thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))


def _policy(thread: int) -> int:
    return os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK


def _lock_memory() -> bool:
    """Lock all memory that is used, unless there is a limit: at the limit, allocation itself would fail."""
    if not _may_lock_all():
        return False
    lock_all = c_function("mlockall")
    return lock_all is not None and int(lock_all(_LOCK_CURRENT | _LOCK_FUTURE | _LOCK_ON_FAULT)) == 0


def _may_lock_all() -> bool:
    import resource

    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # /proc is not mounted
        return False
    capabilities = next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), 0)
    return bool(capabilities >> _CAP_IPC_LOCK & 1)


def _fine_timers() -> None:
    """Let sleeps end on time instead of up to 50 µs late (timer slack)."""
    set_option = c_function("prctl")
    if set_option is not None:
        set_option(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)


def c_function(name: str) -> Callable[..., Any] | None:
    """Return a function of the C library that this process runs on; None where there is none of that name.

    Windows has no such library (TypeError), macOS and musl lack some functions.
    """
    try:
        return cast("Callable[..., Any]", getattr(ctypes.CDLL(None), name))
    except (TypeError, OSError, AttributeError):
        return None


RESERVE = 3 << 19
"""Bytes reserved for small Python objects; a quarter of it for larger blocks. An hour of playing takes 1.1 MB."""
_ARENA = 1 << 20  # the unit in which Python asks the system for memory; returned when nothing in it is used
_SMALL = 512  # the largest block that comes from an arena
_BLOCK = 64 << 10
_M_TRIM_THRESHOLD = -1
_pins: list[bytes] = []


def freeze() -> None:
    """Collect garbage, reserve memory, and exempt all present objects from garbage collection."""
    gc.collect()
    _keep_what_is_freed()
    _reserve()
    gc.freeze()


def _reserve() -> None:
    """Allocate and free the reserve; one object that stays in each arena keeps the arena."""
    blocks = [b"\1" * _BLOCK for _ in range(RESERVE // 4 // _BLOCK)]
    small = [b"\1" * (_SMALL - sys.getsizeof(b"")) for _ in range(RESERVE // _SMALL)]
    if not _pins:
        _pins.extend(small[:: _ARENA // _SMALL])
    del blocks, small


def _keep_what_is_freed() -> None:
    """Have glibc keep freed memory too; arrays of 128 KB and more stay mappings, which are returned to the system."""
    set_option = c_function("mallopt")
    if set_option is not None:
        set_option(_M_TRIM_THRESHOLD, 2 * RESERVE)
