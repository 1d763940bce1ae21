"""The process that owns the loudspeakers: reads events on its standard input, and plays them through miniaudio.

The device's callback only mixes. The process first writes one line of JSON on its standard output: the device, or why
there is no sound. It fades out and ends when its standard input ends; that is so when the player process dies, however
that happens. What sound libraries write to the terminal goes nowhere.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from typing import Any

from livebach.music.general_midi import instrument_of
from livebach.system.realtime import make_prompt

SILENT_DEVICE = "silent"
"""The name of a device that plays nowhere, at the pace of a real one."""
_PERIOD_MS, _PERIODS = 5, 3
_SYSTEMS: dict[str, tuple[str | None, ...]] = {"linux": ("PULSEAUDIO", "ALSA", "JACK")}
"""Where to look for a device, by operating system, as miniaudio names them; None: as miniaudio chooses."""
_SWITCH_S = 0.0005
_SAME_CLOCK_S = 0.5  # two processes' clocks that differ by less are one clock, read at two times
_FAREWELL_S = 0.2
_STOPPED_S = 2.0  # a device that asks for nothing for so long is gone
_TIDY_S = 1.0
_TAIL_S = 0.8  # after a goodbye: the last notes die away


@dataclass(frozen=True, slots=True)
class SoundSettings:
    """The arguments of the audio process."""

    instrument: str = "piano"
    temperament: str = "equal"
    a4_hz: float = 440.0
    latency_ms: float = 15.0
    device: str | None = None
    folder: str | None = None


def main(settings: str) -> int:
    """Play until the standard input ends."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    report = _quiet()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ["JACK_NO_START_SERVER"] = "1"
    try:
        _play(SoundSettings(**json.loads(settings)), report)
    except _NoSound as trouble:
        report(error=str(trouble))
        return 1
    return 0


class _NoSound(Exception):
    """There is no way to be heard."""


def _quiet() -> Any:
    """Discard all printed text; return a function that reports to the player process."""
    pipe = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)

    def report(**what: object) -> None:
        try:
            os.write(pipe, json.dumps(what).encode() + b"\n")
        except OSError:  # the reader has gone
            return

    return report


def _play(settings: SoundSettings, report: Any) -> None:
    from pathlib import Path

    from livebach.sound.bank import MIDDLE_KEYS, Tuning
    from livebach.sound.bank_keeper import BankKeeper
    from livebach.sound.mixer import Mixer
    from livebach.sound.speaker import Speaker

    folder = Path(settings.folder) if settings.folder else None
    keeper = BankKeeper(Tuning(settings.temperament, settings.a4_hz), folder)
    try:
        keeper.open(settings.instrument)
    except OSError as error:
        raise _NoSound(f"the sounds cannot be kept anywhere: {error}") from None
    speaker = Speaker(Mixer(settings.instrument, keeper.bank), settings.latency_ms / 1000)
    device, name = _opened(settings.device)
    try:
        while keeper.waits_for(settings.instrument, MIDDLE_KEYS):
            time.sleep(0.02)
        callback = _callback(speaker, report)
        next(callback)
        sys.setswitchinterval(_SWITCH_S)
        gc.collect()
        gc.freeze()
        device.start(callback)
        threading.Thread(target=_watch, args=(speaker, report), daemon=True).start()
        report(device=name, backend=device.backend, settings=asdict(settings))
        if _Player(settings.instrument, keeper, speaker, report).run():
            _wait(lambda: speaker.quiet, _TAIL_S)
        speaker.end()
        _wait(lambda: speaker.silent, _FAREWELL_S)
    finally:
        device.close()
        keeper.close()


def _watch(speaker: Any, report: Any) -> None:
    """End the process when the device has stopped asking for sound: it was unplugged, or its server has ended."""
    before = -1
    while speaker.given != before:
        before = speaker.given
        time.sleep(_STOPPED_S)
    report(error="the sound device has stopped")
    os._exit(1)


def _wait(done: Callable[[], bool], most_s: float) -> None:
    until_s = time.perf_counter() + most_s
    while not done() and time.perf_counter() < until_s:
        time.sleep(0.005)


def _opened(wanted: str | None) -> tuple[Any, str]:
    """Open the default device or the one of that name; return it and what it is called.

    The sound systems are tried one after another: one that is installed need not have a device, when the next one does.
    """
    import miniaudio

    systems = [wanted] if wanted == SILENT_DEVICE else _SYSTEMS.get(sys.platform, (None,))
    troubles: dict[str, None] = {}
    for system in systems:
        backends = [] if system is None else [miniaudio.Backend["NULL" if system == SILENT_DEVICE else system]]
        try:
            return _device_of(miniaudio, backends, wanted)
        except miniaudio.MiniaudioError as error:
            troubles[f"there is no audio device here ({error.args[0] if error.args else error})"] = None
        except _NoSound as trouble:
            troubles[str(trouble)] = None
    raise _NoSound(next(reversed(troubles)))


def _device_of(miniaudio: Any, backends: list[Any], wanted: str | None) -> tuple[Any, str]:
    """Open a device of one sound system."""
    chosen = None
    if wanted not in (None, SILENT_DEVICE):
        chosen = _device(miniaudio.Devices(backends).get_playbacks(), str(wanted))
    device = miniaudio.PlaybackDevice(
        output_format=miniaudio.SampleFormat.FLOAT32,
        nchannels=2,
        sample_rate=48_000,
        buffersize_msec=_PERIOD_MS,
        callback_periods=_PERIODS,
        device_id=chosen["id"] if chosen else None,
        backends=backends,
        app_name="livebach",
    )
    if device.backend == "Null" and wanted != SILENT_DEVICE:
        device.close()
        raise _NoSound("there is no audio device here")
    return device, chosen["name"] if chosen else wanted or "the default device"


def _device(there: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    found = [device for device in there if wanted.casefold() in device["name"].casefold()]
    if not found:
        names = ", ".join(repr(device["name"]) for device in there) or "none"
        raise _NoSound(f"sound.device: no device is called {wanted!r}; there is: {names}")
    return found[0]


def _callback(speaker: Any, report: Any) -> Generator[memoryview | bytes, int, None]:
    """Return what miniaudio asks for samples: it is sent numbers of frames."""
    count = yield b""
    make_prompt()  # this is the device's thread: it has to be on time
    while True:
        begun_s = time.perf_counter()
        try:
            frames = speaker.frames(begun_s, count)
        except Exception as error:  # noqa: BLE001 - whatever it is, the player has to learn of it; here nobody would
            report(error=f"the mixer failed: {error!r}")
            os._exit(1)
        speaker.took_s.append(time.perf_counter() - begun_s)
        count = yield memoryview(frames)


class _Player:
    """Reads records, and has them played."""

    def __init__(self, instrument: str, keeper: Any, speaker: Any, report: Any) -> None:
        from livebach.sound.wire_format import Reader

        self._default = instrument
        self._keeper, self._speaker, self._report = keeper, speaker, report
        self._reader = Reader()
        self._offset_s = 0.0  # of this process's clock from the player process's
        self._instruments: dict[int, str] = {}  # by channel, as programs were changed
        self._tidied_s = 0.0

    def run(self) -> bool:
        """Read until the end, or until goodbye; return whether it was goodbye."""
        from livebach.sound.wire_format import GOODBYE, HELLO, REPORT

        make_prompt()
        while data := os.read(0, 65536):
            for time_s, content, command in self._reader.feed(data):
                match command:
                    case 0:
                        self._play(time_s, content)
                    case n if n == HELLO:
                        apart_s = time.perf_counter() - time_s
                        self._offset_s = apart_s if abs(apart_s) > _SAME_CLOCK_S else 0.0
                    case n if n == REPORT:
                        self._report(**self._figures())
                    case n if n == GOODBYE:
                        return True
        return False

    def _play(self, due_s: float, data: bytes) -> None:
        from livebach.music.events import NoteOn, ProgramChange, from_bytes

        event = from_bytes(data)
        if event is None:
            return
        if isinstance(event, ProgramChange):
            self._instruments[event.channel] = instrument_of(event.program) or self._default
            self._keeper.open(self._instruments[event.channel])
        elif isinstance(event, NoteOn) and event.channel != 9:
            self._keeper.prepare(self._instruments.get(event.channel, self._default), event.key)
        self._speaker.play(due_s + self._offset_s, event)
        if abs(due_s - self._tidied_s) >= _TIDY_S:
            self._tidied_s = due_s
            self._keeper.tidy()

    def _figures(self) -> dict[str, Any]:
        """Return the measurements, with times in seconds."""
        speaker = self._speaker
        return {
            "callback_s": list(speaker.took_s),
            "start_s": list(speaker.starts_s),
            "late": speaker.mixer.late,
            "latency_s": speaker.latency_s,
            "restarts": speaker.clock.restarts,
            "rate": speaker.clock.rate,
        }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
