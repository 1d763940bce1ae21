"""The server's side of `note_maker`: asks it for the notes of the built-in instruments, one request at a time."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys

PATH = re.compile(r"/notes/([a-z]{1,16})/(\d{1,3})/([a-z]{1,16})")
MANIFEST = "/notes/manifest.json"
ROOM = "/notes/room"
IDLE_S = 10.0
"""The process that makes notes ends after this time without a request."""
PATIENCE_S = 60.0
PYTHON = (sys.executable, "-S", "-P", "-m")
"""The command for helper processes. `system.subprocesses` has put their import path into the environment."""


class NoteMaker:
    """Starts the process on the first request, and ends it after a time without requests."""

    def __init__(self, module: str = "livebach.web.note_maker", idle_s: float = IDLE_S) -> None:
        self._module = module
        self._idle_s = idle_s
        self._process: asyncio.subprocess.Process | None = None
        self._asking = asyncio.Lock()
        self._ending: asyncio.TimerHandle | None = None

    async def answer(self, path: str) -> bytes | None:
        """Return the content of a path; None if there is none, or if it cannot be made."""
        question = _question(path)
        if question is None:
            return None
        async with self._asking:
            if self._ending is not None:
                self._ending.cancel()
            try:
                return await asyncio.wait_for(self._ask(question), PATIENCE_S)
            except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError):
                self._end()
                return None
            finally:
                self._ending = asyncio.get_running_loop().call_later(self._idle_s, self._end)

    async def _ask(self, question: str) -> bytes | None:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                *PYTHON, self._module, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{question}\n".encode())
        await process.stdin.drain()
        size = int(await process.stdout.readline())
        return await process.stdout.readexactly(size) if size else None

    def _end(self) -> None:
        """End the process; the loop's child watcher collects its exit status."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _question(path: str) -> str | None:
    found = PATH.fullmatch(path)
    return " ".join(found.groups()) if found else {MANIFEST: "manifest", ROOM: "room"}.get(path)
