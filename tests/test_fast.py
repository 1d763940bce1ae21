"""The compiled key pass draws the same as the numpy one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from livebach.music.roll import HOLD, KEYS, OFF, UNKNOWN
from livebach.music.texture import Texture
from livebach.network.engine import Engine
from livebach.network.reference import random_checkpoint
from livebach.network.sampling import SamplingParams
from livebach.network.spec import NetworkSpec
from livebach.network.touch import TouchNetwork

pytest.importorskip("numba", reason="needs the extra `fast`")

SPECS = {
    "usual": NetworkSpec(time_channels=8, time_dilations=(1, 2), mixing_layers=(1,), key_channels=24),
    "odd": NetworkSpec(
        time_channels=4,
        time_dilations=(1,),
        mixing_layers=(),
        mixing_heads=1,
        key_channels=7,
        key_dilations=(3, 1, 88, 200),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_the_compiled_pass_draws_the_same(name: str) -> None:
    """Frame after frame, with given keys, all of a params, any width; rounding has its say at an edge only."""
    from livebach.network.numba_engine import FastEngine

    checkpoint = random_checkpoint(SPECS[name], seed=5)
    plain, fast = Engine(checkpoint), FastEngine(checkpoint)
    states = plain.new_state(), fast.new_state()
    rng = np.random.default_rng(1)
    different = sounded = 0
    for i in range(120):
        given = np.where(rng.random(KEYS) < 0.8, UNKNOWN, rng.integers(0, 3, KEYS)).astype(np.uint8)
        given[(given == HOLD) & (states[0].frame == OFF)] = OFF
        params = SamplingParams(
            temperature=float(rng.choice([0.5, 1, 2])),
            min_p=float(rng.choice([0, 0.1])),
            onset_bias=float(rng.normal()),
            off_bias=float(rng.normal()),
            forbidden=rng.random(KEYS) < 0.2 if i % 2 else None,
            key_bias=rng.normal(size=KEYS).astype(np.float32) if i % 3 else None,
            release_bias=rng.normal(size=KEYS) if i % 5 else None,
        )
        uniforms = rng.random(KEYS)
        frame = plain.draw(states[0], given, uniforms, params)
        different += not np.array_equal(frame, fast.draw(states[1], given, uniforms, params))
        sounded += int(frame.any())
        place, coming = (i % 16, 4, 16), ((i + 1) % 16, 4, 16)
        for engine, state in zip((plain, fast), states, strict=True):
            engine.push(state, frame, place, coming, Texture(i % 8, None), adapt=i % 3 == 0)
    assert different <= 1
    assert sounded > 60


def test_it_is_taken_only_when_asked_for() -> None:
    """The setting chooses; numba is heavy, so that having it installed is not enough."""
    from livebach.live import assembly
    from livebach.network.numba_engine import FastEngine
    from livebach.network.numba_touch import FastTouchNetwork

    assert assembly._networks(False) == (Engine, TouchNetwork)
    assert assembly._networks(True) == (FastEngine, FastTouchNetwork)


# --- what is compiled is kept -----------------------------------------------------------------------------------------


def package(folder: Path, constant: int) -> Path:
    """Make a package of sources with a constant, and return its folder."""
    for name in ("network", "music"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "a.py").write_text(f"A = {constant if name == 'music' else 0}\n")
    return folder


def test_code_compiled_from_other_sources_is_not_used(tmp_path: Path) -> None:
    """Compiled functions contain constants of other files, which numba does not look at. Older code is removed."""
    from livebach.network.numba_compiler import cache_folder

    parent = package(tmp_path, 1) / "network" / "__pycache__"
    first = cache_folder(tmp_path, [parent])
    assert first is not None
    (first / "code").touch()
    assert cache_folder(tmp_path, [parent]) == first
    second = cache_folder(package(tmp_path, 2), [parent])
    assert second != first
    assert list(parent.iterdir()) == [second]


def test_compiled_code_is_kept_where_something_can_be_written(tmp_path: Path) -> None:
    """In the next folder, where others may keep theirs; nowhere if there is none."""
    from livebach.network.numba_compiler import cache_folder

    file, users = tmp_path / "file", tmp_path / "cache"
    file.touch()
    (users / "livebach-of-another-version").mkdir(parents=True)
    sources = package(tmp_path / "package", 1)
    found = cache_folder(sources, [file / "below", users])
    assert found is not None
    assert found.parent == users
    assert len(list(users.iterdir())) == 2
    assert cache_folder(sources, [file / "below"]) is None


def test_compiling_is_announced_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes long, and only where nothing is compiled yet."""
    from livebach.live import assembly
    from livebach.network import numba_compiler

    assembly._tell_of_compiling.cache_clear()
    for nothing_compiled, lines in ((False, 0), (True, 1), (True, 0)):
        monkeypatch.setattr(numba_compiler, "NOTHING_COMPILED", nothing_compiled)
        assembly._networks(True)
        assert capsys.readouterr().err.count("half a minute") == lines
