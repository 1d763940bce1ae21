"""A folder for banks that all tests of one run share, so that no note is rendered twice."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sound_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the banks of this run's tests lie."""
    return tmp_path_factory.mktemp("sound")


@pytest.fixture
def sound_cache(sound_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder as the user's cache, for this process and those that it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(sound_folder))
    monkeypatch.setenv("LOCALAPPDATA", str(sound_folder))
    monkeypatch.setenv("HOME", str(sound_folder))
    return sound_folder
