"""Files: finds the packaged ones, reads those of the user, and writes new ones whole or not at all.

Knows nothing of what the files hold. Every reader of a file that the user names opens it through `open_regular` or
`check_regular`: a named pipe or a device would be waited for without end.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

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
"""One block of a disk: less than this may fit into a file that takes no space of its own."""
NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EINVAL}
"""The errors of a file system without hard links."""


def data_path(name: str) -> Path:
    """Return the path of a packaged file, such as `config.yaml`.

    In a checkout these files stand at its top; an installed wheel carries them in `livebach/_data/`. The file need not
    exist: its reader reports that.
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
    """Return a file's name for people: where it is not text, replacement characters stand for its bytes."""
    return os.fsencode(name).decode(errors="replace")


# --- reading ---------------------------------------------------------------------------------------------------------


def _check_mode(path: Path, mode: int) -> None:
    for is_kind, number, text in KINDS:
        if is_kind(mode):
            raise OSError(number, text, str(path))


def check_regular(path: Path) -> None:
    """Check that a path leads to a file that can be read to its end.

    Raises:
        OSError: If the path cannot be reached, or leads to a folder, a named pipe, a socket or a device. `strerror`
            is a phrase for the user.

    """
    _check_mode(path, path.stat().st_mode)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, without ever waiting for another program to write to it.

    Raises:
        OSError: As `check_regular` does, or if the file cannot be opened.

    """
    check_regular(path)  # opening some devices has an effect
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_mode(path, os.fstat(descriptor).st_mode)  # the path may have changed its meaning
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
    """Write a file that does not exist yet, whole or not at all, and return its path.

    The content goes to a temporary file in the same folder, which then gets its name. Nothing is ever overwritten,
    not even a file that appears in the meantime; when the disk is full, nothing is left.

    Raises:
        UserError: If the file exists already, or if it cannot be written.

    """
    with _told(path):
        _check_absent(path)
        with _part(path.parent, content) as part:
            _name_new(part, path)
    return path


def replace_file(path: Path, content: Content) -> Path:
    """Write a file, or replace one, whole or not at all, and return its path.

    A link is followed: the file that it leads to is replaced. Its permissions stay.

    Raises:
        UserError: If the path leads to something else than a file, or if the file cannot be written.

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
    """Check, before the work whose result goes there, that `write_new` can create a file.

    Raises:
        UserError: If the file exists already, or if no file can be written in that folder.

    """
    with _told(path):
        _check_absent(path)
        _probe(path.parent)


def check_replaceable(path: Path) -> None:
    """Check, before the work whose result goes there, that `replace_file` can write a file.

    Raises:
        UserError: If the path leads to something else than a file, or if no file can be written in that folder.

    """
    with _told(path):
        target = Path(os.path.realpath(path))
        if _exists(target):
            check_regular(target)
        _probe(target.parent)


def check_folder(path: Path) -> None:
    """Check, before the work whose results go there, that a folder exists and can be written to, or can be made.

    Raises:
        UserError: If the path leads to something else than a folder, or if nothing can be written in it.

    """
    with _told(path, "nothing can be written there"):
        _probe(_nearest_above(path))


def check_new_folder(path: Path) -> None:
    """Check, before the work whose results go there, that a folder can be made, with those above it.

    Raises:
        UserError: If there is such a file or folder already, or if none can be made there.

    """
    with _told(path, "the folder cannot be made"):
        _check_absent(path)
        _probe(_nearest_above(path.absolute().parent))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder with all that is in it, or none: yield a temporary one, which gets its name at the end.

    Raises:
        UserError: If there is such a file or folder already, or if it cannot be made or filled.

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
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _told(path: Path, failed: str = "the file cannot be written") -> Iterator[None]:
    """Turn an OSError into one line that names the path."""
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
    """Return whether a name is taken, also by a link that leads nowhere; OSError if the name cannot be one."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _nearest_above(path: Path) -> Path:
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if _exists(folder))


def _probe(folder: Path) -> None:
    """Write a block in a folder and remove it: permissions alone do not say that there is room."""
    with _part(folder, PROBE):
        pass


def _part_name() -> str:
    return f".livebach-{os.getpid()}-{os.urandom(4).hex()}.part"


@contextmanager
def _part(folder: Path, content: Content) -> Iterator[Path]:
    """Write a temporary file in a folder, on the disk when this begins, and gone when it ends."""
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
    """Give a file its name; FileExistsError if the name is taken."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        path.touch(exist_ok=False)  # without links: take the name, then put the content under it
        try:
            part.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
