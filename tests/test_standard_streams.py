"""Standard streams: terminals, locales and files that cannot take the output, and quiet libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from livebach import cli

REPO = Path(__file__).parent.parent
LIVEBACH = f"'{sys.executable}' -m livebach"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command line in a shell; LIVEBACH in it is the program."""
    return subprocess.run(
        ["sh", "-c", command.replace("LIVEBACH", LIVEBACH)],
        cwd=REPO,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">&-", "it is closed"), (">/dev/full", "No space left on device"), ("1</dev/null", "Bad file descriptor")],
)
@pytest.mark.parametrize("command", ["--help", "frames nowhere.mid -o new.npz", "play --in a --out b"])
def test_an_output_that_cannot_be_written_to(tmp_path: Path, command: str, redirection: str, reason: str) -> None:
    """It is one line and exit 2, before anything is done, whatever the command."""
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    done = shell(f"cd {tmp_path}; PYTHONPATH={REPO} LIVEBACH {command} {redirection}")
    assert done.returncode == 2
    assert done.stderr.decode() == f"livebach: standard output cannot be written to: {reason}\n"
    assert list(tmp_path.iterdir()) == []


FILLS_UP = """
import os, sys
from livebach import cli

def run(name, argv):
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    print("found")
    return 0

cli._run = run
sys.exit(cli.main(["ports"]))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_fails_later() -> None:
    """A disk that fills up while a command writes is one line and exit 2, not a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", FILLS_UP], cwd=REPO, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == "livebach: standard output cannot be written to: No space left on device\n"


def test_a_closed_pipe_is_no_fault_of_ours() -> None:
    """A reader that has seen enough ends the command without a word."""
    assert shell("LIVEBACH --help | head -1").stderr == b""


def test_every_stream_closed() -> None:
    """Without any stream the exit status alone says it."""
    done = shell("LIVEBACH --version <&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """With standard input closed, a file that is opened does not become it."""
    out = tmp_path / "out.npz"
    done = shell(f"LIVEBACH frames ../shared/none.mid -o {out} <&-")
    assert done.returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "koi8-r", "cp1251", "latin-1"])
def test_text_that_the_terminal_cannot_encode(encoding: str) -> None:
    """A name with letters that a locale lacks is shown with replacements, exit 0."""
    done = shell("LIVEBACH styles", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Frédéric Chopin".encode(encoding, "replace") in done.stdout


def test_a_name_that_is_not_utf_8_is_shown(tmp_path: Path) -> None:
    """An error about a file whose name is no text in this locale is one line all the same."""
    name = os.fsdecode(bytes(tmp_path) + b"/bach\xff.mid")
    done = subprocess.run(
        [sys.executable, "-m", "livebach", "frames", name, "-o", str(tmp_path / "out.npz")],
        cwd=REPO,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"bach\\udcff.mid: " in done.stderr


def test_an_error_of_the_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever else the system refuses is one line with its file, exit 2."""
    errors = {"a": PermissionError(13, "Permission denied", "/root/x"), "b": OSError(5, "Input/output error")}
    monkeypatch.setattr(cli, "_split", lambda argv: (argv[0], []))
    for name, error in errors.items():

        def fail(*_: object, error: OSError = error) -> int:
            raise error

        monkeypatch.setattr(cli, "_run", fail)
        assert cli.main([name]) == 2
    assert capsys.readouterr().err == "livebach: /root/x: Permission denied\nlivebach: Input/output error\n"


CHATTER = """
import os, sys
from livebach.system import standard_streams, subprocesses
print("before", file=sys.stderr)
standard_streams.quiet_libraries()
standard_streams.quiet_libraries()
os.write(2, b"a warning of a C library\\n")
print("after", file=sys.stderr)
child = subprocesses.start("livebach.no_such_module")
child.wait()
os.abort()
"""


def test_what_libraries_print_does_not_reach_the_terminal() -> None:
    """Python's own lines do, those of helper processes too, and where the program was when a library ended it."""
    ended = subprocess.run([sys.executable, "-c", CHATTER], cwd=REPO, capture_output=True, check=False, timeout=60)
    told = ended.stderr.decode()
    assert told.startswith("before\nafter\n")
    assert "warning" not in told
    assert "No module named livebach.no_such_module" in told
    assert "Fatal Python error: Aborted" in told
    assert ended.returncode == -6
