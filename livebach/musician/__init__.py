"""The musician: events in, events out. This module knows no clock, no port, no thread and no file."""
