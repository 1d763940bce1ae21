"""`livebach plot`: pictures of saved takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from livebach.cli import main
from livebach.commands.plot import notes_of, pedals_of
from livebach.config import Config, override, to_dict
from livebach.evaluation import pictures, theme_marks
from livebach.evaluation.pictures import Pedalled, Sounding
from livebach.live.take_log import Call, Header, Log
from livebach.music.events import ControlChange, Event, NoteOff, NoteOn
from livebach.sound import fluidsynth
from tests.support.pictures import PNG, drawing
from tests.support.stand_in import no_network


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A take of the demo's."""
    no_network(monkeypatch)
    monkeypatch.setattr(fluidsynth, "find", lambda: None)
    assert main(["demo", "--fast", "--bars", "3", "--seed", "4", "--folder", str(tmp_path / "takes")]) == 0
    return next((tmp_path / "takes").iterdir())


def log_of(*calls: Call, settings: tuple[str, ...] = ()) -> Log:
    """A take of these calls."""
    config = override(Config(), "sampling.seed=1")
    for setting in settings:
        config = override(config, setting)
    return Log(Header(to_dict(config), 1, 0.0, "default", ""), list(calls))


def feed(t: float, event: Event, *out: Event) -> Call:
    """What the player did, and what that brought about."""
    return Call("feed", t, tuple(out), event)


def test_notes_of_both_with_their_ends() -> None:
    """A note that was left on ends with the take; clicks, controllers and what is bound are no notes."""
    log = log_of(
        feed(10, NoteOn(60)),
        feed(10.5, NoteOn(21)),
        Call("advance", 11, (NoteOn(76, 90, 9), NoteOn(48, 70, 1))),
        feed(11.5, NoteOff(60)),
        Call("advance", 12, (NoteOff(48, 0, 1), NoteOn(50, 70, 2))),
        feed(12.5, ControlChange(64, 127)),
        Call("stop", 13, (NoteOff(50, 0, 2),)),
        settings=("control.mute=note 21", "sound.voices=2"),
    )
    assert notes_of(log) == [
        Sounding(60, 0, 1.5, False, 64),
        Sounding(48, 1, 2, True, 70),
        Sounding(50, 2, 3, True, 70),
    ]


def test_pedals_of_both_with_their_ends() -> None:
    """Moves within a state change nothing; a pedal that was left down comes up with the take."""
    log = log_of(
        feed(10, NoteOn(60)),
        feed(11, ControlChange(64, 127)),
        feed(11.5, ControlChange(64, 90)),
        feed(12, ControlChange(64, 0), ControlChange(64, 127, 1)),
        feed(13, ControlChange(7, 100)),
        feed(14, NoteOff(60), ControlChange(64, 127, 9)),
    )
    assert pedals_of(log) == [Pedalled(1, 2, False), Pedalled(2, 4, True)]


def test_a_key_struck_again_ends_the_note_before() -> None:
    """And the last of a take that was cut off lasts to the last thing that is known."""
    log = log_of(feed(1, NoteOn(60)), feed(2, NoteOn(60)), feed(3, NoteOn(62)))
    assert notes_of(log)[:2] == [Sounding(60, 0, 1, False), Sounding(60, 1, 2, False)]
    assert notes_of(log_of()) == []


@drawing
def test_a_take_is_drawn(played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it or a part; nothing is overwritten."""
    out = tmp_path / "take.png"
    assert main(["plot", str(played), "-o", str(out)]) == 0
    assert out.read_bytes().startswith(PNG)
    assert main(["plot", str(played), "-o", str(tmp_path / "part.png"), "--from", "2", "--to", "5"]) == 0
    assert main(["plot", str(played), "-o", str(out)]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err


@drawing
def test_both_colours_and_the_legend() -> None:
    """Yours and livebach's; a long take goes on in the next row."""
    notes = [Sounding(60, 0, 1, False), Sounding(48, 50, 51, True)]
    figure = pictures.take_figure(notes, 0, 60)
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["you", "livebach", "soft", "loud"]
    assert figure.axes[1].get_xlim() == (30, 60)


@drawing
def test_a_loud_note_is_darker_and_the_pedal_is_a_band_below_the_keys() -> None:
    """Of both players; without pedal there is no room for bands."""
    notes = [Sounding(60, 0, 1, False, 30), Sounding(62, 1, 2, False, 110), Sounding(72, 2, 3, True, 70)]
    figure = pictures.take_figure(notes, 0, 3, [Pedalled(0.5, 2, False), Pedalled(2, 3, True)])
    _, yours, your_pedal, _, own_pedal = figure.axes[0].collections
    soft, loud = yours.get_facecolors()[:, :3].sum(axis=1)
    assert loud < soft
    bands = [pedal.get_paths()[0].get_extents() for pedal in (your_pedal, own_pedal)]
    assert [(band.x0, band.x1) for band in bands] == [(0.5, 2), (2, 3)]
    assert all(figure.axes[0].get_ylim()[0] < band.y0 < band.y1 < 60 - 0.5 for band in bands)
    assert pictures.take_figure(notes, 0, 3).axes[0].get_ylim()[0] == 60 - 0.5


@pytest.mark.parametrize(
    ("arguments", "told"), [(["--from", "5", "--to", "2"], "in order"), (["--from", "900"], "no note sounds")]
)
def test_what_cannot_be_drawn(
    arguments: list[str], told: str, played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2, no file."""
    assert main(["plot", str(played), "-o", str(tmp_path / "no.png"), *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "no.png").exists()


def test_a_take_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is told by its name."""
    assert main(["plot", str(tmp_path / "none"), "-o", str(tmp_path / "no.png")]) == 2
    assert "none: cannot be read" in capsys.readouterr().err


SUBJECT = (60, 62, 63, 67, 65, 63, 68)


def stated(keys: tuple[int, ...], start_s: float, own: bool, step_s: float = 0.25) -> list[Sounding]:
    """Notes one after another."""
    return [Sounding(key, start_s + step_s * i, start_s + step_s * (i + 1), own) for i, key in enumerate(keys)]


def test_statements_of_the_players_theme_are_found() -> None:
    """In another key, a semitone beside, a little late; not in another rhythm, nor among the player's own notes."""
    up = tuple(key + 7 for key in SUBJECT)
    tonal = (up[0] - 1, *up[1:])
    notes = stated(SUBJECT, 0, False) + stated(up, 3, True) + stated(tonal, 6.02, True)
    theme = theme_marks.theme_of(notes)
    assert [note.key for note in theme] == list(SUBJECT)
    found = theme_marks.statements([*notes, *stated(SUBJECT, 12, False)], theme, 0.09)
    assert [[note.key for note in one] for one in found] == [list(up), list(tonal)]
    assert theme_marks.statements(stated(up, 3, True, 0.5), theme, 0.09) == []
    assert theme_marks.theme_of(stated(SUBJECT[:5], 0, False)) == []


def test_a_picture_marks_the_theme(tmp_path: Path) -> None:
    """A line through the notes of each statement, and a word in the legend."""
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    notes = stated(SUBJECT, 0, False) + stated(SUBJECT, 3, True)
    theme = theme_marks.theme_of(notes)
    figure = pictures.take_figure(notes, 0, 6, (), [theme, *theme_marks.statements(notes, theme, 0.1)])
    assert len(figure.axes[0].lines) == 2
    assert "the theme" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_plot_themes_says_how_many(played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command draws a take with its themes and counts livebach's statements."""
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    assert main(["plot", str(played), "--themes", "-o", str(tmp_path / "themes.png")]) == 0
    assert "statements of the theme by livebach" in capsys.readouterr().out
    assert (tmp_path / "themes.png").read_bytes().startswith(PNG)
