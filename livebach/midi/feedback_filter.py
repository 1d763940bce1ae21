"""Tells the player's messages from our own coming back: by a cable, a synth that echoes, or a MIDI Through port.

No message is dropped before a loop is proven, and no playing proves one. The proof is a probe: four note-offs of keys
that do not sound, which no synth answers, with keys and velocities chosen by chance. Only a loop returns them.

1. Suspicion. In a loop all that is sent comes back. Three messages that do so (two where the way takes long) ask for a
   probe; repeated notes do that too.
2. Proof. The probe comes back: there is a loop. It does not: the player repeats notes. The number of times that its
   last message comes back is the number of ways back.
3. From then on each message that was sent is expected once for each way back, and dropped when it comes. All else is
   the player's. When nothing comes back any more, another probe shows whether the loop is over.

Pure: is told what is sent and heard, and when; the caller sends the probes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from threading import Lock

from livebach.midi.active_notes import ActiveNotes, is_note_off

LONGEST_S = 0.5
"""The longest way round: what comes back later is taken for the player's."""
PROBE_WAIT_S = 1.0
"""The time after which a probe does not come back any more."""
PROBE_EVERY_S = 0.5
QUIET_S = 1.0
"""The time without anything coming back after which a loop is put to the proof again."""

_SUSPICIOUS, _SUSPICIOUS_SLOW = 3, 2  # messages that came back
_SLOW_S = 0.15
_PROBE_LENGTH = 4
_PROBE_KEYS = (*range(21), *range(109, 128))  # keys that the network never plays
_MAX_RECORDS = 1024
_MAX_WAYS = 8
_NOTES = 0x90


class Verdict(Enum):
    """What a message that came in is."""

    PLAYER = auto()
    ECHO = auto()
    """One of ours: it is neither passed on nor the player's."""
    LOOP_FOUND = auto()
    """One of ours, and the proof of a loop, or of one more way back: what has gone round so far has to be ended."""


@dataclass(slots=True)
class _Record:
    """A message that was sent, and how often it has come back."""

    key: bytes
    time_s: float
    returns: int = 0


class _SentMessages:
    """The messages of one kind that were sent lately, and how much they have come back."""

    def __init__(self) -> None:
        self.missed_s = float("-inf")  # when it last became clear that one does not come back
        self._order: deque[_Record] = deque()
        self._by_key: dict[bytes, deque[_Record]] = {}
        self._score = 0  # those that came back, less those that did not

    def __len__(self) -> int:
        return len(self._order)

    def add(self, key: bytes, time_s: float) -> None:
        self.expire(time_s)
        record = _Record(key, time_s)
        self._order.append(record)
        self._by_key.setdefault(key, deque()).append(record)

    def expire(self, time_s: float) -> None:
        """Forget what does not come back any more."""
        while self._order and (self._order[0].time_s < time_s - LONGEST_S or len(self._order) >= _MAX_RECORDS):
            record = self._order.popleft()
            same = self._by_key[record.key]
            same.popleft()
            if not same:
                del self._by_key[record.key]
            if not record.returns:
                self._score, self.missed_s = max(0, self._score - 1), time_s

    def follow(self, key: bytes, time_s: float) -> bool:
        """Take account of a message heard while no loop is known; return whether it makes one likely."""
        self.expire(time_s)
        lag_s = self.returned(key, time_s, 1, LONGEST_S)
        if lag_s is None:
            return False
        self._score = min(self._score + 1, _SUSPICIOUS)
        return self._score >= (_SUSPICIOUS if lag_s < _SLOW_S else _SUSPICIOUS_SLOW)

    def returned(self, key: bytes, time_s: float, ways: int, longest_s: float) -> float | None:
        """Return the lag of a message that comes back in a loop of so many ways; None where it is not expected."""
        for record in self._by_key.get(key, ()):
            lag_s = time_s - record.time_s
            if record.returns < ways and 0 <= lag_s <= longest_s:
                record.returns += 1
                return lag_s
        return None


class _Probe:
    """A probe on its way."""

    def __init__(self, messages: Sequence[bytes], time_s: float) -> None:
        self.messages = messages
        self.time_s = time_s
        self.ways = 0  # by which it has come back whole
        self._missing = set(messages)
        self._last = messages[-1]
        self._next = 0  # in order, for a device that changes velocities

    def heard(self, data: bytes) -> bool:
        """Take account of a note-off of a probe's key; return whether the probe has come back by one more way."""
        if self.ways:
            again = _key(data) == _key(self._last)
            self.ways += again
            return again
        self._missing.discard(data)
        in_order = _key(data) == _key(self.messages[self._next])
        self._next = self._next + 1 if in_order else int(_key(data) == _key(self.messages[0]))
        if self._missing and self._next < len(self.messages):
            return False
        self.ways, self._last = 1, data
        return True


class FeedbackFilter:
    """Judges each message heard. May be used from several threads."""

    def __init__(self, channel: int = 1, rng: Random | None = None, on: bool = True) -> None:
        """Begin without a loop.

        Args:
            channel: The channel of the probes, 0 to 15: that of the musician's own notes.
            rng: Chooses the keys and velocities of the probes.
            on: Whether it does anything; if not, every message is the player's.

        """
        self._channel = channel
        self._rng = rng or Random()
        self._on = on
        self._lock = Lock()
        self._sent: dict[int, _SentMessages] = {}
        self._active = ActiveNotes()
        self._probe: _Probe | None = None
        self._probed_s = float("-inf")
        self._suspected = False
        self._ways = 0  # back: none while no loop is known
        self._longest_s = 0.0
        self._returned_s = float("-inf")
        self._news: list[str] = []

    @property
    def looping(self) -> bool:
        """Whether a loop is known now."""
        return self._ways > 0

    def sent(self, data: bytes, time_s: float) -> None:
        """Take note of a message, before it is sent."""
        if self._on:
            with self._lock:
                self._active.update(data)
                self._messages(data).add(_key(data), time_s)

    def judge(self, data: bytes, time_s: float) -> Verdict:
        """Return what a message heard is."""
        if not self._on:
            return Verdict.PLAYER
        with self._lock:
            if self._probe is not None and self._may_be_of_probe(data) and self._probe.heard(data):
                return self._proven(self._probe, data, time_s)
            if self.looping:
                return self._judge_in_loop(data, time_s)
            if self._messages(data).follow(_key(data), time_s):
                self._suspected = True
            return Verdict.PLAYER

    def probe(self, time_s: float) -> list[bytes]:
        """Return the messages of a probe that is to be sent now; mostly there is none."""
        if not self._on:
            return []
        with self._lock:
            self._expire(time_s)
            wanted = self._doubtful(time_s) if self.looping else self._suspected
            self._suspected = False
            if not wanted or time_s - self._probed_s < PROBE_EVERY_S or (self.looping and self._probe is not None):
                return []
            messages = self._new_probe()
            if messages:
                self._probe, self._probed_s = _Probe(messages, time_s), time_s
            return messages

    def news(self) -> list[str]:
        """Return what the player ought to be told, once."""
        with self._lock:
            news, self._news = self._news, []
            return news

    def _messages(self, data: bytes) -> _SentMessages:
        """Return the messages of this one's kind: a loop may carry notes and no controllers."""
        status = data[0] & 0xF0 if data else 0
        return self._sent.setdefault(_NOTES if status == 0x80 else status, _SentMessages())

    def _may_be_of_probe(self, data: bytes) -> bool:
        return is_note_off(data) and data[0] & 0x0F == self._channel and data[1] in _PROBE_KEYS

    def _new_probe(self) -> list[bytes]:
        """Choose keys that do not sound, not in ascending order as a reset sends them, and velocities."""
        sounding = {key for channel, key in self._active.keys if channel == self._channel}
        silent = [key for key in _PROBE_KEYS if key not in sounding]
        if len(silent) < _PROBE_LENGTH:
            return []
        keys = self._rng.sample(silent, _PROBE_LENGTH)
        if keys == sorted(keys):
            keys.reverse()
        return [bytes((0x80 | self._channel, key, self._rng.randrange(1, 128))) for key in keys]

    def _proven(self, probe: _Probe, data: bytes, time_s: float) -> Verdict:
        """Take account of a probe that has come back: a loop is found, or goes on, or has one more way back."""
        lag_s = time_s - probe.time_s
        self._returned_s, self._longest_s = time_s, max(self._longest_s, lag_s)
        self._messages(data).returned(_key(data), time_s, probe.ways, LONGEST_S)
        if not self.looping:
            self._news.append(
                f"What goes out comes back in after {lag_s * 1000:.0f} ms (a loop of cables, or a synth that echoes):"
                " it is ignored."
            )
        found = self._ways < min(probe.ways, _MAX_WAYS)
        self._ways = max(self._ways, min(probe.ways, _MAX_WAYS))
        return Verdict.LOOP_FOUND if found else Verdict.ECHO

    def _judge_in_loop(self, data: bytes, time_s: float) -> Verdict:
        messages = self._messages(data)
        messages.expire(time_s)
        lag_s = messages.returned(_key(data), time_s, self._ways, self._window_s)
        if lag_s is None:
            return Verdict.PLAYER
        self._returned_s, self._longest_s = time_s, max(self._longest_s, lag_s)
        return Verdict.ECHO

    @property
    def _window_s(self) -> float:
        """How late a message may come back: a busy machine makes a loop uneven."""
        return min(LONGEST_S, max(2 * self._longest_s, self._longest_s + 0.1))

    def _doubtful(self, time_s: float) -> bool:
        """Return whether the loop may be over: something was sent, and nothing came back for a while."""
        missed_s = max((sent.missed_s for sent in self._sent.values()), default=float("-inf"))
        return time_s - self._returned_s > QUIET_S and missed_s > self._returned_s

    def _expire(self, time_s: float) -> None:
        """Give a probe up that did not come back: if there was a loop, it is over."""
        for sent in self._sent.values():
            sent.expire(time_s)
        if self._probe is not None and time_s - self._probe.time_s > PROBE_WAIT_S:
            if self.looping and self._returned_s < self._probe.time_s:
                self._ways, self._longest_s = 0, 0.0
            self._probe = None


def _key(data: bytes) -> bytes:
    """Return what two copies of a message have in common: a note-off may change its spelling and velocity."""
    return bytes((0x80 | data[0] & 0x0F, data[1])) if is_note_off(data) else data
