"""Connections of rtmidi, both libraries: inputs and outputs, with rtmidi's habits taken into account.

rtmidi holds Python's lock in every call: a call that waits for a thread that waits for Python never ends. Knows bytes,
and nothing of their meaning.
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from threading import Event, Lock, Thread, _DummyThread, current_thread
from threading import enumerate as python_threads
from typing import Any

from livebach.midi.backends import Receive
from livebach.system.realtime import make_prompt

_SETTLE_S = 0.03  # a thread that is about to call back asks for Python's lock within this time
_CALLBACK_S = 10.0  # a callback that has begun ends within this time, also on a machine that is far too busy
_TRIES, _RETRY_S = 5, 0.002
_PAUSE_S, _LONG_PAUSE_S = 0.0005, 0.008  # between two polls: while anyone plays, and when nobody does
_QUIET_S = 10.0


class Activity:
    """When the last message came in or went out on a MIDI system."""

    def __init__(self) -> None:
        self._last_s = float("-inf")

    def mark(self) -> None:
        """Take note of a message now."""
        self._last_s = time.perf_counter()

    @property
    def quiet(self) -> bool:
        """Whether nobody has played for a while."""
        return time.perf_counter() - self._last_s > _QUIET_S


def foreign_threads() -> int:
    """Return how many threads that Python has not started are in Python, or wait for its lock.

    Such a thread has a thread state only while it calls back.
    """
    interpreter = ctypes.pythonapi.PyInterpreterState_Get
    head, following = ctypes.pythonapi.PyInterpreterState_ThreadHead, ctypes.pythonapi.PyThreadState_Next
    for function in (interpreter, head, following):
        function.restype = ctypes.c_void_p
    head.argtypes = following.argtypes = [ctypes.c_void_p]
    state, count = head(interpreter()), 0
    while state:
        state, count = following(state), count + 1
    return count - sum(not isinstance(thread, _DummyThread) for thread in python_threads())


def set_callback(port: Any, receive: Receive) -> None:
    """Have python-rtmidi call `receive`, and keep its record of the callback for ever.

    Cancelling frees that record while rtmidi's thread may hold it and wait for Python's lock.
    """

    def callback(message: tuple[list[int], float], _data: object) -> None:
        receive(bytes(message[0]))

    port.set_callback(callback)
    for holder in gc.get_referrers(callback):
        if isinstance(holder, tuple):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(holder))


class _RtMidiConnection:
    """What inputs and outputs of rtmidi have in common."""

    def __init__(self, port: Any, liveness: Callable[[], bool]) -> None:
        self._port: Any = port
        self._liveness = liveness

    @property
    def alive(self) -> bool:
        """Whether the JACK server it was opened on still runs; other systems outlive this process."""
        return self._liveness()

    def close(self) -> None:
        """End the connection, unless its server is dead: there rtmidi would wait, and libjack would free twice."""
        port, self._port = self._port, None
        if port is None:
            return
        if not self._liveness() or not self._may_close(port):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(port))
            return
        port.close_port()
        port.delete()

    def _may_close(self, port: Any) -> bool:
        """Prepare for the end; return False where closing would wait for ever."""
        return True


class CallbackInput(_RtMidiConnection):
    """An input whose messages come by rtmidi's callback: `deliver` is that callback.

    Two habits of rtmidi make closing delicate. `close_port` waits for rtmidi's thread with Python's lock held, so no
    callback may be waiting for that lock then. And `cancel_callback` takes the callback away without a lock: if
    rtmidi's thread is just about to call it, the process crashes. So that thread itself cancels, within its next
    callback. If no message comes for a while, nothing is about to be called, and the closing thread cancels. Then the
    closing thread waits until no callback is in Python or waits for its lock.
    """

    def __init__(self, port: Any, liveness: Callable[[], bool], receive: Receive) -> None:
        super().__init__(port, liveness)
        self._receive = receive
        self._cancel: Callable[[], object] = port.cancel_callback
        self._closing = False
        self._cancelled = Event()

    def deliver(self, data: bytes, time_s: float | None = None, /) -> None:
        """Hand on a message. Once the input is closing, cancel the callback instead."""
        if not self._closing:
            self._receive(data, time_s)
        elif not self._cancelled.is_set():
            self._cancelled.set()
            self._cancel()

    def _may_close(self, port: Any) -> bool:
        self._closing = True
        if not self._cancelled.wait(_SETTLE_S):
            self._cancelled.set()
            self._cancel()
            time.sleep(_SETTLE_S)
        until_s = time.monotonic() + _CALLBACK_S
        while foreign_threads() and time.monotonic() < until_s:
            time.sleep(_RETRY_S)
        return not foreign_threads()


class PolledInput(_RtMidiConnection):
    """An input that is polled for its messages.

    For JACK: a callback would run in JACK's own thread and wait there for Python's lock; JACK goes on without a client
    that is late, and what came meanwhile is lost. rtmidi's queue needs no lock and loses nothing. Each poll wakes the
    processor: so there are fewer while nobody plays, when no tick waits for the answer.
    """

    def __init__(self, port: Any, liveness: Callable[[], bool], receive: Receive, activity: Activity) -> None:
        super().__init__(port, liveness)
        self._receive = receive
        self._activity = activity
        self._ended = False
        self._thread = Thread(target=self._run, args=(port,), name="livebach-input", daemon=True)
        self._thread.start()

    def _run(self, port: Any) -> None:
        make_prompt()
        while not self._ended:
            message = port.get_message()
            if message is not None:
                self._receive(bytes(message[0]))
                self._activity.mark()
            else:
                time.sleep(_LONG_PAUSE_S if self._activity.quiet else _PAUSE_S)

    def close(self) -> None:
        """Stop polling, then end the connection."""
        self._ended = True
        if self._thread is not current_thread():
            self._thread.join()
        super().close()


class RtMidiOutput(_RtMidiConnection):
    """An output, for one user or for several that share it, each of which closes it once."""

    def __init__(
        self, port: Any, liveness: Callable[[], bool], delivery_s: float, refusal: type[Exception], activity: Activity
    ) -> None:
        super().__init__(port, liveness)
        self._delivery_s = delivery_s
        self._refusal = refusal
        self._activity = activity
        self._refused = False
        self._sending = Lock()
        self._users, self._joinable = 1, True
        self._ready_s = time.perf_counter() + delivery_s  # what is sent just after it was opened may be lost
        self._sent_s = float("-inf")

    @property
    def alive(self) -> bool:
        """Whether its server runs, and it has taken all that was sent: else what sounds is no longer known."""
        return self._liveness() and not self._refused

    def join(self) -> bool:
        """Share it with one more user; False where one has left already, perhaps because the port had gone."""
        with self._sending:
            if self._joinable and self.alive:
                self._users += 1
                return True
        return False

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Send, unless the server is dead: rtmidi would fill its buffer, and then wait for ever."""
        with self._sending:
            if self._port is None or not self._liveness():
                return
            _sleep_until(self._ready_s)
            self._refused |= not self._try(data)

    def close(self) -> None:
        """Leave it; the last user ends the connection."""
        with self._sending:
            self._users, self._joinable = self._users - 1, False
            if not self._users:
                super().close()

    def _try(self, data: bytes) -> bool:
        for _ in range(_TRIES):
            try:
                self._port.send_message(data)
            except self._refusal:  # ALSA's buffers are full: the reader there is slow, or stopped
                time.sleep(_RETRY_S)
            else:
                self._sent_s = time.perf_counter()
                self._activity.mark()
                return True
        return False

    def _may_close(self, port: Any) -> bool:
        # rtmidi waits until JACK has taken what was sent, but not until it has reached the other program.
        _sleep_until(self._sent_s + self._delivery_s)
        return True


def _sleep_until(time_s: float) -> None:
    rest_s = time_s - time.perf_counter()
    if rest_s > 0:
        time.sleep(rest_s)
