"""Tests that need ALSA's sequencer."""
