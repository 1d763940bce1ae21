"""Settings: they are checked strictly, errors are plain, and writing them back changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from livebach import config as cfg
from livebach import setting_texts
from livebach.controls import CONTROLS, Control, Switch
from livebach.files import data_path
from livebach.midi.backends import backend_names
from livebach.music.metre import Metre

CHANNEL = st.integers(1, 16)
TEXTURE = st.one_of(st.sampled_from(["follow", "off"]), st.integers(0, 7))
METRES = st.builds(Metre, st.integers(1, 32), st.sampled_from([1, 2, 4, 8, 16, 32])).filter(lambda m: m.fits(4))
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@st.composite
def configs(draw: st.DrawFn) -> cfg.Config:
    """Any settings that are allowed."""
    maybe = st.none()
    midi = cfg.MidiSettings(
        input=draw(maybe | NAMES),
        output=draw(maybe | NAMES),
        api=draw(maybe | st.sampled_from(backend_names())),
        wait=draw(st.booleans()),
        input_channel=draw(maybe | CHANNEL),
        output_channel=draw(CHANNEL),
        program=draw(maybe | st.integers(1, 128)),
        latency_ms=draw(st.floats(0, 200)),
    )
    time = cfg.TimeSettings(bpm=draw(st.floats(20, 400)), metre=draw(METRES), count_in_bars=draw(st.integers(0, 8)))
    sampling = cfg.SamplingSettings(
        min_p=draw(st.floats(0, 0.5)), density=draw(TEXTURE), seed=draw(maybe | st.integers(0, 99))
    )
    touch = draw(st.sampled_from(["learned", "follow"]) | st.integers(1, 127))
    sound = cfg.SoundSettings(touch=touch, pedal=draw(st.sampled_from(["follow", "on", "off"])))
    return cfg.Config(midi=midi, time=time, sampling=sampling, sound=sound)


@given(configs())
def test_dict_round_trip(config: cfg.Config) -> None:
    """Settings survive being written as YAML or JSON and read again."""
    plain = cfg.to_dict(config)
    assert cfg.from_dict(plain) == config
    assert cfg.from_dict(yaml.safe_load(yaml.safe_dump(plain, allow_unicode=True))) == config
    assert cfg.from_dict(json.loads(json.dumps(plain))) == config


def test_shipped_file_holds_every_default() -> None:
    """config.yaml names each setting once, with the value that the code has."""
    assert yaml.safe_load(data_path("config.yaml").read_text("utf-8")).keys() == cfg.to_dict(cfg.Config()).keys()
    assert cfg.load() == cfg.Config()
    shipped = yaml.safe_load(data_path("config.yaml").read_text("utf-8"))
    assert {s: set(body) for s, body in shipped.items()} == {s: set(b) for s, b in cfg.to_dict(cfg.Config()).items()}


@pytest.mark.parametrize(
    ("assignment", "parts"),
    [
        ("time.bmp=90", ["time.bmp", "90", "time.bpm", "20..400"]),
        ("tiem.bpm=90", ["tiem.bpm", "90", "time.bpm"]),
        ("bpm=90", ["bpm", "90", "time.bpm"]),
        ("time.bpm=fast", ["time.bpm", "'fast'", "20..400"]),
        ("time.bpm=.nan", ["time.bpm", "nan", "20..400"]),
        ("time.bpm=true", ["time.bpm", "true", "20..400"]),
        ("time.metre=5/7", ["time.metre", "'5/7'", "1..32 over 1, 2, 4, 8 or 16"]),
        ("time.metre=7/32", ["time.metre", "'7/32'", "an even number over 32"]),
        ("control.style=program 1 = mozart", ["control.style", "'mozart'", "chopin or joplin"]),
        ("control.tempo=program 1 = 9999", ["control.tempo", "'9999'", "20..400"]),
        ("midi.output_channel=17", ["midi.output_channel", "17", "1..16"]),
        ("midi.output_channel=null", ["midi.output_channel", "null", "1..16"]),
        ("midi.api=oss", ["midi.api", "'oss'", "alsa or jack"]),
        ("midi.thru=perhaps", ["midi.thru", "'perhaps'", "on or off"]),
        ("sampling.density=8", ["sampling.density", "8", "follow or off", "0..7"]),
        ("sampling.seed=1.5", ["sampling.seed", "1.5", "whole number"]),
        ("sampling.key=h moll", ["sampling.key", "'h moll'", "auto", "'d minor'"]),
        ("turns.mode=duo", ["turns.mode", "'duo'", "continue"]),
        ("take.folder= ", ["take.folder", "''", "text"]),
        ("time.bpm", ["time.bpm", "section.key=value"]),
        ("time.bpm=[", ["time.bpm", "'['", "20..400"]),
    ],
)
def test_bad_override_is_told_in_one_line(assignment: str, parts: list[str]) -> None:
    """The key, the value and what is allowed are in the message, and it is one line."""
    with pytest.raises(cfg.ConfigError) as caught:
        cfg.override(cfg.Config(), assignment)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("time.bpm=72", 72.0),
        ("time.metre=6/8", Metre(6, 8)),
        ("midi.thru=off", False),
        ("sampling.density=off", "off"),
        ("sampling.density=3", 3),
        ("sampling.seed=null", None),
        ("sampling.key=bb major", "Bb major"),
        ("midi.input=HD: 1", "HD: 1"),
        ("midi.input=2 [USB]", "2 [USB]"),
        ("take.folder=2026", "2026"),
    ],
)
def test_override_reads_yaml(assignment: str, value: Any) -> None:
    """What follows the equals sign is YAML; names stay names."""
    section, key = assignment.partition("=")[0].split(".")
    assert getattr(getattr(cfg.override(cfg.Config(), assignment), section), key) == value


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("time: {bpm: 90", "line 1"),
        ("time:\n  bpm: 90\n  bpm: 91\n", "'bpm' is given twice"),
        ("time: 90", "time must be a section"),
        ("- time", "sections of keys"),
        ("tmie:\n  bpm: 90", "'time'"),
        ("time:\n  bpn: 90", "'time.bpm'"),
        ("1: 2", "unknown setting '1'"),
        ("time: !!python/object/apply:os.system ['true']", "line 1"),
        ("[" * 3000, "not YAML"),
        ("? [a, b]\n: 1", ""),
        ("time: {<<: 3}", "line 1"),
        ("time:\n  2001-13-45: x", ""),
    ],
)
def test_bad_file_is_told_in_one_line(tmp_path: Path, text: str, part: str) -> None:
    """Whatever is wrong with the file, the message names it in one line."""
    path = tmp_path / "my.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(cfg.ConfigError) as caught:
        cfg.load(path)
    assert str(path) in str(caught.value)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_give_settings_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """A damaged file is refused with a ConfigError of one line, nothing else."""
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(data)
    message = ""
    try:
        cfg.load(path)
    except cfg.ConfigError as error:
        message = str(error)
    assert "\n" not in message


def test_missing_file_is_told(tmp_path: Path) -> None:
    """A file that is not there, or is a folder, is named."""
    with pytest.raises(cfg.ConfigError, match="cannot be read"):
        cfg.load(tmp_path / "none.yaml")
    with pytest.raises(cfg.ConfigError, match="cannot be read"):
        cfg.load(tmp_path)


def test_file_then_overrides(tmp_path: Path) -> None:
    """What the file does not name keeps its default; an override wins over the file."""
    path = tmp_path / "my.yaml"
    path.write_text("time:\n  bpm: 60\nsound:\n", "utf-8")
    config = cfg.load(path, ["time.metre=3/4", "time.bpm=61"])
    assert config.time == cfg.TimeSettings(bpm=61, metre=Metre(3, 4))
    assert config.sound == cfg.SoundSettings()


@pytest.mark.parametrize(("old", "new"), sorted(cfg.RENAMED.items()))
def test_a_former_name_is_an_error_that_says_the_new_one(old: str, new: str) -> None:
    """No alias stays: a file with a former name is refused, and the message names today's setting."""
    section, _, name = old.partition(".")
    known = {key for part, body in cfg.to_dict(cfg.Config()).items() for key in (part, *(f"{part}.{k}" for k in body))}
    assert new in known
    assert old not in known
    with pytest.raises(cfg.ConfigError, match=f"{old!r} is now called {new!r}|'session' is now called 'take'"):
        cfg.from_dict({section: {name: 1} if name else {}})


# --- what each setting does -------------------------------------------------------------------------------------------


def test_each_setting_has_its_words() -> None:
    """No setting is without a description, and no description without a setting."""
    keys = {f"{section}.{name}" for section, settings in cfg.table().items() for name in settings}
    assert {key for key in keys if not key.startswith("control.")} == set(setting_texts.TEXTS)
    assert set(setting_texts.SECTIONS) == set(cfg.table())
    assert all(setting_texts.text_of(key) for key in keys)


@pytest.mark.parametrize(
    ("path", "text"), [("config.yaml", setting_texts.config_yaml), ("docs/settings.md", setting_texts.settings_page)]
)
def test_the_files_say_what_the_tables_say(path: str, text: Callable[[], str]) -> None:
    """`python -m livebach.setting_texts` has been run since a table was changed."""
    file = Path(__file__).parent.parent / path
    assert file.read_text("utf-8") == text()


def test_a_control_from_outside_is_in_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of the table is a setting, a comment and a row of the page."""
    monkeypatch.setitem(CONTROLS, "louder", Control("louder", Switch(), "livebach plays louder", {"l": "on"}))
    assert "  louder: null            # livebach plays louder\n" in setting_texts.config_yaml()
    assert "| `control.louder` | livebach plays louder | `l` |" in setting_texts.settings_page()


@pytest.mark.parametrize(("former", "name"), cfg.RENAMED.items())
def test_a_former_name_says_the_new_one(former: str, name: str) -> None:
    """On the command line and in a file; the new name is a setting or a section."""
    assert name in cfg.table() or name in {f"{s}.{k}" for s, keys in cfg.table().items() for k in keys}
    section, _, key = former.partition(".")
    with pytest.raises(cfg.ConfigError, match=cfg.RENAMED.get(section, name)):
        cfg.from_dict({section: {key: 1} if key else {}})
