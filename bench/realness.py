"""Measure how well a classifier tells roll-outs from the composer's own music, and by which features.

    python bench/realness.py CHECKPOINT --data DIR [--bars 32] [--seeds 3] [--split valid,test]

The features of windows of 8 bars are onset rate, intervals, rhythms, pitch classes, note lengths and voices. A random
forest learns to tell roll-outs and real music apart, in five folds that keep all windows of a piece together. Each
piece gives the same number of windows of both kinds. Prints one JSON object: the area under the ROC curve for each seed
(.5 means indistinguishable), and the features that reveal the roll-outs. Needs the extra bench.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from livebach.config import Config
from livebach.evaluation.musical_figures import FIGURES, Passage
from livebach.evaluation.musical_report import real, rolled
from livebach.evaluation.roll_statistics import FIGURES as WINDOW_FIGURES
from livebach.evaluation.roll_statistics import length_counts, pitch_classes
from livebach.evaluation.rollout_runs import Task, play
from livebach.music.roll import OFF, ONSET, Frames
from livebach.network.checkpoint import load
from livebach.network.engine import Engine
from livebach.training.corpus import load_corpus

WINDOW_BARS = 8
SHORT = (
    *("patterns_again", "bars_nearly_equal", "full_beats", "rhythm_entropy", "silent_ticks", "single_voice"),
    *("polyphony_spread", "above_c6", "clashes", "parallel_fifths", "parallel_octaves"),
)
"""The features that a window of 8 bars is long enough for."""


def described(passage: Passage) -> dict[str, float]:
    """Return the features of a window."""
    frames = passage.frames
    found = {name: figure(frames) for name, figure in WINDOW_FIGURES.items()}
    found |= {name: FIGURES[name](passage) or 0.0 for name in SHORT}
    counts = np.sort(pitch_classes(frames))[::-1]
    found |= {f"pitch_class_{i + 1}": share for i, share in enumerate(counts / max(1, counts.sum()))}
    lengths = length_counts(frames)[:16]
    found |= {f"length_{i + 1}": share for i, share in enumerate(lengths / max(1, lengths.sum()))}
    found |= _shares("down", np.minimum((frames != OFF).sum(axis=1), 7), 8)
    found |= _shares("struck", np.minimum((frames == ONSET).sum(axis=1), 5), 6)
    found |= _shares("interval", _steps(frames), 25)
    found |= _shares("harmonic", _harmonies(frames), 12)
    return {name: float(value) for name, value in found.items()}


def _shares(name: str, values: NDArray[np.integer], count: int) -> dict[str, float]:
    counts = np.bincount(values, minlength=count)[:count]
    return {f"{name}_{i}": share for i, share in enumerate(counts / max(1, counts.sum()))}


def _steps(frames: Frames) -> NDArray[np.int64]:
    """Return the steps of the upper line, -12..12 as 0..24."""
    rows = frames[(frames == ONSET).any(axis=1)] == ONSET
    tops = rows.shape[1] - 1 - rows[:, ::-1].argmax(axis=1)
    return np.asarray(np.clip(np.diff(tops), -12, 12) + 12, np.int64)


def _harmonies(frames: Frames) -> NDArray[np.int64]:
    """Return the intervals above the lowest sounding key, modulo the octave."""
    found = [(keys[1:] - keys[0]) % 12 for keys in map(np.flatnonzero, frames) if len(keys) > 1]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def windows(passage: Passage) -> list[Passage]:
    """Return the complete windows of a passage, each with the music before it."""
    size, everything = WINDOW_BARS * passage.bar, np.concatenate([passage.primed, passage.frames])
    starts = range(len(passage.primed), len(everything) - size + 1, size)
    return [
        Passage(everything[:s], everything[s : s + size], passage.beat, passage.bar, passage.offset) for s in starts
    ]


def told_apart(rows: list[dict[str, float]], labels: list[int], groups: list[int]) -> tuple[float, dict[str, float]]:
    """Return the area under the ROC curve on held-out pieces, and the importance of the features."""
    names = list(rows[0])
    x, y = np.array([[row[name] for name in names] for row in rows]), np.array(labels)
    chances, worth = np.zeros(len(y)), np.zeros(len(names))
    for inside, outside in GroupKFold(5).split(x, y, groups):
        forest = RandomForestClassifier(300, random_state=0, min_samples_leaf=2).fit(x[inside], y[inside])
        chances[outside] = forest.predict_proba(x[outside])[:, 1]
        worth += permutation_importance(forest, x[outside], y[outside], n_repeats=3, random_state=0).importances_mean
    best = np.argsort(-worth)[:12]
    return float(roc_auc_score(y, chances)), {names[i]: round(float(worth[i]) / 5, 4) for i in best}


def main() -> None:
    """Play the roll-outs, train the classifier, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bars", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", default="valid,test")
    args = parser.parse_args()
    engine = Engine(load(args.checkpoint))
    corpus = load_corpus(args.data, engine.spec.steps_per_quarter, report=lambda _: None)
    pieces = [piece for split in args.split.split(",") for piece in corpus.splits[split]]
    found = []
    for seed in range(args.seeds):
        rows: list[dict[str, float]] = []
        labels: list[int] = []
        groups: list[int] = []
        for number, piece in enumerate(pieces):
            record = play(engine, Task(Config(), piece, args.bars * int(piece.places[0, 2]), 1000 * seed + number))
            written = real(record, piece)
            theirs = windows(written) if written else []
            ours = windows(rolled(record, piece))[: len(theirs)]
            for label, passages in enumerate((theirs, ours)):
                rows += [described(passage) for passage in passages]
                labels += [label] * len(passages)
                groups += [number] * len(passages)
        area, worth = told_apart(rows, labels, groups)
        found.append({"seed": seed, "windows": len(labels), "auc": round(area, 4), "given_away_by": worth})
    mean = float(np.mean([one["auc"] for one in found]))
    print(
        json.dumps({"pieces": len(pieces), "features": len(rows[0]), "auc": round(mean, 4), "seeds": found}, indent=1)
    )


if __name__ == "__main__":
    main()
