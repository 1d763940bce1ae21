"""Files are read without waiting, and written completely or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from livebach import files
from livebach.config import read_file
from livebach.errors import UserError
from livebach.live import take_log
from livebach.network import checkpoint

Check = Callable[[Path], object]


def names(folder: Path) -> list[str]:
    """Return the names of everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def fill_up(out: BinaryIO) -> None:
    """Write a little, as far as a full disk lets one."""
    out.write(b"half of")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_links(*_: Any) -> None:
    """Answer as a file system without hard links does."""
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to is refused by name instead of being waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for read in (files.read_bytes, files.check_regular):
        with pytest.raises(OSError, match="named pipe"):
            read(pipe)


@pytest.mark.parametrize(("path", "kind"), [("/dev/null", "a device"), ("/dev/zero", "a device"), ("/tmp", "a folder")])
def test_what_is_no_file_is_refused(path: str, kind: str) -> None:
    """Devices and folders are no files to read."""
    if not Path(path).exists():
        pytest.skip(f"there is no {path}")
    with pytest.raises(OSError, match=kind):
        files.open_regular(Path(path))


def test_a_file_is_read(tmp_path: Path) -> None:
    """A file, or a link to one, is read to its end."""
    (tmp_path / "a").write_bytes(b"notes")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert files.read_bytes(tmp_path / "a") == files.read_bytes(tmp_path / "b") == b"notes"


def test_an_unknown_user_has_no_home() -> None:
    """`~user` of nobody is one line, and a path without `~` stays as it is."""
    with pytest.raises(UserError, match="no home folder of '~nobody-of-that-name'"):
        files.expanded("~nobody-of-that-name/takes")
    assert files.expanded("a/b") == Path("a/b")


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """The content is there under its name, and no other file, with and without hard links."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    assert files.write_new(tmp_path / "a.mid", b"notes").read_bytes() == b"notes"
    assert names(tmp_path) == ["a.mid"]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("taken", ["file", "folder", "dangling link"])
def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, taken: str) -> None:
    """A name that is taken is refused, also when it is taken while the content is written."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.mid"

    def take(_out: BinaryIO | None = None) -> None:
        if taken == "file":
            path.write_bytes(b"mine")
        elif taken == "folder":
            path.mkdir()
        else:
            path.symlink_to(tmp_path / "nowhere")

    with pytest.raises(UserError, match="exists already"):
        files.write_new(path, take)
    with pytest.raises(UserError, match="exists already"):
        files.write_new(path, b"yours")
    with pytest.raises(UserError, match="exists already"):
        files.check_new(path)
    assert names(tmp_path) == ["a.mid"]
    assert taken != "file" or path.read_bytes() == b"mine"


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """When the disk is full, no file is left, one that was there stays, and the next try works."""
    path = tmp_path / "a.mid"
    with pytest.raises(UserError, match="No space left"):
        files.write_new(path, fill_up)
    assert names(tmp_path) == []
    files.write_new(path, b"old")
    with pytest.raises(UserError, match="No space left"):
        files.replace_file(path, fill_up)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.mid"]


def test_a_replaced_file_keeps_its_link_and_permissions(tmp_path: Path) -> None:
    """A link still leads to the file, whose permissions are as they were."""
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_bytes(b"old")
    real.chmod(0o600)
    link.symlink_to(real)
    files.replace_file(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("check", [files.check_new, files.check_replaceable])
def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, check: Check) -> None:
    """A missing folder, a file in place of a folder and a full disk are found before there is anything to write."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "a.json", tmp_path / "file" / "a.json"):
        with pytest.raises(UserError, match="cannot be written"):
            check(path)
    if Path("/dev/full").exists():
        with pytest.raises(UserError, match="device" if check is files.check_replaceable else "exists already"):
            check(Path("/dev/full"))
    check(tmp_path / "good.json")
    assert names(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_made_is_told_before_the_work(tmp_path: Path) -> None:
    """A folder that exists, and one below a file, are refused; one some levels down can be made, and is not yet."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "out"):
        with pytest.raises(UserError, match=r"exists already|cannot be made"):
            files.check_new_folder(path)
    files.check_new_folder(tmp_path / "a" / "b" / "c")
    assert names(tmp_path) == ["file"]


READERS: dict[str, Callable[[Path], object]] = {
    "settings": read_file,
    "a checkpoint": checkpoint.load,
    "a take": take_log.read,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", READERS)
def test_no_reader_waits_for_a_pipe(tmp_path: Path, kind: str) -> None:
    """A named pipe or a device in place of a file is one line, at once, whatever is read."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(ValueError, match=r"cannot be read: it is a (named pipe|device), not a file") as caught:
            READERS[kind](path)
        assert "\n" not in str(caught.value)
