"""The main use on real MIDI: a keyboard, livebach and FluidSynth on JACK, each in its own process."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest

from livebach.evaluation.musical_figures import Notes
from livebach.music.phrases import PHRASES
from tests.support import subjects
from tests.support.jack_rig import Jack, Listener, Player, Synth, levels
from tests.support.page_client import cookie_of, open_page, received
from tests.support.waiting import until

pytestmark = pytest.mark.jack

BPM = 100
TICK_S = 60 / BPM / 4
BAR_S = 16 * TICK_S
OWN_CHANNEL = 1
YIELD_S = 0.020
END_S = 0.5
ON_GRID_S = 0.030
"""How far from its tick a note arrives, as a median: ten JACK periods, as other processes share the machine."""


class Livebach:
    """`livebach` as a process, with the lines it prints."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        command = [sys.executable, "-m", "livebach", *arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self.printed: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                self._lines.put(line.decode())

    def wait_for(self, part: str, limit_s: float = 30.0) -> None:
        """Wait for a line that contains this."""
        end_s = time.perf_counter() + limit_s
        while part not in (self.printed or [""])[-1]:
            try:
                self.printed.append(self._lines.get(timeout=max(0.01, end_s - time.perf_counter())))
            except queue.Empty:
                pytest.fail(f"no {part!r} in what livebach printed: {''.join(self.printed)}")

    def end(self, number: signal.Signals) -> float:
        """Send a signal; how long it took to end, in seconds."""
        started = time.perf_counter()
        self.process.send_signal(number)
        self.process.wait(10)
        return time.perf_counter() - started

    def close(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def keyboard(jack: Jack) -> Player:
    """Somebody who plays."""
    return jack.player("USB Keyboard")


@pytest.fixture
def livebach(
    request: pytest.FixtureRequest, jack: Jack, synth: Synth, keyboard: Player, tmp_path: Path
) -> Iterator[Livebach]:
    """The README's play command, running and ready; in the mode that a test asks for."""
    mode = getattr(request, "param", "continue")
    settings = ["--bpm", str(BPM), "--seed", "1", "--folder", "takes", "--mode", mode]
    program = Livebach("--in", "USB Keyboard", "--out", "FluidSynth", "--api", "jack", *settings, cwd=tmp_path)
    try:
        program.wait_for("Play, and pause")
        until(lambda: jack.connections(keyboard.port), "a keyboard that is listened to")
        yield program
    finally:
        program.close()


@pytest.fixture
def wire(jack: Jack, synth: Synth, livebach: Livebach) -> Listener:
    """A listener on the very cables that go into FluidSynth."""
    listener = jack.listener("wire")
    sources = jack.connections(synth.port)
    assert sources
    for source in sources:
        jack.connect(source, listener.port)
    until(lambda: len(jack.connections(listener.port)) == len(sources), "a listener on every cable")
    return listener


def prelude(start_s: float) -> list[tuple[float, bytes]]:
    """The first four bars of the first prelude of the Well-Tempered Clavier, in time."""
    return replace(PHRASES["prelude"], bpm=BPM).score(start_s)


def melody() -> list[tuple[float, bytes]]:
    """Two bars of quarter notes, in time."""
    keys = (76, 74, 72, 79, 77, 76, 74, 72)
    struck = [(4 * TICK_S * i, bytes((0x90, key, 80))) for i, key in enumerate(keys)]
    return sorted(struck + [(4 * TICK_S * (i + 0.9), bytes((0x80, key, 0))) for i, key in enumerate(keys)])


def own(heard: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Its own note-ons."""
    return [(time_s, data) for time_s, data in heard if data[0] == 0x90 | OWN_CHANNEL and data[2]]


def test_it_goes_on_from_what_is_played(
    keyboard: Player, livebach: Livebach, wire: Listener, synth: Synth, tmp_path: Path
) -> None:
    """After the silence it plays on the grid and sounds; a key ends its notes; the take is kept."""
    phrase = prelude(0.0)
    start_s = keyboard.play(phrase, time.perf_counter() + 0.2)
    last_off_s = keyboard.sent(len(phrase))[-1]
    assert not own(wire.heard())

    with synth.recorded(6) as sound:
        until(lambda: own(wire.heard()), "a note of its own", 5 * BAR_S)
        time.sleep(2 * BAR_S)
    played = own(wire.heard())
    assert played[0][0] - last_off_s < 4 * TICK_S + 2 * 4 * TICK_S, "it takes over at the beat after four silent ticks"
    assert max(levels(sound)) > 0.001

    off_ticks = (np.array([time_s for time_s, _ in played]) - start_s) / TICK_S
    off_grid_s = np.abs(off_ticks - np.round(off_ticks)) * TICK_S
    assert np.median(off_grid_s) < ON_GRID_S

    assert np.median([_yield_s(keyboard, wire) for _ in range(3)]) < YIELD_S
    assert wire.sounding() == set()

    assert livebach.end(signal.SIGINT) < END_S
    assert livebach.process.returncode in (0, 130)
    assert wire.sounding() == set()
    _check_take(tmp_path, phrase + 3 * [(0.0, bytes((0x90, 60, 80)))], own(wire.heard()))


def _yield_s(keyboard: Player, wire: Listener) -> float:
    """Strike a key while it plays: how long after that its last note ends; then let go."""
    until(lambda: any(channel == OWN_CHANNEL for channel, _ in wire.sounding()), "music of its own", 10 * BAR_S)
    struck_s = keyboard.send(bytes((0x90, 60, 80)))
    time.sleep(2 * TICK_S)
    assert wire.sounding() == {(0, 60)}
    ended_s = [time_s for time_s, data in wire.heard() if data[0] & 0x0F == OWN_CHANNEL]
    keyboard.send(bytes((0x80, 60, 0)))
    until(lambda: not wire.sounding(), "silence after the key is let go")
    return max(0.0, ended_s[-1] - struck_s)


def _check_take(folder: Path, phrase: list[tuple[float, bytes]], played: list[tuple[float, bytes]]) -> None:
    (take,) = (folder / "takes").iterdir()
    file = mido.MidiFile(take / "take.mid")
    tracks = {track.name: [m.note for m in track if m.type == "note_on"] for track in file.tracks}
    assert tracks["you"] == [data[1] for _, data in phrase if data[0] == 0x90]
    assert tracks["livebach"] == [data[1] for _, data in played]
    done = subprocess.run(
        [sys.executable, "-m", "livebach", "replay", str(take)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("livebach", "together", "afterwards"),
    [("duet", True, True), ("accompany", True, False), ("listen", False, False)],
    indirect=["livebach"],
)
def test_the_other_modes(
    together: bool, afterwards: bool, keyboard: Player, livebach: Livebach, wire: Listener, tmp_path: Path
) -> None:
    """A duet goes on all the time, an accompaniment ends with the player, and who listens plays nothing."""
    phrase = melody()
    start_s = keyboard.play(phrase, time.perf_counter() + 0.2)
    last_off_s = keyboard.sent(len(phrase))[-1]
    time.sleep(1.5 * BAR_S)
    played = [time_s for time_s, _ in own(wire.heard())]
    assert bool(played) == together
    assert not played or start_s < played[0] < last_off_s
    assert any(time_s > last_off_s + BAR_S / 2 for time_s in played) == afterwards
    assert afterwards or wire.sounding() == set()
    assert livebach.end(signal.SIGINT) < END_S
    assert wire.sounding() == set()
    _check_take(tmp_path, phrase, own(wire.heard()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_silence_while_it_plays(
    number: signal.Signals, keyboard: Player, livebach: Livebach, wire: Listener
) -> None:
    """A signal in the middle of its music ends it within half a second, and nothing goes on sounding."""
    keyboard.play(prelude(0.0)[:16])
    until(lambda: own(wire.heard()), "a note of its own", 10 * BAR_S)
    time.sleep(BAR_S)
    assert livebach.end(number) < END_S
    time.sleep(0.1)
    assert wire.sounding() == set()


def test_its_own_notes_come_back_by_a_cable(
    jack: Jack, synth: Synth, keyboard: Player, livebach: Livebach, wire: Listener
) -> None:
    """Out is wired to in: that is told within a second; its music goes on, and the player's keys pass just once."""
    (hearing,) = jack.connections(keyboard.port)
    for source in jack.connections(synth.port):
        jack.connect(source, hearing)
    keyboard.play([(0.0, b"\x90\x3c\x50"), (0.2, b"\x80\x3c\x00")])
    livebach.wait_for("comes back in")
    assert wire.heard()[-1][0] - wire.heard()[0][0] < 1.5
    until(lambda: not wire.sounding(), "silence")
    time.sleep(0.5)  # the player's own note-off is among what passes
    found = len(wire.heard())
    phrase = prelude(0.0)[:16]
    keyboard.play(phrase)
    keyboard.sent(len(phrase))
    until(lambda: own(wire.heard()), "a note of its own", 10 * BAR_S)
    before = len(own(wire.heard()))
    time.sleep(2 * BAR_S)
    assert len(own(wire.heard())) > before + 4
    assert [data[:2] for _, data in wire.heard()[found:] if data[0] & 0x0F == 0] == [data[:2] for _, data in phrase]
    _yield_s(keyboard, wire)
    assert livebach.end(signal.SIGTERM) < END_S
    assert wire.sounding() == set()


def test_headless_it_waits_for_a_keyboard_and_a_synth(jack: Jack, tmp_path: Path) -> None:
    """As a service starts it: nothing is plugged in yet; when both are there, now or later, it plays."""
    program = Livebach(
        *("play", "--in", "USB Keyboard", "--out", "synth", "--api", "jack", "--wait", "--log", "plain"), cwd=tmp_path
    )
    try:
        program.wait_for("Play, and pause")
        synth = jack.listener("synth")
        program.wait_for("synth")
        keyboard = jack.player("USB Keyboard")
        program.wait_for("USB Keyboard")
        keyboard.play([(0.0, b"\x90\x3c\x50"), (0.2, b"\x80\x3c\x00")])
        assert [data for _, data in synth.wait(2)] == [b"\x90\x3c\x50", b"\x80\x3c\x00"]
        until(lambda: own(synth.heard()), "a note of its own", 10 * BAR_S)
        program.end(signal.SIGTERM)
        assert program.process.returncode == 0
        assert synth.sounding() == set()
    finally:
        program.close()


def test_a_page_beside_real_ports_shows_and_steers_and_stops_nothing(
    jack: Jack, synth: Synth, keyboard: Player, tmp_path: Path
) -> None:
    """With `--web` a page sees both players of a session on real ports, steers it, and may go without stopping it."""
    settings = ["--bpm", str(BPM), "--folder", "takes", "--web", "--browser", "off"]
    program = Livebach("--in", "USB Keyboard", "--out", "FluidSynth", "--api", "jack", *settings, cwd=tmp_path)
    try:
        program.wait_for("Play, and pause")
        address = next(line for line in program.printed if line.startswith("The page: ")).split()[-1]
        cookie, port = cookie_of(address), int(address.split(":")[2].partition("/")[0])
        until(lambda: jack.connections(keyboard.port), "a keyboard that is listened to")
        page = open_page(port, cookie)
        greeting = received(page, "hello")
        assert (greeting["keyboard"], greeting["sounds"]) == (False, False)
        keyboard.play(melody())
        heard, sent = [], []
        while not sent:
            turn = received(page, "turn")
            heard += [event for event in turn["heard"] if event[0] == 0x90]
            sent += [event for event in turn["sent"] if event[0] == 0x90 | OWN_CHANNEL]
        assert [key for _, key, _ in heard] == [76, 74, 72, 79, 77, 76, 74, 72]
        page.send('{"type":"command","name":"temperature","value":"0.7"}')
        while received(page, "settings")["values"]["temperature"] != "0.7":
            pass
        page.close()
        again = open_page(port, cookie)
        assert received(again, "turn")["state"] == "playing"
        assert all(received(again, "turn")["state"] == "playing" for _ in range(20))
        again.close()
    finally:
        program.close()


FAST_BPM = 200
ANSWER_BARS = 16


@pytest.mark.parametrize("subject", [subjects.C_MINOR, subjects.A_MINOR], ids=["C minor", "A minor"])
def test_a_fugue_subject_is_answered(subject: Notes, jack: Jack, keyboard: Player, tmp_path: Path) -> None:
    """Played at speed and followed by a pause, it comes again within 16 bars in another voice or key.

    One of two seeds is enough: chance may have it otherwise.
    """
    tick_s, wire = 60 / FAST_BPM / 4, jack.listener("synth")
    played, found = subjects.events(subject, tick_s), list[tuple[int, int]]()
    for seed in ("1", "2"):
        settings = ["--bpm", str(FAST_BPM), "--seed", seed, "--save", "off"]
        program = Livebach("--in", "USB Keyboard", "--out", "synth", "--api", "jack", *settings, cwd=tmp_path)
        try:
            program.wait_for("Play, and pause")
            until(lambda: jack.connections(keyboard.port), "a keyboard that is listened to")
            before = len(wire.heard())
            start_s = keyboard.play(played)
            keyboard.sent(len(played))
            pause_s = start_s + played[-1][0]
            while not found and time.perf_counter() < pause_s + (ANSWER_BARS + 0.5) * 16 * tick_s:
                time.sleep(1)
                answer = [(time_s, data[1]) for time_s, data in own(wire.heard()[before:])]
                found = subjects.stated(subject, answer, start_s, tick_s)
            assert answer
        finally:
            program.end(signal.SIGTERM)
            program.close()
        if found:
            break
    assert [tick for tick, _ in found if tick * tick_s < pause_s - start_s + ANSWER_BARS * 16 * tick_s]
