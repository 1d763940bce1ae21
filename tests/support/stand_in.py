"""A stand-in for the trained network, so that commands can be tested without a checkpoint."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from livebach.live import assembly
from livebach.music.roll import KEYS, ONSET, Frame
from livebach.network.engine import Engine
from livebach.network.sampling import SamplingParams
from livebach.testing import ScriptedEngine

SHA256 = "5ca1e" * 13


def by_chance(_tick: int, uniforms: NDArray[np.float64], _params: SamplingParams) -> Frame:
    """One key in most ticks, which the draw decides: another seed is another melody."""
    frame = np.zeros(KEYS, np.uint8)
    if uniforms[0] < 0.8:
        frame[30 + int(uniforms[1] * 30)] = ONSET
    return frame


def no_network(monkeypatch: pytest.MonkeyPatch, with_touch: bool = False) -> None:
    """Have commands load a network that plays by chance, whatever they ask for, with or without a touch network."""

    def loaded(name: str, fast: bool = False) -> assembly.Loaded:
        return assembly.Loaded(cast(Engine, ScriptedEngine(by_chance)), name, SHA256)

    monkeypatch.setattr(assembly, "load_network", loaded)
    if not with_touch:
        monkeypatch.setattr(assembly, "with_touch", lambda network, *_: network)
