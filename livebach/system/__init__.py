"""The machine: the clock, real-time priority, systemd, and helper processes."""
