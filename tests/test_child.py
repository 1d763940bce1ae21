"""Helper processes: they are small, and can import the player's modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from livebach.system import subprocesses

pytestmark = pytest.mark.clock


def test_they_find_what_the_player_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module beside the player's own path, and one that was installed; not `site`, which is large."""
    (tmp_path / "helping.py").write_text("import sys, mido, livebach\nprint(mido.__file__, 'site' in sys.modules)")
    monkeypatch.syspath_prepend(str(tmp_path))
    process = subprocesses.start("helping", stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate(timeout=60)
    import mido

    assert process.returncode == 0
    assert said.split() == [mido.__file__, "False"]


def test_they_take_nothing_from_the_folder_they_are_started_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that happens to be called as a module of Python's is none of theirs."""
    (tmp_path / "signal.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    process = subprocesses.start("livebach.midi.guard_process", "out", "out", stdin=subprocess.DEVNULL)
    assert process.wait(60) == 0


def test_they_are_told_of_the_player_what_it_was_told() -> None:
    """Arguments as they are."""
    process = subprocesses.start("json.tool", "--no-indent", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.communicate('{"a":\n1}', timeout=60)[0].strip() == '{"a": 1}'
    assert process.args[0] == sys.executable


def test_they_find_the_package_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the import path lacks it, as with an import hook; none of its modules is found without the package."""
    root = str(Path(subprocesses.__file__).parents[2])
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path and Path(path).resolve() != Path(root)])
    assert subprocesses.start("livebach.system.clock").wait(60) == 0
    assert subprocesses.start("setting_rules", stderr=subprocess.DEVNULL).wait(60) != 0
