"""The display: plain lines and the live roll. A slow or closed terminal never delays the music."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from livebach.live.daemon import TickLoad
from livebach.live.display import Display, DisplayUpdate, Lines, PlainSink, key_name, open_display, packed, sight
from livebach.live.hotkeys import HELP
from livebach.live.playing import PortLights
from livebach.live.terminal_roll import (
    FEW_COLOURS,
    Line,
    Roll,
    Screen,
    key_range,
    next_message,
    picture,
    screen_of,
    wrapped,
)
from livebach.midi.loopback import FakePort
from livebach.midi.ports import InputPort
from livebach.music.events import NoteOff, NoteOn
from livebach.musician.status import State, Status

pytestmark = pytest.mark.clock

REPO = Path(__file__).parent.parent
STATUS = Status("playing", "continue", 90.0, "4/4", 3, 2, 5, (60,), (67, 72), 1)


def test_keys_have_names() -> None:
    """Middle C is C4."""
    assert [key_name(key) for key in (21, 60, 61, 108)] == ["A0", "C4", "C#4", "C8"]


def test_lines_tell_who_struck_what_on_which_beat() -> None:
    """A line for each beat and player, a line for each turn."""
    lines = Lines()
    said = lines.read(DisplayUpdate(state="listening", bar=1, beat=1, player_struck=[60]))
    said += lines.read(DisplayUpdate(state="listening", bar=1, beat=1, tick=1, player_struck=[64]))
    said += lines.read(DisplayUpdate(state="listening", bar=1, beat=2, player_struck=[67]))
    said += lines.read(DisplayUpdate(state="playing", bar=1, beat=3, own_struck=[48, 72]))
    said += lines.close()
    assert [line.split() for line in said] == [
        ["·", "listening"],
        ["1.1", "you", "C4", "E4"],
        ["1.2", "you", "G4"],
        ["·", "livebach", "goes", "on"],
        ["1.3", "livebach", "C3", "C5"],
    ]


def test_what_is_said_comes_in_order() -> None:
    """A text follows what was struck before it."""
    lines = Lines()
    lines.read(DisplayUpdate(bar=1, beat=1, player_struck=[60]))
    assert [line.split()[-1] for line in lines.read(DisplayUpdate(text="one\ntwo"))] == ["C4", "one", "two"]


def test_the_display_shows_what_the_loop_did() -> None:
    """Notes of both, but no clicks, reach the stream by the time it is closed; closing again does nothing."""
    stream = io.StringIO()
    display = open_display(stream)
    display.say("hello")
    display.show(STATUS, [NoteOn(60)], [NoteOn(67, 80, 1), NoteOn(76, 80, 9), NoteOff(50)])
    display.close()
    display.close()
    words = stream.getvalue().split()
    assert words[0] == "hello"
    assert "C4" in words
    assert "G4" in words
    assert "E5" not in words


class Stuck:
    """A terminal that stands still."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.shown = 0

    def show(self, seen: DisplayUpdate) -> None:
        """Wait."""
        self.free.wait(10)
        self.shown += 1

    def close(self) -> None:
        """Nothing to do."""


def test_a_terminal_that_stands_still_costs_no_time() -> None:
    """Sights are dropped, none waits, and what is kept is bounded."""
    stuck = Stuck()
    display = Display(stuck)
    started = time.perf_counter()
    for _ in range(5000):
        display.show(STATUS, [], [])
    assert time.perf_counter() - started < 1
    stuck.free.set()
    display.close()
    assert stuck.shown < 1000


def test_a_terminal_that_is_gone_is_no_error() -> None:
    """Writing fails; the display goes on quietly."""
    read, write = os.pipe()
    stream = os.fdopen(write, "w")
    os.close(read)
    display = Display(PlainSink(stream))
    display.say("hello")
    display.show(STATUS, [NoteOn(60)], [])
    display.close()
    with pytest.raises(BrokenPipeError):
        stream.close()


def drawn(roll: Roll, width: int = 100, height: int = 30) -> list[str]:
    """The screen as lines of text."""
    return [line.shown(width, {}) for line in picture(roll, width, height)]


def test_the_roll_has_a_column_for_each_key() -> None:
    """What is struck is a block and what is held a line, each in its key's column; the bar's number is beside it."""
    roll = Roll()
    first = DisplayUpdate(state="playing", mode="continue", bpm=90, metre="4/4", bar=7, beat=1, tick=0, own_struck=[60])
    then = DisplayUpdate(state="playing", mode="continue", bpm=90, metre="4/4", bar=7, beat=1, tick=1, own_keys=[60])
    for seen in (first, then):
        read = next_message(io.BytesIO(packed(asdict(seen))))
        assert read is not None
        roll.take(read)
    lines = drawn(roll)
    at = 7 + 60 - 21
    assert "90 bpm" in lines[0]
    assert lines[1][at] == "█"
    assert lines[1].split()[0] == "7"
    assert lines[2][at] == "┃"


@pytest.mark.parametrize("width", [20, 40, 80, 95, 200])
@pytest.mark.parametrize("height", [6, 24, 60])
def test_the_screen_is_never_too_large(width: int, height: int) -> None:
    """Whatever the terminal's size, the picture fits."""
    roll = Roll()
    for tick in range(300):
        bar, beat = tick // 16 + 1, tick % 16 // 4 + 1
        roll.take(asdict(DisplayUpdate(state="playing", bar=bar, beat=beat, tick=tick % 16, own_struck=[60])))
    roll.take(asdict(DisplayUpdate(text="a\nb\nc\nd " + "long " * 50)))
    lines = drawn(roll, width, height)
    assert len(lines) <= max(height - 1, 8)  # the cursor stands on the line below
    assert all(len(line) <= width for line in lines)
    assert len(key_range(width)) <= 88
    assert 60 in key_range(width)


def test_the_load_and_the_ports_are_shown() -> None:
    """The load stays until it is measured again; a port that is gone is named as such."""
    roll = Roll()
    roll.take(asdict(DisplayUpdate(ports=[("in: piano", True), ("out: synth", False)])))
    roll.take(asdict(DisplayUpdate(state="playing", bar=1, load=0.07)))
    roll.take(asdict(DisplayUpdate(state="playing", bar=1)))
    lines = drawn(roll)
    assert "load 7%" in lines[0]
    assert lines[-1].endswith("in: piano   out: synth: gone")


def test_plain_lines_leave_the_ports_state_to_the_texts() -> None:
    """What came and went is said by the watcher."""
    assert Lines().read(DisplayUpdate(ports=[("in: piano", False)])) == []


def test_ports_are_shown_when_they_come_and_go() -> None:
    """Once each time, with what is connected."""
    here = {name: FakePort(name) for name in ("piano", "synth")}
    seen: list[Sequence[tuple[str, bool]]] = []
    lights = PortLights(seen.append, InputPort("piano", lambda _data, _time_s: None), here["synth"])
    lights.check()
    lights.check()
    here["synth"].close()
    lights.check()
    assert [dict(ports)["out: synth"] for ports in seen] == [True, False]
    assert all("in: piano" in dict(ports) for ports in seen)


def test_the_load_is_that_of_the_last_whole_tick() -> None:
    """All that was spent on it, of the time it had."""
    load, status = TickLoad(), replace(STATUS, tick_s=0.1)
    assert load.shown(status, 0.002).load == pytest.approx(0.02)
    assert load.shown(status, 0.003).load == pytest.approx(0.02)
    later = replace(status, tick=6)
    assert load.shown(later, 0.004).load == pytest.approx(0.07)
    assert load.shown(later, 0.005).load == pytest.approx(0.07)


@pytest.mark.parametrize("width", [*range(24, 130, 7), 110, 300])
def test_a_text_is_broken_between_words(width: int) -> None:
    """The line of keys is shown whole, at any width, on as many lines as it takes; no word is cut."""
    roll = Roll()
    roll.take(asdict(DisplayUpdate(text=HELP)))
    lines = drawn(roll, width, height=120)
    shown = " ".join(line.strip() for line in lines[:-3])
    assert shown == HELP
    assert all(len(line) <= width for line in lines)


def test_a_long_text_leaves_room_for_the_music() -> None:
    """In a low window at most a third of it is text, the newest."""
    roll = Roll()
    roll.take(asdict(DisplayUpdate(text="old " * 100 + "\nnewest")))
    lines = drawn(roll, 40, 12)
    assert sum("old" in line for line in lines) == 3
    assert lines[3] == " newest"


@pytest.mark.parametrize("width", range(20, 140, 4))
def test_the_states_are_whole_or_left_out(width: int) -> None:
    """In a narrow window no word and no number of the first and last line is cut; a port that is gone comes first."""
    roll = Roll()
    roll.take(asdict(DisplayUpdate(ports=[("in: a keyboard with a long name", True), ("out: synth", False)])))
    roll.take(asdict(DisplayUpdate(state="playing", mode="continue", bpm=90, metre="4/4", bar=12, beat=3, load=0.07)))
    lines = drawn(roll, width)
    head = ["playing", "90", "bpm", "4/4", "bar", "12:3", "continue", "load", "7%", "missed", "0"]
    foot = [
        "█",
        "you",
        "█",
        "livebach",
        "Ctrl-C",
        "ends",
        "in:",
        "a",
        "keyboard",
        "with",
        "a",
        "long",
        "name",
        "out:",
        "synth:",
        "gone",
    ]
    for line, words in ((lines[0], head), (lines[-1], foot)):
        assert len(line) <= width
        assert set(line.rstrip("…").split()) <= set(words)
    assert ("gone" in lines[-1]) == (width >= 40)


def test_a_port_may_be_called_anything() -> None:
    """What is said moves no cursor and takes one line."""
    roll = Roll()
    roll.take(asdict(DisplayUpdate(text="in: \x1b[2Jpiano\t")))
    assert drawn(roll)[0] == " in: ?[2Jpiano?"


def test_a_line_in_colours_is_cut_at_the_edge() -> None:
    """Codes take no room, a colour is named once for all that follows in it, and the line ends without one."""
    line = Line("ab", "own").add("cd", "own").add("ef").add("gh", "player")
    assert line.shown(7, {"own": "93", "player": "96"}) == "\x1b[93mabcd\x1b[0mef\x1b[96mg\x1b[0m"
    assert line.shown(3, {}) == "abc"


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def test_the_screen_is_drawn_over_itself() -> None:
    """Each picture begins where the one before began; on another size all is drawn anew; the cursor comes back."""
    roll, stream, size = Roll(), Terminal(), [(80, 24)]
    with Screen(stream, lambda: size[0], FEW_COLOURS, live=True) as screen:
        for _ in range(2):
            screen.draw(roll, last=False)
        size[0] = (60, 20)
        screen.draw(roll, last=True)
    shown = stream.getvalue()
    assert shown.startswith("\x1b[?25l")
    assert shown.count("\x1b[3F") == 1  # three lines without rows and texts
    assert shown.count("\x1b[2J\x1b[H") == 1
    assert shown.endswith("\x1b[?25h")


def test_without_a_terminal_the_last_picture_is_all_there_is() -> None:
    """No escape sequences in a file."""
    roll, stream = Roll(), io.StringIO()
    with screen_of(stream, {"TERM": "xterm"}) as screen:
        screen.draw(roll, last=False)
        assert not stream.getvalue()
        screen.draw(roll, last=True)
    assert "livebach" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("environment", "live", "grey"),
    [
        ({"TERM": "xterm-256color"}, True, "\x1b[38;5;59m"),
        ({"TERM": "xterm"}, True, "\x1b[90m"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, None),
        ({"TERM": "dumb"}, False, None),
    ],
)
def test_a_terminal_gets_what_it_understands(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], live: bool, grey: str | None
) -> None:
    """As many colours as it has, none where they are not wanted, and no moving about where it cannot."""
    monkeypatch.setattr(Terminal, "fileno", lambda _self: 1)
    monkeypatch.setattr(os, "get_terminal_size", lambda _number: (0, 0))
    stream, roll = Terminal(), Roll()
    roll.take(asdict(DisplayUpdate(text="hello")))
    screen_of(stream, environment).draw(roll, last=True)
    shown = stream.getvalue()
    assert "hello" in shown
    assert ("\x1b[K" in shown) == live
    assert (grey in shown) if grey else ("m hello" not in shown)


def test_the_screen_ends_with_its_input() -> None:
    """The process that draws leaves when the daemon has gone."""
    seen = packed(asdict(DisplayUpdate(text="hello")))
    command = [sys.executable, "-m", "livebach.live.terminal_roll"]
    for sent in (seen, seen + seen[:20]):
        done = subprocess.run(command, input=sent, capture_output=True, cwd=REPO, timeout=20)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"hello" in done.stdout


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one", 3, ["one"]),
        ("the guard could not reach it", 9, ["the guard", "could not", "reach it"]),
        ("a long-winded b", 5, ["a", "long-", "winde", "d b"]),
        ("in: a   out: b", 14, ["in: a   out: b"]),
        ("in: a   out: b", 9, ["in: a", "out: b"]),
        ("", 5, []),
    ],
)
def test_a_text_is_wrapped(text: str, width: int, lines: list[str]) -> None:
    """A word that is longer than a line is cut; several spaces stay within a line, and go at its end."""
    assert list(wrapped(text, width)) == lines


def test_an_update_arrives_as_it_was_sent() -> None:
    """With the musician's own types: its state is of an enumeration, and the ports come as pairs."""
    status = replace(STATUS, state=State.PLAYING, load=0.5)
    for seen in (sight(status, [NoteOn(60, 80)], [NoteOn(67, 50)]), DisplayUpdate(ports=[("in: é", True)])):
        read = next_message(io.BytesIO(packed(asdict(seen))))
        assert read == json.loads(json.dumps(asdict(seen)))
    assert next_message(io.BytesIO(b"")) is None


def test_the_process_that_draws_is_small() -> None:
    """It is there all the time: nothing large of Python's, nothing of livebach's, nothing of others'."""
    code = (
        "import sys; before = set(sys.modules); import livebach.live.terminal_roll; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=REPO)
    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.startswith("livebach.")}
    own = {"livebach.live", "livebach.live.terminal_roll", "livebach.system", "livebach.system.ignored_signals"}
    assert ours == {"livebach.version", *own}
    assert not {"numpy", "rich", "typing", "dataclasses", "subprocess", "enum", "re", "json"} & loaded


def test_the_roll_shows_how_hard_a_key_was_struck() -> None:
    """The louder a note, the darker: three shades."""
    sent = [NoteOn(67, 30), NoteOn(76, 90, channel=9)]
    roll = Roll()
    roll.take(asdict(sight(STATUS, [NoteOn(62, 100), NoteOn(64, 60)], sent)))
    signs = {key: sign for key, (sign, _) in roll.rows[-1].cells.items()}
    assert signs == {62: "█", 64: "▓", 67: "▒", 60: "┃", 72: "┃"}
