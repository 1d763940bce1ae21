"""The audio process on a silent device: from an event to its first sample, and the end of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.music.events import NoteOff, NoteOn
from livebach.sound.device_clock import DeviceClock
from livebach.sound.loudspeakers import Loudspeakers, SoundError, SoundSettings
from livebach.sound.mixer import BLOCK, Mixer
from livebach.sound.partials import RATE
from livebach.sound.speaker import Speaker
from livebach.sound.wire_format import GOODBYE, Reader, command, message
from tests.support.waiting import until

pytestmark = pytest.mark.clock

REPO = Path(__file__).parent.parent


# --- clock -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [47_900.0, 48_000.0, 48_100.0])
def test_the_clock_learns_the_devices_rate_and_leaves_out_jitter(rate: float) -> None:
    """With callbacks up to 3 ms early or late, a sample's time is known to within a third of a millisecond."""
    rng = np.random.default_rng(1)
    clock, sample, off = DeviceClock(RATE), 0, []
    for number in range(8000):
        true_s = 100 + sample / rate
        clock.called(true_s + rng.uniform(-0.003, 0.003), sample)
        if number > 4000:
            off.append(clock.time_of(sample) - true_s)
        sample += BLOCK
    assert np.abs(off).max() < 0.00033
    assert clock.rate == pytest.approx(rate, rel=2e-4)
    assert clock.restarts == 0


def test_the_clock_starts_anew_after_a_pause() -> None:
    """After the machine has slept, the next callback gives the time."""
    clock = DeviceClock(RATE)
    for number in range(100):
        clock.called(number * 0.005, number * BLOCK)
    clock.called(60.0, 100 * BLOCK)
    assert clock.restarts == 1
    assert clock.sample_at(60.0) == 100 * BLOCK


# --- what is written to it -------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 1e9), st.binary(min_size=1, max_size=3)), max_size=20), st.integers(1, 30))
def test_records_survive_being_cut_anywhere(events: list[tuple[float, bytes]], piece: int) -> None:
    """Whatever pieces the pipe hands on, the same events come out, and then the goodbye."""
    data = b"".join(message(*event) for event in events) + command(1.0, GOODBYE)
    reader, found = Reader(), []
    for start in range(0, len(data), piece):
        found += reader.feed(data[start : start + piece])
    assert found == [(time_s, content, 0) for time_s, content in events] + [(1.0, b"", GOODBYE)]


def test_a_message_that_does_not_fit_is_refused() -> None:
    """Nothing of more than three bytes, and nothing empty, is a message here."""
    for data in (b"", b"1234"):
        with pytest.raises(ValueError, match="1\\.\\.3"):
            message(0.0, data)


# --- between callbacks and mixer -------------------------------------------------------------------------------------


class Silence:
    """A bank without a sound."""

    def key(self, key: int) -> None:
        """Return nothing."""
        del key


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=60))
def test_blocks_are_cut_to_what_the_device_asks_for(counts: list[int]) -> None:
    """Whatever numbers of frames a device asks for, it gets the mixer's blocks in order, none lost and none twice."""
    mixer = Mixer("organ", lambda _: Silence())
    start = 0

    def numbered() -> np.ndarray:
        nonlocal start
        start += BLOCK
        return np.repeat(np.arange(start - BLOCK, start, dtype=np.float32)[:, None], 2, axis=1)

    mixer.mix = numbered  # type: ignore[method-assign]
    speaker = Speaker(mixer, 0.015)
    heard = np.concatenate([speaker.frames(n * 0.005, count).copy() for n, count in enumerate(counts)])
    np.testing.assert_array_equal(heard[:, 0], np.arange(sum(counts)))


def test_the_latency_is_constant() -> None:
    """Events that arrive early, in time or late for a block begin at exactly their due time plus the latency."""
    mixer = Mixer("organ", lambda _: Silence())
    speaker = Speaker(mixer, 0.015)
    scheduled: list[int] = []
    mixer.schedule = lambda sample, event: scheduled.append(sample)  # type: ignore[method-assign]
    due = []
    for number in range(2000):
        now_s = 5 + number * BLOCK / RATE
        speaker.frames(now_s, BLOCK)
        if number > 1000 and number % 7 == 0:
            due.append(now_s - 0.004 + 0.0013 * (number % 5))
            speaker.play(due[-1], NoteOn(60, 80))
    heard_s = [5 + sample / RATE for sample in scheduled]
    apart = np.array(heard_s) - np.array(due)
    assert np.abs(apart - 0.015).max() < 1.1 / RATE


def test_a_device_that_asks_for_much_gets_the_latency_that_it_needs() -> None:
    """Where the device takes 20 ms at a time, 15 ms cannot be kept: the latency becomes longer, and stays constant."""
    speaker = Speaker(Mixer("organ", lambda _: Silence()), 0.015)
    for number in range(100):
        speaker.frames(number * 0.02, 960)
    assert 0.025 < speaker.latency_s < 0.035


@pytest.mark.parametrize(("late_s", "most_s"), [(0.004, 0.021), (0.2, 0.040)])
def test_where_notes_come_too_late_the_latency_grows_step_by_step(late_s: float, most_s: float) -> None:
    """On a busy machine notes are on time again after some seconds; one late chord costs 2 ms, and there is a limit."""
    speaker = Speaker(Mixer("organ", lambda _: Silence()), 0.015)
    latencies, late = [], []
    for number in range(10_000):
        now_s = 5 + number * BLOCK / RATE
        speaker.frames(now_s, BLOCK)
        if number > 1000 and number % 200 == 0:
            before = speaker.latency_s
            for key in (60, 64, 67):  # a chord, which the player's process sent too late
                speaker.play(now_s - 0.011 - late_s, NoteOn(key, 80))
            latencies.append(speaker.latency_s)
            late.append(speaker.latency_s > before)
    assert np.diff([0.015, *latencies]).max() <= 0.002 + 1e-9
    assert latencies[-1] == pytest.approx(most_s, abs=0.002)
    assert not any(late[15:])


def test_notes_that_are_long_past_are_left_out() -> None:
    """What was struck while the process was not ready does not sound all at once; what ends notes is heeded."""
    speaker = Speaker(Mixer("organ", lambda _: Silence()), 0.015)
    scheduled = []
    speaker.mixer.schedule = lambda sample, event: scheduled.append(event)  # type: ignore[method-assign]
    for number in range(400):
        speaker.frames(10 + number * 0.005, BLOCK)
    for due_s in (3.0, 11.99):
        speaker.play(due_s, NoteOn(60, 80))
        speaker.play(due_s, NoteOff(60))
    assert scheduled == [NoteOff(60), NoteOn(60, 80), NoteOff(60)]


def test_the_end_is_faded_out() -> None:
    """When nobody is left to play, the sound goes to zero without a step, and stays there."""
    mixer = Mixer("organ", lambda _: Silence())
    mixer.mix = lambda: np.full((BLOCK, 2), 0.5, np.float32)  # type: ignore[method-assign]
    speaker = Speaker(mixer, 0.015)
    speaker.frames(0.0, BLOCK)
    speaker.end()
    last = np.concatenate([speaker.frames(0.005 * n, BLOCK).copy() for n in (1, 2, 3)])
    assert speaker.silent
    assert np.abs(np.diff(last[:, 0])).max() < 0.01
    assert not last[-BLOCK:].any()


# --- the process -----------------------------------------------------------------------------------------------------


def settings(folder: Path, **more: object) -> SoundSettings:
    """Settings for a device that plays nowhere."""
    return SoundSettings(**{"instrument": "organ", "device": "silent", "folder": str(folder), **more})  # type: ignore[arg-type]


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_from_the_event_to_the_first_sample(sound_folder: Path) -> None:
    """Notes reach a device through process, clock and mixer: all of them start, and none comes too late."""
    speakers = Loudspeakers(settings(sound_folder))
    try:
        assert speakers.ready()["device"] == "silent"
        time.sleep(0.3)
        for number in range(20):
            speakers.send(bytes((0x90, 50 + number, 80)))
            time.sleep(0.03)
            speakers.send(bytes((0x80, 50 + number, 0)))
        time.sleep(0.2)
        figures = speakers.figures()
    finally:
        speakers.close()
    assert len(figures["start_s"]) == 20
    # The silent device wakes every 10 ms and then takes two or three periods at once.
    assert 0 < np.median(figures["start_s"]) < 0.060
    assert not speakers.alive
    speakers.close()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_player_is_killed_the_sound_ends(how: signal.Signals, sound_folder: Path) -> None:
    """However the player process ends, its audio process falls silent and ends too."""
    code = f"""
        import sys, time
        from livebach.sound.loudspeakers import Loudspeakers, SoundSettings
        speakers = Loudspeakers(SoundSettings("organ", device="silent", folder={str(sound_folder)!r}))
        speakers.ready()
        speakers.send(bytes((0x90, 60, 80)))
        print(speakers.pid, flush=True)
        time.sleep(60)
    """
    player = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=REPO
    )
    assert player.stdout is not None
    pid = int(player.stdout.readline())
    assert not gone(pid)
    os.kill(player.pid, how)
    player.wait()
    player.stdout.close()
    until(lambda: gone(pid), "ended", 5)


def test_a_process_that_died_is_told(sound_folder: Path) -> None:
    """When the audio process dies, sending is harmless, and `alive` says it."""
    speakers = Loudspeakers(settings(sound_folder))
    speakers.ready()
    os.kill(speakers.pid, signal.SIGKILL)
    until(lambda: not speakers.alive, "dead")
    speakers.send(bytes((0x90, 60, 80)))
    with pytest.raises(SoundError, match="ended"):
        speakers.figures()
    speakers.close()


def test_a_device_that_is_not_there_is_one_line(sound_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An unknown device is an error of one line, and no sound library writes to the terminal."""
    speakers = Loudspeakers(settings(sound_folder, device="no such device"))
    try:
        with pytest.raises(SoundError) as error:
            speakers.ready()
    finally:
        speakers.close()
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's /proc")
def test_the_process_is_small(sound_folder: Path) -> None:
    """After every key of two instruments was played, it has at most 60 MB, its share of the samples included."""
    speakers = Loudspeakers(settings(sound_folder))
    try:
        speakers.ready()
        for program in (19, 0):
            speakers.send(bytes((0xC0, program)))
            for key in range(21, 109):
                speakers.send(bytes((0x90, key, 80)))
                speakers.send(bytes((0x80, key, 0)))
                time.sleep(0.01)
        time.sleep(1.5)
        speakers.send(bytes((0xB0, 64, 0)))
        speakers.figures()
        rollup = Path(f"/proc/{speakers.pid}/smaps_rollup").read_text(encoding="ascii")
        kb = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    finally:
        speakers.close()
    assert kb < 60_000


def test_playing_over_midi_alone_loads_no_sound_library() -> None:
    """The player process imports neither miniaudio nor the instruments: they belong to the audio process."""
    code = "import sys, livebach.commands.play, livebach.commands.demo; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=REPO)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {"miniaudio", "livebach.sound.instruments", "livebach.sound.mixer", "livebach.sound.bank"}
