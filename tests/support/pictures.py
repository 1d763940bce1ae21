"""What tests of pictures share."""

from __future__ import annotations

import pytest

PNG = b"\x89PNG"
drawing = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("matplotlib"), reason="needs the extra plot"
)
