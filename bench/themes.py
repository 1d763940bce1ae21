"""Fit the weights of a checkpoint's theme memory, and measure them on pieces that they were not fitted to.

    python bench/themes.py CHECKPOINT --data DIR [--out NEW.safetensors]

The weights are fitted to the validation pieces. The figures are nats per frame with adaptation: validation without the
memory, with weights fitted to the other pieces of the split (five folds), and with the final weights; test without and
with the memory. No weight is fitted to the test pieces.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from livebach.network.checkpoint import load, save
from livebach.training.corpus import load_corpus
from livebach.training.theme_fit import Examples, cross_validated, examples, fit, nats


def per_frame(found: Sequence[Examples], costs: Sequence[float]) -> float:
    """Return the nats per frame over all pieces."""
    return round(sum(costs) / sum(one.frames for one in found), 4)


def main() -> None:
    """Fit, print one JSON object, and optionally write a new checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.out is not None and args.out.exists():
        sys.exit(f"{args.out}: is there already, and nothing is overwritten")
    checkpoint = load(args.checkpoint)
    corpus = load_corpus(args.data, checkpoint.spec.steps_per_quarter, report=lambda line: print(line, file=sys.stderr))
    valid, test = ([examples(checkpoint, p) for p in corpus.splits[split]] for split in ("valid", "test"))
    weights = fit(valid)
    figures = {
        "weights": weights.hidden.size + weights.out.size,
        "validation_without": per_frame(valid, [nats(one, None) for one in valid]),
        "validation_cross_validated": per_frame(valid, cross_validated(valid)),
        "validation_fitted": per_frame(valid, [nats(one, weights) for one in valid]),
        "test_without": per_frame(test, [nats(one, None) for one in test]),
        "test": per_frame(test, [nats(one, weights) for one in test]),
    }
    print(json.dumps(figures, indent=1))
    if args.out is not None:
        save(args.out, replace(checkpoint, themes=weights))


if __name__ == "__main__":
    main()
