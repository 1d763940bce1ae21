"""The styles: a table of networks, each with its file, card, phrase and list of scores."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from livebach.cli import main
from livebach.commands.flags import add_settings, settings
from livebach.config import Config, ConfigError
from livebach.controls import parse_command
from livebach.files import data_path
from livebach.live import assembly
from livebach.music.phrases import PHRASES
from livebach.network.checkpoint import load
from livebach.styles import DEFAULT, STYLES, next_style
from livebach.training.licence_index import SPLITS, read_list

MOST_BYTES = 4 << 20


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_complete(name: str) -> None:
    """Its file is small and loads, its licence is stated, and its phrase is there."""
    style, path = STYLES[name], data_path(STYLES[name].checkpoint)
    assert path.stat().st_size <= MOST_BYTES
    found = load(path)
    assert found.spec.steps_per_quarter == load(data_path(STYLES[DEFAULT].checkpoint)).spec.steps_per_quarter
    assert len(found.quotes.notes)
    assert style.phrase in PHRASES
    assert style.composer.rpartition(" ")[2] in data_path("checkpoints/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name, style in STYLES.items() if style.scores])
def test_the_scores_of_a_style(name: str) -> None:
    """Each has a licence and a source, each work is in one split, and none is empty."""
    scores = STYLES[name].scores
    assert scores is not None
    origins = read_list(data_path(scores))
    assert all(o.licence != "unstated" and o.source and o.work for o in origins.values())
    assert {o.split for o in origins.values()} == set(SPLITS)


def test_stepping_through_the_styles() -> None:
    """On and back, around the ends; a file of one's own is before the first."""
    names = list(STYLES)
    assert next_style("bach", len(names)) == "bach"
    assert next_style(names[-1]) == names[0]
    assert next_style(names[0], -1) == names[-1]
    assert next_style("/home/me/mine.safetensors") == names[0]
    assert all(parse_command("style", value).value == value for value in ("", "up", "down", *names))
    with pytest.raises(ValueError, match="mozart"):
        parse_command("style", "mozart")


def config_of(*words: str) -> Config:
    """Return the settings of a command line."""
    import argparse

    parser = argparse.ArgumentParser(exit_on_error=False)
    add_settings(parser, ("--checkpoint",))
    return settings(parser.parse_args(words))


def test_the_flag() -> None:
    """--style names the network as --checkpoint does; both are one too many, and an unknown one is named."""
    assert config_of("--style", list(STYLES)[-1]).engine.checkpoint == list(STYLES)[-1]
    assert config_of().engine.checkpoint == DEFAULT
    with pytest.raises(ConfigError, match="give one of them"):
        config_of("--style", "bach", "--checkpoint", "mine.safetensors")


def test_an_unknown_style(capsys: pytest.CaptureFixture[str]) -> None:
    """One line names the nearest and all others."""
    with suppress(SystemExit):
        assert main(["demo", "--style", "back"]) == 2
    assert "no style 'back'; the nearest is 'bach'; there are bach" in capsys.readouterr().err


def test_a_missing_checkpoint_names_the_styles() -> None:
    """Whoever writes a style's name wrongly as a checkpoint sees the right ones."""
    with pytest.raises(assembly.UserError, match="the styles are bach"):
        assembly.load_network("mozart")


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each style, and the same for programs."""
    assert main(["styles"]) == 0
    text = capsys.readouterr().out
    assert all(style.composer in text for style in STYLES.values())
    assert main(["styles", "--json"]) == 0
    assert [style["name"] for style in json.loads(capsys.readouterr().out)] == list(STYLES)
