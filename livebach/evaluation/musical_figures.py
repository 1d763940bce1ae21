"""Figures of musical memory and style: themes, home key, rhythm and voices. They compare roll-outs with real pieces.

Every figure takes a `Passage`: some bars of music after a prime of four bars. The module knows frames, but no network
and no file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.idiom import CLASHES, joint_moves, struck_together
from livebach.music.key import ALL_KEYS, LOG_PROFILES, Key, likeliest_key
from livebach.music.roll import KEYS, LOW_KEY, OFF, ONSET, Frames, Note, notes_from_frames

LEAST_THEME, MOST_THEME = 6, 12
"""Minimum and maximum number of notes of a theme."""
ENTRY = 10
"""A theme with at least this many notes ends when a second voice enters."""
PATTERN = 6
"""Number of notes of a pattern."""
FURTHEST_BARS = 32
"""Maximum distance of a pattern's repetition, in bars."""
NEARLY = 0.8
"""Two bars are nearly equal if they have at least this share of onsets in common."""
HIGH = 84 - LOW_KEY  # C6
BAR_WEIGHT = 8.0
"""Number of notes that a bar counts as in the estimate of its key. Successive notes are not independent."""
STAYS = 0.9
"""Probability that the next bar has the same key."""
STRETCHES = ((0, 8), (8, 16), (16, 24), (24, 32))
"""First bar and end bar of each measurement of `near_home`."""
Notes = list[tuple[int, int]]
"""Pairs of tick and key (0..87)."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Bars of music after a prime.

    Attributes:
        primed: uint8 [P, 88], the prime.
        frames: uint8 [T, 88], the music after the prime.
        beat: Ticks per beat.
        bar: Ticks per bar.
        offset: Position in the bar of the first frame of `frames`, in ticks.
        home: Key of the real piece; None: the key of the prime.

    """

    primed: Frames
    frames: Frames
    beat: int
    bar: int
    offset: int = 0
    home: Key | None = None

    @property
    def bars(self) -> float:
        """Number of bars after the prime."""
        return len(self.frames) / self.bar

    def starts(self, length: int) -> range:
        """Return the first ticks of all complete beats or bars of `length` ticks."""
        return range(-self.offset % length, len(self.frames) - length + 1, length)


# -- themes -----------------------------------------------------------------------------------------------------------


def theme_of(primed: Frames) -> Notes:
    """Return the theme of a prime: the first notes of the upper line, or no notes if there is no theme.

    The theme ends when a second voice enters, but not before 10 notes. It ends after 12 notes at the latest. A theme
    has at least 6 notes.
    """
    notes: Notes = []
    for tick in np.flatnonzero((primed == ONSET).any(axis=1)).tolist():
        keys = np.flatnonzero(primed[tick] == ONSET)
        several = np.count_nonzero(primed[tick]) > 1
        if len(notes) >= MOST_THEME or (several and len(notes) >= ENTRY):
            break
        notes.append((tick, int(keys[-1])))
    return notes if len(notes) >= LEAST_THEME else []


def statements(theme: Notes, frames: Frames, diatonic: bool = False) -> list[tuple[int, int]]:
    """Return all statements of a theme, in any voice and key.

    Args:
        theme: Notes of the theme.
        frames: uint8 [T, 88].
        diatonic: Whether each note after the first may be a semitone higher or lower.

    Returns:
        For each statement the tick of its first note, and the transposition in semitones.

    """
    if not theme:
        return []
    first, base = theme[0]
    length = theme[-1][0] - first + 1
    struck = np.pad(frames == ONSET, ((0, 0), (KEYS, KEYS)))
    near = struck.copy()
    near[:, 1:] |= struck[:, :-1]
    near[:, :-1] |= struck[:, 1:]
    count = len(frames) - length + 1
    if count <= 0:
        return []
    there = struck[:count].copy()  # [count, 3 * 88]: a statement begins on this tick and key
    for tick, key in theme[1:]:
        rows = (near if diatonic else struck)[tick - first : tick - first + count]
        there &= np.roll(rows, base - key, axis=1)
    ticks, keys = np.nonzero(there[:, KEYS : 2 * KEYS])
    return [(int(t), int(k) - base) for t, k in zip(ticks, keys, strict=True)]


def theme_again(passage: Passage, diatonic: bool = False) -> float | None:
    """Return the number of statements of the prime's theme per 32 bars, or None if the prime has no theme.

    Two statements on one tick count as one.
    """
    theme = theme_of(passage.primed)
    found = {tick for tick, _ in statements(theme, passage.frames, diatonic)}
    return len(found) / passage.bars * 32 if theme else None


def patterns_again(passage: Passage) -> float | None:
    """Return the share of patterns that repeat the intervals and rhythm of a pattern 1 to 32 bars earlier.

    A pattern has 6 consecutive notes of one voice. The next note of a voice is the nearest note that begins when the
    last note ends. The result is None if there is no pattern.
    """
    notes, following = _voices(np.concatenate([passage.primed, passage.frames]))
    seen: dict[tuple[int, ...], list[int]] = {}
    again = total = 0
    for first in range(len(notes)):
        chain = [first]
        while len(chain) < PATTERN and (after := following.get(chain[-1])) is not None:
            chain.append(after)
        if len(chain) < PATTERN:
            continue
        start = notes[first].start
        steps = [(notes[b].start - notes[a].start, notes[b].key - notes[a].key) for a, b in itertools.pairwise(chain)]
        before = seen.setdefault(tuple(n for step in steps for n in step), [])
        if start >= len(passage.primed):
            total += 1
            again += any(passage.bar <= start - tick <= FURTHEST_BARS * passage.bar for tick in before)
        before.append(start)
    return again / total if total else None


def _voices(frames: Frames) -> tuple[list[Note], dict[int, int]]:
    """Return the notes of a roll sorted by start, and the index of the next note in the voice of each note."""
    notes = sorted(notes_from_frames(frames), key=lambda note: (note.start, note.key))
    struck: dict[int, list[int]] = {}
    for i, note in enumerate(notes):
        struck.setdefault(note.start, []).append(i)
    following = {}
    for i, note in enumerate(notes):
        if note.end in struck:
            following[i] = min(struck[note.end], key=lambda j: abs(notes[j].key - note.key))
    return notes, following


def bars_nearly_equal(passage: Passage) -> float | None:
    """Return the share of bars nearly equal to one of the four previous bars, or None without a complete bar."""
    struck = passage.frames == ONSET
    bars = [struck[start : start + passage.bar] for start in passage.starts(passage.bar)]
    if not bars:
        return None
    alike = [any(_alike(one, other) for other in bars[max(0, i - 4) : i]) for i, one in enumerate(bars)]
    return float(np.mean(alike))


def _alike(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    either = int((one | other).sum())
    return either > 0 and int((one & other).sum()) >= NEARLY * either


# -- key --------------------------------------------------------------------------------------------------------------


def fifths_apart(one: Key, other: Key) -> int:
    """Return the distance of two keys on the circle of fifths, 0..6. Relative keys have the distance 0."""
    places = [(key.tonic + 3 * key.minor) * 7 % 12 for key in (one, other)]
    apart = (places[0] - places[1]) % 12
    return min(apart, 12 - apart)


def key_of(frames: Frames) -> Key | None:
    """Return the key of frames uint8 [T, 88] by the duration of each pitch class; None if nothing sounds."""
    return likeliest_key(_durations(frames))


def _durations(frames: Frames) -> NDArray[np.float64]:
    _, keys = np.nonzero(frames != OFF)
    return np.bincount((keys + LOW_KEY) % 12, minlength=12).astype(np.float64)


def keys_of(bars: Sequence[Frames]) -> list[Key]:
    """Return the key of each bar, as the likeliest path of a hidden Markov model of keys.

    A bar alone is too short for its key. The key of a bar gives the shares of its pitch classes, and likely stays, or
    changes to a near key (Temperley 2007, "Music and Probability"). The three constants were chosen by the keys that
    the titles of the Well-Tempered Clavier state, and by transposed bars, which must be found far from home.

    Args:
        bars: uint8 [T, 88] of each bar, at least one bar.

    """
    weights = np.array([_durations(bar) for bar in bars])
    shares = weights / np.maximum(1, weights.sum(axis=1, keepdims=True))
    likely = BAR_WEIGHT * shares @ LOG_PROFILES.T  # [bars, 24]
    apart = np.array([[fifths_apart(one, other) for other in ALL_KEYS] for one in ALL_KEYS])
    change = np.exp(-1.0 * apart) * (1 - np.eye(len(ALL_KEYS)))
    steps = np.log((1 - STAYS) * change / change.sum(axis=1, keepdims=True) + STAYS * np.eye(len(ALL_KEYS)))
    best, before = likely[0], []
    for row in likely[1:]:
        paths = best[:, None] + steps
        before.append(paths.argmax(axis=0))
        best = paths.max(axis=0) + row
    path = [int(best.argmax())]
    for pointers in reversed(before):
        path.append(int(pointers[path[-1]]))
    return [ALL_KEYS[i] for i in reversed(path)]


def _bars_and_keys(passage: Passage) -> tuple[list[Frames], list[Key]]:
    """Return the complete bars after the prime, and their keys. The path of keys begins in the prime."""
    bar, starts = passage.bar, passage.starts(passage.bar)
    if not len(starts):
        return [], []
    music = np.concatenate([passage.primed, passage.frames])
    begin = len(passage.primed) + starts[0]
    before = [music[max(0, end - bar) : end] for end in range(begin, 0, -bar)][::-1]
    bars = [passage.frames[start : start + bar] for start in starts]
    return bars, keys_of([*before, *bars])[len(before) :]


def near_home(passage: Passage, first: int = 0, last: int | None = None) -> float | None:
    """Return the share of bars whose key is within a fifth of the home key, or None without a known key.

    Args:
        passage: The music.
        first: First bar, from 0.
        last: Bar after the last bar; all bars by default.

    """
    home = passage.home or key_of(passage.primed)
    keys = _bars_and_keys(passage)[1][first:last]
    return float(np.mean([fifths_apart(home, key) <= 1 for key in keys])) if keys and home else None


def in_scale(passage: Passage) -> float | None:
    """Return the share of notes that belong to the scale of their bar's key, or None without a complete bar.

    Chromatic music has no clear key, so `near_home` says little about it. This figure finds such music.
    """
    bars, keys = _bars_and_keys(passage)
    struck = [bar == ONSET for bar in bars]
    total = sum(int(one.sum()) for one in struck)
    inside = sum(int(one[:, key.scale].sum()) for one, key in zip(struck, keys, strict=True))
    return inside / total if total else None


# -- rhythm and texture -----------------------------------------------------------------------------------------------


def notes_per_tick(passage: Passage) -> float:
    """Return the mean number of struck keys per tick."""
    return float((passage.frames == ONSET).sum() / len(passage.frames))


def _beats(passage: Passage) -> list[tuple[bool, ...]]:
    struck = (passage.frames == ONSET).any(axis=1)
    return [tuple(struck[start : start + passage.beat].tolist()) for start in passage.starts(passage.beat)]


def full_beats(passage: Passage) -> float | None:
    """Return the share of beats with an onset on every tick, or None without a complete beat."""
    beats = _beats(passage)
    return float(np.mean([all(beat) for beat in beats])) if beats else None


def rhythm_entropy(passage: Passage) -> float | None:
    """Return the conditional entropy in bits of the rhythm of a beat, given the rhythm of the previous beat."""
    beats = _beats(passage)
    if len(beats) < 2:
        return None
    pairs, singles = _entropy(list(itertools.pairwise(beats))), _entropy(beats[:-1])
    return pairs - singles


def _entropy(values: list[tuple[bool, ...]] | list[tuple[tuple[bool, ...], tuple[bool, ...]]]) -> float:
    counts = np.unique(np.array([hash(value) for value in values]), return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def silent_ticks(passage: Passage) -> float:
    """Return the share of ticks without a pressed key."""
    return float((passage.frames == OFF).all(axis=1).mean())


def single_voice(passage: Passage) -> float:
    """Return the share of ticks with exactly one pressed key."""
    return float(((passage.frames != OFF).sum(axis=1) == 1).mean())


def polyphony_spread(passage: Passage) -> float | None:
    """Return the mean absolute change of the mean number of pressed keys from one bar to the next."""
    down = (passage.frames != OFF).sum(axis=1)
    means = [down[start : start + passage.bar].mean() for start in passage.starts(passage.bar)]
    return float(np.abs(np.diff(means)).mean()) if len(means) > 1 else None


def above_c6(passage: Passage) -> float | None:
    """Return the share of notes above C6."""
    _, keys = np.nonzero(passage.frames == ONSET)
    return float((keys > HIGH).mean()) if len(keys) else None


# -- voices -----------------------------------------------------------------------------------------------------------


def clashes(passage: Passage) -> float | None:
    """Return the share of seconds, tritones and sevenths among pairs of keys struck on the same tick."""
    bad = total = 0
    for apart in struck_together(passage.frames):
        bad, total = bad + int(np.isin(apart, CLASHES).sum()), total + len(apart)
    return bad / total if total else None


def parallels(passage: Passage, semitones: int) -> float | None:
    """Return the share of parallel intervals among the joint moves of two voices, or None without a joint move.

    Voices are the pressed keys, counted from the lowest. A move is joint if the number of pressed keys stays the same
    and both voices strike a new key.

    Args:
        passage: The music.
        semitones: The interval modulo 12: 7 for fifths, 0 for octaves.

    """
    moves = [move == (semitones, semitones) for move in joint_moves(passage.frames)]
    return float(np.mean(moves)) if moves else None


FIGURES: dict[str, Callable[[Passage], float | None]] = {
    "theme_again_exactly": theme_again,
    "theme_again_diatonically": lambda passage: theme_again(passage, diatonic=True),
    "patterns_again": patterns_again,
    "bars_nearly_equal": bars_nearly_equal,
    **{
        f"near_home_{first + 1}_{last}": lambda passage, first=first, last=last: near_home(passage, first, last)  # type: ignore[misc]
        for first, last in STRETCHES
    },
    "in_scale": in_scale,
    "notes_per_tick": notes_per_tick,
    "full_beats": full_beats,
    "rhythm_entropy": rhythm_entropy,
    "silent_ticks": silent_ticks,
    "single_voice": single_voice,
    "polyphony_spread": polyphony_spread,
    "above_c6": above_c6,
    "clashes": clashes,
    "parallel_fifths": lambda passage: parallels(passage, 7),
    "parallel_octaves": lambda passage: parallels(passage, 0),
}
"""Functions of all figures by name. A figure is None if the passage has nothing to measure."""
