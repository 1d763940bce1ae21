"""Records a take while it is played: a thread writes the log, so that no disk delays a note.

A line is written within a quarter of a second after the call. A disk that fails stops the recording with a warning,
and never the music.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, Protocol

from livebach.errors import UserError
from livebach.files import nameless, remove_folder, write_new
from livebach.live import take_log, take_midi
from livebach.live.take_log import Call, Header

FLUSH_S = 0.2
MAX_WAITING = 200_000
"""The most lines that wait for a disk that hangs, about an hour's; then the recording stops."""


class Recorder(Protocol):
    """Keeps a take; no method waits for the disk while the music plays."""

    def call(self, call: Call) -> None:
        """Keep one call of the musician."""

    def remark(self, text: str, now_s: float) -> None:
        """Keep a line for people, at a time in seconds."""

    @property
    def folder(self) -> Path | None:
        """The folder of the take; None if none is kept."""

    @property
    def midi(self) -> Path | None:
        """The MIDI file of the take, once the recorder is closed; None if there is no such file."""

    def close(self) -> Path | None:
        """End the take, and return its folder; None if none is kept."""


class NoRecorder:
    """Keeps nothing."""

    folder: Path | None = None
    midi: Path | None = None

    def call(self, call: Call) -> None:
        """Drop the call."""

    def remark(self, text: str, now_s: float) -> None:
        """Drop the line."""

    def close(self) -> Path | None:
        """Return None: no take was kept."""
        return None


def new_folder(parent: Path, when: datetime) -> Path:
    """Make a folder named by the time, with a number after it if the name is taken, and return its path."""
    stem = when.strftime("%Y-%m-%d_%H-%M-%S")
    for suffix in ("", *(f"_{n}" for n in range(2, 10_000))):
        path = parent / f"{stem}{suffix}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if parent.exists() and not parent.is_dir():
                raise
            continue
        return path
    raise FileExistsError(f"{parent / stem}: ten thousand of that name")


class TakeRecorder:
    """Keeps a take in a folder of its own.

    Raises:
        OSError: If the folder, or the log in it, cannot be made; then nothing is left.

    """

    def __init__(self, parent: Path, header: Header, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self.folder = new_folder(parent, datetime.now())
        self.midi: Path | None = None
        """The MIDI file of the take, once it is closed and the file is there."""
        self._files: list[IO[Any]] = []
        try:
            self._begin(header)
        except OSError:
            self._close_files()
            remove_folder(self.folder)
            raise
        self._queue: SimpleQueue[Call | str | None] = SimpleQueue()
        self._closing = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def _begin(self, header: Header) -> None:
        self._log = (self.folder / take_log.LOG).open("x", encoding="utf-8", newline="\n")
        self._files.append(self._log)
        self._put([take_log.header_line(header)])
        tracks = []
        for _ in range(2):
            tracks.append(nameless(self.folder))  # closed by `close`
            self._files.append(tracks[-1])
        self._score = take_midi.Score(header, *tracks)

    def call(self, call: Call) -> None:
        """Keep one call of the musician."""
        self._enqueue(call)

    def remark(self, text: str, now_s: float) -> None:
        """Keep a line for people."""
        self._enqueue(take_log.remark_line(text, now_s))

    def close(self) -> Path | None:
        """Write the remaining entries and the MIDI file, and return the folder. A second call only returns it."""
        if not self._closing.is_set():
            self._closing.set()
            self._queue.put(None)
            self._thread.join()
            self._write_midi()
            self._close_files()
        return self.folder

    def _write_midi(self) -> None:
        try:
            self.midi = write_new(self.folder / take_log.MIDI, self._score.midi())
        except (UserError, OSError) as error:
            more = f"when there is room, livebach replay {self.folder} --out OUT.mid makes one"
            self._warn(f"no MIDI file was made of the take: {error}; {more}")

    def _enqueue(self, entry: Call | str) -> None:
        if self._stopped:
            return
        if self._queue.qsize() > MAX_WAITING:
            self._give_up("the disk does not keep up")
        else:
            self._queue.put(entry)

    def _give_up(self, reason: str) -> None:
        self._stopped = True
        self._warn(f"the recording has stopped: {self.folder}: {reason}; the music goes on")

    def _work(self) -> None:
        """Write all waiting entries at once, then pause: an idle loop costs nothing, and a flood few writes."""
        ended = False
        while not ended:
            entries = self._wait_for_entries()
            ended = entries[-1] is None
            if not self._stopped:
                self._write([entry for entry in entries if entry is not None])
            self._closing.wait(FLUSH_S)

    def _wait_for_entries(self) -> list[Call | str | None]:
        entries = [self._queue.get()]
        try:
            while entries[-1] is not None:
                entries.append(self._queue.get_nowait())
        except Empty:
            pass
        return entries

    def _write(self, entries: Sequence[Call | str]) -> None:
        try:
            self._put([entry if isinstance(entry, str) else take_log.call_line(entry) for entry in entries])
            for entry in entries:
                if isinstance(entry, Call):
                    self._score.add(entry)
        except OSError as error:
            self._give_up(error.strerror or str(error))
        except Exception as error:  # noqa: BLE001 - an error that is not told here would end the recording unnoticed
            self._give_up(f"{type(error).__name__}: {error}")

    def _put(self, lines: list[str]) -> None:
        self._log.write("".join(line + "\n" for line in lines))
        self._log.flush()

    def _close_files(self) -> None:
        for file in self._files:
            with contextlib.suppress(OSError):  # a write that failed was told already
                file.close()


def open_recorder(save: bool, parent: Path, header: Header, warn: Callable[[str], None]) -> Recorder:
    """Begin to record a take.

    A full disk is a warning, and nothing is recorded.

    Raises:
        UserError: If the folder can never be written.

    """
    if not save:
        return NoRecorder()
    try:
        return TakeRecorder(parent, header, warn)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            warn(f"this take is not recorded: {parent}: {error.strerror}")
            return NoRecorder()
        raise UserError(f"take.folder: {parent}: cannot be written: {error.strerror}") from None
