"""The real-time part: the daemon, its inbox, recordings, signals, display and hotkeys."""
