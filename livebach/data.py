"""Where the files are that travel with the package: config.yaml, the default checkpoint.

In a checkout they stand at its top; an installed wheel carries them in `livebach/_data/`. Knows nothing of their
contents.
"""

from __future__ import annotations

from pathlib import Path


def data_path(name: str) -> Path:
    """The path of a packaged file: «config.yaml», «checkpoints/…». Need not exist: whoever opens it says so."""
    package = Path(__file__).parent
    installed = package / "_data" / name
    return installed if installed.exists() else package.parent / name
