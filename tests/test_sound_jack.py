"""The built-in instruments on a real JACK server: what is played is what comes out; the server's end is noticed."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

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
