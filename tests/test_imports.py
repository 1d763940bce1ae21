"""Import rules: each folder has a layer, imports point one way, and playing never loads torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "livebach"

# What each folder, or module at the top, may import of the others. What is below a folder's line stays below.
BASIS = {"errors", "system", "music", "styles"}
TOOLS = {"files", "controls", "bindings", "setting_rules"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "styles": set(),
    "system": {"errors"},
    "music": {"errors", "files"},
    "files": {"errors"},
    "controls": BASIS,
    "bindings": BASIS | {"controls"},
    "setting_rules": BASIS,
    "midi": BASIS | {"files"},
    "sound": BASIS | {"files", "midi"},
    "setting_texts": {"config", "controls"},
    "config": BASIS | TOOLS | {"midi", "sound"},
    "network": BASIS | TOOLS | {"config"},
    "musician": BASIS | TOOLS | {"config", "network"},
    "live": BASIS | TOOLS | {"config", "network", "musician", "midi", "sound", "version"},
    "web": BASIS | TOOLS | {"config", "musician", "midi", "sound", "live"},
    "training": BASIS | TOOLS | {"config", "network"},
    "evaluation": BASIS | TOOLS | {"config", "network", "musician", "training"},
    "testing": BASIS | TOOLS | {"config", "network", "musician", "midi"},
    "commands": BASIS
    | TOOLS
    | {"config", "network", "musician", "midi", "sound", "live", "web", "training", "evaluation", "version"},
    "cli": {"errors", "system", "version"},
    "__main__": {"cli"},
    "__init__": {"controls", "version", "config", "music", "network", "musician", "evaluation"},
    "version": set(),
}
PURE = ("music", "network", "musician")
IO = {
    *("torch", "mido", "rtmidi", "time", "datetime", "threading", "asyncio", "queue", "multiprocessing", "concurrent"),
    *("subprocess", "socket", "signal", "select", "logging", "rich", "secrets", "tempfile", "shutil"),
    *("os", "io", "pathlib", "glob"),
}
READS_OR_WRITES = {
    "music/score_reader.py": {"io", "pathlib", "mido"},
    "music/midi_writer.py": {"io"},
    "network/checkpoint.py": {"os", "pathlib", "io"},
    "network/touch_checkpoint.py": {"os", "pathlib"},
    "network/numba_compiler.py": {"pathlib", "shutil"},
}
"""The pure folders' modules that read or write a file, and with what."""
SHARED_BY_COMMANDS = {"flags", "timing"}

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
PURE_MODULES = [module for module in MODULES if module.startswith(PURE)]


def folder_of(module: str) -> str:
    """The folder of a module, or its own name at the top."""
    return module.split("/", maxsplit=1)[0].removesuffix(".py")


@cache
def parsed(module: str) -> ast.Module:
    """A module of the package as a syntax tree."""
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def imports(module: str) -> Iterator[str]:
    """Every module or name that is imported anywhere in a module, late imports too, by its full name."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(module: str) -> set[str]:
    """The modules of the package that a module imports."""
    found = set()
    for name in imports(module):
        parts = name.split(".")
        if parts[0] == "livebach":
            places = ("/".join(parts[1:end]) for end in (len(parts), len(parts) - 1))
            paths = [path for place in places for path in (f"{place}.py", f"{place}/__init__.py".lstrip("/"))]
            found |= {next(path for path in paths if path in MODULES)}
    return found - {module}


def foreign(module: str) -> set[str]:
    """The top-level packages from elsewhere that a module imports."""
    return {name.split(".")[0] for name in imports(module)} - {"livebach"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    """A module imports only of its own folder and of those that its folder may use."""
    folder = folder_of(module)
    wrong = {other for other in own(module) if folder_of(other) not in {folder, *MAY_IMPORT[folder]}}
    assert not wrong, f"livebach/{module} imports {sorted(wrong)}"


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("commands/")])
def test_commands_stand_beside_each_other(module: str) -> None:
    """Of each other, commands take only the shared flags and the timing."""
    others = {Path(other).stem for other in own(module) if folder_of(other) == "commands"}
    assert others <= {"__init__", *SHARED_BY_COMMANDS}


@pytest.mark.parametrize("module", MODULES)
def test_only_training_knows_torch(module: str) -> None:
    """No other folder imports torch, not even late."""
    assert "torch" not in foreign(module) or folder_of(module) == "training"


@pytest.mark.parametrize("module", PURE_MODULES)
def test_the_core_does_no_io(module: str) -> None:
    """Music, network and musician know no clock, port, thread, log or process; files only where they are read."""
    assert not foreign(module) & (IO - READS_OR_WRITES.get(module, set()))
    calls = {
        node.func.id
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"print", "input"}
    assert "open" not in calls or module in READS_OR_WRITES


@pytest.mark.parametrize("module", PURE_MODULES)
def test_the_core_has_no_random_source_of_its_own(module: str) -> None:
    """The core takes from `random` only generators, each with a seed that the caller gave."""
    assert {name for name in imports(module) if name.startswith("random")} <= {"random.Random"}
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Random":
            assert node.args


def reached(module: str) -> set[str]:
    """Every module of the package that a module imports, directly or through others."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = own(waiting.pop()) - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("module", MODULES)
def test_no_cycles(module: str) -> None:
    """No module imports itself through others."""
    assert module not in reached(module)


def test_the_daemon_never_reaches_training() -> None:
    """Not even late, and not through others."""
    assert not {module for module in reached("live/daemon.py") if folder_of(module) in ("training", "evaluation")}


@pytest.mark.parametrize(
    "module",
    ["cli", "live.daemon", "commands.play", "commands.demo", "commands.replay", "commands.generate", "commands.ports"],
)
def test_playing_does_not_load_torch(module: str) -> None:
    """In a fresh interpreter, importing what plays brings no torch, no training and no rtmidi."""
    code = f"import sys, livebach.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & {"torch", "rtmidi", "livebach.training"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("commands.play", {"websockets", "asyncio", "livebach.web"}),
        ("web.server", {"numpy", "yaml", "mido", "rich", "livebach.config", "livebach.live", "livebach.sound"}),
    ],
)
def test_the_page_and_the_player_keep_out_of_each_others_memory(module: str, absent: set[str]) -> None:
    """What plays loads nothing of the page, and the page's server nothing of what plays."""
    code = f"import sys, livebach.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & absent


def test_what_plays_loads_nothing_large_for_rare_cases() -> None:
    """A session of plain playing does without what is for mistakes, for files, or for a median."""
    code = "import sys; old = {*sys.modules}; import livebach.cli, livebach.commands.play; print(*{*sys.modules} - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    large = {
        "difflib",
        "shutil",
        "tempfile",
        "statistics",
        "decimal",
        "fractions",
        "mido",
        "rich",
        "hashlib",
        "safetensors",
    }
    assert not set(done.stdout.split()) & large


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "bench").glob("*.py")), ids=lambda path: path.stem)
def test_benches_take_no_private_names(path: Path) -> None:
    """A benchmark uses no attribute of another object that begins with an underscore, and leaves sys.path alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    owners = {"self", "cls", "os"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            assert isinstance(node.value, ast.Name), ast.unparse(node)
            assert node.value.id in owners, ast.unparse(node)
        assert not (isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path")


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "tests").rglob("test_*.py")), ids=lambda path: path.stem)
def test_test_modules_stand_alone(path: Path) -> None:
    """No test module imports another one; what they share is in tests/support."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in modules if name.rpartition(".")[2].startswith("test_")]
