"""livebach as a service: systemd's watchdog, the unit, log levels, and no listening on a network."""

from __future__ import annotations

import ast
import io
import json
import plistlib
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from livebach.commands import play
from livebach.live import playing
from livebach.live.display import Display, DisplayUpdate
from livebach.live.log_lines import LogSink
from livebach.system import systemd
from livebach.system.clock import Clock
from livebach.system.systemd import Notifier, open_notifier
from tests.support.daemon_rig import Rig
from tests.support.ended_process import ended

pytestmark = pytest.mark.clock

TOP = Path(__file__).parent.parent
UNIT = TOP / "packaging" / "livebach.service"
unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no such sockets here")

# --- telling systemd -------------------------------------------------------------------------------------------------


class Manager:
    """systemd's side: a datagram socket, and what came in on it."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(2)

    def told(self) -> str:
        """The next text."""
        return self._socket.recv(1000).decode()

    def nothing(self) -> bool:
        """Whether nothing more has come."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1000)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        """End it."""
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Somebody to tell."""
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


@unix
def test_it_says_ready_alive_and_stopping(manager: Manager) -> None:
    """In systemd's words, alive once a second however often the loop turns, stopping once."""
    now = [100.0]
    notifier = Notifier(manager.address, now=lambda: now[0])
    notifier.ready()
    for _ in range(300):
        notifier.alive()
        now[0] += 0.01
    notifier.close()
    notifier.close()
    notifier.alive()
    assert [manager.told() for _ in range(5)] == ["READY=1", *["WATCHDOG=1"] * 3, "STOPPING=1"]
    assert manager.nothing()


@unix
def test_nobody_to_tell_is_no_harm(tmp_path: Path) -> None:
    """No address, one that is not there, and one that does not keep up: the loop is never held up."""
    for address in (None, "", str(tmp_path / "none"), "@livebach-none"):
        notifier = Notifier(address)
        notifier.ready()
        notifier.alive()
        notifier.close()
    deaf = Manager(tmp_path / "deaf")
    times = iter(range(10_000))
    notifier = Notifier(deaf.address, now=lambda: float(next(times)))
    for _ in range(2000):
        notifier.alive()
    notifier.close()
    deaf.close()


@unix
def test_children_do_not_speak_for_it(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is taken out of the environment."""
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    notifier = open_notifier()
    notifier.ready()
    notifier.close()
    assert manager.told() == "READY=1"
    assert "NOTIFY_SOCKET" not in systemd.os.environ


@unix
def test_the_loop_says_that_it_turns(manager: Manager) -> None:
    """Also while nobody plays: the watchdog hears of it from the loop itself."""
    notifier = Notifier(manager.address)
    rig = Rig(clock=Clock())
    rig.daemon._alive = notifier.alive
    loop = threading.Thread(target=rig.daemon.run)
    loop.start()
    assert [manager.told(), manager.told()] == ["WATCHDOG=1"] * 2
    rig.daemon.end()
    loop.join(2)
    notifier.close()
    assert not loop.is_alive()


@unix
def test_play_is_ready_when_it_plays(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready only when all is open; stopping before anything is closed; also after an error."""

    class Failing:
        def run(self) -> None:
            assert manager.told() == "READY=1"
            raise RuntimeError("on purpose")

    def opened(*arguments: object) -> Failing:
        arguments[-1].callback(lambda: order.append(manager.told()))  # type: ignore[attr-defined]
        return Failing()

    order: list[str] = []
    monkeypatch.setattr(playing, "_opened", opened)
    with pytest.raises(RuntimeError, match="on purpose"):
        playing.play(None, None, None, None, Notifier(manager.address))  # type: ignore[arg-type]
    assert order == ["STOPPING=1"]


@unix
def test_a_real_process_tells_systemd(manager: Manager) -> None:
    """`livebach play` with the variable set: ready, alive, and stopping at SIGTERM, with exit 0."""
    assert ended([signal.SIGTERM], NOTIFY_SOCKET=manager.address)[0] == 0
    told = [manager.told()]
    while told[-1] != "STOPPING=1":
        told.append(manager.told())
    assert told[:2] == ["READY=1", "WATCHDOG=1"]
    assert set(told[1:-1]) == {"WATCHDOG=1"}


# --- the files of the service managers -------------------------------------------------------------------------------


def analyse(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, where there is one."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    path = tmp_path / "livebach.service"
    path.write_text(UNIT.read_text().replace("/opt/livebach/bin/livebach", shutil.which("true") or "/bin/true"))
    return path


def test_systemd_accepts_the_unit(unit: Path) -> None:
    """No unknown name, no bad value."""
    done = analyse("verify", "--man=no", str(unit))
    assert done.returncode == 0, done.stderr
    assert "livebach.service" not in done.stderr


def test_the_unit_has_few_rights(unit: Path) -> None:
    """Its exposure by systemd's own measure, of 10 points: ordinary services have more than 9."""
    done = analyse("security", "--offline=true", "--threshold=25", "--no-pager", str(unit))
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot judge a file")
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr


def test_the_services_ask_for_what_there_is() -> None:
    """The flags that the files use are the command's own, and exit 2 is not tried again."""
    text = UNIT.read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart=")).split()[2:]
    assert "RestartPreventExitStatus=2" in text
    assert "Type=notify" in text
    agent = plistlib.loads((TOP / "packaging" / "livebach.plist").read_bytes())
    for words in (command, agent["ProgramArguments"][2:]):
        given = play_arguments(words)
        assert (given["log"], given["midi.wait"]) == ("plain", "on")


def play_arguments(words: list[str]) -> dict[str, object]:
    """What `livebach play` understands."""
    import argparse

    parser = argparse.ArgumentParser()
    play.add_arguments(parser)
    return vars(parser.parse_args(words))


# --- lines -----------------------------------------------------------------------------------------------------------


def logged(form: str, level: str) -> list[str]:
    """What is logged of a beat, a text and a warning."""
    stream = io.StringIO()
    display = Display(LogSink(stream, form, level))
    display._queue.put(DisplayUpdate(state="listening", bar=1, beat=1, player_struck=[60]))
    display.say("in: Piano\nout: Synth")
    display.warn("MIDI input 'Piano' is gone")
    display.close()
    return stream.getvalue().splitlines()


def test_lines_have_time_and_level() -> None:
    """Plain: a line each, the beat only for who asks for it."""
    assert [line.split(maxsplit=2)[1:] for line in logged("plain", "info")] == [
        ["info", "in: Piano"],
        ["info", "out: Synth"],
        ["warning", "MIDI input 'Piano' is gone"],
    ]
    assert [line.split()[1] for line in logged("plain", "warning")] == ["warning"]
    assert any("C4" in line for line in logged("plain", "debug"))


def test_lines_for_programs() -> None:
    """JSON: an object a line."""
    lines = [json.loads(line) for line in logged("json", "info")]
    assert [line["level"] for line in lines] == ["info", "info", "warning"]
    assert all(line["time"][:2] == "20" for line in lines)
    assert lines[2]["text"] == "MIDI input 'Piano' is gone"


def test_exit_statuses_are_documented() -> None:
    """The table has each that the command line can end with."""
    table = (TOP / "docs" / "service.md").read_text()
    assert all(f"\n| {status} |" in table for status in (0, 1, 2, 130))


# --- the network -----------------------------------------------------------------------------------------------------

NETWORK = {"socket", "socketserver", "http", "urllib", "ssl", "asyncio", "ftplib", "smtplib", "xmlrpc", "requests"}
NETWORK |= {"websockets"}
PAGE = {"asyncio", "http", "urllib", "websockets"}
MAY_IMPORT = {
    "system/systemd.py": {"socket"},
    "training/fetch.py": {"requests"},  # `corpus fetch` downloads when a user asks
    # The page's server, a process of its own that runs only where a page is wanted: see test_web_server.py.
    **{f"web/{name}.py": PAGE for name in ("access", "examine", "notes", "resources", "server")},
}
LISTENING = {"bind", "listen", "accept", "create_server", "start_server"}


@pytest.mark.parametrize("path", sorted((TOP / "livebach").rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_listens(path: Path) -> None:
    """No module but the page's server imports what can listen; the one that knows sockets only sends."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    assert {name.split(".")[0] for name in imported} & NETWORK <= MAY_IMPORT.get(
        path.relative_to(TOP / "livebach").as_posix(), set()
    )
    called = {node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "attr")}
    if "socket" in imported:
        assert not called & LISTENING


# --- the table of faults ---------------------------------------------------------------------------------------------


def test_every_test_in_the_table_exists() -> None:
    """Each row of tests/README.md names a test, and each test that it names is there."""
    table = (TOP / "tests" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| fault")]
    named = [re.findall(r"`(test_\w+\.py)::(test_\w+)`", row) for row in rows]
    assert len(rows) > 30
    assert not [row for row, tests in zip(rows, named, strict=True) if not tests]
    missing = {f"{file}::{name}" for tests in named for file, name in tests if name not in defined_in(file)}
    assert not missing


def defined_in(file: str) -> set[str]:
    """The tests that a file defines."""
    tree = ast.parse((TOP / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
