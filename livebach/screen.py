"""The live roll, in a process of its own: sights come in as lines of JSON, the terminal shows the newest.

A row is a tick and a column a key, low keys left; the newest row is at the bottom, above the keyboard. Ends when its
input does. Knows neither MIDI ports nor the daemon.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

LOW_KEY, KEYS = 21, 88
BLACK = frozenset({1, 3, 6, 8, 10})
PLAYER, OWN, FAINT = "bright_cyan", "bright_yellow", "grey37"
STRUCK, HELD = "█", "┃"
FRAMES_A_SECOND = 15
MOST_ROWS = 200
TEXTS = 3
WORDS = {"idle": "waiting for you", "listening": "listening", "playing": "playing"}


@dataclass
class Row:
    """One tick: its place and what each key does, by MIDI key."""

    place: tuple[int, int, int]
    cells: dict[int, tuple[str, str]] = field(default_factory=dict)  # key -> (sign, colour)


@dataclass
class Roll:
    """All that is on the screen."""

    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=MOST_ROWS))
    texts: deque[str] = field(default_factory=lambda: deque(maxlen=TEXTS))
    head: dict[str, Any] = field(default_factory=dict)

    def take(self, seen: dict[str, Any]) -> None:
        """Take in one sight."""
        if seen["text"]:
            self.texts.extend(seen["text"].splitlines())
            return
        self.head = seen
        if seen["bar"] == 0 and seen["state"] == "idle":
            return
        place = (seen["bar"], seen["beat"], seen["tick"])
        if not self.rows or self.rows[-1].place != place:
            self.rows.append(Row(place))
        self._fill(self.rows[-1].cells, seen)

    def _fill(self, cells: dict[int, tuple[str, str]], seen: dict[str, Any]) -> None:
        for who, colour in (("own", OWN), ("player", PLAYER)):
            for key in seen[f"{who}_keys"]:
                cells.setdefault(key, (HELD, colour))
            for key in seen[f"{who}_struck"]:
                cells[key] = (STRUCK, colour)


def key_range(width: int) -> range:
    """The keys that fit beside the bar's number, those at both ends left out where the terminal is narrow."""
    fit = max(12, min(KEYS, width - 8))
    low = LOW_KEY + (KEYS - fit) // 2
    return range(low, low + fit)


def row_text(row: Row, before: Row | None, keys: Sequence[int]) -> Text:
    """One tick as a line; a bar begins with its number, a beat with a mark."""
    new_bar = before is None or before.place[0] != row.place[0]
    new_beat = new_bar or (before is not None and before.place[1] != row.place[1])
    margin = f"{row.place[0]:4} ┈ " if new_bar else "     ┊ " if new_beat else "       "
    line = Text(margin, style=FAINT)
    for key in keys:
        sign, colour = row.cells.get(key, ("┈" if new_bar else "┊" if key % 12 == 0 else " ", FAINT))
        line.append(sign, colour)
    return line


def keyboard_text(head: dict[str, Any], keys: Sequence[int]) -> Text:
    """The keyboard, with the keys that are down now in their player's colour."""
    line = Text("       ")
    for key in keys:
        down = PLAYER if key in head.get("player_keys", ()) else OWN if key in head.get("own_keys", ()) else ""
        line.append("▀" if key % 12 in BLACK else "█", down or ("grey30" if key % 12 in BLACK else "grey85"))
    return line


def head_text(head: dict[str, Any]) -> Text:
    """Tempo, place, mode, whose turn it is, and the deadlines that were missed."""
    line = Text(" ")
    if head:
        state = head["state"]
        colour = OWN if state == "playing" else PLAYER if state == "listening" else FAINT
        line.append(f"{WORDS.get(state, state):16}", colour)
        line.append(f"{head['bpm']:g} bpm  {head['metre']}  bar {head['bar']}:{head['beat']}  {head['mode']}  ")
        line.append(f"missed {head['missed']}", "red" if head["missed"] else FAINT)
    return line


def legend() -> Text:
    """Which colour is whose."""
    return Text.assemble(" ", ("█ you", PLAYER), "   ", ("█ livebach", OWN), "   Ctrl-C ends")


def picture(roll: Roll, width: int, height: int) -> RenderableType:
    """The whole screen."""
    keys = key_range(width)
    rows = list(roll.rows)[-max(1, height - len(roll.texts) - 5) :]
    lines = [row_text(row, before, keys) for before, row in zip([None, *rows], rows, strict=False)]
    texts = [Text(f" {text}", FAINT, no_wrap=True, overflow="ellipsis") for text in roll.texts]
    return Group(*texts, head_text(roll.head), *lines, keyboard_text(roll.head, keys), legend())


def run(stream: TextIO, console: Console) -> None:
    """Show what comes on the stream until it ends."""
    roll, changed, ended, lock = Roll(), threading.Event(), threading.Event(), threading.Lock()

    def read() -> None:
        for line in stream:
            with lock:
                roll.take(json.loads(line))
            changed.set()
        ended.set()
        changed.set()

    threading.Thread(target=read, daemon=True).start()
    with Live(console=console, auto_refresh=False, transient=False) as live:
        last = False
        while not last:
            changed.wait()
            changed.clear()
            last = ended.is_set()
            with lock:
                shown = picture(roll, console.width, console.height)
            live.update(shown, refresh=True)
            ended.wait(1 / FRAMES_A_SECOND)


def main() -> None:
    """Draw on the terminal. Ctrl-C is the daemon's affair: when that ends, so does our input."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(5)
    run(sys.stdin, Console())


if __name__ == "__main__":
    main()
