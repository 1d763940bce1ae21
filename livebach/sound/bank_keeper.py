"""The banks that a process plays from: opened and checked when they are needed, rendered by a process beside."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from livebach.sound.bank import Bank, Tuning, obtainable
from livebach.sound.tone import KEYS
from livebach.system.subprocesses import start

_MOST_BYTES = 8 << 20  # of samples that are kept in memory
_ROUNDS = 15  # a note sounds no longer than so many seconds


class BankKeeper:
    """Opens banks, has their missing keys rendered, and closes banks that were not played recently."""

    def __init__(self, tuning: Tuning, folder: Path | None = None) -> None:
        self._tuning = tuning
        self._folder = folder
        self._banks: dict[str, Bank] = {}
        self._renderers: dict[str, subprocess.Popen[bytes]] = {}
        self._in_memory: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._rested: dict[tuple[str, int], int] = {}  # how often each is to be let go again

    def bank(self, name: str) -> Bank | None:
        """Return an instrument's bank; None where it is not open. Never waits."""
        return self._banks.get(name)

    def open(self, name: str) -> Bank:
        """Open an instrument's bank, and have rendered what it lacks. Raises OSError where there is no place for it."""
        if name not in self._banks:
            self._banks[name] = obtainable(name, self._tuning, self._folder)
            if self._banks[name].missing():
                self._render(name)
        return self._banks[name]

    def prepare(self, name: str, key: int) -> None:
        """Have a key in memory, checked, before it is played; a missing or damaged one is rendered before others."""
        if key not in KEYS:
            return
        bank = self.open(name)
        if bank.key(key) is None:
            self._render(name, key)
        self._in_memory[name, key] = bank.size(key)
        self._in_memory.move_to_end((name, key))
        self._rested.pop((name, key), None)
        while sum(self._in_memory.values()) > _MOST_BYTES and len(self._in_memory) > 1:
            (old_name, old_key), _ = self._in_memory.popitem(last=False)
            self._banks[old_name].rest(old_key)
            self._rested[old_name, old_key] = _ROUNDS

    def tidy(self) -> None:
        """Let go again of keys that still sounded when they were let go. Call it once a second."""
        for (name, key), left in list(self._rested.items()):
            self._banks[name].rest(key)
            if left > 1:
                self._rested[name, key] = left - 1
            else:
                del self._rested[name, key]

    def waits_for(self, name: str, keys: Iterable[int]) -> bool:
        """Return whether some of these keys are still being rendered."""
        process = self._renderers.get(name)
        return bool(self.open(name).missing(keys)) and process is not None and process.poll() is None

    def close(self) -> None:
        """Let go of everything; a bank that is not finished is finished the next time."""
        for process in self._renderers.values():
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.terminate()
            process.wait()
        for bank in self._banks.values():
            bank.close()

    def _render(self, name: str, *keys: int) -> None:
        """Have an instrument's missing keys rendered, these first."""
        process = self._renderers.get(name)
        if process is not None and process.poll() is None:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                os.write(process.stdin.fileno(), bytes(keys))
            return
        if process is not None and process.stdin is not None:
            process.stdin.close()
        what = name, self._tuning.temperament, repr(self._tuning.a4_hz), str(self.open(name).path.parent)
        self._renderers[name] = start(
            "livebach.sound.render_process", *what, *map(str, keys), stdin=subprocess.PIPE, start_new_session=True
        )
