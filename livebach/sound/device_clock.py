"""The clock of a sound device: which sample belongs to which time, although callbacks come early and late.

A delay-locked loop of the second order (Adriaensen, "Using a DLL to filter time", LAC 2005) follows the callbacks. The
loop learns the offset and the true rate of the device relative to the machine's clock, and leaves out the jitter.
"""

from __future__ import annotations

from math import pi, sqrt

_FIRST_HZ, _LAST_HZ = 2.0, 0.05  # bandwidth: at first, and later, when it has fallen as the time since the start grew
_LOST_S = 0.1  # a callback that is so much off means that the device was stopped: start anew


class DeviceClock:
    """Learns from callbacks, says which sample is due at a time."""

    def __init__(self, rate: float) -> None:
        """Begin with the nominal rate, in samples a second."""
        self._nominal = rate
        self._line: tuple[float, int, float] | None = None  # time, the sample at that time, samples a second
        self._begun_s = 0.0
        self.restarts = 0
        """How often the device was found to have stopped."""

    @property
    def rate(self) -> float:
        """The device's rate in samples a second, as far as it is known."""
        return self._nominal if self._line is None else self._line[2]

    def called(self, time_s: float, sample: int) -> None:
        """Learn that the device asked at a time for the samples from this one on."""
        if self._line is None:
            self._restart(time_s, sample)
            return
        then_s, then, rate = self._line
        frames = sample - then
        expected_s = then_s + frames / rate
        late_s = time_s - expected_s
        if abs(late_s) > _LOST_S:
            self.restarts += 1
            self._restart(time_s, sample)
            return
        if not frames:
            return
        bandwidth = min(max(1 / (time_s - self._begun_s + 1e-9), _LAST_HZ), _FIRST_HZ)
        omega = 2 * pi * bandwidth * frames / self._nominal
        period_s = frames / rate + omega**2 * late_s
        rate = min(max(frames / period_s, 0.98 * self._nominal), 1.02 * self._nominal)
        self._line = expected_s + sqrt(2) * omega * late_s, sample, rate

    def sample_at(self, time_s: float) -> int:
        """Return the sample that the device takes at a time."""
        if self._line is None:
            return 0
        then_s, sample, rate = self._line
        return sample + round((time_s - then_s) * rate)

    def time_of(self, sample: int) -> float:
        """Return the time at which the device takes a sample."""
        if self._line is None:
            return 0.0
        then_s, then, rate = self._line
        return then_s + (sample - then) / rate

    def _restart(self, time_s: float, sample: int) -> None:
        self._begun_s = time_s
        self._line = time_s, sample, self._nominal
