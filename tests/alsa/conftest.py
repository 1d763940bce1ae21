"""These tests need ALSA's sequencer: `tests/test_alsa.py` runs them in a virtual machine, where this one has none."""

import os
from pathlib import Path

# A sequencer of one's own is not enough: the tests unplug the virtual sound card.
collect_ignore_glob = [] if os.environ.get("ALSA_VM") and Path("/dev/snd/seq").exists() else ["test_*.py"]
