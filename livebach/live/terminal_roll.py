"""The live roll, in a process of its own: reads updates, and draws the newest ones.

A row is a tick and a column a key, low keys left; the newest row is at the bottom, above the keyboard. Ends when its
input does. Updates come in Python's own format, `marshal`, which is part of the interpreter; `json` would take 1 MB.
Knows neither MIDI ports nor the daemon. It writes the escape sequences itself and imports little, as the process runs
all the time and should be small.
"""

from __future__ import annotations

import marshal
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from livebach.system.ignored_signals import ignore_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, TextIO

    Seen = Mapping[str, Any]
    Cells = dict[int, tuple[str, str]]  # key -> (sign, colour)

LOW_KEY, KEYS = 21, 88
BLACK = frozenset({1, 3, 6, 8, 10})
PLAYER, OWN, FAINT, ALARM, BLACK_KEY, WHITE_KEY = "player", "own", "faint", "alarm", "black key", "white key"
FEW_COLOURS = {PLAYER: "96", OWN: "93", FAINT: "90", ALARM: "31", BLACK_KEY: "90", WHITE_KEY: "97"}
MANY_COLOURS = FEW_COLOURS | {FAINT: "38;5;59", BLACK_KEY: "38;5;239", WHITE_KEY: "38;5;253"}
"""Select Graphic Rendition codes (ECMA-48) for terminals with 16 and with 256 colours."""
LOUDEST = 127
STRUCK, HELD = (("█", 88), ("▓", 56), ("▒", 0)), "┃"
"""How a key that is struck is drawn from which velocity on; one that is held."""
FRAMES_A_SECOND = 15
MOST_ROWS = 200
TEXTS = 4
HEAVY = 0.5
"""From this share of a tick on, the load is shown as an alarm."""
WORDS = {"idle": "waiting for you", "listening": "listening", "playing": "playing"}


class Row:
    """One tick: its place (bar, beat, tick) and what each key does, by MIDI key."""

    def __init__(self, place: tuple[int, int, int]) -> None:
        self.place = place
        self.cells: Cells = {}


class Roll:
    """The content of the screen."""

    def __init__(self) -> None:
        self.rows: deque[Row] = deque(maxlen=MOST_ROWS)
        self.texts: deque[str] = deque(maxlen=TEXTS)
        self.head: Seen = {}
        self.load = 0.0
        self.ports: Sequence[tuple[str, bool]] = ()

    def take(self, seen: Seen) -> None:
        """Take in one update."""
        if seen["text"]:
            self.texts.extend(printable(line) for line in seen["text"].splitlines())
            return
        if seen["ports"]:
            self.ports = seen["ports"]
            return
        self.head = seen
        self.load = self.load if seen["load"] is None else seen["load"]
        if seen["bar"] == 0 and seen["state"] == "idle":
            return
        place = (seen["bar"], seen["beat"], seen["tick"])
        if not self.rows or self.rows[-1].place != place:
            self.rows.append(Row(place))
        self._fill(self.rows[-1].cells, seen)

    def _fill(self, cells: Cells, seen: Seen) -> None:
        for who in (OWN, PLAYER):
            for key in seen[f"{who}_keys"]:
                cells.setdefault(key, (HELD, who))
            for key, velocity in zip_longest(seen[f"{who}_struck"], seen[f"{who}_velocities"], fillvalue=LOUDEST):
                cells[key] = (next(sign for sign, least in STRUCK if velocity >= least), who)


# --- the picture -----------------------------------------------------------------------------------------------------


class Line:
    """A line of text in several colours."""

    def __init__(self, text: str = "", colour: str = "") -> None:
        self.parts: list[tuple[str, str]] = []
        self.add(text, colour)

    def add(self, text: str, colour: str = "") -> Line:
        """Append text in a colour, and return the line."""
        self.parts.append((text, colour))
        return self

    def shown(self, width: int, codes: Mapping[str, str]) -> str:
        """Return the line as the terminal takes it, cut at its edge; plain if no codes are given."""
        out, current = [], ""
        for text, colour in self.parts:
            code = codes.get(colour, "")
            if code != current and text:
                out.append(f"\x1b[{code or 0}m")
                current = code
            out.append(text[:width])
            width -= len(text[:width])
        return "".join(out) + ("\x1b[0m" if current else "")


def key_range(width: int) -> range:
    """Return the MIDI keys that fit beside the bar number; in a narrow terminal both ends are left out."""
    fit = max(12, min(KEYS, width - 8))
    low = LOW_KEY + (KEYS - fit) // 2
    return range(low, low + fit)


def row_line(row: Row, before: Row | None, keys: Sequence[int]) -> Line:
    """Return a tick as a line; a bar begins with its number, a beat with a mark."""
    new_bar = before is None or before.place[0] != row.place[0]
    new_beat = new_bar or (before is not None and before.place[1] != row.place[1])
    line = Line(f"{row.place[0]:4} ┈ " if new_bar else "     ┊ " if new_beat else "       ", FAINT)
    for key in keys:
        line.add(*row.cells.get(key, ("┈" if new_bar else "┊" if key % 12 == 0 else " ", FAINT)))
    return line


def keyboard_line(head: Seen, keys: Sequence[int]) -> Line:
    """Return the keyboard; keys that are down have their player's colour."""
    line = Line("       ")
    for key in keys:
        black = key % 12 in BLACK
        down = PLAYER if key in head.get("player_keys", ()) else OWN if key in head.get("own_keys", ()) else ""
        line.add("▀" if black else "█", down or (BLACK_KEY if black else WHITE_KEY))
    return line


Parts = Sequence[tuple[str, str]]  # text, colour


def fitted(parts: Parts, width: int) -> Line:
    """Return the parts as a line, as many as fit whole; where some are left out, a sign stands for them."""
    line, left = Line(" "), width - 1
    for number, (text, colour) in enumerate(parts):
        last = number == len(parts) - 1
        if len(text) > left - (not last):  # room for the sign
            return line.add("…", FAINT)
        line.add(text, colour)
        left -= len(text)
    return line


def head_line(head: Seen, load: float, width: int) -> Line:
    """Return the line of the state: whose turn it is, tempo, place, mode, the load of a tick, missed deadlines."""
    if not head:
        return Line()
    state = head["state"]
    return fitted(
        [
            (f"{WORDS.get(state, state):16}", {"playing": OWN, "listening": PLAYER}.get(state, FAINT)),
            (f"{head['bpm']:g} bpm", ""),
            (f"  {head['metre']}", ""),
            (f"  bar {head['bar']}:{head['beat']}", ""),
            (f"  {head['mode']}", ""),
            (f"  load {load:.0%}", ALARM if load > HEAVY else FAINT),
            (f"  missed {head['missed']}", ALARM if head["missed"] else FAINT),
        ],
        width,
    )


def printable(text: str) -> str:
    """Return a text without control characters: a port may have any name, and must not move the cursor."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def wrapped(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text, broken between words; longer words are cut. `textwrap` would take 0.3 MB."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if len(longer) > width and line:
            yield line.rstrip()
            longer = word
        while len(longer) > width:
            yield longer[:width]
            longer = longer[width:]
        line = longer
    if line.rstrip():
        yield line.rstrip()


def text_lines(texts: Iterable[str], width: int, most: int) -> list[Line]:
    """Return the newest texts as lines, broken between words: at most `most` lines."""
    lines: list[str] = []
    for text in texts:
        lines += wrapped(text, max(1, width - 2))
    return [Line(f" {line}", FAINT) for line in lines[-most:]] if most > 0 else []


def legend(ports: Sequence[tuple[str, bool]], width: int) -> Line:
    """Return the line with the players' colours and the ports; missing ports come first."""
    gone = [(f"   {printable(name)}: gone", ALARM) for name, connected in ports if not connected]
    there = [(f"   {printable(name)}", FAINT) for name, connected in ports if connected]
    parts = [("█ you", PLAYER), ("   █ livebach", OWN), ("   Ctrl-C ends", ""), *there, *gone]
    if sum(len(text) for text, _ in parts) >= width:
        parts = [*parts[:2], *gone, *there, parts[2]]
    return fitted(parts, width)


def picture(roll: Roll, width: int, height: int) -> Iterator[Line]:
    """Yield the lines of the whole screen."""
    keys = key_range(width)
    texts = text_lines(roll.texts, width, height // 3)
    rows = list(roll.rows)[-max(1, height - len(texts) - 5) :]
    yield from texts
    yield head_line(roll.head, roll.load, width)
    yield from (row_line(row, before, keys) for before, row in zip([None, *rows], rows, strict=False))
    yield keyboard_line(roll.head, keys)
    yield legend(roll.ports, width)


# --- the terminal ----------------------------------------------------------------------------------------------------


def no_terminal() -> tuple[int, int]:
    """Return the width and height that are assumed without a terminal."""
    return 80, 24


class Screen:
    """Draws the picture again and again in the same place; without a terminal, once at the end."""

    def __init__(
        self, stream: TextIO, size: Callable[[], tuple[int, int]], codes: Mapping[str, str], live: bool
    ) -> None:
        self._stream, self._size, self._codes, self._live = stream, size, codes, live
        self._drawn = 0  # lines
        self._drawn_at = (0, 0)

    def __enter__(self) -> Screen:
        """Hide the cursor."""
        if self._live:
            self._stream.write("\x1b[?25l")
        return self

    def __exit__(self, *_: object) -> None:
        """Show it again."""
        if self._live:
            self._stream.write("\x1b[?25h")
        self._stream.flush()

    def leave(self) -> None:
        """Restore the terminal. The next drawing begins below."""
        self._drawn = 0
        self.__exit__()

    def draw(self, roll: Roll, last: bool) -> None:
        """Draw over the picture before; if the terminal has changed its size, begin at the top."""
        if not (self._live or last):
            return
        width, height = self._size()
        lines = [line.shown(width - 1, self._codes) for line in picture(roll, width, height)]
        begin, end_line, end = "", "\n", ""
        if self._live:
            begin = f"\x1b[{self._drawn}F" if self._drawn else ""
            if self._drawn and self._drawn_at != (width, height):
                begin = "\x1b[2J\x1b[H"
            end_line, end = "\x1b[K\n", "\x1b[J"
        self._stream.write(begin + "".join(line + end_line for line in lines) + end)
        self._stream.flush()
        self._drawn, self._drawn_at = len(lines), (width, height)


def screen_of(stream: TextIO, environment: Mapping[str, str]) -> Screen:
    """Return the screen that fits a stream: not live without a terminal, without colours if NO_COLOR is set."""
    live = stream.isatty() and environment.get("TERM") != "dumb" and _understands_escapes()
    many = "256" in environment.get("TERM", "") or "COLORTERM" in environment
    codes = {} if not live or environment.get("NO_COLOR") else MANY_COLOURS if many else FEW_COLOURS

    def size() -> tuple[int, int]:
        width, height = os.get_terminal_size(stream.fileno())
        return width or 80, height or 24  # a terminal may not know

    return Screen(stream, size if live else no_terminal, codes, live)


def _understands_escapes() -> bool:
    """Return whether the terminal obeys escape sequences; Windows has to be asked to."""
    if sys.platform != "win32":
        return True
    import ctypes

    console = ctypes.windll.kernel32
    return bool(console.SetConsoleMode(console.GetStdHandle(-11), 7))  # processed, wrapped, virtual terminal


def next_message(stream: BinaryIO) -> Seen | None:
    """Return the next update of a stream; None where it ends, even within an update."""
    try:
        message: Seen = marshal.load(stream)  # noqa: S302 - livebach's own process has written it # nosec B302
    except (EOFError, ValueError, TypeError):
        return None
    return message


def run(stream: BinaryIO, screen: Screen) -> None:
    """Show the updates of a stream until it ends."""
    roll, changed, ended, lock = Roll(), threading.Event(), threading.Event(), threading.Lock()
    suspended = False

    def read() -> None:
        nonlocal suspended
        while (message := next_message(stream)) is not None:
            with lock:
                if "suspended" not in message:
                    roll.take(message)
                elif message["suspended"] != suspended:
                    suspended = message["suspended"]
                    screen.leave() if suspended else screen.__enter__()
            changed.set()
        ended.set()
        changed.set()

    threading.Thread(target=read, daemon=True).start()
    with screen:
        last = False
        while not last:
            changed.wait()
            changed.clear()
            last = ended.is_set()
            with lock:
                if not suspended:
                    screen.draw(roll, last)
            ended.wait(1 / FRAMES_A_SECOND)


def main() -> None:
    """Draw on the terminal. Ctrl-C and Ctrl-Z are left to the player, who ends this process or suspends its drawing."""
    ignore_signals("SIGINT", "SIGHUP", "SIGTSTP")
    if hasattr(os, "nice"):
        os.nice(5)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # whatever the terminal cannot write
    run(sys.stdin.buffer, screen_of(sys.stdout, os.environ))


if __name__ == "__main__":
    main()
