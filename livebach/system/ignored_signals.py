"""Ignore signals in a helper process, without Python's module `signal`.

That module wraps the interpreter's own `_signal` in enumerations, which takes 0.8 MB in a process that runs all the
time. This module imports nothing large.
"""

from __future__ import annotations

from importlib import import_module


def ignore_signals(*names: str) -> None:
    """Ignore the signals of these names, as far as the system has them."""
    try:
        signals = import_module("_signal")
    except ImportError:  # another Python than CPython
        signals = import_module("signal")
    for name in names:
        if hasattr(signals, name):
            signals.signal(getattr(signals, name), signals.SIG_IGN)
