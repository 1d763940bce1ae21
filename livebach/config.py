"""The settings: frozen dataclasses, read strictly from YAML and from `section.key=value`.

The error for an unknown key names the nearest known key. The error for an invalid value is one line with the key, the
value and the allowed values. This module does not know what the settings do, and opens only the file it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import yaml

from livebach import setting_rules
from livebach.bindings import FORM, parse_bindings
from livebach.controls import CONTROLS, MODES, Dial
from livebach.errors import UserError
from livebach.files import data_path, open_regular
from livebach.midi.backends import backend_names
from livebach.music.events import CHANNELS
from livebach.music.metre import Metre
from livebach.setting_rules import Rule
from livebach.sound.names import INSTRUMENT_NAMES, LATENCIES_MS, PITCHES_HZ, TEMPERAMENT_NAMES
from livebach.styles import DEFAULT as DEFAULT_STYLE

TEXTURE_LEVELS = 8
MAX_BYTES = 64 << 10
"""The largest size of a settings file, in bytes."""
_LARGEST = 2**64


class ConfigError(UserError):
    """A setting is unknown or has an invalid value. The message is one line for the user."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table of settings."""

    default: Any
    rule: Rule


def _setting(default: Any, rule: Rule) -> Any:
    return field(default=default, metadata={"setting": Setting(default, rule)})


# --- the settings ----------------------------------------------------------------------------------------------------

_CHANNEL = setting_rules.number(1, 16, int)
_BACKEND = setting_rules.name_of(backend_names)
_TEXTURE = setting_rules.either(setting_rules.one_of("follow", "off"), setting_rules.number(0, TEXTURE_LEVELS - 1, int))


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of the settings. Every value is checked when a section is created."""

    def __post_init__(self) -> None:
        name = next(name for name, kind in _SECTIONS.items() if kind is type(self))
        for item in fields(self):
            object.__setattr__(self, item.name, _checked(name, item.name, getattr(self, item.name)))

    @classmethod
    def table(cls) -> dict[str, Setting]:
        """Return the section's settings by name."""
        return {item.name: item.metadata["setting"] for item in fields(cls)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the section with these values and the defaults for the others."""
        return cls(**values)

    def values(self) -> dict[str, Any]:
        """Return the values by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class _ValueRefusedError(ValueError):
    """A control does not take the value that a binding has for it. The message says which ones it takes."""


def _checked(section: str, name: str, value: Any) -> Any:
    """Return a value as its rule reads it; raise ConfigError if the rule refuses it."""
    rule = _SECTIONS[section].table()[name].rule
    try:
        return rule.read(value)
    except _ValueRefusedError as error:
        raise ConfigError(f"{section}.{name}: {error}") from None
    except ValueError:
        raise ConfigError(f"{section}.{name} must be {rule.allowed}, got {_shown(value)}") from None


@dataclass(frozen=True, slots=True)
class MidiSettings(_Section):
    """Ports and channels. Channels and programs count from 1 here."""

    input: str | None = _setting(None, setting_rules.optional(setting_rules.text()))
    output: str | None = _setting(None, setting_rules.optional(setting_rules.text()))
    api: str | None = _setting(None, setting_rules.optional(_BACKEND))
    wait: bool = _setting(False, setting_rules.switch())
    input_channel: int | None = _setting(None, setting_rules.optional(_CHANNEL))
    output_channel: int = _setting(2, _CHANNEL)
    program: int | None = _setting(None, setting_rules.optional(setting_rules.number(1, 128, int)))
    thru: bool = _setting(True, setting_rules.switch())
    feedback_filter: bool = _setting(True, setting_rules.switch())
    latency_ms: float = _setting(0.0, setting_rules.number(0, 200))


@dataclass(frozen=True, slots=True)
class TimeSettings(_Section):
    """Tempo (beats a minute; the metre defines the beat), metre, count-in and click."""

    bpm: float = _setting(90.0, setting_rules.number(20, 400))
    metre: Metre = _setting(Metre(4, 4), setting_rules.metre())  # noqa: RUF009 - immutable
    clock: str = _setting("internal", setting_rules.one_of("internal", "external", "player"))
    send_clock: bool = _setting(False, setting_rules.switch())
    count_in_bars: int = _setting(0, setting_rules.number(0, 8, int))
    click: bool = _setting(False, setting_rules.switch())
    click_channel: int = _setting(10, _CHANNEL)


@dataclass(frozen=True, slots=True)
class TurnSettings(_Section):
    """Who plays when."""

    silence_ticks: int = _setting(4, setting_rules.number(1, 256, int))
    pedal_counts: bool = _setting(True, setting_rules.switch())
    mode: str = _setting("continue", setting_rules.name_of(lambda: tuple(MODES)))
    register_margin: int = _setting(3, setting_rules.number(0, 24, int))
    delay_ms: float = _setting(30.0, setting_rules.number(0, 40))
    takeover: str = _setting("silence", setting_rules.one_of("silence", "control"))
    bars: int | str | None = _setting(
        None,
        setting_rules.either(setting_rules.optional(setting_rules.number(1, 64, int)), setting_rules.one_of("phrase")),
    )
    ending: str = _setting("cadence", setting_rules.one_of("cadence", "cut"))


@dataclass(frozen=True, slots=True)
class SamplingSettings(_Section):
    """How the network's probabilities become notes."""

    temperature: float = _setting(1.0, setting_rules.number(0.05, 5))
    min_p: float = _setting(0.01, setting_rules.number(0, 0.5))
    density: str | int = _setting("follow", _TEXTURE)
    polyphony: str | int = _setting("follow", _TEXTURE)
    register: str | int = _setting(
        "off", setting_rules.either(setting_rules.one_of("off"), setting_rules.number(36, 84, int))
    )
    key: str | None = _setting(
        None, setting_rules.optional(setting_rules.either(setting_rules.one_of("auto"), setting_rules.key()))
    )
    max_quote_notes: int | str = _setting(
        15,
        setting_rules.either(setting_rules.one_of("off"), setting_rules.number(setting_rules.SHORTEST_QUOTE, 64, int)),
    )
    seed: int | None = _setting(None, setting_rules.optional(setting_rules.number(0, 2**32 - 1, int)))

    @property
    def longest_quote(self) -> int | None:
        """The largest number of consecutive notes that may equal the training music; None: no limit."""
        return None if isinstance(self.max_quote_notes, str) else self.max_quote_notes


@dataclass(frozen=True, slots=True)
class SoundSettings(_Section):
    """How livebach's notes are played, and how the built-in instruments sound."""

    instrument: str = _setting("piano", setting_rules.one_of(*INSTRUMENT_NAMES))
    temperament: str = _setting("equal", setting_rules.one_of(*TEMPERAMENT_NAMES))
    pitch_hz: float = _setting(440.0, setting_rules.number(*PITCHES_HZ))
    latency_ms: float = _setting(15.0, setting_rules.number(*LATENCIES_MS))
    device: str | None = _setting(None, setting_rules.optional(setting_rules.text()))
    soundfont: str | None = _setting(None, setting_rules.optional(setting_rules.text()))

    touch: str | int = _setting(
        "learned", setting_rules.either(setting_rules.one_of("learned", "follow"), setting_rules.number(1, 127, int))
    )
    pedal: str = _setting("follow", setting_rules.one_of("follow", "on", "off"))
    velocity_default: int = _setting(72, setting_rules.number(1, 127, int))
    articulation: float = _setting(1.0, setting_rules.number(0.55, 1))
    humanize_ms: float = _setting(0.0, setting_rules.number(0, 20))
    voices: int | None = _setting(None, setting_rules.optional(setting_rules.number(2, 8, int)))


def _binding_rule(name: str) -> Rule:
    """Return the rule for the bindings of a control. The rule also checks the values in the bindings."""

    def read(value: Any) -> str | None:
        for binding in parse_bindings(value if isinstance(value, str) else "") if value is not None else ():
            if binding.value:
                _check_asked(name, binding.value, str(value))
        return None if value is None else str(value)

    return Rule(f"{FORM}, or null", read)


def _check_asked(name: str, value: str, bindings: str) -> None:
    """Raise _ValueRefusedError if a control does not take this value, which is from these bindings."""
    kind = CONTROLS[name].kind
    try:
        argument = kind.parse(value)
    except ValueError as error:
        raise _ValueRefusedError(f"{bindings!r}: {error}") from None
    if isinstance(kind, Dial) and isinstance(argument, str):
        rule = _setting_of(kind.setting).rule
        if not rule.takes(_parse_or_text(argument)):
            raise _ValueRefusedError(f"{bindings!r}: the value must be {rule.allowed}, got {value!r}")


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """The bindings of the controls: a section with one setting for each row of the table of controls."""

    bindings: Mapping[str, str | None] = field(default_factory=dict)
    """The bindings by the name of the control; None: no binding."""

    def __post_init__(self) -> None:
        bound = {name: _checked("control", name, self.bindings.get(name)) for name in CONTROLS}
        object.__setattr__(self, "bindings", bound)

    @classmethod
    def table(cls) -> dict[str, Setting]:
        """Return the section's settings by name."""
        return {name: Setting(None, _binding_rule(name)) for name in CONTROLS}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the section with these values."""
        return cls(dict(values))

    def values(self) -> dict[str, Any]:
        """Return the values by name."""
        return dict(self.bindings)


@dataclass(frozen=True, slots=True)
class TakeSettings(_Section):
    """Whether and where takes are saved."""

    folder: str = _setting("takes", setting_rules.text())
    save: bool = _setting(True, setting_rules.switch())


@dataclass(frozen=True, slots=True)
class WebSettings(_Section):
    """The page in the browser."""

    port: int = _setting(0, setting_rules.number(0, 65535, int))
    delay_ms: float = _setting(30.0, setting_rules.number(0, 500))
    open: bool = _setting(True, setting_rules.switch())


@dataclass(frozen=True, slots=True)
class EngineSettings(_Section):
    """The network, and how long before a tick it begins."""

    checkpoint: str = _setting(DEFAULT_STYLE, setting_rules.text())
    touch_checkpoint: str | None = _setting(None, setting_rules.optional(setting_rules.text()))
    lead_ms: float = _setting(4.0, setting_rules.number(0, 100))
    fast: bool = _setting(False, setting_rules.switch())
    reload_on_change: bool = _setting(True, setting_rules.switch())
    adapt: bool = _setting(True, setting_rules.switch())


@dataclass(frozen=True, slots=True)
class Config:
    """All settings."""

    midi: MidiSettings = field(default_factory=MidiSettings)
    time: TimeSettings = field(default_factory=TimeSettings)
    turns: TurnSettings = field(default_factory=TurnSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    sound: SoundSettings = field(default_factory=SoundSettings)
    control: ControlSettings = field(default_factory=ControlSettings)
    take: TakeSettings = field(default_factory=TakeSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    web: WebSettings = field(default_factory=WebSettings)

    def __post_init__(self) -> None:
        last = self.midi.output_channel + (self.sound.voices or 1) - 1
        if last > CHANNELS:
            raise ConfigError(
                f"sound.voices must leave midi.output_channel + voices - 1 in 1..16, got {self.sound.voices} and "
                f"midi.output_channel {self.midi.output_channel}"
            )
        if self.time.send_clock and self.time.clock == "external":
            raise ConfigError("time.send_clock must be off if time.clock is external: two clocks would compete")


RENAMED = {
    "turns.behind_ms": "turns.delay_ms",
    "turns.distance": "turns.register_margin",
    "sampling.quotes": "sampling.max_quote_notes",
    "sound.velocity": "sound.touch",
    "sound.spread_ms": "sound.humanize_ms",
    "control.distance": "control.register_margin",
    "session": "take",
    "session.folder": "take.folder",
    "session.save": "take.save",
    "engine.watch": "engine.reload_on_change",
}
"""Former names of settings and sections, with the present names."""
_SECTIONS: dict[str, type[Any]] = {
    "midi": MidiSettings,
    "time": TimeSettings,
    "turns": TurnSettings,
    "sampling": SamplingSettings,
    "sound": SoundSettings,
    "control": ControlSettings,
    "take": TakeSettings,
    "engine": EngineSettings,
    "web": WebSettings,
}


# --- reading and writing ---------------------------------------------------------------------------------------------


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _unknown(key: str, value: Any, known: Iterable[str]) -> ConfigError:
    if key in RENAMED:
        return ConfigError(f"{key!r} is now called {RENAMED[key]!r}")
    import difflib  # loaded only for a mistake, as 0.4 MB would stay for the session

    near = max(known, key=lambda name: difflib.SequenceMatcher(None, key, name).ratio())
    allowed = f", which is {_setting_of(near).rule.allowed}" if "." in near else ""
    return ConfigError(f"unknown setting {key!r} (given {_shown(value)}): the nearest is {near!r}{allowed}")


def _setting_of(key: str) -> Setting:
    section, _, name = key.partition(".")
    setting: Setting = _SECTIONS[section].table()[name]
    return setting


def _all_keys() -> list[str]:
    return [f"{section}.{name}" for section, kind in _SECTIONS.items() for name in kind.table()]


def _check_known(data: Any) -> dict[str, dict[str, Any]]:
    """Return the sections of a parsed YAML file, an empty section as {}; raise ConfigError for an unknown name."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"settings must be sections of keys, got {_shown(data)}")
    out: dict[str, dict[str, Any]] = {}
    for section, body in data.items():
        if section not in _SECTIONS:
            raise _unknown(str(section), body, _SECTIONS)
        if body is not None and not isinstance(body, Mapping):
            raise ConfigError(f"{section} must be a section of keys, got {_shown(body)}")
        out[section] = dict(body or {})
        known = _SECTIONS[section].table()
        for key in out[section]:
            if key not in known:
                raise _unknown(f"{section}.{key}", out[section][key], [f"{section}.{name}" for name in known])
    return out


def from_dict(data: Any) -> Config:
    """Return the settings of nested dicts, as YAML has them, with the defaults for missing ones."""
    known = _check_known(data)
    return Config(**{section: _SECTIONS[section].of(body) for section, body in known.items()})


def to_dict(config: Config) -> dict[str, dict[str, Any]]:
    """Return the settings as nested dicts of plain values for YAML and JSON, the inverse of `from_dict`."""
    out: dict[str, dict[str, Any]] = {}
    for section in _SECTIONS:
        values = getattr(config, section).values()
        out[section] = {key: str(value) if isinstance(value, Metre) else value for key, value in values.items()}
    return out


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses duplicate keys, aliases and huge numbers."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise ConfigError(f"line {line}: settings are written out, without * aliases")
        return super().compose_node(parent, index)

    def construct_whole(self, node: Any) -> int:
        value = super().construct_yaml_int(node)
        if abs(value) > _LARGEST:
            raise ConfigError(f"line {node.start_mark.line + 1}: a number of {len(node.value)} digits")
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = [key.value for key, _ in node.value]
        twice = next((key for key in seen if seen.count(key) > 1), None)
        if twice is not None:
            raise ConfigError(f"{twice!r} is given twice")
        return super().construct_mapping(node, deep)


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_whole)


def _parse(text: str) -> Any:
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - a subclass of SafeLoader # nosec B506
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(f"not YAML, line {line}: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"not YAML: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None


def from_text(text: str) -> Config:
    """Return the settings of a YAML text, with the defaults for missing ones."""
    data = _parse(text)
    return from_dict({} if data is None else data)


def _text(path: Path) -> str:
    with open_regular(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"larger than {MAX_BYTES >> 10} KiB: not a file of settings")
    return data.decode()


def read_file(path: Path) -> Config:
    """Read a settings file in YAML.

    Raises:
        ConfigError: If the file cannot be read or a setting is invalid. The message names the file.

    """
    try:
        return from_text(_text(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file in UTF-8") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def override(config: Config, assignment: str) -> Config:
    """Return the settings with one changed, as in `time.bpm=96`. The value is written as in YAML.

    Raises:
        ConfigError: If the setting is unknown or the value is invalid.

    """
    name, equals, text = assignment.partition("=")
    if not equals:
        raise ConfigError(f"a setting is written section.key=value, got {assignment!r}")
    name, text = name.strip(), text.strip()
    if name in _all_keys() and not _setting_of(name).rule.takes(_parse_or_text(text)):
        return with_value(config, name, text)  # the name of a port or folder may look like YAML: «HD: 1», «2026»
    return with_value(config, name, _parse_or_text(text))


def _parse_or_text(text: str) -> Any:
    try:
        return _parse(text)
    except ConfigError:
        return text


def with_value(config: Config, name: str, value: Any) -> Config:
    """Return the settings with `section.key` set to a value; raise ConfigError if the name or value is invalid."""
    if name not in (known := _all_keys()):
        raise _unknown(name, value, known)
    section, _, key = name.partition(".")
    changed = _SECTIONS[section].of({**getattr(config, section).values(), key: value})
    return replace(config, **{section: changed})


def table() -> dict[str, dict[str, Setting]]:
    """Return the table of settings: by section, then by name."""
    return {section: kind.table() for section, kind in _SECTIONS.items()}


def value_of(config: Config, name: str) -> Any:
    """Return the value of `section.key`."""
    section, _, key = name.partition(".")
    return getattr(config, section).values()[key]


def load(path: Path | None = None, assignments: Iterable[str] = ()) -> Config:
    """Return the settings of a file, changed by assignments.

    Args:
        path: A settings file in YAML. None reads the packaged config.yaml.
        assignments: Texts such as `time.bpm=96`, applied in order.

    Raises:
        ConfigError: If the file cannot be read, or if a setting is unknown or invalid.

    """
    config = read_file(path if path is not None else data_path("config.yaml"))
    for assignment in assignments:
        config = override(config, assignment)
    return config
