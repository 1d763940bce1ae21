"""Content that has to be made on request: the take as a MIDI file, and the notes of the instruments.

Separate processes make both, and end afterwards. So the server stays small, and its loop never waits.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from livebach.web import notes, site
from livebach.web.notes import PYTHON, NoteMaker
from livebach.web.site import Answer

TAKE = "/take.mid"
TAKE_S = 30.0


class Resources:
    """Answers requests for such content."""

    def __init__(self) -> None:
        self.take: str | None = None
        """The folder of the take; None if the take is not recorded."""
        self._making = asyncio.Lock()  # one at a time
        self._notes = NoteMaker()

    async def answer(self, path: str) -> Answer | None:
        """Return the answer for a path; None if the path is another one."""
        if path == TAKE:
            return await self._take_file()
        if path.startswith("/notes/"):
            data = await self._notes.answer(path)
            kind = ".json" if path == notes.MANIFEST else ".bin"
            return site.text(404, "There is no such note.") if data is None else Answer(200, data, kind)
        return None

    async def _take_file(self) -> Answer:
        if self.take is None:
            return site.text(404, "This take is not kept (take.save is off).")
        async with self._making:
            data, error = await _output("livebach.web.take_file", self.take)
        if data is None:
            return site.text(503, error)
        name = f"livebach_{Path(self.take).name}.mid"
        return Answer(200, data, ".mid", (("Content-Disposition", f'attachment; filename="{name}"'),))


async def _output(module: str, *arguments: str) -> tuple[bytes | None, str]:
    """Run a module of this package; return its output, or None and its error message."""
    process = await asyncio.create_subprocess_exec(
        *PYTHON,
        module,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, said = await asyncio.wait_for(process.communicate(), TAKE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None, f"{module} took more than {TAKE_S:g} seconds."
    complaint = said.decode(errors="replace").strip().splitlines()[-1:] or ["it failed"]
    return (out, "") if process.returncode == 0 else (None, complaint[0])
