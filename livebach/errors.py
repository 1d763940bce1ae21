"""Errors that the user can correct. The message is one line: what is wrong, where, and what is allowed."""

from __future__ import annotations


class UserError(ValueError):
    """An invalid request by the user. The command line prints the message as it is and exits with status 2."""
