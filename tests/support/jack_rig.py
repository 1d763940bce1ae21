"""A JACK server, a synth, a player and a listener for tests: real MIDI without hardware.

The player and the listener are processes of their own (`jackmidi.py`), so that what is measured does not share Python's
lock with what measures it. Times are `time.perf_counter()`, which on Linux is one clock for every process.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

from tests.support import lost_events
from tests.support.waiting import until

PERIOD, RATE = 128, 48000
"""Frames in a period, and in a second. Events from JACK arrive at the beginning of a period."""
LONG_PERIOD = 1024
"""For tests without timing: on a busy machine JACK drops the events of clients that are a period late."""
SOUNDFONTS = [Path("/usr/share/sounds/sf2") / name for name in ("TimGM6mb.sf2", "default-GM.sf2", "FluidR3_GM.sf2")] + [
    Path("/usr/share/soundfonts/default.sf2")
]
SYNTH = "fluidsynth"


def _bound(*command: str) -> list[str]:
    """Return a command that ends with the tests. A server that is left over would disturb the next run."""
    return ["setpriv", "--pdeathsig", "TERM", *command] if shutil.which("setpriv") else list(command)


def _priority() -> list[str]:
    """Return the flags for jackd: real-time priority if it is permitted. Without it a busy machine drops events."""
    tried = (
        subprocess.run(["chrt", "-f", "20", "true"], capture_output=True, check=False) if shutil.which("chrt") else None
    )
    return ["-R", "-P", "20"] if tried is not None and tried.returncode == 0 else ["--no-realtime"]


def _forget_the_dead() -> None:
    """Remove JACK's store of names if no server runs. A killed server may have left it locked."""
    running = any(path.read_text().strip() == "jackd" for path in Path("/proc").glob("[0-9]*/comm") if path.exists())
    if not running:
        shutil.rmtree(f"/dev/shm/jack_db-{os.getuid()}", ignore_errors=True)


def _ended(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End one of the processes."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


@contextlib.contextmanager
def server_name() -> Iterator[str]:
    """Yield a server name that no other test run uses. JACK remembers at most eight killed servers."""
    for number in range(4):
        name = f"livebach-test-{number}"
        with (Path(tempfile.gettempdir()) / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if not _active(name):
                yield name
                return
    pytest.fail("four other test runs are using JACK")


def _active(name: str) -> bool:
    """Return whether a server of that name is left over from a killed run."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(f"/dev/shm/jack_{name}_{os.getuid()}_0") == 0


class Jack:
    """A JACK server with a name of its own, on a dummy sound card."""

    def __init__(self, folder: Path, name: str, period: int = PERIOD) -> None:
        self.folder = folder
        self.name = name
        self.period = period
        self.processes: list[subprocess.Popen[bytes]] = []
        self.server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = ["jackd", *_priority(), "-d", "dummy", "-r", str(RATE), "-p", str(self.period)]
        with (self.folder / "jackd.log").open("ab") as log:
            self.server = subprocess.Popen(_bound(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: _active(self.name) or self.server.poll() is not None, "a JACK server")  # type: ignore[union-attr]
        time.sleep(1.0)  # who connects while it starts may leave every client of it without events
        until(self._answers, "a JACK server that answers")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the server."""
        if self.server is not None:
            _ended(self.server, number)
            self.server = None

    def close(self) -> None:
        """End everything."""
        for process in self.processes:
            _ended(process)
        self.stop()

    def ports(self, *, inputs: bool = False, outputs: bool = False) -> list[str]:
        """The names of the MIDI ports: all, or those that take (inputs) or give (outputs) events."""
        names: list[str] = []
        for line in self._tool("jack_lsp", "-t", "-p").splitlines():
            if not line.startswith(("\t", " ")):
                names.append(line)
                kind = ""
            elif "properties:" in line:
                kind = line
            elif "midi" not in line or (inputs and "input" not in kind) or (outputs and "output" not in kind):
                names.pop()
        return names

    def port(self, part: str, limit_s: float = 20.0) -> str:
        """Wait for a MIDI port whose name contains this; return the first one."""
        until(lambda: [name for name in self.ports() if part in name], f"a port like {part!r}", limit_s, 0.05)
        return next(name for name in self.ports() if part in name)

    def connections(self, port: str) -> list[str]:
        """The ports that a port is connected to."""
        lines = self._tool("jack_lsp", "-c", port).splitlines()
        return [line.strip() for line in lines if line.startswith(("\t", " "))]

    def connect(self, source: str, target: str) -> None:
        """Connect two ports."""
        self._tool("jack_connect", source, target)

    def disconnect(self, source: str, target: str) -> None:
        """Disconnect two ports."""
        self._tool("jack_disconnect", source, target)

    @contextlib.contextmanager
    def recorded(self, seconds: int, *audio: str) -> Iterator[Path]:
        """Record audio ports during the context. Afterwards the file is complete."""
        path = self.folder / f"sound-{time.monotonic_ns()}.wav"
        command = ["jack_rec", "-f", str(path), "-d", str(seconds), "-b", "16", *audio]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: "jackrec" in self._tool("jack_lsp"), "a recorder")
            yield path
        finally:
            process.wait(seconds + 20)

    def player(self, name: str = "keyboard") -> Player:
        """Start a player: a process with an output port."""
        return Player(self._helper("send", name), f"{name}:out")

    def listener(self, name: str = "listener") -> Listener:
        """Start a listener: a process with an input port."""
        path = self.folder / f"{name}-{len(self.processes)}.txt"
        path.touch()
        return Listener(self._helper("record", name, str(path)), f"{name}:in", path)

    def synth(self) -> Synth:
        """Start FluidSynth, and wait for its port."""
        command = ["fluidsynth", "-q", "-m", "jack", "-a", "jack", "-g", "1", "-r", str(RATE)]
        settings = ["audio.jack.autoconnect=0", "midi.autoconnect=0", "synth.reverb.active=0", "synth.chorus.active=0"]
        for setting in (f"midi.jack.id={SYNTH}", f"audio.jack.id={SYNTH}", *settings):
            command += ["-o", setting]
        with (self.folder / "fluidsynth.log").open("ab") as log:
            process = subprocess.Popen(
                _bound(*command, str(_soundfont())), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
            )
        self.processes.append(process)
        return Synth(self, process, self.port(SYNTH, 60.0))

    def _answers(self) -> bool:
        assert self.server is not None
        if self.server.poll() is not None:
            pytest.fail(f"jackd ended with {self.server.returncode}: {(self.folder / 'jackd.log').read_text()[-500:]}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(["jack_lsp"], capture_output=True, timeout=5, check=False).returncode == 0
        return False

    def _tool(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout

    def _helper(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = _bound(sys.executable, str(Path(__file__).with_name("jack_midi.py")), *arguments)
        with (self.folder / "jackmidi.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.processes.append(process)
        if _pipe(process.stdout).readline() != b"ready\n":
            pytest.fail((self.folder / "jackmidi.log").read_text()[-500:])
        return process


class Player:
    """Plays bytes at given times, in a separate process."""

    def __init__(self, process: subprocess.Popen[bytes], port: str) -> None:
        self._process = process
        self.port = port

    def play(self, events: Sequence[tuple[float, bytes]], start_s: float | None = None) -> float:
        """Play (seconds after the start, bytes); does not wait. Returns the start, by default 50 ms from now."""
        start_s = time.perf_counter() + 0.05 if start_s is None else start_s
        lines = "".join(f"{start_s + after_s!r} {data.hex()}\n" for after_s, data in events)
        _pipe(self._process.stdin).write(lines.encode())
        _pipe(self._process.stdin).flush()
        return start_s

    def send(self, data: bytes) -> float:
        """Send at once; return the real time of sending."""
        self.play([(0.0, data)], time.perf_counter())
        return self.sent(1)[0]

    def sent(self, count: int) -> list[float]:
        """Wait for the next so many messages; return the real times of sending."""
        return [float(_pipe(self._process.stdout).readline()) for _ in range(count)]

    def close(self) -> None:
        """Unplug the keyboard."""
        _ended(self._process)


class Listener:
    """Keeps the messages that arrive at its port, with their times."""

    def __init__(self, process: subprocess.Popen[bytes], port: str, path: Path) -> None:
        self._process = process
        self.port = port
        self._path = path

    def close(self) -> None:
        """Switch it off."""
        _ended(self._process)

    def heard(self) -> list[tuple[float, bytes]]:
        """Return the messages so far."""
        lines = self._path.read_text().split("\n")[:-1]  # the last one may be half written
        return [(float(line.split()[0]), bytes.fromhex(line.split()[1])) for line in lines]

    def wait(self, count: int, limit_s: float = 20.0) -> list[tuple[float, bytes]]:
        """Wait for at least so many messages; return all of them."""
        end_s = time.perf_counter() + limit_s
        while len(heard := self.heard()) < count:
            if time.perf_counter() > end_s:
                last = [data.hex() for _, data in heard[-20:]]
                pytest.fail(f"{count} messages did not arrive, only {len(heard)}, the last of them {last}")
            time.sleep(0.01)
        return heard

    def sounding(self) -> set[tuple[int, int]]:
        """The (channel, key) pairs whose last message was a note-on."""
        down: set[tuple[int, int]] = set()
        for _, data in self.heard():
            place = (data[0] & 0x0F, data[1])
            if data[0] & 0xF0 == 0x90 and data[2]:
                down.add(place)
            elif data[0] & 0xE0 == 0x80:
                down.discard(place)
        return down


class Synth:
    """FluidSynth, with a recording of its sound."""

    def __init__(self, jack: Jack, process: subprocess.Popen[bytes], port: str) -> None:
        self._jack = jack
        self._process = process
        self.port = port

    def recorded(self, seconds: int) -> contextlib.AbstractContextManager[Path]:
        """Record its sound during the context. Afterwards the file is complete."""
        client = self.port.split(":")[0]
        return self._jack.recorded(seconds, f"{client}:left", f"{client}:right")

    def close(self) -> None:
        """Switch it off."""
        _ended(self._process)


def levels(path: Path, window_s: float = 0.1) -> list[float]:
    """The root mean square of each window of a sound file, 0 to 1."""
    with wave.open(str(path)) as file:
        samples = array.array("h", file.readframes(file.getnframes()))
        size = max(1, int(window_s * file.getframerate())) * file.getnchannels()
    windows = [samples[at : at + size] for at in range(0, len(samples) - size + 1, size)]
    return [math.sqrt(sum(s * s for s in window) / size) / 32768 for window in windows]


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _soundfont() -> Path:
    found = [path for path in SOUNDFONTS if path.exists()]
    return found[0] if found else Path()


def missing(*programs: str) -> str:
    """Return the missing programs in words; an empty text if there are none."""
    lacking = [name for name in programs if shutil.which(name) is None]
    if SYNTH in programs and not any(path.exists() for path in SOUNDFONTS):
        lacking.append("a General MIDI soundfont")
    try:
        import rtmidi  # noqa: F401
    except ImportError as error:
        lacking.append(f"python-rtmidi ({error})")
    return f"not installed: {', '.join(lacking)}" if lacking else ""


def _need(*programs: str) -> None:
    lack = missing(*programs)
    if lack and os.environ.get("LIVEBACH_REQUIRE_JACK") == "1":
        pytest.fail(f"LIVEBACH_REQUIRE_JACK=1, but {lack}")
    if lack:
        pytest.skip(f"{lack} (apt install jackd2 jack-example-tools fluidsynth fluid-soundfont-gm)")


@pytest.fixture
def jack(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jack]:
    """Yield a JACK server for one test. `parametrize("jack", [LONG_PERIOD], indirect=True)` sets the period."""
    _need("jackd", "jack_lsp")
    with server_name() as name:
        monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
        monkeypatch.setenv("JACK_NO_START_SERVER", "1")
        server = Jack(tmp_path, name, getattr(request, "param", PERIOD))
        try:
            server.start()
            yield server
        finally:
            # Counted before the end, as clients that are ended miss their last cycle.
            lost_events.count_lost(request.node, tmp_path / "jackd.log")
            server.close()


@pytest.fixture
def synth(jack: Jack) -> Synth:
    """FluidSynth on the test's JACK server."""
    _need("fluidsynth", "jack_rec")
    return jack.synth()
