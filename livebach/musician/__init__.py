"""The musician: events in, events out. Knows no clock, no port, no thread and no file."""
