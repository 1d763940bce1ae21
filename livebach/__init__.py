"""You play a MIDI keyboard, and a WaveNet trained on Bach plays on.

This module is the public interface; all other modules are private. Names are loaded on first use, so that
`import livebach` is quick. Nothing here imports torch. The programs in examples/ show how the names work together.
"""

from __future__ import annotations

from importlib import import_module

from livebach.version import __version__

TYPE_CHECKING = False  # that of `typing`, which the helper processes need not load
if TYPE_CHECKING:
    from typing import Any

    from livebach.config import Config
    from livebach.config import load as load_config
    from livebach.controls import CONTROLS, MODES, Control, ModeRow
    from livebach.evaluation.likelihood import key_nats
    from livebach.music.events import ControlChange, NoteOff, NoteOn
    from livebach.music.midi_writer import score_to_midi
    from livebach.music.score_reader import piece_of, read_score
    from livebach.musician.modes import Mode, TurnContext
    from livebach.musician.musician import Musician
    from livebach.musician.rollout import music as generate
    from livebach.musician.rollout import tracks
    from livebach.network.checkpoint import default_path as default_checkpoint
    from livebach.network.checkpoint import load as load_checkpoint
    from livebach.network.engine import Engine

__all__ = [
    "CONTROLS",
    "MODES",
    "Config",
    "Control",
    "ControlChange",
    "Engine",
    "Mode",
    "ModeRow",
    "Musician",
    "NoteOff",
    "NoteOn",
    "TurnContext",
    "__version__",
    "default_checkpoint",
    "generate",
    "key_nats",
    "load_checkpoint",
    "load_config",
    "piece_of",
    "read_score",
    "score_to_midi",
    "tracks",
]

_HOMES = {
    # The settings, and the trained network.
    "Config": ("livebach.config", "Config"),
    "load_config": ("livebach.config", "load"),
    "default_checkpoint": ("livebach.network.checkpoint", "default_path"),
    "load_checkpoint": ("livebach.network.checkpoint", "load"),
    "Engine": ("livebach.network.engine", "Engine"),
    # The musician: events in, events out.
    "Musician": ("livebach.musician.musician", "Musician"),
    "NoteOn": ("livebach.music.events", "NoteOn"),
    "NoteOff": ("livebach.music.events", "NoteOff"),
    "ControlChange": ("livebach.music.events", "ControlChange"),
    # Modes of playing.
    "Mode": ("livebach.musician.modes", "Mode"),
    "MODES": ("livebach.controls", "MODES"),
    "ModeRow": ("livebach.controls", "ModeRow"),
    "CONTROLS": ("livebach.controls", "CONTROLS"),
    "Control": ("livebach.controls", "Control"),
    "TurnContext": ("livebach.musician.modes", "TurnContext"),
    # Music without real time: read a file, continue it, write it, and compute its likelihood.
    "read_score": ("livebach.music.score_reader", "read_score"),
    "piece_of": ("livebach.music.score_reader", "piece_of"),
    "generate": ("livebach.musician.rollout", "music"),
    "tracks": ("livebach.musician.rollout", "tracks"),
    "score_to_midi": ("livebach.music.midi_writer", "score_to_midi"),
    "key_nats": ("livebach.evaluation.likelihood", "key_nats"),
}
"""Where each public name is defined: the module, and the name there."""


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'livebach' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
