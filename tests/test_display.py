"""What is shown: plain lines, the live roll, and a terminal that is slow or gone never holds up the music."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from livebach.display import Display, Lines, PlainSink, Sight, key_name, open_display
from livebach.events import NoteOff, NoteOn
from livebach.screen import Roll, key_range, picture
from livebach.status import Status

REPO = Path(__file__).parent.parent
STATUS = Status("playing", "continue", 90.0, "4/4", 3, 2, 5, (60,), (67, 72), 1)


def test_keys_have_names() -> None:
    """Middle C is C4."""
    assert [key_name(key) for key in (21, 60, 61, 108)] == ["A0", "C4", "C#4", "C8"]


def test_lines_tell_who_struck_what_on_which_beat() -> None:
    """A line for each beat and player, a line for each turn."""
    lines = Lines()
    said = lines.read(Sight(state="listening", bar=1, beat=1, player_struck=[60]))
    said += lines.read(Sight(state="listening", bar=1, beat=1, tick=1, player_struck=[64]))
    said += lines.read(Sight(state="listening", bar=1, beat=2, player_struck=[67]))
    said += lines.read(Sight(state="playing", bar=1, beat=3, own_struck=[48, 72]))
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
    lines.read(Sight(bar=1, beat=1, player_struck=[60]))
    assert [line.split()[-1] for line in lines.read(Sight(text="one\ntwo"))] == ["C4", "one", "two"]


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

    def show(self, seen: Sight) -> None:
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
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(picture(roll, width, height))
    return capture.get().splitlines()


def test_the_roll_has_a_column_for_each_key() -> None:
    """What is struck is a block and what is held a line, each in its key's column; the bar's number is beside it."""
    roll = Roll()
    first = Sight(state="playing", mode="continue", bpm=90, metre="4/4", bar=7, beat=1, tick=0, own_struck=[60])
    then = Sight(state="playing", mode="continue", bpm=90, metre="4/4", bar=7, beat=1, tick=1, own_keys=[60])
    for seen in (first, then):
        roll.take(json.loads(json.dumps(asdict(seen))))
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
        roll.take(asdict(Sight(state="playing", bar=bar, beat=beat, tick=tick % 16, own_struck=[60])))
    roll.take(asdict(Sight(text="a\nb\nc\nd " + "long " * 50)))
    lines = drawn(roll, width, height)
    if width >= 60:
        assert len(lines) <= max(height, 9)
    assert len(key_range(width)) <= 88
    assert 60 in key_range(width)


def test_the_screen_ends_with_its_input() -> None:
    """The process that draws leaves when the daemon has gone."""
    seen = json.dumps(asdict(Sight(text="hello")))
    command = [sys.executable, "-m", "livebach.screen"]
    done = subprocess.run(command, input=seen + "\n", capture_output=True, text=True, cwd=REPO, timeout=20)
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout
