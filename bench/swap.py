"""Measure the cost of switching to another network while playing, on JACK, with and without the live roll.

    python -m bench.swap [--swaps 20] [--every 5] [--no-display]

The bench writes the checkpoint's file anew and sends the signal USR1, again and again, while livebach plays. From the
log it computes the lateness of each deadline, with separate figures for the second after a signal; the number of missed
deadlines; and the time from the signal until the new network plays.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.live import BPM, newest_take, start_playing
from bench.rig import Rig, rig
from livebach.commands.timing import load_average, machine, summary
from livebach.live import take_log
from livebach.network import checkpoint

AFTER_S = 1.0


def swaps(here: Rig, args: argparse.Namespace) -> dict[str, Any]:
    """Play, and exchange the network again and again."""
    network = checkpoint.load(checkpoint.default_path() if args.checkpoint is None else args.checkpoint)
    path = here.folder / "network.safetensors"
    checkpoint.save(path, network)
    quiet = ["--log", "plain"] if args.no_display else []
    asked_s: list[float] = []
    with here.livebach("--bpm", str(BPM), "--folder", "takes", "--checkpoint", str(path), *quiet) as program:
        start_playing(here)
        for number in range(args.swaps):
            time.sleep(args.every)
            checkpoint.save(path, replace(network, meta={**network.meta, "copy": number}))
            asked_s.append(time.perf_counter())
            program.process.send_signal(signal.SIGUSR1)
        time.sleep(args.every)
    log = take_log.read(newest_take(here.folder))
    return {"display": not args.no_display, **figures(log, asked_s)}


def figures(log: take_log.Log, asked_s: list[float]) -> dict[str, Any]:
    """Return the lateness of the deadlines, and the time of each exchange."""
    timed = [(call.due, call.t - call.due) for call in log.calls if call.do == "advance" and call.due is not None]
    near = [late for due, late in timed if any(0 <= due - at < AFTER_S for at in asked_s)]
    others = [late for due, late in timed if not any(0 <= due - at < AFTER_S for at in asked_s)]
    done_s = [call.t for call in log.calls if call.swap is not None]
    took = [done - max(at for at in asked_s if at < done) for done in done_s]
    return {
        "swaps": len(done_s),
        "took": summary(took),
        "deadlines_in_the_second_after": {"count": len(near), **summary(near)},
        "other_deadlines": {"count": len(others), **summary(others)},
        "missed": [remark for remark in log.remarks if "missed" in remark],
    }


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--every", type=float, default=5, metavar="S")
    parser.add_argument("--no-display", action="store_true", help="print plain lines instead of the live roll")
    parser.add_argument("--checkpoint", type=Path, help="use another network than the shipped one")
    args = parser.parse_args()
    before = load_average()
    with rig() as here:
        found = swaps(here, args)
    print(
        json.dumps({"swap": found, "machine": machine(), "load_before": before, "load_after": load_average()}, indent=1)
    )


if __name__ == "__main__":
    main()
