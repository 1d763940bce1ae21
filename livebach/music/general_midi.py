"""The programs of General MIDI that are like one of livebach's instruments."""

from __future__ import annotations

PROGRAMS = {"piano": range(6), "harpsichord": range(6, 8), "organ": range(16, 24)}
"""The programs, 0..127, by instrument."""


def instrument_of(program: int) -> str | None:
    """Return the name of the instrument of a program in 0..127; None where no instrument is like it."""
    return next((name for name, programs in PROGRAMS.items() if program in programs), None)
