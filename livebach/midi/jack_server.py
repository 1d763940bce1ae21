"""A client of the JACK server beside rtmidi's: it lists the ports, and notices when the server ends.

rtmidi does not report the end of the server, and goes on listing ports from freed memory. This client is never
activated: it costs the server no time. It uses the libjack that rtmidi has loaded, and no other.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

_NO_START_SERVER = 1
_INPUT, _OUTPUT = 1, 2  # JackPortIsInput: what we may send to; JackPortIsOutput: what we may hear
_MIDI = b"8 bit raw midi"
_START_S = 1.0
_CLIENT = b"livebach-watch"

_Shutdown = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Message = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


def _path() -> str | None:
    """Return the path of the libjack in this process: another copy would have another state of the server."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # /proc is not mounted
        return None
    return next((line.split(maxsplit=5)[5] for line in lines if "/libjack" in line), None)


def load() -> Any:
    """Return libjack, told not to write to the terminal; None if it is not loaded."""
    path = _path()
    if path is None:
        return None
    lib = ctypes.CDLL(path)
    lib.jack_client_open.restype = ctypes.c_void_p
    lib.jack_client_open.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
    lib.jack_client_close.argtypes = [ctypes.c_void_p]
    lib.jack_on_shutdown.argtypes = [ctypes.c_void_p, _Shutdown, ctypes.c_void_p]
    lib.jack_get_ports.restype = ctypes.POINTER(ctypes.c_char_p)
    lib.jack_get_ports.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong]
    lib.jack_free.argtypes = [ctypes.c_void_p]
    for name in ("jack_get_buffer_size", "jack_get_sample_rate"):
        getattr(lib, name).argtypes = [ctypes.c_void_p]
        getattr(lib, name).restype = ctypes.c_uint32
    lib.jack_set_error_function(_SILENT)
    lib.jack_set_info_function(_SILENT)
    return lib


def _ignore(_text: bytes) -> None:
    """Drop what libjack would have printed."""


_SILENT = _Message(_ignore)


def _just_started() -> bool:
    """Return whether the server has just started: connecting then may leave all its clients without events."""
    name = os.environ.get("JACK_DEFAULT_SERVER", "default")
    try:
        socket = Path(f"/dev/shm/jack_{name}_{os.getuid()}_0")  # noqa: S108 - JACK's place, not ours # nosec B108
        age_s = time.time() - socket.stat().st_mtime
    except OSError:
        return False
    return 0 <= age_s < _START_S


class JackServer:
    """The JACK server, seen by a client that only looks; `names` connects to it when needed."""

    def __init__(self) -> None:
        self._lib = load()
        self._client: int | None = None
        self.generation = 0  # how many servers have been seen: a line belongs to one of them
        self._ended = 0  # the newest of them that is known to have ended
        self._on_shutdown = _Shutdown(self._gone)  # kept here: libjack calls it from a thread of its own

    @property
    def usable(self) -> bool:
        """Whether libjack is loaded."""
        return self._lib is not None

    @property
    def alive(self) -> bool:
        """Whether the server that was connected to last still runs; cheap to ask."""
        return self._client is not None and self._ended < self.generation

    @property
    def period_s(self) -> float:
        """The server's period in seconds: the time between two deliveries of events from client to client."""
        if not self.alive:
            return 0.0
        return float(self._lib.jack_get_buffer_size(self._client) / self._lib.jack_get_sample_rate(self._client))

    def names(self, inputs: bool) -> list[str] | None:
        """Return the names of the ports that can be heard (or sent to); None when no server runs."""
        if not self.alive:
            self._connect()
        if not self.alive:
            return None
        found = self._lib.jack_get_ports(self._client, None, _MIDI, _OUTPUT if inputs else _INPUT)
        if not found:
            return []
        names: list[str] = []
        while found[len(names)]:
            names.append(found[len(names)].decode("utf-8", "replace"))
        self._lib.jack_free(found)
        return names

    def close(self) -> None:
        """Disconnect from the server; `names` connects again."""
        if self._client is not None:
            self._lib.jack_client_close(self._client)
            self._client = None

    def _connect(self) -> None:
        self.close()
        if _just_started():
            return
        self._client = self._lib.jack_client_open(_CLIENT, _NO_START_SERVER, None)
        if self._client is not None:
            self.generation += 1
            self._lib.jack_on_shutdown(self._client, self._on_shutdown, self.generation)

    def _gone(self, generation: int | None) -> None:
        """Take note of a server's end; the next server may already run."""
        self._ended = max(self._ended, generation or 0)
