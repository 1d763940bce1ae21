"""Sound without a synthesizer: computed instruments, the process that plays them, and FluidSynth where it is wanted."""
