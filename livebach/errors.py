"""Errors that are the user's to mend: one line says what, where, and what is allowed."""

from __future__ import annotations


class UserError(ValueError):
    """Something that was asked for cannot be; the message is one line, shown as it is. The exit status is 2."""
