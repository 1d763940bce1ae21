"""You play a MIDI keyboard, and a WaveNet trained on Bach plays on."""

__version__ = "0.1.0"
