"""Changes the network while livebach plays, between two ticks: on a command, or when the checkpoint's file changes.

A thread loads the file and gives the new network the frames that the old one was given. The loop only exchanges the
two once both know the same. A checkpoint that cannot be used is reported, and the old network plays on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import Any, Protocol

from livebach.bindings import Controls
from livebach.config import Config
from livebach.controls import Command
from livebach.errors import UserError
from livebach.live import assembly, take_log
from livebach.live.daemon import Watch
from livebach.live.inbox import Task
from livebach.music.events import Event
from livebach.musician.memory import History, HistoryView, Network
from livebach.musician.status import Status
from livebach.styles import next_style

LEFT = 1
"""The most frames that the loop itself gives the new network: each takes a millisecond."""
PAUSE_S = 0.005
PATIENCE_S = 0.2
MOST_READINGS = 5
"""Most readings of a file that changes while it is read."""


class Loop(Protocol):
    """The part of the daemon that the swapper uses."""

    def ask(self, task: Task) -> None:
        """Have the loop call a function between two calls of the musician."""

    def tell(self, text: str) -> None:
        """Show a line to the player."""

    def told(self) -> HistoryView:
        """Return the frames that the network was given; on the loop's thread only."""

    def exchange(self, network: Network, past: History, swap: take_log.Swap) -> bool:
        """Play on with another network if there is time and it was given the same; on the loop's thread only."""


COMMANDS = ("swap", "style")
"""The commands that change the network."""


def show_nowhere(_name: str) -> None:
    """Show the network nowhere."""


def _no_other(command: Command) -> None:
    raise AssertionError(f"{command.name} changes no network")


class _ClosedError(Exception):
    """The swapper was closed while it waited for the loop."""


class Swapper:
    """Loads networks, and has the loop play on with them. `ask` is safe to call from any thread or signal handler."""

    def __init__(self, network: assembly.Loaded, config: Config, show: Callable[[str], None] = show_nowhere) -> None:
        """Begin with a network. `show` is called with its name, and again after every request."""
        self._plays = network.name, network.sha256
        self._fast, self._per_quarter = config.engine.fast, network.engine.spec.steps_per_quarter
        self._watches = config.engine.reload_on_change
        self._controls = Controls({name: config.control.bindings[name] for name in COMMANDS})
        self._style = network.name
        self._show = show
        self._wanted: SimpleQueue[str | None] = SimpleQueue()
        self._closed = Flag()
        self._loop: Loop | None = None
        self._seen = self._looked = _stamp(network.name)
        self._thread = Thread(target=self._work, name="livebach-swap", daemon=True)

    def start(self, loop: Loop) -> None:
        """Begin to serve requests with this loop."""
        self._loop = loop
        self._show(self._plays[0])
        self._thread.start()

    def close(self) -> None:
        """End the thread; a second call does nothing."""
        self._closed.set()
        self._wanted.put(None)
        if self._thread.is_alive():
            self._thread.join(2 * PATIENCE_S)

    # --- requests ----------------------------------------------------------------------------------------------------

    def ask(self, name: str = "") -> None:
        """Request this style or checkpoint; without a name, the present file, read again."""
        self._wanted.put(name)

    def ask_style(self, value: str = "") -> None:
        """Take up a style by its name, or the next («», «up») or the one before («down») in the table of styles."""
        self._style = next_style(self._style, -1 if value == "down" else 1) if value in ("", "up", "down") else value
        self.ask(self._style)

    def command(self, command: Command, others: Callable[[Command], None]) -> None:
        """Carry out a command that changes the network; leave any other to the others."""
        if command.name == "swap":
            self.ask(command.value)
        elif command.name == "style":
            self.ask_style(command.value)
        else:
            others(command)

    def observe(self, events: Sequence[Event]) -> None:
        """Look for a controller, key or program that is bound to a change of the network."""
        for event in events:
            for command in self._controls.read(event):
                self.command(command, _no_other)

    def check(self) -> str | None:
        """Request the present file if it has changed, and stayed the same since the last check."""
        if self._watches:
            stamp, before = _stamp(self._plays[0]), self._looked
            self._looked = stamp
            if stamp is not None and stamp == before and stamp != self._seen:
                self._seen = stamp
                self.ask()
        return None

    # --- on its own thread -------------------------------------------------------------------------------------------

    def _work(self) -> None:
        assert self._loop is not None
        while (name := self._wanted.get()) is not None:
            with suppress(Empty):  # of several requests that wait, the last one counts
                while True:
                    name = self._wanted.get_nowait()
            if name is None:
                return
            try:
                text = self._swap(name, self._loop)
            except _ClosedError:
                return
            except UserError as error:
                text = f"{error}; the network plays on as it was"
            except Exception as error:  # noqa: BLE001 - an error that is not told here would end all later requests too
                text = f"{name or self._plays[0]}: {type(error).__name__}: {error}; the network plays on as it was"
            self._show(self._plays[0])  # also after a failure: a display may show the name that was asked for
            self._loop.tell(text)

    def _swap(self, name: str, loop: Loop) -> str:
        new = self._loaded(name or self._plays[0])
        if (new.name, new.sha256) == self._plays:
            return f"{new.name}: this very network plays already"
        told: HistoryView | None = self._by_loop(loop, loop.told)
        past: History | None = None
        swap = take_log.Swap(new.name, new.sha256, 0)
        while told is not None:
            if past is None or not past.catch_up(told):
                past = History(new.engine, told.first)
                swap = take_log.Swap(new.name, new.sha256, told.first)
                past.catch_up(told)
            told = self._by_loop(loop, _exchange(loop, new.engine, past, swap))
            self._closed.wait(0 if told is None else PAUSE_S)
        self._plays, self._seen = (new.name, new.sha256), _stamp(new.name)
        return f"From here on {new.name} plays ({new.sha256[:12]}…)"

    def _loaded(self, name: str) -> assembly.Loaded:
        """Load a checkpoint whose file did not change meanwhile; UserError if it does not fit this take."""
        for _ in range(MOST_READINGS):
            before = _stamp(name)
            new = assembly.load_network(name, self._fast)
            if _stamp(name) == before:
                break
        else:
            raise UserError(f"{name}: it was written to whenever it was read")
        per_quarter = new.engine.spec.steps_per_quarter
        if per_quarter != self._per_quarter:
            raise UserError(
                f"{new.name}: it has {per_quarter} ticks in a quarter note, and this take {self._per_quarter}"
            )
        return new

    def _by_loop(self, loop: Loop, task: Callable[[], Any]) -> Any:
        """Have the loop call a function, and return its result."""
        answer: SimpleQueue[Any] = SimpleQueue()
        loop.ask(lambda: answer.put(task()))
        while not self._closed.is_set():
            try:
                return answer.get(timeout=PATIENCE_S)
            except Empty:
                continue
        raise _ClosedError


def watching(watch: Watch, swapper: Swapper) -> Watch:
    """Return a watcher that also shows the swapper the player's events."""

    def both(status: Status, heard: Sequence[Event], sent: Sequence[Event]) -> None:
        watch(status, heard, sent)
        swapper.observe(heard)

    return both


def _exchange(loop: Loop, network: Network, past: History, swap: take_log.Swap) -> Callable[[], HistoryView | None]:
    """Return the loop's task: it returns None once it is done, else the frames that the network was given by now."""

    def task() -> HistoryView | None:
        told = loop.told()
        left = told.first + len(told.pushed) - past.count
        done = 0 <= left <= LEFT and loop.exchange(network, past, swap)
        return None if done else told

    return task


def _stamp(name: str) -> tuple[int, int, int] | None:
    """Return values that change when a checkpoint's file is written; None if there is no file."""
    try:
        state = assembly.path_of(name).stat()
    except (OSError, ValueError):  # UserError is one
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
