"""Connections of rtmidi with a simulated port: receiving, sending, sharing and closing."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from threading import Event, Thread, get_ident

import pytest

from livebach.midi import rtmidi_io
from livebach.midi.rtmidi_io import Activity, CallbackInput, PolledInput, RtMidiOutput, foreign_threads
from tests.support.waiting import until

pytestmark = pytest.mark.clock

NOTE = bytes((0x90, 60, 64))


class Refused(Exception):
    """What rtmidi raises where a buffer is full."""


class Port:
    """Stands for rtmidi's: gives what is queued, keeps what is sent, notes how it ends."""

    def __init__(self, *queued: bytes) -> None:
        self.queued = [(list(data), 0.0) for data in queued]
        self.sent: list[bytes] = []
        self.ended: list[str] = []
        self.refuses = 0

    def get_message(self) -> tuple[list[int], float] | None:
        """The next message."""
        return self.queued.pop(0) if self.queued else None

    def send_message(self, data: bytes) -> None:
        """Take a message, or refuse it."""
        if self.refuses:
            self.refuses -= 1
            raise Refused
        self.sent.append(data)

    def close_port(self) -> None:
        """Note it."""
        self.ended.append("closed")

    def delete(self) -> None:
        """Note it."""
        self.ended.append("deleted")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the lines would have slept; other threads get a turn."""
    asked: list[float] = []
    really = time.sleep

    def sleep(seconds: float) -> None:
        asked.append(seconds)
        really(0.0001)

    monkeypatch.setattr(rtmidi_io.time, "sleep", sleep)
    return asked


def wire(port: Port, *, alive: Callable[[], bool] = lambda: True, delivery_s: float = 0.0) -> RtMidiOutput:
    """A wire to a port."""
    return RtMidiOutput(port, alive, delivery_s, Refused, Activity())


# --- what is heard ---------------------------------------------------------------------------------------------------


def test_all_that_came_is_heard_in_order_on_a_thread_of_its_own() -> None:
    """Nothing is lost, and whoever opened the line is not held up."""
    sent = [bytes((0x90, key, 1)) for key in range(100)]
    heard: list[bytes] = []
    threads: set[int] = set()
    done = Event()

    def received(data: bytes) -> None:
        heard.append(data)
        threads.add(get_ident())
        if len(heard) == len(sent):
            done.set()

    line = PolledInput(Port(*sent), lambda: True, received, Activity())
    assert done.wait(20)
    line.close()
    assert heard == sent
    assert get_ident() not in threads


def test_it_asks_seldom_until_somebody_plays(slept: list[float]) -> None:
    """Nobody has played: long pauses. A message that comes in, or one that goes out beside it, makes them short."""
    activity, port = Activity(), Port()
    line = PolledInput(port, lambda: True, lambda _data: None, activity)
    while len(slept) < 5:
        Event().wait(0.001)
    assert set(slept) == {rtmidi_io._LONG_PAUSE_S}
    activity.mark()
    before = len(slept)
    while len(slept) < before + 5:
        Event().wait(0.001)
    line.close()
    assert slept[-1] == rtmidi_io._PAUSE_S < rtmidi_io._LONG_PAUSE_S


def test_after_a_while_it_is_quiet_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activity is a matter of the last seconds."""
    now_s = 100.0
    monkeypatch.setattr(rtmidi_io.time, "perf_counter", lambda: now_s)
    activity = Activity()
    assert activity.quiet
    activity.mark()
    now_s += rtmidi_io._QUIET_S * 0.9
    assert not activity.quiet
    now_s += rtmidi_io._QUIET_S * 0.2
    assert activity.quiet


def test_it_can_be_closed_by_what_it_hears() -> None:
    """The thread that asks does not wait for itself; the port is closed once."""
    lines: list[PolledInput] = []
    opened, closed = Event(), Event()

    def received(_data: bytes) -> None:
        opened.wait(20)
        lines[0].close()
        closed.set()

    port = Port(NOTE, NOTE)
    lines.append(PolledInput(port, lambda: True, received, Activity()))
    opened.set()
    assert closed.wait(20)
    lines[0].close()
    assert port.ended == ["closed", "deleted"]


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_the_first_message_waits_until_the_connection_stands(slept: list[float]) -> None:
    """Opening does not wait; what is sent at once does, and is not lost."""
    port = Port()
    opened = wire(port, delivery_s=5.0)
    assert slept == []
    opened.send(NOTE)
    assert port.sent == [NOTE]
    assert 4 < slept[0] <= 5


def test_closing_waits_until_the_last_message_is_delivered(slept: list[float]) -> None:
    """Else the end of the last note would be lost."""
    port = Port()
    opened = wire(port, delivery_s=5.0)
    opened.send(NOTE)
    slept.clear()
    opened.close()
    assert 4 < slept[0] <= 5
    assert port.ended == ["closed", "deleted"]


def test_a_shared_wire_ends_with_its_last_user() -> None:
    """Both send on it; the first to leave cuts nothing."""
    port = Port()
    shared = wire(port)
    assert shared.join()
    shared.close()
    shared.send(NOTE)
    assert port.sent == [NOTE]
    assert port.ended == []
    shared.close()
    assert port.ended == ["closed", "deleted"]


def test_nobody_joins_a_wire_that_someone_has_left() -> None:
    """The port may have gone and come back: then the other one's cable is cut too, and it has yet to notice."""
    shared = wire(Port())
    assert shared.join()
    shared.close()
    assert not shared.join()


def test_nobody_joins_a_dead_one_and_nothing_is_sent_there() -> None:
    """On a server that has died rtmidi would wait for ever: neither sent nor closed."""
    port, alive = Port(), [True]
    opened = wire(port, alive=lambda: alive[0])
    alive[0] = False
    assert not opened.join()
    opened.send(NOTE)
    opened.close()
    assert (port.sent, port.ended) == ([], [])


def test_a_full_buffer_is_tried_again(slept: list[float]) -> None:
    """Whoever reads there was slow for a moment."""
    port = Port()
    opened = wire(port)
    port.refuses = 2
    opened.send(NOTE)
    assert port.sent == [NOTE]
    assert opened.alive


def test_a_buffer_that_stays_full_is_a_lost_connection(slept: list[float]) -> None:
    """What sounds is no longer known then; that stays so although the next message goes through."""
    port = Port()
    opened = wire(port)
    port.refuses = 100
    opened.send(NOTE)
    port.refuses = 0
    opened.send(NOTE)
    assert port.sent == [NOTE]
    assert not opened.alive
    opened.close()


class CallingPort(Port):
    """A port that calls back. It notes which thread takes the callback away."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled_by: list[int] = []

    def cancel_callback(self) -> None:
        """Note the thread."""
        self.cancelled_by.append(get_ident())


def test_while_messages_pour_in_the_calling_thread_itself_takes_its_callback_away() -> None:
    """Another thread would do so while rtmidi is about to call: the process would crash."""
    port = CallingPort()
    heard: list[bytes] = []
    line = CallbackInput(port, lambda: True, lambda data, _time_s: heard.append(data))
    line.deliver(NOTE)
    ended = Event()

    def pour() -> None:
        while not ended.is_set() and not port.cancelled_by:
            line.deliver(NOTE)
            time.sleep(0.0002)

    player = Thread(target=pour)
    player.start()
    line.close()
    ended.set()
    player.join()
    assert port.cancelled_by == [player.ident]
    assert port.ended == ["closed", "deleted"]
    known = len(heard)
    line.deliver(NOTE)
    assert len(heard) == known
    assert len(port.cancelled_by) == 1


def test_closing_waits_for_a_callback_that_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it waits for Python's lock; one that never ends keeps the port open, instead of waiting for ever."""
    port = CallingPort()
    counts = iter([2, 1, 1, 0, 0])
    monkeypatch.setattr(rtmidi_io, "foreign_threads", lambda: next(counts))
    CallbackInput(port, lambda: True, lambda data, _time_s: None).close()
    assert next(counts, None) is None
    assert port.ended == ["closed", "deleted"]
    stuck = CallingPort()
    monkeypatch.setattr(rtmidi_io, "foreign_threads", lambda: 1)
    monkeypatch.setattr(rtmidi_io, "_CALLBACK_S", 0.02)
    CallbackInput(stuck, lambda: True, lambda data, _time_s: None).close()
    assert stuck.ended == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX threads")
def test_a_thread_of_a_library_is_counted_while_it_calls_back() -> None:
    """Threads of Python's own are not counted."""
    began, may_end = Event(), Event()

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def call_back(_argument: object) -> None:
        began.set()
        may_end.wait()

    own = Thread(target=may_end.wait)
    own.start()
    assert foreign_threads() == 0
    number = ctypes.c_ulong()
    ctypes.CDLL(None).pthread_create(ctypes.byref(number), None, call_back, None)
    began.wait()
    assert foreign_threads() == 1
    may_end.set()
    own.join()
    until(lambda: foreign_threads() == 0, "an end of the callback")


def test_without_messages_the_closing_thread_takes_the_callback_away(slept: list[float]) -> None:
    """Then nothing is about to be called; what had begun ends before the port is closed."""
    port = CallingPort()
    line = CallbackInput(port, lambda: True, lambda data, _time_s: None)
    line.close()
    assert port.cancelled_by == [get_ident()]
    assert slept
    assert port.ended == ["closed", "deleted"]
