"""Measure the time of the theme memory per tick on real music. Prints JSON.

    python -m bench.theme_speed FOLDER [--minutes 5] [--fast]

Plays MIDI files from a folder into one memory, as a session with them would. The time of a tick is processor time of
the thread, in milliseconds: to take in the frame, to collect the evidence for the next one, and for both and the shift
of the logits together. `--fast` measures the compiled twin. The first half of the music fills the memory and its
archive, without being timed, so the figures are those of a full memory.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livebach.commands.timing import load_average, machine
from livebach.music.score_reader import CorpusError, Piece, piece_of, read_score
from livebach.network import theme_evidence
from livebach.network.checkpoint import default_path, load
from livebach.network.themes import RECENT, ThemeMemory

TICKS_A_MINUTE = 480
"""16ths at 120 quarters a minute."""
FILLED = 2 * RECENT + 512
"""Frames before those that are timed: recent ones, and as many that have gone to the archive."""


def pieces(folder: Path) -> Iterator[Piece]:
    """Yield the pieces of a folder, without end."""
    paths = sorted(folder.rglob("*.mid"))
    if not paths:
        raise SystemExit(f"{folder}: there are no MIDI files")
    while True:
        for path in paths:
            try:
                yield piece_of(path.stem, read_score(path))
            except CorpusError:
                continue


def percentiles(taken: list[float]) -> dict[str, float]:
    """Return percentiles of times in seconds, as milliseconds."""
    return {f"p{p:g}": round(1000 * float(np.percentile(taken, p)), 3) for p in (50, 99, 99.9, 100)}


def measure(folder: Path, ticks: int, fast: bool = False) -> dict[str, dict[str, float]]:
    """Return the percentiles of the time of a tick, after the memory has been filled."""
    weights = load(default_path()).themes
    assert weights is not None
    memory = ThemeMemory.blank()
    evidence: Callable[[ThemeMemory], NDArray[np.float32]] = theme_evidence.evidence
    if fast:
        from livebach.network import numba_engine, numba_themes

        numba_engine.FastEngine(load(default_path()))  # compiles
        memory, evidence = numba_themes.FastThemes.blank(), numba_themes.evidence
    taken = {"observe": list[float](), "evidence": list[float](), "tick": list[float]()}
    for piece in pieces(folder):
        places = [tuple(int(x) for x in place) for place in piece.places]
        for t in range(len(piece.frames) - 1):
            moments = [time.thread_time()]
            memory.observe(piece.frames[t], places[t], places[t + 1], players=True)  # type: ignore[arg-type]
            moments.append(time.thread_time())
            features = evidence(memory)
            moments.append(time.thread_time())
            weights.shift(features)
            moments.append(time.thread_time())
            if memory.clock > FILLED:
                taken["observe"].append(moments[1] - moments[0])
                taken["evidence"].append(moments[2] - moments[1])
                taken["tick"].append(moments[3] - moments[0])
            if len(taken["tick"]) == ticks:
                return {name: percentiles(times) for name, times in taken.items()}
    raise AssertionError("there is music without end")


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=5, help="minutes of music that are timed")
    parser.add_argument("--fast", action="store_true", help="time the compiled twin")
    args = parser.parse_args()
    before = load_average()
    found: dict[str, Any] = {"ms": measure(args.folder, round(args.minutes * TICKS_A_MINUTE), args.fast)}
    print(json.dumps({**found, "machine": machine(), "load_before": before, "load_after": load_average()}, indent=1))


if __name__ == "__main__":
    main()
