"""Which tick answers a key: presses from 60 ms before a tick to 60 ms after it, real engine, real ports on JACK.

    python bench/tick.py [--presses 240] [--busy 1]

livebach plays a duet. Afterwards its log is replayed with an engine that notes what it was given: a press counts as
heard by a tick when that tick's frame was chosen with the key given as struck, and as answered when another frame would
have been chosen without it. Times of presses are those at the input's callback; what the wire adds is told apart.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from live import busy, newest_take
from numpy.typing import NDArray
from rig import Rig, rig

from livebach import session, take
from livebach.bench import load_average, machine, summary
from livebach.events import NoteOn
from livebach.replay import play_again
from livebach.roll import LOW_KEY, OFF, ONSET, Frame
from livebach.sampling import Policy

BPM = 90
TICK_S = 60 / BPM / 4
WIDEST_MS, BIN_MS = 60, 5
OWN_ON = 0x91


class Spy:
    """The engine, noting every draw: the keys that were given as struck, and whether that made a difference."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.spec, self.new_state, self.push = engine.spec, engine.new_state, engine.push
        self.struck: dict[int, bool] = {}

    def draw(self, state: Any, given: Frame, uniforms: NDArray[np.float64], policy: Policy) -> Frame:
        """Draw as the engine does; and once more as if each struck key were up."""
        frame: Frame = self._engine.draw(state, given, uniforms, policy)
        for key in np.flatnonzero(given == ONSET):
            without = given.copy()
            without[key] = OFF
            other = self._engine.draw(state, without, uniforms, policy)
            self.struck[int(key)] = bool((np.delete(other, key) != np.delete(frame, key)).any())
        return frame


@dataclass
class Press:
    """One press: when its tick was, how far off it came, and what became of it."""

    key: int
    tick_s: float
    late_s: float
    heard: bool = False
    answered: bool = False


def perform(here: Rig, presses: int) -> session.Log:
    """Play a duet with presses all around the ticks; the take's log."""
    offsets = [random.uniform(-WIDEST_MS, WIDEST_MS) / 1000 for _ in range(presses)]
    events = [(0.0, bytes((0x90, 60, 70))), (2 * TICK_S, bytes((0x80, 60, 0)))]
    for i, offset_s in enumerate(offsets):
        at_s, key = (8 + 3 * i) * TICK_S + offset_s, random.randint(60, 76)
        events += [(at_s, bytes((0x90, key, 70))), (at_s + 1.4 * TICK_S, bytes((0x80, key, 0)))]
    with here.livebach("--bpm", str(BPM), "--mode", "duet", "--folder", "takes"):
        here.keyboard.play(events, time.perf_counter() + 0.2)
        here.keyboard.sent(len(events))
        time.sleep(4 * TICK_S)
    return session.read(newest_take(here.folder))


def follow(log: session.Log) -> tuple[list[Press], float]:
    """Replay a take; every press with its fate, and the time of a tick."""
    loaded = take.load_network(log.header.checkpoint)
    spy = Spy(loaded.engine)
    musician = take.musician(replace(loaded, engine=spy), log.config, log.header.start_s)  # type: ignore[arg-type]
    first_s = next(call.t for call in log.calls if isinstance(call.event, NoteOn))
    lead_s = log.config.engine.lead_ms / 1000
    presses: list[Press] = []
    for call in log.calls:
        spy.struck.clear()
        list(play_again(musician, [call]))
        if isinstance(call.event, NoteOn):
            tick_s = first_s + round((call.t - first_s) / TICK_S) * TICK_S
            presses.append(Press(call.event.key - LOW_KEY, tick_s, call.t - tick_s))
        for key, answered in spy.struck.items():
            assert call.due is not None
            for press in presses[-3:]:
                if press.key == key and abs(call.due + lead_s - press.tick_s) < TICK_S / 4:
                    press.heard, press.answered = True, answered
    return presses[1:], first_s


def table(presses: list[Press]) -> list[dict[str, float]]:
    """By how late they came: how many there were, and how many were heard and answered by their tick."""
    bins: dict[int, list[Press]] = defaultdict(list)
    for press in presses:
        bins[int(np.floor(press.late_s * 1000 / BIN_MS)) * BIN_MS].append(press)
    return [
        {
            "from_ms": low,
            "to_ms": low + BIN_MS,
            "presses": len(some),
            "given_to_their_tick": sum(press.heard for press in some) / len(some),
            "changed_it": sum(press.answered for press in some) / len(some),
        }
        for low, some in sorted(bins.items())
    ]


def main() -> None:
    """Perform, follow, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presses", type=int, default=240)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, help="another network than the shipped one")
    args = parser.parse_args()
    settings = ["--checkpoint", str(args.checkpoint.resolve())] if args.checkpoint else []
    before = load_average()
    with rig(*settings) as here, busy(args.busy):
        log = perform(here, args.presses)
        wire = here.wire.heard()
    presses, first_s = follow(log)
    own = [(t - first_s) % TICK_S for t, data in wire if data[0] == OWN_ON]
    found = {
        "lead_ms": log.config.engine.lead_ms,
        "presses": table(presses),
        "own_notes_after_their_tick_on_the_wire": {"count": len(own), **summary(own)},
    }
    load = {"load_before": before, "load_after": load_average(), "busy_processes": args.busy}
    print(json.dumps({"tick": found, "machine": machine(), **load}, indent=1))


if __name__ == "__main__":
    main()
