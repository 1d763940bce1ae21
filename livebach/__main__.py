"""`python -m livebach`."""

from __future__ import annotations

import sys

from livebach.cli import main

if __name__ == "__main__":
    sys.exit(main())
