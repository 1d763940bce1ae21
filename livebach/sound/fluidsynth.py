"""Sound through FluidSynth: live notes, and MIDI files rendered to WAV. Needs no MIDI ports.

FluidSynth runs as a child process. livebach writes commands of FluidSynth's shell to its standard input.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from livebach.errors import UserError
from livebach.music.events import ControlChange, NoteOff, NoteOn, ProgramChange, from_bytes

FOLDERS = (
    "/usr/share/sounds/sf2",
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "/usr/local/share/fluidsynth/sf2",
    "/opt/homebrew/share/soundfonts",
    "/opt/homebrew/share/fluid-synth/sf2",
    "C:/soundfonts",
)
BEST = ("default-GM.sf2", "default-GM.sf3", "FluidR3_GM.sf2", "FluidR3_GM.sf3", "TimGM6mb.sf2")
HOW_TO_GET = "FluidSynth and a General MIDI soundfont (Debian, Ubuntu: apt install fluidsynth fluid-soundfont-gm)"
START_S = 10.0
CLOSE_S = 0.5
LOUDNESS = "0.6"


@dataclass(frozen=True, slots=True)
class FluidSynth:
    """The FluidSynth program and a soundfont."""

    program: str
    soundfont: Path

    def start(self) -> Synth | None:
        """Start a synth on this machine's loudspeakers, and return it; return None without a sound device."""
        synth = Synth([self.program, "-q", "-n", "-g", LOUDNESS, str(self.soundfont)])
        if synth.ready(START_S):
            return synth
        synth.close()
        return None

    def render(self, midi: Path, wav: Path) -> Path:
        """Render a MIDI file to a new WAV file, and return its path.

        Raises:
            UserError: If the WAV file exists already, or if FluidSynth fails.

        """
        if wav.exists():
            raise UserError(f"{wav}: the file exists already, and nothing is overwritten")
        how = ["-q", "-n", "-i", "-g", LOUDNESS, "-r", "44100", "-O", "s16", "-T", "wav", "-F", str(wav)]
        done = subprocess.run(
            [self.program, *how, str(self.soundfont), str(midi)], capture_output=True, text=True, check=False
        )
        if done.returncode or not wav.exists():
            said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"{wav}: FluidSynth did not write the file: {said}")
        return wav


def _program() -> str | None:
    import shutil  # loaded when it is needed: playing over MIDI ports does without its 0.5 MB

    return shutil.which("fluidsynth")


def find() -> FluidSynth | None:
    """Return FluidSynth with the best soundfont on this machine; None if the program or a soundfont is missing."""
    program, soundfont = _program(), find_soundfont([Path(folder) for folder in FOLDERS])
    return FluidSynth(program, soundfont) if program and soundfont else None


def with_soundfont(soundfont: str) -> FluidSynth:
    """Return FluidSynth with the user's soundfont; raise UserError if the program or the file is missing."""
    program, path = _program(), Path(soundfont).expanduser()
    if program is None:
        raise UserError(f"sound.soundfont needs FluidSynth: {HOW_TO_GET}")
    if not path.is_file():
        raise UserError(f"sound.soundfont: there is no file {path}")
    return FluidSynth(program, path)


def find_soundfont(folders: Sequence[Path]) -> Path | None:
    """Return a known General MIDI soundfont, otherwise any soundfont; None if the folders have none."""
    there = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.sf[23]"))]
    named = [path for name in BEST for path in there if path.name == name]
    return next(iter(named + there), None)


class Synth:
    """A running FluidSynth process that plays MIDI messages."""

    def __init__(self, command: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, bufsize=1, start_new_session=True
        )
        self._answered = threading.Event()
        self._takes_commands = False
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def ready(self, timeout_s: float) -> bool:
        """Wait until FluidSynth takes commands; return False if it exits, for example without a sound card."""
        self._command("echo ready")
        return self._answered.wait(timeout_s) and self._takes_commands

    def send(self, data: bytes, due_s: float | None = None) -> None:
        """Play a MIDI message at once; ignore messages other than notes, controllers and programs."""
        match from_bytes(data):
            case NoteOn(key, velocity, channel):
                self._command(f"noteon {channel} {key} {velocity}")
            case NoteOff(key, _, channel):
                self._command(f"noteoff {channel} {key}")
            case ControlChange(control, value, channel):
                self._command(f"cc {channel} {control} {value}")
            case ProgramChange(program, channel):
                self._command(f"prog {channel} {program}")

    def close(self) -> None:
        """End the process."""
        self._command("quit")
        try:
            self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()

    def _command(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # the process has exited; the take is saved all the same
            self._process.stdin.write(line + "\n")

    def _listen(self) -> None:
        """Read FluidSynth's output, so that its pipe never fills up. The end of the output also wakes `ready`."""
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                if "ready" in line:
                    self._takes_commands = True
                    self._answered.set()
        self._answered.set()
