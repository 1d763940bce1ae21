"""Measure the styles: which composer their continuations resemble, and whether they keep an accompaniment.

    python bench/styles.py likelihoods --more DIR [--split test] [--most FRAMES] [--json FILE]
    python bench/styles.py composers --bach DIR --more DIR [--count 24] [--json FILE]
    python bench/styles.py figures [--count 8] [--json FILE]

`likelihoods`: nats per onset of each style's network and of Bach's, with adaptation, on held-out pieces.

`composers`: a classifier (logistic regression on features of rhythm, texture and intervals) learns from windows of 16
bars of the training pieces of five composers: Bach's from --bach, the others' from --more with the lists in
checkpoints/. It then classifies windows of held-out pieces, which give the yardstick, and 16 bars that each style's
network plays after four bars of a held-out piece by its composer.

`figures`: each style's network plays eight bars after four bars of an oom-pah bass, an Alberti bass, a waltz bass and a
stride bass. Low and high mean below and above the middle of the bar's lowest notes. A beat keeps the figure if the
lowest note on it is low where the left hand of the prime is low, and high where that hand is high.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from livebach.config import Config, with_value
from livebach.evaluation.likelihood import key_nats
from livebach.evaluation.roll_statistics import pitch_class_entropy, scale_consistency
from livebach.evaluation.rollout_runs import metre_of
from livebach.files import data_path
from livebach.live.assembly import load_network
from livebach.music.metre import Metre
from livebach.music.phrases import Phrase
from livebach.music.prime import Prime
from livebach.music.roll import HOLD, KEYS, LOW_KEY, OFF, ONSET, Frames, frames_from_notes
from livebach.music.score_reader import Piece
from livebach.musician.rollout import music
from livebach.network.engine import Engine
from livebach.styles import DEFAULT, STYLES
from livebach.training.corpus import load_corpus

BARS = 16
STEP = 4
"""The distance in bars between the training windows of the classifier."""
PRIME_BARS = 4
Features = NDArray[np.float64]


# -- classifying composers --------------------------------------------------------------------------------------------


def _share(values: NDArray[Any], low: int, high: int) -> Features:
    """Return the share of each whole number from `low` to `high`. Other numbers count as the nearest one."""
    counts = np.bincount(np.clip(values, low, high).astype(int) - low, minlength=high - low + 1)
    return np.asarray(counts / max(1, len(values)))


def features(frames: Frames, places: NDArray[np.int16]) -> Features:
    """Return the features of a window of frames [T, 88] with places [T, 3], without absolute pitch classes."""
    struck, down = frames == ONSET, frames != OFF
    ticks, keys = np.nonzero(struck)
    at = np.flatnonzero(struck.any(axis=1))
    lowest = struck[at].argmax(axis=1)
    highest = KEYS - 1 - struck[at, ::-1].argmax(axis=1)
    _, chord_keys = np.nonzero(struck[at])
    above = (chord_keys - np.repeat(lowest, struck[at].sum(axis=1))) % 12
    lengths = [_length(frames, int(tick), int(key)) for tick, key in zip(ticks, keys, strict=True)]
    left = keys + LOW_KEY < 60
    single = [
        len(ticks) / len(frames),
        down.sum() / max(1, down.any(axis=1).sum()),
        keys.mean() if len(keys) else 0,
        keys.std() if len(keys) else 0,
        left.mean() if len(keys) else 0,
        down[:, : 60 - LOW_KEY].sum(axis=1).mean(),
        pitch_class_entropy(frames),
        scale_consistency(frames),
        (np.diff(highest) == 0).mean() if len(at) > 1 else 0,
        _octaves(struck),
    ]
    beat = np.maximum(1, places[:, 1])
    return np.concatenate(
        [
            single,
            _share(np.diff(highest), -12, 12),
            _share(np.diff(lowest), -16, 16),
            _share(above, 0, 11),
            _share(struck[at].sum(axis=1), 1, 7),
            _share(np.diff(at), 1, 9),
            _share(((places[:, 0] % beat) * 4 // beat)[ticks], 0, 3),
            _share(np.array(lengths), 1, 17),
        ]
    )


def _length(frames: Frames, tick: int, key: int) -> int:
    rest = frames[tick + 1 : tick + 18, key] != HOLD
    return int(rest.argmax()) + 1 if rest.any() else 17


def _octaves(struck: NDArray[np.bool_]) -> float:
    """Return the share of struck keys whose octave is struck too."""
    doubled = struck[:, :-12] & struck[:, 12:]
    return float(doubled.sum() / max(1, struck.sum()))


def windows(piece: Piece, step: int) -> Iterator[Features]:
    """Yield the features of a piece's windows of 16 bars, `step` bars apart."""
    bar = int(piece.places[0, 2])
    for start in range(0, len(piece.frames) - BARS * bar + 1, step * bar):
        part = slice(start, start + BARS * bar)
        yield features(piece.frames[part], piece.places[part])


@dataclass(frozen=True)
class Music:
    """One composer's training pieces and held-out pieces."""

    trained: list[Piece]
    held_out: list[Piece]


def corpora(bach: Path, more: Path) -> dict[str, Music]:
    """Return the music of each style."""
    found = {}
    for style in STYLES.values():
        corpus = load_corpus(bach) if style.scores is None else load_corpus(more, index=data_path(style.scores))
        found[style.name] = Music(corpus.splits["train"], corpus.splits["valid"] + corpus.splits["test"])
    return found


def continuation(engine: Engine, config: Config, piece: Piece) -> Piece:
    """Return 16 bars by a network after the first bars of a piece."""
    bar = int(piece.places[0, 2])
    end = PRIME_BARS * bar
    prime = Prime(piece.frames[:end], piece.places[: end + 1], ((0, _metre(piece)),), ())
    everything, primed = music(engine, config, BARS, prime)
    ticks = np.arange(len(everything) - primed) + int(prime.places[-1, 0])
    beat, bar = int(prime.places[-1, 1]), int(prime.places[-1, 2])
    places = np.stack([ticks % bar, np.full_like(ticks, beat), np.full_like(ticks, bar)], axis=1).astype(np.int16)
    return Piece(piece.name, everything[primed:], places)


def _metre(piece: Piece) -> Metre:
    return metre_of(int(piece.places[0, 1]), int(piece.places[0, 2]), 4)


def composers(args: argparse.Namespace) -> dict[str, Any]:
    """Classify real windows and continuations."""
    found, names = corpora(args.bach, args.more), list(STYLES)
    rows = [(f, name) for name in names for piece in found[name].trained for f in windows(piece, STEP)]
    guess = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000))
    guess.fit([f for f, _ in rows], [name for _, name in rows])
    real = {name: [f for piece in found[name].held_out for f in windows(piece, BARS)] for name in names}
    played: dict[str, list[Features]] = {name: [] for name in names}
    for name in names:
        engine = load_network(name).engine
        long_enough = [p for p in found[name].held_out if len(p.frames) > PRIME_BARS * int(p.places[0, 2])]
        for seed in range(args.count):
            config = with_value(Config(), "sampling.seed", seed)
            piece = continuation(engine, config, long_enough[seed % len(long_enough)])
            played[name].append(features(piece.frames, piece.places))
    report = {kind: _confusion(guess, names, each) for kind, each in (("real", real), ("played", played))}
    return {"composers": names, **report}


def _confusion(guess: Any, names: Sequence[str], asked: dict[str, list[Features]]) -> dict[str, Any]:
    """Return the confusion matrix of the composers, and the share of right answers."""
    counts = {}
    for name in names:
        answers = guess.predict(asked[name]).tolist() if asked[name] else []
        counts[name] = {other: answers.count(other) for other in names}
    right = {name: counts[name][name] / max(1, sum(counts[name].values())) for name in names}
    return {"confusion": counts, "right": right, "mean": float(np.mean(list(right.values())))}


# -- the likelihood of held-out music ---------------------------------------------------------------------------------


def nats_an_onset(engine: Engine, pieces: Sequence[Piece], most: int) -> float:
    """Return the nats per onset of the first frames of pieces, with adaptation."""
    parts = [Piece(p.name, p.frames[:most], p.places[:most]) for p in pieces]
    return sum(float(key_nats(engine, p).sum()) for p in parts) / sum(p.onsets for p in parts)


def likelihoods(args: argparse.Namespace) -> dict[str, Any]:
    """Compare each style's network with Bach's on the held-out pieces of its composer."""
    bach, report = load_network(DEFAULT).engine, {}
    for style in STYLES.values():
        if style.scores is None or style.name not in (args.style or STYLES):
            continue
        pieces = load_corpus(args.more, index=data_path(style.scores)).splits[args.split]
        own = load_network(args.checkpoint or style.name).engine
        found = {"bach": nats_an_onset(bach, pieces, args.most), "own": nats_an_onset(own, pieces, args.most)}
        report[style.name] = {**found, "lower_by": 1 - found["own"] / found["bach"], "pieces": len(pieces)}
    return {"split": args.split, "most_frames_of_a_piece": args.most, **report}


# -- keeping the accompaniment ----------------------------------------------------------------------------------------

_MELODY = "e5:4 g5:4 c6:6 b5:2 a5:4 b5:4 g5:8 f5:4 a5:4 d6:6 c6:2 b5:4 d6:4 c6:8"
_IN_THREE = "g5:8 e5:4 c6:8 a5:4 g5:8 f5:4 e5:12"


def _left(pairs: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the left hand's notes, one after another in time."""
    return tuple(" ".join(parts) for parts in zip(*pairs, strict=True))


def _oom(low: str, a: str, b: str) -> tuple[str, ...]:
    """Return a bar of 4/4: a low eighth and a chord's eighth on each beat."""
    return f"{low}:2 -:2 " * 4, f"-:2 {a}:2 " * 4, f"-:2 {b}:2 " * 4


def _alberti(low: str, middle: str, high: str) -> tuple[str, ...]:
    """Return a bar of 4/4 in eighths: low, high, middle, high."""
    return (f"{low}:2 {high}:2 {middle}:2 {high}:2 " * 2,)


def _waltz(low: str, a: str, b: str) -> tuple[str, ...]:
    """Return a bar of 3/4: a low quarter, and chords on the second and third beat."""
    return f"{low}:4 -:8", f"-:4 {a}:4 {a}:4", f"-:4 {b}:4 {b}:4"


def _stride(low: str, other: str, a: str, b: str) -> tuple[str, ...]:
    """Return a bar of 4/4: low quarters on the first and third beat, chords on the second and fourth."""
    return f"{low}:4 -:4 {other}:4 -:4", f"-:4 {a}:4 -:4 {a}:4", f"-:4 {b}:4 -:4 {b}:4"


FIGURES = {
    "oom-pah": Phrase(
        "an oom-pah bass",
        100,
        Metre(4, 4),
        (_MELODY, *_left([_oom(*c.split()) for c in ("c3 e4 g4", "f3 c4 a4", "g2 d4 f4", "c3 e4 g4")])),
    ),
    "alberti": Phrase(
        "an Alberti bass",
        120,
        Metre(4, 4),
        (_MELODY, *_left([_alberti(*c.split()) for c in ("c4 e4 g4", "c4 f4 a4", "b3 d4 g4", "c4 e4 g4")])),
    ),
    "waltz": Phrase(
        "a waltz bass",
        160,
        Metre(3, 4),
        (_IN_THREE, *_left([_waltz(*c.split()) for c in ("c3 e4 g4", "f3 c4 a4", "g2 d4 f4", "c3 e4 g4")])),
    ),
    "stride": Phrase(
        "a stride bass",
        110,
        Metre(4, 4),
        (
            _MELODY,
            *_left([_stride(*c.split()) for c in ("c2 g2 e4 g4", "f2 c3 c4 a4", "g2 d2 d4 f4", "c2 g2 e4 g4")]),
        ),
    ),
}
LEFT_HAND = 72 - LOW_KEY
"""The accompaniment is below this key."""


def contour(frames: Frames, bar: int) -> list[list[int]]:
    """Return for each bar and tick: 0 without an onset in the left hand, -1 if the lowest is low, 1 if it is high."""
    struck = frames[:, :LEFT_HAND] == ONSET
    lowest = np.where(struck.any(axis=1), struck.argmax(axis=1), -1)
    rows = []
    for start in range(0, len(lowest) - bar + 1, bar):
        row = lowest[start : start + bar]
        there = row[row >= 0]
        middle = (there.min() + there.max()) / 2 if len(there) else 0
        rows.append([0 if key < 0 else -1 if key <= middle else 1 for key in row])
    return rows


def kept(prime: Frames, played: Frames, bar: int, beat: int) -> float:
    """Return the share of the beats played that keep the figure of the prime."""
    rows = np.array(contour(prime, bar))
    wanted = np.where(np.abs(rows.sum(axis=0)) * 2 > len(rows), np.sign(rows.sum(axis=0)), 0)
    found = same = 0
    for row in np.array(contour(played, bar)):
        for start in range(0, bar, beat):
            want = wanted[start : start + beat]
            if want.any():
                found += 1
                same += bool((row[start : start + beat][want != 0] == want[want != 0]).all())
    return same / max(1, found)


def figures(args: argparse.Namespace) -> dict[str, Any]:
    """Let each network continue each figure."""
    report: dict[str, Any] = {}
    for name in STYLES:
        engine = load_network(name).engine
        for figure, phrase in FIGURES.items():
            bar, beat = phrase.metre.bar_ticks(4), phrase.metre.beat_ticks(4)
            frames = frames_from_notes(phrase.notes(), 4 * bar)
            ticks = np.arange(len(frames) + 1)
            places = np.stack([ticks % bar, np.full_like(ticks, beat), np.full_like(ticks, bar)], axis=1)
            prime = Prime(frames, places.astype(np.int16), ((0, phrase.metre),), ())
            shares = []
            for seed in range(args.count):
                everything, primed = music(engine, with_value(Config(), "sampling.seed", seed), 8, prime)
                shares.append(kept(frames, everything[primed:], bar, beat))
            report.setdefault(name, {})[figure] = float(np.mean(shares))
    return report


def main() -> None:
    """Measure, print the figures, and write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_subparsers(required=True)
    for run, count in ((likelihoods, 0), (composers, 24), (figures, 8)):
        command = which.add_parser(run.__name__)
        command.set_defaults(run=run)
        if run is likelihoods:
            command.add_argument("--split", default="test", choices=("valid", "test"))
            command.add_argument(
                "--most", type=int, default=1_000_000, metavar="FRAMES", help="measure this many frames of each piece"
            )
            command.add_argument("--style", nargs="+", choices=tuple(STYLES))
            command.add_argument("--checkpoint", metavar="FILE", help="use this network instead of the style's own")
        else:
            command.add_argument("--count", type=int, default=count, metavar="N", help="the number of continuations")
        command.add_argument("--json", type=Path, metavar="FILE")
        if run is composers:
            command.add_argument("--bach", type=Path, required=True, metavar="DIR")
        if run is not figures:
            command.add_argument("--more", type=Path, required=True, metavar="DIR")
    args = parser.parse_args()
    text = json.dumps(args.run(args), indent=1)
    print(text)
    if args.json is not None:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
