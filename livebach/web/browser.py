"""Opens the person's own browser."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser


def can_open() -> bool:
    """Whether there is a browser with windows to open: one for the terminal would take the terminal away."""
    graphical = not sys.platform.startswith("linux") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if not graphical:
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def open_browser(address: str) -> None:
    """Open an address, where that can be; on a thread, as some browsers return only when they are closed."""
    if can_open():
        threading.Thread(target=webbrowser.open, args=(address,), name="livebach-browser", daemon=True).start()
