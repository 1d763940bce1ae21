"""The built-in instruments on a real JACK server: their sound, and the end of the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from livebach.music.events import NoteOn, to_bytes
from livebach.sound.loudspeakers import Loudspeakers, SoundSettings
from tests.support.jack_rig import LONG_PERIOD, Jack, levels
from tests.support.waiting import until

pytestmark = pytest.mark.jack


@pytest.fixture
def speakers(jack: Jack, sound_folder: Path) -> Loudspeakers:
    """The organ on the test's JACK server: it sounds as long as a key is down, and is silent otherwise."""
    playing = Loudspeakers(SoundSettings("organ", folder=str(sound_folder)))
    said = playing.ready()
    if said["backend"] != "JACK":
        playing.close()
        pytest.skip(f"this machine has a sound device that comes before JACK: {said['backend']}")
    return playing


@pytest.mark.parametrize("jack", [LONG_PERIOD], indirect=True)
def test_a_key_is_heard_while_it_is_down(jack: Jack, speakers: Loudspeakers) -> None:
    """What JACK carries is silent, then sounds, and is silent again after the key came up."""
    try:
        with jack.recorded(5, "livebach:playback0", "livebach:playback1") as wav:
            time.sleep(1)
            speakers.send(bytes((0x90, 60, 100)))
            time.sleep(1)
            speakers.send(bytes((0x80, 60, 0)))
        loud = [level > 0.003 for level in levels(wav)]
    finally:
        speakers.close()
    first, last = loud.index(True), len(loud) - loud[::-1].index(True)
    assert first >= 3
    assert all(loud[first + 1 : first + 9])
    assert 8 <= last - first <= 20
    assert not any(loud[last:])


@pytest.mark.parametrize("jack", [LONG_PERIOD], indirect=True)
def test_the_end_of_the_server_is_noticed(jack: Jack, speakers: Loudspeakers) -> None:
    """When the JACK server is killed the audio process ends, so that the port is found to be gone."""
    try:
        jack.stop(signal.SIGKILL)
        until(lambda: not speakers.alive, "ended", 30)
    finally:
        speakers.close()


@pytest.fixture
def player(jack: Jack, sound_cache: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`livebach` on the organ, ready to be played from a keyboard on JACK."""
    del sound_cache
    printed = tmp_path / "printed.txt"
    command = ["--api", "jack", "--in", "USB Keyboard", "--out", "organ", "--log", "plain"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with printed.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "livebach", *command], cwd=tmp_path, env=environment, stdout=out, stderr=out
        )
    try:
        until(lambda: "Ctrl-C ends" in printed.read_text() or process.poll() is not None, "ready", 60)
        assert process.poll() is None, printed.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("jack", [LONG_PERIOD], indirect=True)
def test_when_livebach_is_killed_its_sound_ends(jack: Jack, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A chord that is held sounds on JACK; when livebach is killed (kill -9) the chord ends within half a second."""
    keyboard = jack.player("USB Keyboard")
    process = request.getfixturevalue("player")
    sides = [line for line in jack._tool("jack_lsp").splitlines() if ":playback" in line and "system" not in line]
    assert len(sides) == 2
    keyboard.play([(0.0, to_bytes(NoteOn(key, 90))) for key in (60, 64, 67)])
    time.sleep(0.5)
    with jack.recorded(4, *sides) as wav:
        time.sleep(1.5)
        process.send_signal(signal.SIGKILL)
        killed_s = time.perf_counter()
        until(lambda: not [line for line in jack._tool("jack_lsp").splitlines() if line in sides], "no ports", 10)
        assert time.perf_counter() - killed_s < 5
    loud = [level > 0.003 for level in levels(wav)]
    assert all(loud[2:10])
    assert not any(loud[-10:])
