"""Music as data: events, the grid, rolls, metre, texture, keys, and the reading and writing of MIDI files."""
