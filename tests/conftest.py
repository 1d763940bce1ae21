"""What all tests share: a JACK server and synth, and Hypothesis without deadlines: machines that test are busy."""

from __future__ import annotations

from hypothesis import settings

from tests.support.jack_rig import jack, synth

__all__ = ["jack", "synth"]

settings.register_profile("livebach", deadline=None, max_examples=50)
settings.load_profile("livebach")
