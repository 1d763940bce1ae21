"""Where the files are that travel with the package: config.yaml, the default checkpoint.

In a checkout they stand at its top; an installed wheel carries them in `livebach/_data/`. Knows nothing of their
contents.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from livebach.errors import UserError


def data_path(name: str) -> Path:
    """The path of a packaged file: «config.yaml», «checkpoints/…». Need not exist: whoever opens it says so."""
    package = Path(__file__).parent
    installed = package / "_data" / name
    return installed if installed.exists() else package.parent / name


def write_new(path: Path, content: bytes | Callable[[BinaryIO], object]) -> Path:
    """Write a file that does not exist yet, and return its path.

    Args:
        path: The file to create.
        content: The bytes, or a function that writes them to the open file.

    Raises:
        UserError: If the file exists already, or if it cannot be written.

    """
    try:
        with path.open("xb") as out:
            if callable(content):
                content(out)
            else:
                out.write(content)
    except FileExistsError:
        raise UserError(f"{path}: the file exists already, and nothing is overwritten") from None
    except OSError as error:
        raise UserError(f"{path}: the file cannot be written: {error.strerror or error}") from None
    return path
