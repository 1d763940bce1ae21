"""The display: a live roll in the terminal, drawn by a separate process, or plain lines elsewhere.

The loop only puts updates into a queue. A thread passes them on; when the terminal is slow, updates are dropped, and
the loop never waits. Knows what happened; how it is drawn is up to `terminal_roll`.
"""

from __future__ import annotations

import contextlib
import marshal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from typing import Protocol, TextIO

from livebach.live.hotkeys import in_foreground
from livebach.music.events import Event, NoteOn
from livebach.musician.status import Status
from livebach.system import subprocesses

MAX_WAITING = 500
NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
CLOSE_S = 1.0
SUSPEND_S = 0.2


@dataclass(frozen=True, slots=True)
class DisplayUpdate:
    """The changes of one turn of the loop: the status, and the MIDI keys struck in the turn."""

    state: str = "idle"
    mode: str = ""
    bpm: float = 0.0
    metre: str = ""
    bar: int = 0
    beat: int = 0
    tick: int = 0
    missed: int = 0
    load: float | None = None
    player_keys: Sequence[int] = ()
    own_keys: Sequence[int] = ()
    player_struck: Sequence[int] = ()
    own_struck: Sequence[int] = ()
    player_velocities: Sequence[int] = ()  # of the keys struck, in their order
    own_velocities: Sequence[int] = ()
    text: str = ""
    level: str = "info"
    ports: Sequence[tuple[str, bool]] = ()  # nothing but that: their names, and whether they are connected


def sight(status: Status, heard: Sequence[Event], sent: Sequence[Event]) -> DisplayUpdate:
    """Return the update for a turn of the loop; of the events sent, the notes count and not the clicks."""
    player = [event for event in heard if isinstance(event, NoteOn)]
    own = [event for event in sent if isinstance(event, NoteOn) and event.key in status.own_keys]
    return DisplayUpdate(
        **{name: getattr(status, name) for name in _SHARED},
        mode=", ".join([status.mode, *["mute"] * status.muted, *["hold"] * status.holding]),
        player_struck=[event.key for event in player],
        own_struck=[event.key for event in own],
        player_velocities=[event.velocity for event in player],
        own_velocities=[event.velocity for event in own],
    )


_SHARED = ("state", "bpm", "metre", "bar", "beat", "tick", "missed", "load", "player_keys", "own_keys")


def key_name(key: int) -> str:
    """Return the name of a MIDI key in scientific pitch notation: 60 is C4."""
    return f"{NAMES[key % 12]}{key // 12 - 1}"


class Sink(Protocol):
    """A destination of updates; may be slow."""

    def show(self, seen: DisplayUpdate) -> None:
        """Show an update."""

    def suspend(self) -> None:
        """Leave the terminal to others for a while."""

    def resume(self) -> None:
        """Go on."""

    def close(self) -> None:
        """Show the remaining updates, and end."""


# --- plain lines -----------------------------------------------------------------------------------------------------


@dataclass
class Lines:
    """Turns updates into lines: one for each beat with a struck key, and one for each change of turns."""

    last: DisplayUpdate = field(default_factory=DisplayUpdate)
    struck: dict[str, list[int]] = field(default_factory=lambda: {"you": [], "livebach": []})

    def read(self, seen: DisplayUpdate) -> list[str]:
        """Return the lines that an update completes. Changes of the ports come as texts."""
        if seen.ports:
            return []
        if seen.text:
            return [*self._beat(), *seen.text.splitlines()]
        lines = self._beat() if (seen.bar, seen.beat) != (self.last.bar, self.last.beat) else []
        if seen.state != self.last.state:
            lines += [*self._beat(), f"        {_TURNS.get(seen.state, seen.state)}"]
        self.struck["you"] += seen.player_struck
        self.struck["livebach"] += seen.own_struck
        self.last = seen
        return lines

    def _beat(self) -> list[str]:
        """Return the lines of the beat that is over."""
        place = f"{self.last.bar}.{self.last.beat}"
        said = [(who, keys) for who, keys in self.struck.items() if keys]
        lines = [f"{place:>6}  {who:9}{' '.join(map(key_name, keys))}" for who, keys in said]
        for keys in self.struck.values():
            keys.clear()
        return lines

    def close(self) -> list[str]:
        """Return the remaining lines."""
        return self._beat()


_TURNS = {"idle": "· waiting for you", "listening": "· listening", "playing": "· livebach goes on"}


class Unmoved:
    """Suspension of a sink that only adds lines, which needs no action."""

    def suspend(self) -> None:
        """There is nothing to give back."""

    def resume(self) -> None:
        """There is nothing to take."""


class PlainSink(Unmoved):
    """Writes lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines = Lines()

    def show(self, seen: DisplayUpdate) -> None:
        """Write the lines that an update completes."""
        self._write(self._lines.read(seen))

    def close(self) -> None:
        """Write the remaining lines."""
        self._write(self._lines.close())

    def _write(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._stream.write(line + "\n")
        self._stream.flush()


class TextSink(Unmoved):
    """Writes texts alone: for a terminal beside a page that shows the music."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, seen: DisplayUpdate) -> None:
        """Write it, if it is a text."""
        if seen.text:
            self._stream.write(f"{seen.text}\n")
            self._stream.flush()

    def close(self) -> None:
        """There is nothing left."""


class Both:
    """Shows everything in two places."""

    def __init__(self, one: Sink, other: Sink) -> None:
        self._sinks = one, other

    def show(self, seen: DisplayUpdate) -> None:
        """Show an update."""
        for sink in self._sinks:
            sink.show(seen)

    def suspend(self) -> None:
        """Leave the terminal to others for a while."""
        for sink in self._sinks:
            sink.suspend()

    def resume(self) -> None:
        """Go on."""
        for sink in self._sinks:
            sink.resume()

    def close(self) -> None:
        """Show the remaining updates, and end."""
        for sink in self._sinks:
            sink.close()


# --- a process of its own --------------------------------------------------------------------------------------------


def packed(message: Mapping[str, object]) -> bytes:
    """Return a message as the process that draws reads it. `marshal` knows no subclasses, such as enumerations."""
    return marshal.dumps({name: _plain(value) for name, value in message.items()})


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


class ChildSink:
    """Hands sights to the process that draws; when it has gone, they go nowhere."""

    def __init__(self) -> None:
        self._child = subprocesses.start("livebach.live.terminal_roll", stdin=subprocess.PIPE)

    def show(self, seen: DisplayUpdate) -> None:
        """Hand on one."""
        self._write(asdict(seen))

    def suspend(self) -> None:
        """Have it draw no more, and show the cursor."""
        self._write({"suspended": True})

    def resume(self) -> None:
        """Have it draw again, below what has been written meanwhile."""
        self._write({"suspended": False})

    def _write(self, message: Mapping[str, object]) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(packed(message))
        self._child.stdin.flush()

    def close(self) -> None:
        """Let it end, and see to it that it does."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


# --- what the loop sees ----------------------------------------------------------------------------------------------


class Display:
    """Takes sights from the loop and texts from anyone, without waiting."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._queue: SimpleQueue[DisplayUpdate | Callable[[], None] | None] = SimpleQueue()
        self._closed = False
        self._suspended = False
        self._thread = threading.Thread(target=self._work, name="livebach-display", daemon=True)
        self._thread.start()

    def show(self, status: Status, heard: Sequence[Event], sent: Sequence[Event]) -> None:
        """Show a turn of the loop; left out where the terminal is far behind."""
        if self._queue.qsize() < MAX_WAITING:
            self._queue.put(sight(status, heard, sent))

    def say(self, text: str) -> None:
        """Show a text."""
        self._queue.put(DisplayUpdate(text=text))

    def warn(self, text: str) -> None:
        """Show a text that asks for something to be done."""
        self._queue.put(DisplayUpdate(text=text, level="warning"))

    def show_ports(self, ports: Sequence[tuple[str, bool]]) -> None:
        """Show which ports there are, and whether they are connected."""
        self._queue.put(DisplayUpdate(ports=ports))

    def suspend(self) -> None:
        """Leave the terminal to others for a while; returns when that is done. Again does nothing."""
        if not self._suspended:
            self._suspended, done = True, threading.Event()
            self._queue.put(self._sink.suspend)
            self._queue.put(done.set)
            done.wait(SUSPEND_S)

    def resume(self) -> None:
        """Go on, unless this process is in the terminal's background. Again does nothing."""
        if self._suspended and (not sys.stdout.isatty() or in_foreground(sys.stdout.fileno())):
            self._suspended = False
            self._queue.put(self._sink.resume)

    def close(self) -> None:
        """Show the remaining updates for a short time, and close. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join(CLOSE_S)

    def _work(self) -> None:
        """Show what comes. A terminal that has gone away ends the showing, not the music."""
        with contextlib.suppress(OSError, ValueError):
            while (seen := self._queue.get()) is not None:
                if isinstance(seen, DisplayUpdate):
                    self._sink.show(seen)
                else:
                    seen()
        with contextlib.suppress(OSError, ValueError):
            self._sink.close()


def terminal_sink(stream: TextIO | None = None) -> Sink:
    """Return the live roll on a terminal, plain lines elsewhere."""
    stream = sys.stdout if stream is None else stream
    return ChildSink() if stream.isatty() else PlainSink(stream)


def open_display(stream: TextIO | None = None) -> Display:
    """Return a display on a stream, by default standard output."""
    return Display(terminal_sink(stream))
