"""Measure livebach on JACK, as a person runs it: start-up, memory, processor, jitter, thru and yielding.

    python -m bench.live light [--period 1024]
    python -m bench.live jitter [--minutes 10] [--busy 1] [--clock] [--triplets]
    python -m bench.live thru [--notes 1000] [--busy 1]
    python -m bench.live yields [--times 60] [--busy 1]

Keyboard, livebach and listener are separate processes. All times are of Linux's monotonic clock, which they share. A
JACK period is 2.7 ms, and messages arrive at the beginning of a period. `--busy` runs this many processes that compute
all the time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.rig import TRIES, Livebach, Rig, rig
from livebach.commands.timing import load_average, machine, summary
from livebach.live import take_log
from livebach.music.events import PULSE, NoteOn, Realtime
from tests.support.jack_rig import PERIOD, Listener
from tests.support.waiting import until

BPM = 120
TICK_S = 60 / BPM / 4
OWN_OFF, OWN_ON = 0x81, 0x91
PULSED = Realtime(PULSE)
QUIET_S = 12
"""Seconds without playing before livebach is idle. It polls more often until 10 s after the last message."""
FULL_S = 25
"""Seconds of playing until livebach holds its full number of snapshots."""
KEYS = (60, 64, 67, 72)
PHRASE = sorted(
    [(2 * i * TICK_S, bytes((0x90, key, 80))) for i, key in enumerate(KEYS)]
    + [((2 * i + 1) * TICK_S, bytes((0x80, key, 0))) for i, key in enumerate(KEYS)]
)
TRIPLETS = sorted(
    [(i * 4 / 3 * TICK_S, bytes((0x90, KEYS[i % 3], 80))) for i in range(24)]
    + [((i + 0.8) * 4 / 3 * TICK_S, bytes((0x80, KEYS[i % 3], 0))) for i in range(24)]
)
OFF_TICK = 0.1
"""Distance from the nearest tick, in ticks, from which a note counts as one between the ticks."""


def light(here: Rig, args: argparse.Namespace) -> dict[str, Any]:
    """Measure the time from the command to the first note, and memory and processor of all processes."""
    ready = [first_note_through(here) for _ in range(args.starts)]
    with here.livebach("--bpm", str(BPM), "--save", "off") as program:
        time.sleep(QUIET_S)
        idle, memory_idle = program.share(args.seconds), program.memory_mb()
        start_playing(here)
        time.sleep(FULL_S)
        playing, memory_playing = program.share(args.seconds), program.memory_mb()
    return {
        "ready_s": sorted(round(x, 3) for x in ready),
        "idle_share": idle,
        "playing_share": playing,
        "memory_idle_mb": memory_idle,
        "memory_playing_mb": memory_playing,
    }


def first_note_through(here: Rig) -> float:
    """Start livebach under a player who never stops; return the time until the first note comes out."""
    notes = [(i * 0.004, bytes((0x90, 20 + i % 100, 1))) for i in range(50)]
    through: list[float] = []
    with contextlib.closing(Livebach(here.folder, *here.settings, "--save", "off")) as program:
        while not through and not program.ended:
            here.keyboard.play(notes, time.perf_counter())
            here.keyboard.sent(len(notes))
            through = [t for t, data in here.wire.heard() if data[0] == 0x90 and t > program.started_s]
    return through[0] - program.started_s


def start_playing(here: Rig, phrase: list[tuple[float, bytes]] = PHRASE) -> None:
    """Play a phrase, and wait until livebach continues it."""
    before = len(here.wire.heard())
    here.keyboard.play(phrase)
    here.keyboard.sent(len(phrase))
    until(lambda: any(data[0] == OWN_ON for _, data in here.wire.heard()[before:]), "a note of its own")


def newest_take(folder: Path) -> Path:
    """Return the folder of the newest take."""
    return max((folder / "takes").glob("*"), key=lambda path: path.stat().st_mtime)


def jitter(here: Rig, args: argparse.Namespace) -> dict[str, Any]:
    """Let livebach play; return the lateness of its actions by the log, and of its messages at the listener."""
    with here.livebach("--bpm", str(BPM), "--folder", "takes", "--set", f"time.send_clock={args.clock}".lower()):
        start_playing(here, TRIPLETS if args.triplets else PHRASE)
        time.sleep(args.minutes * 60)
    log = take_log.read(newest_take(here.folder))
    timed = [call for call in log.calls if call.do == "advance" and call.due is not None]
    late = [call.t - call.due for call in timed if call.due is not None]
    pulses = [call.t - call.due for call in timed if call.due is not None and PULSED in call.out]
    sending = [call.t - call.due for call in timed if call.due is not None and call.out and PULSED not in call.out]
    return {
        "minutes": args.minutes,
        "all_deadlines": {"count": len(late), **summary(late)},
        "deadlines_with_notes": {"count": len(sending), **summary(sending)},
        **({"pulses": {"count": len(pulses), **summary(pulses)}} if pulses else {}),
        **(struck(log) if args.triplets else {}),
        "remarks": log.remarks,
    }


def struck(log: take_log.Log) -> dict[str, Any]:
    """Return the lateness of livebach's notes that begin on the ticks, and of those between the ticks."""
    late: dict[str, list[float]] = {"notes_on_the_ticks": [], "notes_between_the_ticks": []}
    mark = None
    for call in log.calls:
        mark = call.mark or mark
        if mark is None or call.due is None or not any(isinstance(event, NoteOn) for event in call.out):
            continue
        place = (call.due - mark.time_s) / mark.quarter_s * 4
        between = abs(place - round(place)) > OFF_TICK
        late["notes_between_the_ticks" if between else "notes_on_the_ticks"].append(call.t - call.due)
    return {name: {"count": len(times), **summary(times)} for name, times in late.items()}


def thru(here: Rig, args: argparse.Namespace) -> dict[str, Any]:
    """Send notes at irregular times through livebach, which plays a duet, and through a bare loop beside it."""
    bare = bare_loop(here)
    notes, at_s = [], 0.0
    for i in range(args.notes):
        at_s += 0.02 + random.random() * 0.02
        notes += [(at_s, bytes((0x90, 40 + i % 40, 1 + i % 120))), (at_s + 0.011, bytes((0x80, 40 + i % 40, 0)))]
    with here.livebach("--bpm", str(BPM), "--mode", "duet", "--save", "off"):
        time.sleep(1)
        here.keyboard.play(sorted(notes))
        sent = here.keyboard.sent(len(notes))
        time.sleep(0.5)
        ways = {"livebach": here.wire.heard(), "bare_loop": bare.heard()}
    times = {name: trips(sent, [data for _, data in sorted(notes)], heard) for name, heard in ways.items()}
    found: dict[str, Any] = {name: {"count": len(t), **summary(t)} for name, t in times.items()}
    found["added_p99_ms"] = found["livebach"]["p99_ms"] - found["bare_loop"]["p99_ms"]
    found["own_notes"] = sum(data[0] == OWN_ON for _, data in ways["livebach"])
    return found


def bare_loop(here: Rig) -> Listener:
    """Return a listener behind a bare loop. The loop starts again if JACK does not serve it."""
    bare = here.jack.listener("beside")
    for _ in range(TRIES):
        script = [sys.executable, str(Path(__file__).with_name("through.py"))]
        loop = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        here.jack.connect(here.keyboard.port, here.jack.port("bare-in:"))
        here.jack.connect(here.jack.port("bare-out:"), bare.port)
        if here.passes(bare):
            here.jack.processes.append(loop)
            return bare
        loop.kill()
        loop.wait()
    raise SystemExit("JACK does not serve the bare loop")


def trips(sent_s: list[float], sent: list[bytes], heard: list[tuple[float, bytes]]) -> list[float]:
    """Return the travel time of each note-on: until the next arrival of the same bytes."""
    waiting: dict[bytes, list[float]] = {}
    for time_s, data in heard:
        waiting.setdefault(data, []).append(time_s)
    out = []
    for time_s, data in zip(sent_s, sent, strict=True):
        later = [t for t in waiting.get(data, []) if 0 <= t - time_s < 0.2]
        if data[0] == 0x90 and later:
            out.append(later[0] - time_s)
    return out


def yields(here: Rig, args: argparse.Namespace) -> dict[str, Any]:
    """Press a key while livebach plays; return the times until its last note-off and until the key itself arrive."""
    last_off, own_key = [], []
    with here.livebach("--bpm", str(BPM), "--save", "off", "--set", "turns.silence_ticks=2"):
        start_playing(here)
        for _ in range(args.times):
            before = wait_until_sounding(here)
            sent_s = here.keyboard.send(bytes((0x90, 100, 70)))
            time.sleep(0.1)
            here.keyboard.send(bytes((0x80, 100, 0)))
            after = [(t, data) for t, data in here.wire.heard()[before:] if t >= sent_s and t < sent_s + 0.1]
            offs = [t - sent_s for t, data in after if data[0] == OWN_OFF]
            own_key += [t - sent_s for t, data in after if data[:2] == bytes((0x90, 100))]
            last_off += offs[-1:]
    found = {"note_offs": {"count": len(last_off), **summary(last_off)}, "key": summary(own_key)}
    found["more_than_the_key_p99_ms"] = {"ms": found["note_offs"]["p99_ms"] - found["key"]["p99_ms"]}
    return found


def wait_until_sounding(here: Rig) -> int:
    """Wait until livebach's notes sound, and then for an irregular moment."""
    before = len(here.wire.heard())
    until(lambda: any(data[0] == OWN_ON for _, data in here.wire.heard()[before:]), "a note of its own", 30)
    time.sleep(random.random() * TICK_S)
    until(lambda: any(channel == 1 for channel, _ in here.wire.sounding()), "a note that sounds", 30)
    return before


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Run processes that compute all the time."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


def main() -> None:
    """Run one measurement, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["light", "jitter", "thru", "yields"])
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clock", action="store_true", help="let livebach send a MIDI clock too")
    parser.add_argument("--triplets", action="store_true", help="play in triplets, so that livebach does too")
    parser.add_argument("--notes", type=int, default=1000)
    parser.add_argument("--times", type=int, default=60)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--period", type=int, default=PERIOD, help="JACK's period, in frames at 48 kHz")
    parser.add_argument("--checkpoint", type=Path, help="use another network than the shipped one")
    args = parser.parse_args()
    before = load_average()
    settings = ["--checkpoint", str(args.checkpoint.resolve())] if args.checkpoint else []
    with rig(*settings, period=args.period) as here, busy(args.busy):
        found = {"light": light, "jitter": jitter, "thru": thru, "yields": yields}[args.what](here, args)
    load = {"load_before": before, "load_after": load_average(), "busy_processes": args.busy, "period": args.period}
    print(json.dumps({args.what: found, "machine": machine(), **load}, indent=1))


if __name__ == "__main__":
    main()
