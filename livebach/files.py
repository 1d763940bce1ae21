"""Files: find packaged files, read the user's files, and write new files completely or not at all.

This module knows nothing about the content of the files. All code that reads a file named by the user opens it through
`open_regular` or `check_regular`, because reading a named pipe or a device could block for ever.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from livebach.errors import UserError

Content = bytes | Callable[[BinaryIO], object]
"""The content of a file: its bytes, or a function that writes them to the open file."""

KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "it is a folder, not a file"),
    (stat.S_ISFIFO, errno.EINVAL, "it is a named pipe, not a file"),
    (stat.S_ISSOCK, errno.EINVAL, "it is a socket, not a file"),
    (stat.S_ISCHR, errno.EINVAL, "it is a device, not a file"),
    (stat.S_ISBLK, errno.EINVAL, "it is a device, not a file"),
)
PROBE = bytes(4096)
"""One block of a disk. Some file systems store smaller files without a block, so a smaller probe proves nothing."""
NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EINVAL}
"""The errors of a file system without hard links."""


def data_path(name: str) -> Path:
    """Return the path of a packaged file, such as `config.yaml`.

    A checkout has these files in its top folder; an installed wheel has them in `livebach/_data/`. The file need not
    exist: the reader of the file reports a missing file.
    """
    package = Path(__file__).parent
    installed = package / "_data" / name
    return installed if installed.exists() else package.parent / name


def expanded(path: str | Path) -> Path:
    """Return a path with `~` and `~user` replaced by the home folder.

    Raises:
        UserError: If there is no such user.

    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: there is no home folder of {Path(path).parts[0]!r}") from None


def displayable(name: str) -> str:
    """Return a file's name for display. Replacement characters stand for bytes that are not UTF-8."""
    return os.fsencode(name).decode(errors="replace")


# --- reading ---------------------------------------------------------------------------------------------------------


def _check_mode(path: Path, mode: int) -> None:
    for is_kind, number, text in KINDS:
        if is_kind(mode):
            raise OSError(number, text, str(path))


def check_regular(path: Path) -> None:
    """Check that a path leads to a regular file.

    Raises:
        OSError: If the path cannot be reached, or leads to a folder, a named pipe, a socket or a device. `strerror`
            is a phrase for messages to the user.

    """
    _check_mode(path, path.stat().st_mode)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; never wait for another program to write to it.

    Raises:
        OSError: As `check_regular` does, or if the file cannot be opened.

    """
    check_regular(path)  # opening some devices has a side effect
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_mode(path, os.fstat(descriptor).st_mode)  # the path may lead to another file by now
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; raise OSError as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()


# --- writing ---------------------------------------------------------------------------------------------------------


def write_new(path: Path, content: Content) -> Path:
    """Write a new file, completely or not at all, and return its path.

    The content goes to a temporary file in the same folder, which is then renamed. No file is ever overwritten, not
    even one that appears in the meantime. If the disk is full, no partial file remains.

    Raises:
        UserError: If the file exists already, or if it cannot be written.

    """
    with _told(path):
        _check_absent(path)
        with _part(path.parent, content) as part:
            _name_new(part, path)
    return path


def replace_file(path: Path, content: Content) -> Path:
    """Write or replace a file, completely or not at all, and return its path.

    If the path is a link, its target is replaced. The permissions of a replaced file are kept.

    Raises:
        UserError: If the path leads to something other than a file, or if the file cannot be written.

    """
    with _told(path):
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None:
            _check_mode(path, mode)
        with _part(target.parent, content) as part:
            if mode is not None:
                part.chmod(stat.S_IMODE(mode))
            part.replace(target)
    return path


def check_new(path: Path) -> None:
    """Check in advance that `write_new` can create a file.

    Raises:
        UserError: If the file exists already, or if no file can be written in that folder.

    """
    with _told(path):
        _check_absent(path)
        _probe(path.parent)


def check_replaceable(path: Path) -> None:
    """Check in advance that `replace_file` can write a file.

    Raises:
        UserError: If the path leads to something other than a file, or if no file can be written in that folder.

    """
    with _told(path):
        target = Path(os.path.realpath(path))
        if _exists(target):
            check_regular(target)
        _probe(target.parent)


def check_folder(path: Path) -> None:
    """Check in advance that a folder exists and is writable, or can be created.

    Raises:
        UserError: If the path leads to something other than a folder, or if nothing can be written in it.

    """
    with _told(path, "nothing can be written there"):
        _probe(_nearest_above(path))


def check_new_folder(path: Path) -> None:
    """Check in advance that a folder can be created, together with its parents.

    Raises:
        UserError: If the path exists already, or if the folder cannot be created.

    """
    with _told(path, "the folder cannot be made"):
        _check_absent(path)
        _probe(_nearest_above(path.absolute().parent))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Create a folder completely or not at all: yield a temporary folder, which is renamed at the end.

    Raises:
        UserError: If the path exists already, or if the folder cannot be created or filled.

    """
    with _told(path, "the folder cannot be made"):
        _check_absent(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.parent / _part_name()
        part.mkdir()
        try:
            yield part
            _check_absent(path)
            part.replace(path)
        finally:
            remove_folder(part)


def remove_folder(path: Path) -> None:
    """Delete a folder and its content, as far as that is possible."""
    import shutil  # loaded when it is needed: it takes 0.5 MB, with the compression that it can do

    shutil.rmtree(path, ignore_errors=True)


def nameless(folder: Path) -> BinaryIO:
    """Open a new file for reading and writing that has no name in its folder, and vanishes when it is closed.

    Raises:
        OSError: The file cannot be made.

    """
    kind = getattr(os, "O_TMPFILE", None)
    if kind is not None:
        with suppress(OSError):  # the file system has no such files
            return cast(BinaryIO, open(folder, "w+b", opener=lambda path, _: os.open(path, os.O_RDWR | kind, 0o600)))
    import tempfile  # loaded when it is needed: it takes 0.6 MB

    return cast(BinaryIO, tempfile.TemporaryFile(dir=folder))


@contextmanager
def _told(path: Path, failed: str = "the file cannot be written") -> Iterator[None]:
    """Turn an OSError into a UserError of one line that names the path."""
    try:
        yield
    except FileExistsError:
        kind = "folder" if path.is_dir() else "file"
        raise UserError(f"{path}: the {kind} exists already, and nothing is overwritten") from None
    except OSError as error:
        raise UserError(f"{path}: {failed}: {error.strerror or error}") from None


def _check_absent(path: Path) -> None:
    if _exists(path):
        raise FileExistsError


def _exists(path: Path) -> bool:
    """Return whether a path exists, a broken link included; raise OSError if the path is invalid."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _nearest_above(path: Path) -> Path:
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if _exists(folder))


def _probe(folder: Path) -> None:
    """Write a block into a folder and remove it, because permissions do not tell whether the disk has room."""
    with _part(folder, PROBE):
        pass


def _part_name() -> str:
    return f".livebach-{os.getpid()}-{os.urandom(4).hex()}.part"


@contextmanager
def _part(folder: Path, content: Content) -> Iterator[Path]:
    """Yield a temporary file with the content, flushed to the disk; remove the file at the end."""
    if not folder.is_dir():
        raise OSError(errno.ENOENT, f"there is no folder {folder}")
    part = folder / _part_name()
    try:
        with part.open("xb") as out:
            if callable(content):
                content(out)
            else:
                out.write(content)
            out.flush()
            os.fsync(out.fileno())
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _name_new(part: Path, path: Path) -> None:
    """Give a temporary file its final name; raise FileExistsError if that name exists."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        path.touch(exist_ok=False)  # without hard links: reserve the name, then replace the empty file
        try:
            part.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
