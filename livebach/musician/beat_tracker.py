"""Beat tracking: finds the beat and the tempo of free playing in real time, from the onset times of notes.

The tracker keeps many readings of the music at once. A reading holds the place of the newest note in the beat, the
probabilities of the beat's rhythms, and the length of a beat. With each note every reading branches into the places
where the note may be, and the unlikely readings are dropped. A Kalman filter follows the tempo of each reading, and
allows for sudden changes and for a return to the usual tempo. The method follows multi-agent and particle beat trackers
(Dixon 2001; Cemgil and Kappen 2003), with rhythms of whole beats as in bar-pointer models (Whiteley, Cemgil and Godsill
2006). The tracker is causal: results depend on earlier notes only. This module reads no clock, and knows neither bars
nor ticks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.musician.beat_rhythms import FINE, Array, Beats

UNEVEN_S = 0.018
"""Standard deviation of an onset from its place."""
WANDER_S = 0.004
"""Standard deviation of the beat's phase after one beat."""
DRIFT = 0.03
"""Standard deviation of a beat's length from the length before, as a part of it."""
SLOWER, SLOWER_BY, SLOWER_SPREAD = 0.06, 1.08, 0.12
"""Probability of a sudden change of a beat's length, the mean ratio of the lengths, and its standard deviation."""
RETURN, RETURN_SPREAD = 0.1, 0.05
"""Probability that the tempo returns to the usual one, and the standard deviation of the ratio."""
PULL = 0.1
"""Part of the difference from the usual length by which a beat's length returns with each beat."""
SETTLES = 0.03
"""Part of the difference by which the usual length follows with each beat."""
TRUST = 0.12
"""Standard deviation of the first beats' length from the given length, as a part of it."""
FARTHEST = 0.25
"""Largest difference of the usual length from the given length, as a part of it."""
STRETCH, HASTE = 0.12, 0.08
"""Standard deviations of the log ratio to the usual length, for longer and for shorter beats."""
LEAST, MOST = 0.78, 1.7
"""Smallest and largest ratio of a beat's length to the usual length."""
ODD = 0.007
"""Probability that a note has no place in the beat, as an ornament or a slip."""
LONG = 0.68
"""A note that sounds for more than this part of a beat is long."""
NEAR = 4
"""Number of places that each reading tries for a note."""
KEPT = 48
"""Most readings."""
UNLIKELY = 11.0
"""Nats below the best reading at which a reading is dropped."""
DOUBT, DOUBT_EVERY = 7.0, 6
"""Readings with the beat at other places are added again, this many nats below the best, once in this many notes."""
MOST_BEATS = 16
"""The longest silence that is bridged, in beats."""
SEATED = 0.1
"""Standard deviation of the first note from its expected place, in beats."""
_ALIKE_S, _ALIKE = 0.012, 0.04
_HARDLY = 1e-30


@dataclass(frozen=True, slots=True)
class Beat:
    """The beat: at `time_s` (seconds) the music is at `place` (0..1) in a beat, and a beat lasts `length_s` seconds."""

    time_s: float
    place: float
    length_s: float

    def place_at(self, time_s: float) -> float:
        """Return the distance in beats from the start of that beat to a time in seconds."""
        return self.place + (time_s - self.time_s) / self.length_s


@dataclass(slots=True)
class _Readings:
    """N readings of the music."""

    place: NDArray[np.intp]  # [N] index of the place of the newest note that has one
    rhythm: Array  # [N, R] probabilities of the beat's rhythms
    time_s: Array  # [N] estimated time of that place
    length_s: Array  # [N] length of a beat
    usual_s: Array  # [N] usual length of a beat
    var: Array  # [N, 3] variance of the time, covariance, variance of the length
    likely: Array  # [N] log likelihood

    def picked(self, rows: NDArray[np.intp]) -> _Readings:
        """Return the readings of these rows."""
        columns = (getattr(self, name)[rows] for name in self.__slots__)
        return _Readings(*columns)

    def and_(self, other: _Readings) -> _Readings:
        """Return these readings and others."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__slots__)
        return _Readings(*map(np.concatenate, pairs))


class BeatFollower:
    """Takes in notes, and tells where the beat is."""

    def __init__(self, beats: Beats, length_s: float) -> None:
        self._beats = beats
        self._unrolled = (np.arange(MOST_BEATS + 2)[:, None] + beats.places).ravel()
        self.begin(length_s)

    def begin(self, length_s: float, place: float | None = None) -> None:
        """Begin anew.

        Args:
            length_s: Approximate length of a beat in seconds.
            place: The expected place of the next note in the beat, 0..1; None where any place may be.

        """
        self._told_s = length_s
        self._expected = place
        self._count = 0
        self._readings: _Readings | None = None

    @property
    def beat(self) -> Beat | None:
        """The beat of the likeliest reading; None before two notes."""
        if self._readings is None or self._count < 2:
            return None
        r, best = self._readings, int(self._readings.likely.argmax())
        return Beat(float(r.time_s[best]), float(self._beats.places[r.place[best]]), float(r.length_s[best]))

    def strike(self, time_s: float) -> None:
        """Take in a note's start, in seconds. Times must not decrease."""
        self._count += 1
        if self._readings is None:
            self._readings = self._first(time_s)
            return
        if self._count % DOUBT_EVERY == 0:
            self._doubt(self._readings)
        self._readings = self._heard(self._readings, time_s)

    def release(self, struck_s: float, time_s: float) -> None:
        """Take in a note's end. A long note suggests a beat at its start. A short one, perhaps staccato, is ignored."""
        r = self._readings
        if r is None:
            return
        place = self._beats.places[r.place] - (r.time_s - struck_s) / r.length_s
        fine = np.rint(place * FINE).astype(np.intp) % FINE
        r.likely += np.where(time_s - struck_s > LONG * r.length_s, self._beats.long[fine], 0.0)

    # --- readings ----------------------------------------------------------------------------------------------------

    def _first(self, time_s: float) -> _Readings:
        beats = self._beats
        place = np.flatnonzero(beats.first)
        likely = np.log(beats.first[place])
        if self._expected is not None:
            off = (beats.places[place] - self._expected + 0.5) % 1 - 0.5
            likely -= 0.5 * (off / SEATED) ** 2
        length_s = np.full(len(place), self._told_s)
        var = np.tile([UNEVEN_S**2, 0.0, (TRUST * self._told_s) ** 2], (len(place), 1))
        return _Readings(place, self._fresh(place), np.full(len(place), time_s), length_s, length_s.copy(), var, likely)

    def _fresh(self, place: NDArray[np.intp]) -> Array:
        """Return the probabilities [N, R] of the rhythms of a beat with an onset at a place [N]."""
        rhythm = self._beats.share * self._beats.onset[place]
        return np.asarray(rhythm / rhythm.sum(axis=1, keepdims=True))

    def _heard(self, r: _Readings, time_s: float) -> _Readings:
        """Return the readings after another note. Each branches by the note's place and by the change of tempo."""
        beats, count = self._beats, len(self._beats.places)
        here = beats.places[r.place] + (time_s - r.time_s) / r.length_s
        ahead = np.searchsorted(self._unrolled, np.minimum(here, MOST_BEATS)) + np.arange(NEAR)[:, None] - NEAR // 2
        back = ahead < r.place
        ahead = np.maximum(ahead, r.place)  # [NEAR, N]
        rhythm, likely = self._rhythm(r, ahead)
        likely = np.where(back, -np.inf, likely + r.likely + np.log(1 - ODD))
        moved = self._unrolled[ahead] - beats.places[r.place]  # in beats
        ways = [
            _Readings(
                (ahead % count).ravel(),
                rhythm.reshape(-1, rhythm.shape[-1]),
                *_measured(r, moved, way, time_s, likely),
            )
            for way in _ways(r, moved)
        ]
        odd = r.picked(np.arange(len(r.likely)))
        odd.likely += np.log(ODD * NEAR / self._told_s)
        best = _best(ways[0].and_(ways[1]).and_(ways[2]).and_(odd))
        best.usual_s = np.clip(best.usual_s, (1 - FARTHEST) * self._told_s, (1 + FARTHEST) * self._told_s)
        return best

    def _rhythm(self, r: _Readings, ahead: NDArray[np.intp]) -> tuple[Array, Array]:
        """Return the rhythms [NEAR, N, R] and log likelihoods [NEAR, N] for the next note at each place ahead."""
        beats, count = self._beats, len(self._beats.places)
        crossed, place = ahead // count, ahead % count
        same = ahead == r.place
        weight = np.where(same[..., None], r.rhythm, r.rhythm * beats.within[r.place, place])
        onward = r.rhythm * beats.after[r.place]
        for beat in range(1, int(crossed.max(initial=0)) + 1):
            kept = onward * beats.stays
            onward = kept + (onward.sum(1) - kept.sum(1))[:, None] * beats.share
            weight = np.where((crossed == beat)[..., None], onward * beats.before[place], weight)
            onward = onward * beats.none
        total = weight.sum(-1) + _HARDLY
        chord = beats.chord[r.place]
        likely = np.where(same, np.log(chord), np.log(1 - chord) + np.log(total))
        return weight / total[..., None], likely

    def _doubt(self, r: _Readings) -> None:
        """Add readings with the beat on the other 16ths, where such readings are missing or very unlikely."""
        beats, best = self._beats, int(r.likely.argmax())
        floor = r.likely[best] - DOUBT
        phase = beats.places[r.place] - (r.time_s - r.time_s[best]) / r.length_s[best]
        new = []
        for shift in range(1, beats.sixteenths):
            place = (beats.places[r.place[best]] + shift / beats.sixteenths) % 1
            near = np.flatnonzero(np.abs((phase - place + 0.5) % 1 - 0.5) < 0.06)
            if len(near):
                first = near[r.likely[near].argmax()]
                r.likely[first] = max(r.likely[first], floor)
            else:
                new += np.flatnonzero(np.abs(beats.places - place) < 0.01).tolist()
        if new:
            added = r.picked(np.full(len(new), best))
            added.place = np.array(new, np.intp)
            added.rhythm, added.likely = self._fresh(added.place), np.full(len(new), floor)
            self._readings = r.and_(added)


@dataclass(frozen=True, slots=True)
class _Way:
    """A change of tempo since the note before: the predicted time and length with their covariance; all [NEAR, N]."""

    likely: Array  # log probability
    time_s: Array
    length_s: Array
    var: tuple[Array, Array, Array]


def _ways(r: _Readings, moved: Array) -> list[_Way]:
    """Return three changes of tempo: none, a sudden one, and the return to the usual tempo."""
    time_var, both_var, length_var = r.var.T
    some = np.minimum(1, moved)
    on = r.length_s + (1 - np.exp(-PULL * moved)) * (r.usual_s - r.length_s)
    drift = (DRIFT * r.length_s) ** 2 * moved
    wander = WANDER_S**2 * moved
    time = time_var + 2 * moved * both_var + moved**2 * length_var + drift * moved**2 / 3 + wander
    both = both_var + moved * length_var + drift * moved / 2
    other_var = length_var + (SLOWER_SPREAD * r.length_s) ** 2
    usual_var = (RETURN_SPREAD * r.usual_s) ** 2
    return [
        _Way(
            np.log(1 - (SLOWER + RETURN) * some),
            r.time_s + moved * (r.length_s + on) / 2,
            on,
            (time, both, length_var + drift),
        ),
        _Way(
            np.log(SLOWER * some + _HARDLY),
            r.time_s + moved * SLOWER_BY * r.length_s,
            SLOWER_BY * r.length_s + 0 * moved,
            (
                time_var + 2 * moved * both_var + moved**2 * other_var,
                both_var + moved * other_var,
                other_var + 0 * moved,
            ),
        ),
        _Way(
            np.log(RETURN * some + _HARDLY),
            r.time_s + moved * r.usual_s,
            r.usual_s + 0 * moved,
            (time_var + moved**2 * usual_var, moved * usual_var, usual_var + 0 * moved),
        ),
    ]


def _measured(
    r: _Readings, moved: Array, way: _Way, time_s: float, likely: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Do the Kalman filter's update with a note's time. Return the columns of `_Readings` from `time_s` on."""
    time_var, both_var, length_var = way.var
    spread = time_var + UNEVEN_S**2
    off = time_s - way.time_s
    gain, gain_length = time_var / spread, both_var / spread
    length_s = way.length_s + gain_length * off
    stretched = np.log(np.maximum(length_s, _ALIKE_S) / r.usual_s)
    cost = 0.25 * moved * (stretched / np.where(stretched > 0, STRETCH, HASTE)) ** 2
    likely = likely + way.likely - 0.5 * (off**2 / spread + np.log(2 * np.pi * spread)) - cost
    likely = np.where((stretched < np.log(LEAST)) | (stretched > np.log(MOST)), -np.inf, likely)
    usual_s = r.usual_s + (1 - np.exp(-SETTLES * moved)) * (length_s - r.usual_s)
    var = np.stack([time_var * (1 - gain), both_var * (1 - gain), length_var - gain_length * both_var], axis=-1)
    return (way.time_s + gain * off).ravel(), length_s.ravel(), usual_s.ravel(), var.reshape(-1, 3), likely.ravel()


def _best(r: _Readings) -> _Readings:
    """Return the likeliest readings. Nearly equal readings are merged."""
    likely = r.likely - r.likely.max()
    rows = np.flatnonzero(likely > -UNLIKELY)
    rows = rows[np.argsort(-likely[rows], kind="stable")]
    same = zip(
        r.place[rows].tolist(),
        np.rint(r.time_s[rows] / _ALIKE_S).tolist(),
        np.rint(np.log(r.length_s[rows]) / _ALIKE).tolist(),
        strict=True,
    )
    first: dict[tuple[int, float, float], int] = {}
    stands = np.array([first.setdefault(key, len(first)) for key in same], np.intp)
    weight = np.bincount(stands, np.exp(likely[rows]))
    leaders = rows[np.unique(stands, return_index=True)[1]]
    kept = r.picked(leaders[:KEPT])
    kept.likely = np.log(weight)[:KEPT]
    return kept
