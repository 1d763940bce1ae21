"""Lines of rtmidi: inputs that are heard and outputs that are sent on, with its habits taken into account.

rtmidi keeps Python's lock in every call: a call that waits for a thread that waits for Python never ends. Knows bytes,
and nothing of what they mean.
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from threading import Lock, Thread, current_thread
from typing import Any

from livebach.system.realtime import make_prompt

Received = Callable[[bytes], None]

_SETTLE_S = 0.03  # a callback that has begun gets Python's lock within this, and ends
_TRIES, _RETRY_S = 5, 0.002
_PAUSE_S, _LONG_PAUSE_S = 0.0005, 0.008  # between two questions: while anyone plays, and when nobody does
_QUIET_S = 10.0


class Activity:
    """When anything last came in or went out on a MIDI system."""

    def __init__(self) -> None:
        self._last_s = float("-inf")

    def note(self) -> None:
        """Something did just now."""
        self._last_s = time.perf_counter()

    @property
    def quiet(self) -> bool:
        """Whether nobody has played for a while."""
        return time.perf_counter() - self._last_s > _QUIET_S


def call_back(port: Any, received: Received) -> None:
    """Have rtmidi call, and keep its record of that for ever.

    Cancelling frees that record while rtmidi's thread may be waiting for Python's lock with it in hand.
    """

    def callback(message: tuple[list[int], float], _data: object) -> None:
        received(bytes(message[0]))

    port.set_callback(callback)
    for holder in gc.get_referrers(callback):
        if isinstance(holder, tuple):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(holder))


class _Line:
    """What inputs and outputs of rtmidi have in common."""

    def __init__(self, port: Any, liveness: Callable[[], bool]) -> None:
        self._port: Any = port
        self._liveness = liveness

    @property
    def alive(self) -> bool:
        """Whether the JACK server it was opened on still runs; other systems outlive us."""
        return self._liveness()

    def close(self) -> None:
        """End the connection, or leave it be where its server is dead: there rtmidi waits, and libjack frees twice."""
        port, self._port = self._port, None
        if port is None:
            return
        if not self._liveness():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(port))
            return
        self._quiet(port)
        port.close_port()
        port.delete()

    def _quiet(self, port: Any) -> None:
        """Prepare for the end."""


class CalledLine(_Line):
    """A port that is heard by rtmidi's callback."""

    def _quiet(self, port: Any) -> None:
        # close_port waits for rtmidi's thread with Python's lock held: no callback may be waiting for that lock then.
        port.cancel_callback()
        time.sleep(_SETTLE_S)


class PolledLine(_Line):
    """A port that is asked again and again for what it has heard.

    For JACK: a callback would run in JACK's own thread and wait there for Python's lock; JACK goes on without a client
    that is late, and what came meanwhile is lost. rtmidi's queue needs no lock and loses nothing. Each question wakes
    the processor: so it is asked less often while nobody plays, when no tick waits for the answer.
    """

    def __init__(self, port: Any, liveness: Callable[[], bool], received: Received, activity: Activity) -> None:
        super().__init__(port, liveness)
        self._received = received
        self._activity = activity
        self._ended = False
        self._thread = Thread(target=self._run, args=(port,), name="livebach-input", daemon=True)
        self._thread.start()

    def _run(self, port: Any) -> None:
        make_prompt()
        while not self._ended:
            message = port.get_message()
            if message is not None:
                self._received(bytes(message[0]))
                self._activity.note()
            else:
                time.sleep(_LONG_PAUSE_S if self._activity.quiet else _PAUSE_S)

    def close(self) -> None:
        """Stop asking, then end the connection."""
        self._ended = True
        if self._thread is not current_thread():
            self._thread.join()
        super().close()


class SentWire(_Line):
    """A port that is sent to, by one user or by several that share it, each of which closes it once."""

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
        """Share it with one user more; not where one has left already, perhaps as the port had gone."""
        with self._sending:
            if self._joinable and self.alive:
                self._users += 1
                return True
        return False

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Send at once, unless the server is dead: rtmidi would fill its buffer, and then wait for ever."""
        with self._sending:
            if self._port is None or not self._liveness():
                return
            _sleep_until(self._ready_s)
            self._refused |= not self._sent(data)

    def close(self) -> None:
        """Leave it; the last one ends the connection."""
        with self._sending:
            self._users, self._joinable = self._users - 1, False
            if not self._users:
                super().close()

    def _sent(self, data: bytes) -> bool:
        for _ in range(_TRIES):
            try:
                self._port.send_message(data)
            except self._refusal:  # ALSA's buffers are full: whoever reads there is slow, or stopped
                time.sleep(_RETRY_S)
            else:
                self._sent_s = time.perf_counter()
                self._activity.note()
                return True
        return False

    def _quiet(self, port: Any) -> None:
        # rtmidi waits until JACK has taken what was sent, but not until it is where it should go.
        _sleep_until(self._sent_s + self._delivery_s)


def _sleep_until(time_s: float) -> None:
    rest_s = time_s - time.perf_counter()
    if rest_s > 0:
        time.sleep(rest_s)
