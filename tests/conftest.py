"""What all tests share: a JACK server and synth, and Hypothesis without deadlines: machines that test are busy."""

from __future__ import annotations

from hypothesis import settings

from tests.support.jack_rig import jack, synth
from tests.support.sound_rig import sound_cache, sound_folder

__all__ = ["jack", "sound_cache", "sound_folder", "synth"]

settings.register_profile("livebach", deadline=None, max_examples=50)
settings.load_profile("livebach")
