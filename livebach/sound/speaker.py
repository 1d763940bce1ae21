"""The link between a sound device's callbacks and the mixer: cuts blocks to the requested length, and keeps the times.

This module knows no device: `frames` is called with the time and the number of frames that are wanted.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from livebach.music.events import Event, NoteOn
from livebach.sound.device_clock import DeviceClock
from livebach.sound.mixer import BLOCK, Mixer
from livebach.sound.partials import RATE

_INAUDIBLE = 3e-4  # a peak of 70 dB below full scale
_MOST_FRAMES = 1 << 14
_MARGIN_S = 0.003
_KEPT = 4096  # measurements
_STEP_S, _STEP_EVERY_S, _MOST_ADDED_S = 0.002, 0.5, 0.025
"""Where notes come too late, the latency grows by a step, at most so often, and by so much in all."""
_STALE = RATE // 2  # a note that comes so much too late is left out
_FADE = 512  # samples: the end, when there is nobody left to play


class Speaker:
    """Plays a mixer on a device: at a constant latency after the times at which events are due."""

    def __init__(self, mixer: Mixer, latency_s: float) -> None:
        self.mixer = mixer
        self.clock = DeviceClock(RATE)
        self.latency_s = latency_s
        """From the time at which an event is due to the moment at which the device takes its first sample."""
        self._most_s = latency_s + _MOST_ADDED_S
        self._raised_s = float("-inf")  # when the latency was raised for a late note
        self.took_s: deque[float] = deque(maxlen=_KEPT)
        """How long the last callbacks took."""
        self.starts_s: deque[float] = deque(maxlen=_KEPT)
        """From when the last notes were due to when the device took their first sample."""
        self.silent = False
        """Whether the end has been faded out."""
        self._ending = False
        self._peak = 0.0
        self._out = np.zeros((_MOST_FRAMES, 2), np.float32)
        self._rest = np.zeros((0, 2), np.float32)
        self.given = 0
        """The number of samples that the device has taken."""
        self._watched: deque[tuple[int, float]] = deque()  # notes to come: the sample, and the due time

    def play(self, due_s: float, event: Event) -> None:
        """Have an event sound at its due time plus the latency."""
        sample = self.clock.sample_at(due_s + self.latency_s)
        if isinstance(event, NoteOn):
            if sample < self.given - _STALE:
                return
            self._watched.append((sample, due_s))
            if sample < self.mixer.sample:
                self._give_more_time(due_s)
        self.mixer.schedule(sample, event)

    @property
    def quiet(self) -> bool:
        """Whether nothing is heard any more."""
        return not self.mixer.notes and self._peak < _INAUDIBLE

    def end(self) -> None:
        """Fade out."""
        self._ending = True

    def frames(self, time_s: float, count: int) -> NDArray[np.float32]:
        """Return the next frames, [count, 2], for a device that asks for them at a time."""
        count = min(count, _MOST_FRAMES)
        self.clock.called(time_s, self.given)
        self._keep_latency(count)
        out = self._out[:count]
        done = 0
        while done < count:
            if not len(self._rest):
                self._rest = self.mixer.mix()
                self._peak = float(np.abs(self._rest).max())
            part = self._rest[: count - done]
            out[done : done + len(part)] = part
            self._rest = self._rest[len(part) :]
            done += len(part)
        self._measure(time_s, count)
        self.given += count
        return self._faded(out) if self._ending else out

    def _give_more_time(self, due_s: float) -> None:
        """Raise the latency a little, as a note came too late: a busy machine without real-time priority needs more."""
        if due_s - self._raised_s >= _STEP_EVERY_S:
            self._raised_s = due_s
            self.latency_s = max(self.latency_s, min(self.latency_s + _STEP_S, self._most_s))

    def _keep_latency(self, count: int) -> None:
        """Raise the latency once, where the device takes so much at a time that the one asked for cannot be kept."""
        self.latency_s = max(self.latency_s, (count + BLOCK) / RATE + _MARGIN_S)

    def _measure(self, time_s: float, count: int) -> None:
        for _ in range(len(self._watched)):
            sample, due_s = self._watched.popleft()
            if sample < self.given + count:
                self.starts_s.append(time_s + (max(sample, self.given) - self.given) / RATE - due_s)
            else:
                self._watched.append((sample, due_s))

    def _faded(self, out: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.silent:
            out[:] = 0
        else:
            length = min(len(out), _FADE)
            out[:length] *= np.linspace(1, 0, length, dtype=np.float32)[:, None]
            out[length:] = 0
            self.silent = True
        return out
