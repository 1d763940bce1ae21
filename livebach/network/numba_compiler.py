"""The compiler of the fast twins: numba, for the extra `fast`.

Numba takes longer to load and more memory than the rest of livebach, so its users are imported only where the settings
ask for the fast engine.

Compiled code is kept on disk. It contains constants of other modules, but numba looks for changes only in the file of a
function. So the code is kept in a folder that is named by a hash of all these sources.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import njit
from numba.misc.appdirs import user_cache_dir

F = TypeVar("F", bound=Callable[..., Any])
_config: Any = numba.config
_user_cache_dir: Callable[[str], str] = user_cache_dir
_PREFIX = "livebach-"
_PACKAGE = Path(__file__).parent.parent
_SOURCES = ("network", "music")
"""Folders of the package with what is compiled."""


def compiled(function: F) -> F:
    """Compile a function at its first call, and cache the code on disk.

    The compiler may reorder sums, fuse a product with a sum, and multiply by a reciprocal.
    """
    compile_it = njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
    return cast(F, compile_it(function))


def compiled_exactly(function: F) -> F:
    """Do the same without reordering: sums are those of numpy, bit by bit."""
    return cast(F, njit(cache=True, error_model="numpy")(function))


def cache_folder(package: Path, parents: list[Path]) -> Path | None:
    """Make the folder for the compiled code of these very sources, and return its path. Code of older ones is removed.

    Args:
        package: The package's folder.
        parents: Folders in which it may be; the first one is used that can be written to.

    Returns:
        The path; None if nothing can be written.

    """
    sources = sorted(path for folder in _SOURCES for path in (package / folder).glob("*.py"))
    name = _PREFIX + sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    for parent in parents:
        try:
            (parent / name).mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if parent.is_relative_to(package):  # elsewhere, other versions of livebach may keep theirs
            for other in parent.glob(f"{_PREFIX}*"):
                if other.name != name:
                    shutil.rmtree(other, ignore_errors=True)
        return parent / name
    return None


def _folders() -> list[Path]:
    """Return where compiled code may be kept: where the user wants it, beside the sources, or in the user's cache."""
    if _config.CACHE_DIR:
        return [Path(_config.CACHE_DIR)]
    return [_PACKAGE / "network" / "__pycache__", Path(_user_cache_dir("livebach"))]


_folder = cache_folder(_PACKAGE, _folders())
if _folder is not None:
    _config.CACHE_DIR = str(_folder)
NOTHING_COMPILED = _folder is None or not any(_folder.iterdir())
"""Whether this process has to compile."""
