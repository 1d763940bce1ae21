"""Runs the tests in tests/alsa under a real ALSA sequencer, in a small virtual machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LIMIT_S = 900


@pytest.mark.alsa
@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 300)  # the first use of the virtual machine fetches it
def test_alsa() -> None:
    """Ports on ALSA: names that change, virtual ports, hot-plug, raw bytes, a killed player."""
    if os.environ.get("LIVEBACH_REQUIRE_ALSA") != "1":
        pytest.skip(
            "LIVEBACH_REQUIRE_ALSA=1 runs it: a few minutes in tests/alsa-vm, which installs QEMU on its first use"
        )
    if not sys.platform.startswith("linux"):
        pytest.fail("LIVEBACH_REQUIRE_ALSA=1, but ALSA is of Linux")
    arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
        "-x",
        "--durations=12",
        str(HERE / "alsa"),
    ]
    command = [str(HERE / "alsa-vm"), "-t", str(LIMIT_S), "--", sys.executable, "-m", "pytest", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
    print(done.stdout[-6000:], done.stderr[-2000:])
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
