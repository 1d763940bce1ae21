"""Find the tick that answers a key: presses from 60 ms before a tick to 60 ms after it, with real ports on JACK.

    python -m bench.tick [--presses 240] [--behind 0] [--busy 1]

livebach plays a duet. Its notes sound `--behind` milliseconds after the tick (the default is turns.delay_ms). Then the
bench replays the log with an engine that records the given keys. The answering tick of a press is the first tick whose
frame was chosen with that key given, as struck or as held. The press made a difference if the engine chooses another
frame without it, given the same random numbers. The time of a press is that of the input's callback. There are two
delays: from the callback until the answering tick's notes are sent; and on the wire, from the keyboard's sending to the
arrival of the first of these notes, which includes JACK's two trips of about two periods each.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.live import busy, newest_take
from bench.rig import Rig, rig
from livebach.commands.replay import play_again
from livebach.commands.timing import load_average, machine, summary
from livebach.config import Config
from livebach.live import assembly, take_log
from livebach.music.events import NoteOn
from livebach.music.roll import HOLD, LOW_KEY, OFF, ONSET, Frame
from livebach.network.sampling import SamplingParams

BPM = 90
TICK_S = 60 / BPM / 4
WIDEST_MS, NARROW_MS = 60, 3
EDGES_MS = (-60, -40, -20, -10, -5, 0, 20, 40, 60)
WAY_MS = 1.5
"""The approximate time of a press from the keyboard to the callback, in ms."""
OWN_ON = 0x91


class Spy:
    """An engine that records the given keys of its last draw, and whether each made a difference."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.spec, self.quotes, self.idiom = engine.spec, engine.quotes, engine.idiom
        self.new_state, self.push = engine.new_state, engine.push
        self.down: dict[int, bool] = {}

    def draw(self, state: Any, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """Draw like the engine, and once more for each key that is down, as if it were up."""
        frame: Frame = self._engine.draw(state, given, uniforms, params).copy()
        for key in np.flatnonzero((given == ONSET) | (given == HOLD)):
            without = given.copy()
            without[key] = OFF
            other = self._engine.draw(state, without, uniforms, params)
            self.down[int(key)] = bool((np.delete(other, key) != np.delete(frame, key)).any())
        return frame


@dataclass
class Press:
    """One press: its nearest tick, its distance from that tick, and its answer."""

    key: int
    at_s: float
    tick_s: float
    chosen_s: float | None = None  # the time at which the answering frame was chosen
    ticks_later: int = 0  # the answering tick, counted from the nearest one
    changed: bool = False
    callback_s: float | None = None
    wire_s: float | None = None

    @property
    def late_ms(self) -> float:
        """The lateness after the nearest tick, in ms."""
        return (self.at_s - self.tick_s) * 1000


def perform(here: Rig, presses: int, chosen_ms: float) -> tuple[take_log.Log, list[float]]:
    """Play a duet with presses all around the ticks, half of them just before or after the frame is chosen.

    Return the log of the take, and the time of each press.
    """
    low, high = chosen_ms - NARROW_MS - WAY_MS, chosen_ms + NARROW_MS - WAY_MS
    near = [random.uniform(low, high) / 1000 for _ in range(presses // 2)]
    offsets = near + [random.uniform(-WIDEST_MS, WIDEST_MS) / 1000 for _ in range(presses - len(near))]
    random.shuffle(offsets)
    events = [(0.0, bytes((0x90, 60, 70))), (2 * TICK_S, bytes((0x80, 60, 0)))]
    for i, offset_s in enumerate(offsets):
        at_s, key = (8 + 3 * i) * TICK_S + offset_s, random.randint(60, 76)
        events += [(at_s, bytes((0x90, key, 70))), (at_s + 1.4 * TICK_S, bytes((0x80, key, 0)))]
    with here.livebach("--bpm", str(BPM), "--mode", "duet", "--folder", "takes"):
        here.keyboard.play(events, time.perf_counter() + 0.2)
        sent_s = here.keyboard.sent(len(events))[2::2]
        time.sleep(4 * TICK_S)
    return take_log.read(newest_take(here.folder)), sent_s


def follow(log: take_log.Log) -> list[Press]:
    """Replay a take; return each press with its answering tick. The first press only sets the grid."""
    loaded = assembly.with_touch(assembly.load_network(log.header.checkpoint))
    spy = Spy(loaded.engine)
    musician = assembly.musician(replace(loaded, engine=spy), log.config, log.header.start_s)  # type: ignore[arg-type]
    first_s = next(call.t for call in log.calls if isinstance(call.event, NoteOn))
    lead_s, behind_s = log.config.engine.lead_ms / 1000, log.config.turns.delay_ms / 1000
    presses: list[Press] = []
    for call in log.calls:
        spy.down.clear()
        list(play_again(musician, [call]))
        if isinstance(call.event, NoteOn):
            tick_s = first_s + round((call.t - first_s) / TICK_S) * TICK_S
            presses.append(Press(call.event.key - LOW_KEY, call.t, tick_s))
        for press in presses[-2:]:
            if press.chosen_s is None and press.key in spy.down:
                assert call.due is not None
                press.chosen_s, press.changed = call.due, spy.down[press.key]
                press.ticks_later = round((call.due + lead_s - behind_s - press.tick_s) / TICK_S)
    return presses[1:]


def measure_delays(
    presses: list[Press], sent_s: list[float], log: take_log.Log, wire: list[tuple[float, bytes]]
) -> None:
    """Find the notes that answered each press, if any: when they were sent, and when they arrived."""
    struck = [call for call in log.calls if call.do == "advance" and any(isinstance(e, NoteOn) for e in call.out)]
    arrived = [t for t, data in wire if data[0] == OWN_ON]
    for press, pressed_s in zip(presses, sent_s, strict=True):
        chosen_s = press.chosen_s or math.inf
        call = next((call for call in struck if 0 <= (call.due or 0) - chosen_s < TICK_S / 4), None)
        if call is not None:
            press.callback_s = call.t - press.at_s
            press.wire_s = next(t for t in arrived if t >= call.t) - pressed_s


def table(presses: list[Press], chosen_ms: float) -> list[dict[str, Any]]:
    """Return the presses grouped by lateness: their number, answering tick, share with a difference, and delays."""
    found = []
    for low, high in pairwise(sorted({*EDGES_MS, *(chosen_ms + n for n in (-2, -1, 0, 1, 2))})):
        some = [press for press in presses if low <= press.late_ms < high]
        answered = [press for press in some if press.chosen_s is not None]
        if answered:
            found.append(
                {
                    "from_ms": low,
                    "to_ms": high,
                    "presses": len(some),
                    "answered_by": {str(n): c for n, c in sorted(Counter(p.ticks_later for p in answered).items())},
                    "changed_it": round(sum(press.changed for press in answered) / len(answered), 2),
                    "delay_at_the_callback_ms": spread([p.callback_s for p in answered if p.callback_s is not None]),
                    "delay_on_the_wire_ms": spread([p.wire_s for p in answered if p.wire_s is not None]),
                }
            )
    return found


def spread(delays_s: list[float]) -> list[float]:
    """Return the least and the greatest value, in ms."""
    return [round(delay * 1000, 1) for delay in (min(delays_s), max(delays_s))] if delays_s else []


def main() -> None:
    """Perform, replay, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presses", type=int, default=240)
    parser.add_argument("--behind", type=float, default=Config().turns.delay_ms)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, help="use another network than the shipped one")
    args = parser.parse_args()
    settings = ["--checkpoint", str(args.checkpoint.resolve())] if args.checkpoint else []
    settings += ["--set", f"turns.delay_ms={args.behind:g}"]
    chosen_ms = args.behind - Config().engine.lead_ms
    before = load_average()
    with rig(*settings) as here, busy(args.busy):
        log, sent_s = perform(here, args.presses, chosen_ms)
        wire = here.wire.heard()
    presses = follow(log)
    measure_delays(presses, sent_s, log, wire)
    origin_s = presses[0].tick_s
    own = [(t - origin_s) % TICK_S for t, data in wire if data[0] == OWN_ON]
    found = {
        "frame_chosen_after_the_tick_ms": chosen_ms,
        "presses": table(presses, chosen_ms),
        "not_answered": sum(press.chosen_s is None for press in presses),
        "own_notes_after_their_tick_on_the_wire": {"count": len(own), **summary(own)},
    }
    load = {"load_before": before, "load_after": load_average(), "busy_processes": args.busy}
    print(json.dumps({"tick": found, "machine": machine(), **load}, indent=1))


if __name__ == "__main__":
    main()
