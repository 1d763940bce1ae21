"""Recorders that keep calls in memory, and the header of a take."""

from __future__ import annotations

from pathlib import Path

from livebach.config import Config, to_dict, with_value
from livebach.live.take_log import Call, Header


class Kept:
    """A recorder that keeps the calls in memory."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def call(self, call: Call) -> None:
        """Keep it."""
        self.calls.append(call)

    def remark(self, text: str, now_s: float) -> None:
        """Forget it."""

    def close(self) -> Path | None:
        """Nothing to close."""
        return None


def header(config: Config | None = None) -> Header:
    """A header with nothing special in it."""
    return Header(
        to_dict(with_value(config or Config(), "sampling.seed", 7)),
        seed=7,
        start_s=1.5,
        checkpoint="default",
        sha256="00",
    )
