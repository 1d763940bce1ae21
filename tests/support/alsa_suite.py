"""The tests in tests/alsa, in their virtual machine: a process beside the tests that need no clock."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1]
LIMIT_S = 900
"""For the tests alone. The first use of the virtual machine fetches it, which takes some minutes more."""
OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--durations=12")


def is_required() -> bool:
    """Return whether these tests are asked for."""
    return os.environ.get("LIVEBACH_REQUIRE_ALSA") == "1"


class AlsaSuite:
    """A run of the tests."""

    def __init__(self) -> None:
        command = [str(TESTS / "alsa-vm"), "-t", str(LIMIT_S), "--"]
        command += [sys.executable, "-m", "pytest", *OPTIONS, str(TESTS / "alsa")]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the run
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said, cwd=TESTS.parent, process_group=0
        )

    def result(self) -> tuple[int, str]:
        """Wait until it has ended; return its exit status, and what it printed."""
        status = self._process.wait()
        self._said.seek(0)
        return status, self._said.read().decode(errors="replace")

    def close(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, 15)
            self._process.wait()
        self._said.close()
