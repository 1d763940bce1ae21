"""After SIGKILL or a full disk: the take lacks at most its last second, and training continues."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import mido
import pytest

from livebach.live import take_log, take_midi
from livebach.music.events import NoteOn
from tests.support.midi_files import write_midi
from tests.support.pieces import OPENINGS
from tests.support.small_training import SMALL_SETTINGS

pytestmark = [
    pytest.mark.clock,
    pytest.mark.skipif(os.name == "nt", reason="SIGKILL and limits on files are POSIX's"),
]

TOP = Path(__file__).parent.parent
LOST_S = 1.0
"""What may be lost of a take."""

# A whole daemon in real time, played by a thread: each key is printed with its time once it has been heard.
DAEMON = """
import os, sys, threading, time
from pathlib import Path
from livebach.system.clock import Clock
from livebach.config import Config, SamplingSettings, TimeSettings, to_dict
from livebach.live.daemon import Daemon
from livebach.music.events import NoteOff, NoteOn, to_bytes
from livebach.musician.musician import Musician
from livebach.live.recorder import TakeRecorder
from livebach.music.roll import ONSET
from livebach.live.take_log import Header
from livebach.testing import FakePort, ScriptedEngine

config, clock, synth = Config(time=TimeSettings(bpm=200), sampling=SamplingSettings(seed=1)), Clock(), FakePort()
start_s = clock.now()
def say(*words):  # in one piece, as several threads speak
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def warn(text):
    say("warning", text)
if len(sys.argv) > 3:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
recorder = TakeRecorder(Path(sys.argv[1]), Header(to_dict(config), 1, start_s, "default", "00"), warn)
daemon = Daemon(Musician(ScriptedEngine([{72: ONSET}]), config, 1, start_s), clock, synth, recorder=recorder)
say("folder", recorder.folder)

def play():
    for number in range(int(sys.argv[2])):
        key = 40 + number % 48
        for event in (NoteOn(key, 1 + number % 127), NoteOff(key)):
            now_s = clock.now()
            daemon.receive(to_bytes(event), now_s)
            say("key", number, time.monotonic()) if isinstance(event, NoteOn) else None
            time.sleep(0.01)
    time.sleep(1)
    daemon.end()

threading.Thread(target=play, daemon=True).start()
daemon.run()
recorder.close()
say("sent", len(synth.sent), sorted(synth.sounding))
"""


def start(folder: Path, keys: int, limit: int | None = None) -> subprocess.Popen[str]:
    """The daemon as a process; its files can be made no longer than the limit, as on a disk that fills up."""
    command = [sys.executable, "-c", DAEMON, str(folder), str(keys), *([str(limit)] if limit else [])]
    environment = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def check_kept(folder: Path, keys: list[int], out: Path) -> None:
    """The log begins with these keys, in order, and a MIDI file in which all notes end can be made of it."""
    log = take_log.read(folder)
    heard = [call.event.velocity for call in log.calls if isinstance(call.event, NoteOn)]
    assert heard[: len(keys)] == [1 + number % 127 for number in keys]
    you, own = mido.MidiFile(take_midi.write_midi(log, out)).tracks
    for track in (you, own):
        kinds = [message.type for message in track]
        assert kinds.count("note_on") == kinds.count("note_off")
    assert [message.velocity for message in you if message.type == "note_on"] == heard


@pytest.mark.parametrize("after_s", [1.2, 1.6, 2.1])
def test_after_sigkill_only_the_last_second_is_missing(tmp_path: Path, after_s: float) -> None:
    """Killed while it is played: every key older than a second is in the log, and in a MIDI file made of it."""
    child = start(tmp_path / "takes", 100_000)
    assert child.stdout is not None
    folder = Path(child.stdout.readline().split(maxsplit=1)[1].strip())
    first = child.stdout.readline()
    time.sleep(after_s)
    killed_s = time.monotonic()
    child.kill()
    lines = [line.split() for line in (first + child.communicate()[0]).splitlines()]
    played = [(int(line[1]), float(line[2])) for line in lines if len(line) == 3 and line[0] == "key"]
    old = [number for number, at_s in played[:-1] if at_s < killed_s - LOST_S]
    assert old
    check_kept(folder, old, tmp_path / "out.mid")


def test_a_full_disk_stops_the_recording_and_not_the_music(tmp_path: Path) -> None:
    """The log cannot grow: said once, the music plays to its end, and what was written before can be had."""
    child = start(tmp_path / "takes", 60, limit=6000)
    out = child.communicate(timeout=60)[0].splitlines()
    assert child.returncode == 0
    assert sum(line.startswith("warning the recording has stopped") for line in out) == 1
    assert out[-1].startswith("sent ")
    assert out[-1].endswith(" []")
    folder = Path(out[0].split(maxsplit=1)[1])
    assert 0 < (folder / take_log.LOG).stat().st_size <= 6000
    check_kept(folder, list(range(10)), tmp_path / "out.mid")


@pytest.mark.slow
def test_training_killed_at_any_moment_goes_on(tmp_path: Path) -> None:
    """A run that does little but save, killed three times: each time --resume goes on from where it was saved."""
    pytest.importorskip("torch", reason="training needs the extra `train`")
    for number, notes in enumerate(OPENINGS.values()):
        write_midi(tmp_path / f"{number}.mid", notes)
    run, rng, reached = tmp_path / "run", random.Random(5), 0
    for _ in range(3):
        child = train(tmp_path, run, 1_000_000, resume=reached > 0)
        wait_for_log(run, reached + 2, child)
        time.sleep(rng.random() * 0.3)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert child.returncode == -signal.SIGKILL
        reached = updates(run)
    child = train(tmp_path, run, reached + 3, resume=True)
    said = child.communicate(timeout=120)
    assert child.returncode == 0, said
    assert updates(run) == reached + 3
    assert (run / "checkpoint.safetensors").exists()


def train(data: Path, run: Path, count: int, resume: bool) -> subprocess.Popen[str]:
    """`livebach train` as a process."""
    settings = [word for pair in SMALL_SETTINGS if "validate" not in pair for word in ("--set", pair)]
    fresh = ["--device", "cpu", *settings, "--set", "validate_every=1"]
    more = ["--resume"] if resume else fresh
    command = [sys.executable, "-m", "livebach", "train", "--data", str(data), "--out", str(run)]
    environment = {**os.environ, "PYTHONPATH": str(TOP), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, "--updates", str(count), *more],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def updates(run: Path) -> int:
    """How many updates the saved run has made."""
    from livebach.training.loop import STATE_FILE, read_state_header

    return int(read_state_header(run / STATE_FILE)["update"])


def wait_for_log(run: Path, count: int, child: subprocess.Popen[str]) -> None:
    """Wait until so many updates have been validated."""
    end_s, log = time.monotonic() + 100, run / "log.jsonl"
    while not (log.exists() and log.read_text().count(f'"update": {count},')):
        if child.poll() is not None or time.monotonic() > end_s:
            child.kill()
            pytest.fail(f"no update {count}: {child.communicate()[0]}")
        time.sleep(0.02)
