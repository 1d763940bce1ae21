"""Runs the tests in tests/alsa under a real ALSA sequencer, in a small virtual machine."""

from __future__ import annotations

import sys

import pytest

from tests.support.alsa_suite import LIMIT_S, AlsaSuite, is_required


@pytest.mark.alsa
@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 300)  # the first use of the virtual machine fetches it
def test_alsa(alsa_suite: AlsaSuite) -> None:
    """Ports on ALSA: names that change, virtual ports, hot-plug, raw bytes, a killed player."""
    if not is_required():
        pytest.skip(
            "LIVEBACH_REQUIRE_ALSA=1 runs it: a few minutes in tests/alsa-vm, which installs QEMU on its first use"
        )
    if not sys.platform.startswith("linux"):
        pytest.fail("LIVEBACH_REQUIRE_ALSA=1, but ALSA is of Linux")
    status, said = alsa_suite.result()
    print(said[-6000:])
    assert status == 0, said[-4000:]
