"""Playing without a synthesizer of one's own: a FluidSynth that livebach starts."""
