"""Tells the player's notes from our own coming back: by a cable, a synth that echoes, or a MIDI Through port.

Pure: is told what is sent and what is heard, and when; sends and hears nothing itself.

What returns within 30 ms as it was sent is ours, once for each time it was sent: a second one is the player's. A loop
that takes longer looks like a player at first. It gives itself away by its evenness, or never tires, and a note is held
back to see: if
the notes go on although nothing was sent, they are the player's after all; if they stop, it was a loop, and is broken.
A loop found twice has the window widened over it, for as long as things keep coming back.
"""

from __future__ import annotations

from collections import Counter, deque
from threading import Lock

from livebach.midi.active_notes import is_note_off, is_note_on

WINDOW_S = 0.030
LONGEST_S = 0.250  # a longer way round is not told from playing
EVEN_S = 0.004  # how evenly a loop returns, and a hand does not
ROUNDS = 3
UNEVEN_ROUNDS = 8  # on a busy machine a loop is uneven too, but does not tire
QUIET_S = 10.0  # without anything coming back, the loop is over
TRUST_S = 60.0  # a player found to be so even is not suspected again

_HORIZON_S = 1.0
_TELL_AFTER = 4  # echoes: fewer are not worth a word
_MANY_CHAINS = 1024
_SAME_LOOP_S = LONGEST_S  # two findings nearer than this are one


def _key(data: bytes) -> bytes:
    """Name a message so that both spellings of a note-off are one, whatever its velocity."""
    return _end(data) if is_note_off(data) else data


def _end(note: bytes) -> bytes:
    """Name the note-off of a note, by one of its messages."""
    return bytes((0x80 | note[0] & 0x0F, note[1]))


class _Sent:
    """What was sent within the last second, and has not come back yet."""

    def __init__(self) -> None:
        self._order: deque[tuple[float, bytes]] = deque()
        self._times: dict[bytes, deque[float]] = {}
        self._last: dict[bytes, float] = {}

    def add(self, key: bytes, time_s: float) -> None:
        while self._order and self._order[0][0] < time_s - _HORIZON_S:
            self._forget(*self._order.popleft())
        self._order.append((time_s, key))
        self._times.setdefault(key, deque()).append(time_s)
        self._last[key] = time_s

    def returned(self, key: bytes, time_s: float, window_s: float, keep: bool) -> float | None:
        """How long ago this was sent, if that was within the window; it is then expected no more, unless kept."""
        times = self._times.get(key, ())
        for sent_s in times:
            if 0 <= time_s - sent_s <= window_s:
                if not keep:
                    self._times[key].remove(sent_s)
                return time_s - sent_s
        return None

    def since(self, key: bytes, time_s: float) -> bool:
        """Whether this was sent then or later."""
        return self._last.get(key, float("-inf")) >= time_s

    def _forget(self, time_s: float, key: bytes) -> None:
        times = self._times.get(key)
        if times and times[0] == time_s:
            times.popleft()
        if not times:
            self._times.pop(key, None)
        if self._last.get(key) == time_s:
            del self._last[key]


class _Chain:
    """The same message heard again and again, each time after it was sent on."""

    def __init__(self, time_s: float) -> None:
        self.time_s = time_s
        self.interval_s = 0.0
        self.rounds = 0
        self.even_rounds = 0

    def heard(self, time_s: float) -> None:
        """Count one more; unevenness begins one count anew, slowness the other."""
        interval_s = time_s - self.time_s
        self.even_rounds = self.even_rounds + 1 if abs(interval_s - self.interval_s) <= EVEN_S else 1
        self.rounds = self.rounds + 1 if interval_s <= LONGEST_S else 0
        self.time_s, self.interval_s = time_s, interval_s

    @property
    def suspect(self) -> bool:
        """Whether it is as fast as a loop, and as even or as tireless."""
        return self.interval_s <= LONGEST_S and (self.even_rounds >= ROUNDS or self.rounds >= UNEVEN_ROUNDS)

    @property
    def over_s(self) -> float:
        """By when it would have come again, if it came from a player."""
        return self.time_s + (self.interval_s + 2 * EVEN_S if self.even_rounds >= ROUNDS else LONGEST_S)


class FeedbackFilter:
    """Asked about each message heard: is it ours? May be used from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sent = _Sent()
        self._down: set[bytes] = set()  # the player's keys, by their note-off
        self._owed: Counter[bytes] = Counter()  # note-ons taken for echoes, whose note-off will come
        self._chains: dict[bytes, _Chain] = {}
        self._held_back: dict[bytes, _Chain] = {}
        self._found_s = float("-inf")
        self._window_s = WINDOW_S
        self._trusted_until_s = float("-inf")
        self._last_echo_s = float("-inf")
        self._echoes = 0
        self._news: list[str] = []

    def sent(self, data: bytes, time_s: float) -> None:
        """Take note of a message, before it is sent."""
        with self._lock:
            self._sent.add(_key(data), time_s)

    def is_echo(self, data: bytes, time_s: float) -> bool:
        """Tell whether a message heard is one of ours: then it is neither passed on nor the player's."""
        with self._lock:
            self._calm(time_s)
            if is_note_off(data):
                return self._is_end_of_echo(data, time_s)
            echo = self._is_return(data, time_s) or self._goes_round(data, time_s)
            if is_note_on(data):
                self._begins(_end(data), echo)
            return echo

    def news(self) -> list[str]:
        """Return what the player ought to be told, once."""
        with self._lock:
            news, self._news = self._news, []
            return news

    def _is_return(self, data: bytes, time_s: float) -> bool:
        looping = self._window_s > WINDOW_S
        delay_s = self._sent.returned(_key(data), time_s, self._window_s, keep=looping)
        if delay_s is None:
            return False
        self._last_echo_s = time_s
        self._echoes += 1
        if self._echoes == _TELL_AFTER:
            self._news.append(_told(delay_s))
        return True

    def _begins(self, end: bytes, echo: bool) -> None:
        """Expect the end of a note: of ours come back, or of a key that the player has struck."""
        if echo:
            self._owed[end] += 1
        else:
            self._down.add(end)
            self._owed.pop(end, None)  # what has not come back by now does not come

    def _is_end_of_echo(self, data: bytes, time_s: float) -> bool:
        """Whether a note-off was sent by us. In doubt it was not: a player's key must never seem to stay down."""
        end = _end(data)
        returned = self._sent.returned(end, time_s, max(self._window_s, LONGEST_S), keep=False) is not None
        if returned and (end not in self._down or self._owed[end]):
            self._owed[end] = max(0, self._owed[end] - 1)
            return True
        self._down.discard(end)
        return False

    def _goes_round(self, data: bytes, time_s: float) -> bool:
        """Follow what was taken for the player's, in case it is a loop that takes longer."""
        chain = self._chains.get(data)
        if chain is None or not self._sent.since(data, chain.time_s):
            self._begin(data, time_s)
            return False
        chain.heard(time_s)
        if not chain.suspect or (time_s < self._trusted_until_s and chain.interval_s > WINDOW_S):
            return False
        self._held_back[data] = chain
        return True

    def _begin(self, data: bytes, time_s: float) -> None:
        """Begin to follow a message; if it is the one held back, it came without us, and is the player's."""
        if self._held_back.pop(data, None) is not None:
            self._trusted_until_s = time_s + TRUST_S
        if len(self._chains) >= _MANY_CHAINS:  # the oldest goes: a flood of different messages must not cost time
            del self._chains[next(iter(self._chains))]
        self._chains[data] = _Chain(time_s)

    def _calm(self, time_s: float) -> None:
        """Conclude what time itself decides: a chain that stopped was a loop, and a long quiet is its end."""
        for data, chain in tuple(self._held_back.items()):
            if time_s > chain.over_s:
                del self._held_back[data]
                self._found(chain.interval_s, time_s)
        if time_s > self._last_echo_s + QUIET_S:
            self._window_s = WINDOW_S
            self._echoes = 0

    def _found(self, delay_s: float, time_s: float) -> None:
        since_s = time_s - self._found_s
        if since_s < _SAME_LOOP_S:  # the other notes of a chord
            return
        self._found_s = self._last_echo_s = time_s
        if since_s < QUIET_S:
            self._window_s = max(self._window_s, delay_s + 2 * EVEN_S)
        self._news.append(_told(delay_s))


def _told(delay_s: float) -> str:
    way = "a loop of cables, or a synth that echoes"
    return f"What goes out comes back in after {delay_s * 1000:.0f} ms ({way}): it is ignored."
