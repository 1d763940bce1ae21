"""Start helper processes, which run all the time and so should be small.

They run without Python's `site` module, which takes 1.5 MB in each of them; they are given this process's import path.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from livebach.system import standard_streams


def set_nonblocking(pipe: int) -> None:
    """Have writes to a pipe never wait: what does not fit is an OSError. Windows can do that from Python 3.12 on."""
    if hasattr(os, "set_blocking"):
        os.set_blocking(pipe, False)


def start(module: str, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
    """Run a module of this package as a process.

    Args:
        module: The full name of the module.
        arguments: Its command line.
        options: Those of `subprocess.Popen`.

    Raises:
        OSError: The process cannot be started.
    """
    paths = dict.fromkeys([*filter(None, sys.path), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    options.setdefault("stderr", standard_streams.standard_error())
    # -P: do not import from the current folder
    return subprocess.Popen([sys.executable, "-S", "-P", "-m", module, *arguments], env=environment, **options)
