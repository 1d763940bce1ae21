"""A process that plays, and is ended by signals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# `livebach play` on ports inside the process: what it sends is kept, and looked at when it has ended.
PLAY = """
import sys, threading, time
from livebach import cli
from livebach.live import playing
from livebach.live import assembly
from livebach.midi import ports
from livebach.musician import performance
from livebach.music.events import NoteOff, NoteOn, from_bytes, to_bytes
from livebach.music.roll import HOLD, ONSET
from livebach.testing import FakeBackend, ScriptedEngine

backend = FakeBackend(inputs=["keys"], outputs=["synth"])
ports.open_backends = lambda api=None: [backend]
engine = ScriptedEngine([{72: ONSET}, *[{72: HOLD}] * 63])
assembly.load_network = lambda name, fast=False: assembly.Loaded(engine, name, "00")
assembly.with_touch = lambda network, *_: network

class NoGuard:  # a guard is another process, which could not reach a port inside this one
    def __init__(self, *ports): pass
    def check(self): return None
    def close(self): pass
playing.Guard = NoGuard

def hands():
    while "keys" not in backend.connections: time.sleep(0.01)
    time.sleep(0.3)
    for event in (NoteOn(60), NoteOff(60), NoteOn(15)):
        backend.connections["keys"].send(to_bytes(event)); time.sleep(0.05)
    while not any(isinstance(from_bytes(data), NoteOn) and data[0] == 0x91 for _, data in backend.sent):
        time.sleep(0.01)
    print("sounds", flush=True)
    if "fault" in sys.argv:
        def fail(*_): raise RuntimeError("on purpose")
        performance.Performance.advance = fail

threading.Thread(target=hands, daemon=True).start()
try:
    status = cli.main(["--in", "keys", "--out", "synth", "--bpm", "200", "--save", "off", "--log", "plain"])
except RuntimeError:
    status = 1
on = set()
for _, data in backend.sent:
    event = from_bytes(data)
    if isinstance(event, NoteOn): on.add((event.channel, event.key))
    if isinstance(event, NoteOff): on.discard((event.channel, event.key))
print("left", sorted(on), "of", len(backend.sent), flush=True)
sys.exit(status)
"""


def ended(numbers: Sequence[int], *arguments: str, **variables: str) -> tuple[int, str]:
    """Play until a note sounds, send signals at once; the exit status and the last line."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
    command = [sys.executable, "-c", PLAY, *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    while (line := child.stdout.readline()) and line != "sounds\n":
        pass
    for number in numbers:
        child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert out, err
    return child.returncode, out.splitlines()[-1]
