"""Write a piece offline: let the network continue its own beginning for eight bars, and save a MIDI file.

`livebach generate` does the same, and can begin with a MIDI file (`--prime`).
"""

import sys
from pathlib import Path

from livebach import Engine, default_checkpoint, generate, load_checkpoint, load_config, score_to_midi, tracks

BARS = 8
QUARTER_US = 750_000
"""The tempo, in microseconds for a quarter note: 80 quarters a minute."""


def main(path: Path) -> None:
    """Write eight bars of 3/4 in D minor to a MIDI file."""
    config = load_config(assignments=["time.metre=3/4", "sampling.key=d minor", "sampling.seed=5"])
    engine = Engine(load_checkpoint(default_checkpoint()))
    frames, prime_ticks = generate(engine, config, BARS)
    parts = tracks(frames, prime_ticks)
    path.write_bytes(score_to_midi(parts, [(0, config.time.metre)], [(0, QUARTER_US)], engine.spec.steps_per_quarter))
    print(f"wrote {path}: {BARS} bars, {sum(len(notes) for _, notes in parts)} notes")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "piece.mid"))
