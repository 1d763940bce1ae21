"""The trained network at play, in numpy: checkpoint, step engine, state, sampling. Never imports torch."""
