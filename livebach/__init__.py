"""You play a MIDI keyboard, and a WaveNet trained on Bach plays on."""
