"""Opens the user's browser."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser


def can_open() -> bool:
    """Return whether there is a browser with windows. A browser in the terminal would cover livebach's output."""
    graphical = not sys.platform.startswith("linux") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if not graphical:
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def open_browser(address: str) -> None:
    """Open an address if there is a browser. A thread does it: some browsers return only when they are closed."""
    if can_open():
        threading.Thread(target=webbrowser.open, args=(address,), name="livebach-browser", daemon=True).start()
