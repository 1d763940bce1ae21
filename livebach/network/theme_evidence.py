"""Evidence for the coming frame from the alignments of the theme memory, and what it adds to the network's logits.

For each alignment and each key, the recent onsets of the source within a fifth of that key are compared with what was
played: matched, matched within a semitone (a diatonic or tonal answer), or missed. The share of matched onsets says how
far the source can be trusted around that key. The largest values over all alignments are the features of the key, apart
for sources that strike the key, hold it, release it, or do not strike it. A small trained network turns the features
into shifts of the key's logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import HOLD, KEYS, OFF, ONSET
from livebach.network.themes import WINDOW, Alignments, ThemeMemory

Array = NDArray[np.float32]
Indices = NDArray[np.intp]

NEAR = 7
"""Semitones around a key within which onsets of the source count."""
AGED = np.float32(0.9) ** np.arange(WINDOW, dtype=np.float32)
"""Weight of an onset by its age in frames."""
DOUBT = np.float32(0.5)
"""Added to the onsets that a share is taken of: one matched onset alone is no proof."""
FEATURES = (
    "struck_share",
    "struck_mass",
    "struck_run",
    "struck_share_diatonic",
    "struck_mass_diatonic",
    "struck_run_diatonic",
    "not_struck_share",
    "not_struck_mass",
    "held_share",
    "held_mass",
    "released_share",
    "released_mass",
    "neighbour_mass",
    "down",
)
"""Share: matched onsets over all onsets of the source. Mass: the share times the weight of the matched onsets, as
log(1 + mass). Run: matched onsets since the last miss, as log(1 + run). All are 0 where no alignment says anything of
the key. `down` is whether the key is down in the last frame."""
BESIDE = np.abs(np.subtract.outer(np.arange(KEYS), np.arange(KEYS)))
BAND = (BESIDE <= NEAR).astype(np.float32)
"""[88, 88]: sums over the keys within NEAR of each."""


@dataclass(frozen=True, slots=True, eq=False)
class ThemeWeights:
    """A layer of rectified units and a linear layer: features of a key to shifts of its three logits.

    Attributes:
        hidden: [H, FEATURES + 1], the last column is the bias.
        out: [3, H + 1], the last column is the bias.

    """

    hidden: Array
    out: Array

    def shift(self, features: Array) -> Array:
        """Return what to add to the logits, [3, 88], from features [FEATURES, 88]."""
        hidden = np.maximum(self.hidden[:, :-1] @ features + self.hidden[:, -1:], 0)
        return np.asarray(self.out[:, :-1] @ hidden + self.out[:, -1:])


def evidence(memory: ThemeMemory, alignments: Alignments | None = None) -> Array:
    """Return the features of the coming frame, [FEATURES, 88], by default from the best alignments of all."""
    out = np.zeros((len(FEATURES), KEYS), np.float32)
    latest = memory.latest()
    out[-1] = latest[0] != OFF
    alignments = memory.alignments() if alignments is None else alignments
    if len(alignments.rows):
        _judge(memory, alignments, latest, out)
    return out


def _judge(memory: ThemeMemory, alignments: Alignments, latest: NDArray[np.uint8], out: Array) -> None:
    sources = memory.sources(alignments)  # [n, WINDOW + 1, 88]
    named, before = sources[:, 0], sources[:, 1]
    n = len(named)
    heard = latest == ONSET  # [WINDOW, 88]
    beside = np.zeros_like(heard)
    beside[:, 1:] |= heard[:, :-1]
    beside[:, :-1] |= heard[:, 1:]
    # The kind of an onset of a source: 0 matched, 1 a semitone beside, 2 missed.
    kind = np.where(heard, 0, np.where(beside, 1, 2)).ravel()
    events = np.flatnonzero(sources[:, 1:] == ONSET)
    row, when = np.divmod(events, WINDOW * KEYS)
    kinds, age, key = kind[when], when // KEYS, when % KEYS
    cell = row * KEYS + key

    sums = np.bincount(kinds * (n * KEYS) + cell, AGED[age], 3 * n * KEYS).astype(np.float32)
    exact, close, missed = (sums.reshape(-1, KEYS) @ BAND).reshape(3, n, KEYS)
    total = exact + close + missed + DOUBT
    share, both = exact / total, exact + close
    mass = share * exact
    share_diatonic = both / total
    mass_diatonic = share_diatonic * both

    struck, held = named == ONSET, named == HOLD
    released = (named == OFF) & (before != OFF)
    masks = np.stack((struck, ~struck, held, released))[:, None]  # [4, 1, n, 88]
    said = (masks * np.stack((share, mass))).max(axis=2).reshape(-1, KEYS)
    out[:2], out[6:12] = said[:2], said[2:]
    np.multiply(np.stack((share_diatonic, mass_diatonic)), struck).max(axis=1, out=out[3:5])

    pairs = np.nonzero(struck)
    for feature, runs in zip((2, 5), _runs((row, kinds, age, key), pairs, n), strict=True):
        np.maximum.at(out[feature], pairs[1], runs)
    for distance in (1, 2):
        np.maximum(out[12, distance:], out[4, :-distance], out=out[12, distance:])
        np.maximum(out[12, :-distance], out[4, distance:], out=out[12, :-distance])
    for feature in (1, 2, 4, 5, 7, 9, 11, 12):
        np.log1p(out[feature], out=out[feature])


def _runs(events: tuple[Indices, ...], pairs: tuple[Indices, ...], n: int) -> list[NDArray[np.int64]]:
    """Return the matched onsets around a key since the last frame with a miss, for pairs of an alignment and a key.

    Two lists: onsets a semitone beside are misses in the first, and matched in the second.
    """
    row, kinds, age, key = events
    of_row = np.bincount(row, minlength=n)
    repeats = of_row[pairs[0]]
    ends = np.cumsum(repeats)
    total = int(ends[-1]) if len(ends) else 0
    pair = np.repeat(np.arange(len(repeats)), repeats)
    event = np.arange(total) + np.repeat((np.cumsum(of_row) - of_row)[pairs[0]] - ends + repeats, repeats)
    near = np.abs(key[event] - pairs[1][pair]) <= NEAR
    pair, event = pair[near], event[near]
    age, kinds = age[event], kinds[event]
    found = []
    for missing in (kinds > 0, kinds == 2):
        newest = np.full(len(repeats), WINDOW)
        newest[pair[missing][::-1]] = age[missing][::-1]  # in order of age: the newest miss is written last
        found.append(np.bincount(pair[~missing & (age < newest[pair])], minlength=len(repeats)))
    return found
