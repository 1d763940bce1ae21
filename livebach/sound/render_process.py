"""The process that renders what a bank lacks: the keys that are asked for on its standard input first, then the others.

The process ends when the bank is complete, and also when its standard input ends: then nobody waits for it any more.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from pathlib import Path

from livebach.sound.bank import MIDDLE_KEYS, Bank, Tuning
from livebach.sound.tone import KEYS

_NICENESS = 5


def main(name: str, temperament: str, a4_hz: str, folder: str, *first: str) -> int:
    """Render one bank, the keys `first` before all others."""
    wanted = deque(map(int, first))
    threading.Thread(target=_listen, args=(wanted,), daemon=True).start()
    bank = Bank(name, Tuning(temperament, float(a4_hz)), Path(folder))
    nice = 0
    middle = sum(MIDDLE_KEYS) / len(MIDDLE_KEYS)
    for key in sorted(bank.missing(), key=lambda key: abs(key - middle)):
        _render_wanted(bank, wanted)
        if key not in MIDDLE_KEYS and not nice and hasattr(os, "nice"):  # from here on nobody waits
            nice = os.nice(_NICENESS)
        bank.obtain(key)
    _render_wanted(bank, wanted)
    return 0


def _render_wanted(bank: Bank, wanted: deque[int]) -> None:
    while wanted:
        bank.obtain(wanted.popleft())


def _listen(wanted: deque[int]) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(sys.stdin.fileno(), 256):
            wanted.extend(key for key in data if key in KEYS)
    os._exit(0)  # a record is written last: what is unfinished does not count


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
