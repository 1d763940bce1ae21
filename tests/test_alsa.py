"""Runs `alsa_inside.py` on ALSA's sequencer: this machine's, or that of a small virtual machine (tests/alsa-vm)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSIDE = HERE / "alsa_inside.py"
NEEDED = ("apt-get", "bash", "flock")
LIMIT_S = 420

pytestmark = [pytest.mark.alsa, pytest.mark.timeout(LIMIT_S + 60)]


def _missing() -> str:
    if sys.platform != "linux":
        return "ALSA is Linux's"
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if lacking:
        return f"tests/alsa-vm needs {', '.join(lacking)}"
    if os.geteuid() != 0 and shutil.which("qemu-system-x86_64") is None:
        return "tests/alsa-vm needs QEMU, and root to install it (apt install qemu-system-x86 busybox-static kmod cpio)"
    return ""


def test_on_a_real_sequencer(tmp_path: Path) -> None:
    """Ports and names, unplugging, a raw device, virtual ports and the main job, each a test of its own in there."""
    if os.environ.get("LIVEBACH_REQUIRE_ALSA") != "1":
        pytest.skip("runs a virtual machine for minutes: LIVEBACH_REQUIRE_ALSA=1 asks for it")
    lack = _missing()
    assert not lack, f"LIVEBACH_REQUIRE_ALSA=1, but {lack}"
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "timeout=200", str(INSIDE)]
    done = subprocess.run(
        [str(HERE / "alsa-vm"), "-t", str(LIMIT_S), "--", *tests],
        cwd=HERE.parent,
        env={**os.environ, "ALSA_VM_OUT": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout
    assert int(passed.group(1)) == len(re.findall(r"^def test_", INSIDE.read_text(), re.MULTILINE))
