"""The page's files, and the headers that every answer has.

The files are listed once, when the server starts. A request can name one of them, but no other path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".bin": "application/octet-stream",
    ".mid": "audio/midi",
}
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
"""Content-Security-Policy: the page loads from this server only, runs no inline script, and is shown in no frame."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), midi=(self)",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body, and additional headers."""

    status: int
    body: bytes = b""
    kind: str = ".txt"
    more: tuple[tuple[str, str], ...] = ()

    def headers(self) -> list[tuple[str, str]]:
        """Return all headers. Those in `more` replace the usual ones."""
        usual = {"Content-Type": TYPES[self.kind], "Content-Length": str(len(self.body)), **HEADERS}
        return list({**usual, **dict(self.more)}.items())


def text(status: int, sentence: str) -> Answer:
    """Return an answer of one sentence."""
    return Answer(status, f"{sentence}\n".encode())


WELCOME = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">
<title>livebach</title><link rel="icon" href="/icon.svg">
<p><a href="/">To livebach</a></html>
"""
"""Sends the browser on. After a redirect that begins on another program's link, the strict cookie would not be sent."""


class Site:
    """The files under `static/`, by their path in the address."""

    def __init__(self, folder: Path = FOLDER) -> None:
        files = (path for path in folder.rglob("*") if path.is_file() and path.suffix in TYPES)
        self._files = {f"/{path.relative_to(folder).as_posix()}": path for path in files}
        self._files["/"] = self._files["/index.html"]

    def answer(self, path: str) -> Answer:
        """Return the file of this path, or 404."""
        file = self._files.get(path)
        return text(404, "There is no such file.") if file is None else Answer(200, file.read_bytes(), file.suffix)
