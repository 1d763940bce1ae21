"""The compiler of the fast twins: numba, for the extra `fast`.

Numba takes longer to load and more memory than the rest of livebach, so its users are imported only where the settings
ask for the fast engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function at its first call, and cache the code on disk. The compiler may reorder sums, nothing else."""
    compile_it = njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
    return cast(F, compile_it(function))


def compiled_exactly(function: F) -> F:
    """Do the same without reordering: sums are those of numpy, bit by bit."""
    return cast(F, njit(cache=True, error_model="numpy")(function))
