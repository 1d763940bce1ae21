"""Starts the player's helpers: processes that are there all the time, and so should be small.

They run without Python's `site`, which takes a MB and a half of each: what this process can import they are told.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def set_nonblocking(pipe: int) -> None:
    """Have writes to a pipe never wait: what does not fit is an OSError. Windows can do that from Python 3.12 on."""
    if hasattr(os, "set_blocking"):
        os.set_blocking(pipe, False)


def start(module: str, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
    """Run a module of this package as a process; the options are those of `subprocess.Popen`. Raises OSError."""
    paths = dict.fromkeys([*filter(None, sys.path), str(Path(__file__).parent.parent)])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # -P: nothing of the folder that it happens to be started in
    return subprocess.Popen([sys.executable, "-S", "-P", "-m", module, *arguments], env=environment, **options)
