"""The built-in instruments, or a soundfont, as a MIDI back-end with one output.

Several ports may open that output: they share one voice, which ends with the last of them. A voice whose process or
device has gone is started anew, less and less often where that fails.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from livebach.midi.backends import Backend, Connection, Receive
from livebach.midi.port_names import PortError
from livebach.sound.loudspeakers import SoundError
from livebach.sound.source import Source, Voice

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
"""Before it is tried again after a failure; each failure doubles the pause."""


def _say_nothing(_text: str) -> None:
    """Try again without a word."""


class SharedVoice:
    """A connection to the voice that all connections of a back-end share."""

    def __init__(self, voice: Voice, leave: Callable[[SharedVoice], None]) -> None:
        self._voice = voice
        self._leave = leave

    @property
    def alive(self) -> bool:
        """Whether the voice still sounds."""
        return self._voice.alive

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Have one message sound at its due time, in seconds of `time.perf_counter`; None for now."""
        self._voice.send(data, due_s)

    def close(self) -> None:
        """Release the voice, which ends with its last user. A second call does nothing."""
        self._leave(self)


class BuiltInSound(Backend):
    """The voice of this machine's loudspeakers."""

    name = "built-in"
    needs_guard = False
    """The process that sounds falls silent when the player's process ends."""

    def __init__(self, source: Source, say: Callable[[str], Any], now: Callable[[], float] = perf_counter) -> None:
        self._source = source
        self._say = say
        self._now = now
        self._voice: Voice | None = None
        self._users: list[SharedVoice] = []
        self._pause_s = FIRST_PAUSE_S
        self._again_s = -LONGEST_PAUSE_S
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why there is no sound, or an empty text."""
        return self._trouble

    @property
    def title(self) -> str:
        """The name of its output."""
        return self._source.title

    def input_names(self) -> list[str]:
        """Return none."""
        return []

    def output_names(self) -> list[str]:
        """Return the one name."""
        return [self.title]

    def open_input(self, name: str, receive: Receive) -> Connection:
        """Raise PortError: a loudspeaker is not played."""
        raise PortError(f"{self.title} is no keyboard")

    def open_output(self, name: str) -> SharedVoice:
        """Start the voice, or share the one that sounds; PortError where there is no sound device."""
        if self._voice is None or not self._voice.alive:
            self._voice = self._started()
        user = SharedVoice(self._voice, self._leave)
        self._users.append(user)
        return user

    def _started(self) -> Voice:
        if self._now() < self._again_s:
            raise PortError(self._trouble)
        try:
            voice = self._source.start(self._say if not self._trouble else _say_nothing)
        except SoundError as error:
            self._trouble = str(error)
            self._again_s = self._now() + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            raise PortError(self._trouble) from None
        self._trouble, self._pause_s = "", FIRST_PAUSE_S
        return voice

    def _leave(self, user: SharedVoice) -> None:
        if user in self._users:
            self._users.remove(user)
            if not any(other._voice is user._voice for other in self._users):
                user._voice.close()
