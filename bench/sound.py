"""Measure the cost and the accuracy of the built-in instruments.

    python -m bench.sound mixer        # processor time of 0, 16 and 32 voices, in one process
    python -m bench.sound device       # the audio process on a silent device: callbacks, starts, memory
    python -m bench.sound render       # the time to compute a bank, and to load it from the cache
    python -m bench.sound pitch        # the distance of each key from its temperament
    python -m bench.sound clip         # the loudest sample of chords of sixteen keys at full velocity

`device` plays alone, and then beside one busy process per core. It reads Linux's /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from livebach.commands.timing import load_average, machine, summary
from livebach.music.events import NoteOn
from livebach.sound.bank import MIDDLE_KEYS, Bank, Tuning
from livebach.sound.bank_keeper import BankKeeper
from livebach.sound.instruments import INSTRUMENTS
from livebach.sound.loudspeakers import Loudspeakers, SoundSettings
from livebach.sound.mixer import BLOCK, Mixer
from livebach.sound.partials import RATE
from livebach.sound.temperaments import TEMPERAMENTS, frequency
from livebach.sound.tone import KEYS
from tests.support.sound_measures import cents_between, pitch_hz

BLOCKS = 400
CHORD = range(31, 95, 4)
CHORDS = {"cluster": range(55, 71), "bass": range(28, 60, 2), "fifths": range(24, 104, 5), "thirds": CHORD}
BUSY = "while True: pass"


def mixer(args: argparse.Namespace) -> dict[str, Any]:
    """Return the share of one core that mixing takes, by the process's own processor time."""
    found: dict[str, Any] = {}
    for name in INSTRUMENTS:
        bank = Bank(name)
        for voices in (0, 16, 32):
            keys = [40 + n for n in range(voices)]
            for key in keys:
                bank.obtain(key)
            found[f"{name}, {voices} voices"] = _share(name, bank, keys)
    return found


def _share(name: str, bank: Bank, keys: list[int]) -> dict[str, float]:
    shares = []
    for _ in range(9):
        mixer = Mixer(name, lambda _: bank)
        for key in keys:
            mixer.schedule(0, NoteOn(key, 100))
        for _ in range(10):
            mixer.mix()
        start_s = time.thread_time()
        for _ in range(100):  # half a second: no note has ended
            mixer.mix()
        shares.append((time.thread_time() - start_s) / (100 * BLOCK / RATE))
    return {"percent_of_a_core": round(100 * float(np.median(shares)), 2)}


def device(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the audio process with sixteen voices, alone and beside busy processes."""
    return [_played(name, busy, args.seconds) for name in INSTRUMENTS for busy in (0, os.cpu_count() or 1)]


def _played(name: str, busy: int, seconds: float) -> dict[str, Any]:
    with _busy(busy):
        speakers = Loudspeakers(SoundSettings(name, device="silent"))
        try:
            speakers.ready()
            time.sleep(1)
            start = _processor_s(speakers.pid)
            begun_s = time.perf_counter()
            while time.perf_counter() - begun_s < seconds:
                _strike(speakers)
            share = (_processor_s(speakers.pid) - start) / (time.perf_counter() - begun_s)
            figures, memory = speakers.figures(), _memory_mb(speakers.pid)
        finally:
            speakers.close()
    return {
        "instrument": name,
        "busy_processes": busy,
        "load": load_average(),
        "period_ms": 1000 * BLOCK / RATE,
        "callback": summary(figures["callback_s"]),
        "key_to_first_sample": summary(figures["start_s"]),
        "notes": len(figures["start_s"]),
        "late_events": figures["late"],
        "percent_of_a_core": round(100 * share, 1),
        "memory_mb": memory,
    }


def _strike(speakers: Loudspeakers) -> None:
    """Let sixteen voices sound for 0.8 s, with one more key every 50 ms."""
    for number, key in enumerate(CHORD):
        speakers.send(bytes((0x90, key, 90)))
        time.sleep(0.05 if number % 2 else 0)
    time.sleep(0.4)
    for key in CHORD:
        speakers.send(bytes((0x80, key, 0)))


@contextmanager
def _busy(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    private = kb["Private_Clean"] + kb["Private_Dirty"]
    return {"private": round(private / 1000, 1), "resident": round(kb["Rss"] / 1000, 1)}


def render(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the seconds to compute a new bank, and to load one from the cache."""
    found = []
    for name in INSTRUMENTS:
        with tempfile.TemporaryDirectory() as folder:
            settings = SoundSettings(name, device="silent", folder=folder)
            first_s, again_s = _ready_s(settings), 0.0
            keeper = BankKeeper(Tuning(), Path(folder))
            bank = keeper.open(name)
            start_s = time.perf_counter()
            while keeper.waits_for(name, KEYS):
                time.sleep(0.02)
            rest_s = time.perf_counter() - start_s
            keeper.close()
            again_s = _ready_s(settings)
            size = bank.path.stat().st_size
        found.append(
            {
                "instrument": name,
                "first_start_s": round(first_s, 2),
                "middle_keys": len(MIDDLE_KEYS),
                "all_others_s": round(rest_s, 2),
                "next_start_s": round(again_s, 2),
                "file_mb": round(size / 1e6, 1),
            }
        )
    return found


def _ready_s(settings: SoundSettings) -> float:
    start_s = time.perf_counter()
    speakers = Loudspeakers(settings)
    speakers.ready()
    took_s = time.perf_counter() - start_s
    speakers.close()
    return took_s


def pitch(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the greatest distance of a key from its temperament, for each instrument and tuning."""
    found = []
    for name, instrument in INSTRUMENTS.items():
        for temperament, a4_hz in [*((each, 440.0) for each in TEMPERAMENTS), ("werckmeister3", 415.0)]:
            off = []
            for key in KEYS:
                hz = frequency(key, temperament, a4_hz)
                layer = instrument.tone(key, hz)["body"]
                off.append(abs(cents_between(pitch_hz(layer.samples[layer.loop_start or 0 :], hz), hz)))
            found.append({"instrument": name, "tuning": f"{temperament} {a4_hz:g}", "most_cents": round(max(off), 3)})
    return found


def clip(args: argparse.Namespace) -> dict[str, float]:
    """Return the peaks of chords of sixteen keys at velocity 127; full scale is 1."""
    found = {}
    for name in INSTRUMENTS:
        bank = Bank(name)
        for chord, keys in CHORDS.items():
            for key in keys:
                bank.obtain(key)
            found[f"{name}, {chord}"] = round(_peak(name, bank, keys), 3)
    return found


def _peak(name: str, bank: Bank, keys: Iterable[int]) -> float:
    mixer = Mixer(name, lambda _: bank)
    for key in keys:
        mixer.schedule(0, NoteOn(key, 127))
    return max(float(np.abs(mixer.mix()).max()) for _ in range(BLOCKS))


COMMANDS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "mixer": mixer,
    "device": device,
    "render": render,
    "pitch": pitch,
    "clip": clip,
}


def main() -> None:
    """Measure one thing, and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("--seconds", type=float, default=15, help="the length of each measurement of `device`")
    args = parser.parse_args()
    before = load_average()
    result = COMMANDS[args.what](args)
    where = {"machine": machine(), "load_before": before, "load_after": load_average()}
    print(json.dumps({"what": args.what, "result": result, **where}, indent=1))


if __name__ == "__main__":
    main()
