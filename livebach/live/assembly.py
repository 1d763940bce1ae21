"""The parts of a take: settings, seed, network and musician. A replay assembles the same parts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import SystemRandom
from typing import NamedTuple

from livebach.config import Config, to_dict, with_value
from livebach.errors import UserError
from livebach.files import data_path, expanded
from livebach.live.take_log import Header
from livebach.music.events import ProgramChange
from livebach.musician.musician import Musician
from livebach.network import checkpoint, touch_checkpoint
from livebach.network.engine import Engine
from livebach.network.touch import TouchNetwork
from livebach.sound.audio_process import SoundSettings
from livebach.sound.source import Source, open_source
from livebach.styles import STYLES
from livebach.version import __version__


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network that is ready to play, the name that it was loaded by, and the SHA-256 of its file."""

    engine: Engine
    name: str
    sha256: str
    touch: TouchNetwork | None = None
    """The touch network, where `sound.touch` is learned."""
    touch_sha256: str = ""


def with_touch(network: Loaded, file: str | None = None, fast: bool = False) -> Loaded:
    """Return the network with a touch network.

    Args:
        network: The network.
        file: The path of the touch network; None: the one that comes with livebach.
        fast: Whether to use the compiled one.

    Raises:
        UserError: If the file cannot be read, or is damaged; or `fast` is asked for without numba.

    """
    path = touch_checkpoint.default_path() if file is None else expanded(file)
    try:
        touch = _networks(fast).touch(touch_checkpoint.load(path))
        return replace(network, touch=touch, touch_sha256=checkpoint.fingerprint(path))
    except (touch_checkpoint.TouchError, OSError) as error:
        where = "" if str(path) in str(error) else f"{path}: "
        raise UserError(f"engine.touch_checkpoint: {where}{error}") from None


def seeded(config: Config) -> Config:
    """Return the settings with a seed: a new one if none was set."""
    if config.sampling.seed is not None:
        return config
    return with_value(config, "sampling.seed", SystemRandom().getrandbits(32))


def path_of(name: str) -> Path:
    """Return the path of a network that is named by its style or by its path.

    Raises:
        UserError: If the path begins with `~user` and there is no such user.

    """
    style = STYLES.get(name)
    return data_path(style.checkpoint) if style else expanded(name)


def load_network(name: str, fast: bool = False) -> Loaded:
    """Load the network of that name, ready to play, without a touch network.

    Args:
        name: A style, or the path of a checkpoint.
        fast: Whether to use the compiled engine.

    Raises:
        UserError: If the checkpoint cannot be loaded, or `fast` is asked for without numba; one line with the reason.

    """
    path = path_of(name)
    try:
        path = path.resolve()
        engine = _networks(fast).engine(checkpoint.load(path))
        return Loaded(engine, name if name in STYLES else str(path), checkpoint.fingerprint(path))
    except checkpoint.CheckpointError as error:
        where = "" if str(error).startswith(str(path)) else f"{path}: "
        hint = "" if path.exists() else f" (the styles are {', '.join(STYLES)})"
        raise UserError(f"engine.checkpoint: {where}{error}{hint}") from None
    except OSError as error:  # it went away, or its disk failed, while it was read
        raise UserError(f"engine.checkpoint: {path}: cannot be read: {error.strerror or error}") from None


def configured_network(config: Config) -> Loaded:
    """Load the network and the touch network that the settings name. Raises UserError as `load_network`."""
    engine = config.engine
    return with_touch(load_network(engine.checkpoint, engine.fast), engine.touch_checkpoint, engine.fast)


class _Networks(NamedTuple):
    engine: type[Engine] = Engine
    touch: type[TouchNetwork] = TouchNetwork


def _networks(fast: bool) -> _Networks:
    """Return the usual classes, or the compiled ones, which are imported only on demand because numba is large."""
    if not fast:
        return _Networks()
    if find_spec("numba") is None:
        raise UserError("engine.fast needs numba: pip install numba")
    from livebach.network.numba_compiler import NOTHING_COMPILED
    from livebach.network.numba_engine import FastEngine
    from livebach.network.numba_touch import FastTouchNetwork

    if NOTHING_COMPILED:
        _tell_of_compiling()

    return _Networks(FastEngine, FastTouchNetwork)


@cache
def _tell_of_compiling() -> None:
    sys.stderr.write("engine.fast: numba compiles livebach, this once; it takes about half a minute\n")


def header(config: Config, network: Loaded, start_s: float) -> Header:
    """Return the header of a take that begins at a time in seconds."""
    assert config.sampling.seed is not None
    return Header(
        config=to_dict(config),
        seed=config.sampling.seed,
        start_s=start_s,
        checkpoint=network.name,
        sha256=network.sha256,
        touch_sha256=network.touch_sha256,
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        livebach=__version__,
    )


def programs(config: Config) -> list[ProgramChange]:
    """Return the program changes of livebach's channels, if a program is set."""
    if config.midi.program is None:
        return []
    first = config.midi.output_channel - 1
    return [ProgramChange(config.midi.program - 1, first + voice) for voice in range(config.sound.voices or 1)]


def musician(network: Loaded, config: Config, start_s: float) -> Musician:
    """Return the musician of these settings; they hold its seed."""
    assert config.sampling.seed is not None
    return Musician(network.engine, config, config.sampling.seed, start_s, network.touch)


def sound_source(config: Config, instrument: str | None = None) -> Source:
    """Return the source of sound that the settings ask for.

    Args:
        config: The settings.
        instrument: A built-in instrument to use, whatever the settings name.

    Raises:
        UserError: If a soundfont or FluidSynth is missing.

    """
    return open_source(sound_settings(config, instrument), None if instrument else config.sound.soundfont)


def sound_settings(config: Config, instrument: str | None = None) -> SoundSettings:
    """Return how a built-in instrument, that of the settings or another one, is to sound."""
    sound = config.sound
    chosen = instrument or sound.instrument
    return SoundSettings(chosen, sound.temperament, sound.pitch_hz, sound.latency_ms, sound.device)


READY_S = 0.1
"""From the making of the musician to the first tick of a count-in: time to open the rest."""
