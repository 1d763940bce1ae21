"""Compute how well the network predicts a MIDI file, bar by bar.

The network gives the exact joint probability of all 88 keys in each 16th. Costs are in nats: the lower, the better
predicted.
"""

import sys
from pathlib import Path

from livebach import Engine, default_checkpoint, key_nats, load_checkpoint, piece_of, read_score


def main(path: Path) -> None:
    """Print the cost of each bar of a MIDI file, and the mean."""
    engine = Engine(load_checkpoint(default_checkpoint()))
    piece = piece_of(path.name, read_score(path, engine.spec.steps_per_quarter))
    nats = key_nats(engine, piece).sum(axis=1)  # [T]: the cost of each frame
    bar_ticks = int(piece.places[0, 2])
    for number, start in enumerate(range(0, len(nats), bar_ticks), 1):
        print(f"bar {number:3}  {nats[start : start + bar_ticks].mean():6.2f} nats per 16th")
    print(f"mean     {nats.mean():6.2f} nats per 16th")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
