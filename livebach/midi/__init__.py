"""MIDI ports and what guards them: back-ends, the feedback filter, the guard that ends notes."""
