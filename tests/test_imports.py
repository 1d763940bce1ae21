"""Who may import whom: the package is built in layers, imports point one way, and playing never loads torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "livebach"

# Each module, by layer. A module may import modules of its own layer and of the others that MAY_USE names.
LAYERS = {
    "core": "errors events roll tonality controls rules spec data config checkpoint adaptation quotes repeats state"
    " engine sampling fast reference grid click listener follow voice memory governor improviser modes cadence status"
    " tickload touch taps clockfollow clocksend beatpatterns beatfollow beatgrid expression performer musician",
    "files": "midifile tempomap session take options phrases",
    "live": "portnames sounding systems rtlines jack ports loops clock heap inbox watcher child ward guard recorder"
    " display logs notify screen sound fakes rehearsal daemon swap hotkeys learn play panic ports_cli replay demo bench"
    " benchplay doctor",
    "offline": "framecache corpus batches model growth efficiency ranks runfile teaching calibration validation"
    " training train rollout generate frames collection survey engraved sources corpora plots plot copied rollstats"
    " rolltrial rollreport evaluation evaluate",
    "doubles": "testing hands",
    "top": "__init__ __main__ cli",
}
MAY_USE = {
    "core": {"core"},
    "files": {"core", "files"},
    "live": {"core", "files", "live"},
    "offline": {"core", "files", "offline"},
    "doubles": {"core", "live", "doubles"},
    "top": {"core", "top"},
}
LAYER_OF = {module: layer for layer, modules in LAYERS.items() for module in modules.split()}

# What the core must not know: ports, clocks, threads, processes, logs, terminals, torch, chance of its own.
FORBIDDEN_IN_CORE = {
    *("torch", "mido", "rtmidi", "time", "datetime", "threading", "asyncio", "queue", "multiprocessing", "concurrent"),
    *("subprocess", "socket", "signal", "select", "logging", "rich", "secrets", "tempfile", "shutil"),
}
# Only these of the core's modules read files.
MAY_READ_FILES = {"config", "data", "checkpoint"}
FILE_MODULES = {"os", "io", "pathlib", "glob"}


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in the tree, late imports too, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["livebach" if node.level else "", node.module]))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def parsed(module: str) -> ast.Module:
    """A module of the package as a syntax tree."""
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def foreign(module: str) -> set[str]:
    """The top-level packages from elsewhere that a module imports."""
    return {name.split(".")[0] for name in imports(parsed(module))} - {"livebach"}


def own(module: str) -> set[str]:
    """The modules of the package that a module imports."""
    parts = (name.split(".") for name in imports(parsed(module)))
    return {part[1] for part in parts if part[0] == "livebach" and len(part) > 1 and part[1] in MODULES} - {module}


MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))
CORE = [module for module in MODULES if LAYER_OF.get(module) == "core"]


def test_the_table_lists_every_module() -> None:
    """A new module is given a layer here; a module that is gone leaves the table."""
    assert set(MODULES) == set(LAYER_OF), "LAYERS in this file and the files in livebach/ differ"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    """A module imports only what its layer may use."""
    allowed = MAY_USE[LAYER_OF[module]]
    wrong = {name for name in own(module) if LAYER_OF[name] not in allowed}
    assert not wrong, f"livebach/{module}.py imports {sorted(wrong)}"


@pytest.mark.parametrize("module", CORE)
def test_the_core_knows_no_io(module: str) -> None:
    """The core has no port, clock, thread, log or torch; files only where the configuration and weights are read."""
    forbidden = FORBIDDEN_IN_CORE | (set() if module in MAY_READ_FILES else FILE_MODULES)
    assert not foreign(module) & forbidden


@pytest.mark.parametrize("module", CORE)
def test_the_core_has_no_chance_of_its_own(module: str) -> None:
    """Of `random` it takes nothing but generators of its own, each with a seed that it was given."""
    assert {name for name in imports(parsed(module)) if name.startswith("random")} <= {"random", "random.Random"}
    assert not any(isinstance(node, ast.Import) and node.names[0].name == "random" for node in ast.walk(parsed(module)))
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Random":
            assert node.args


@pytest.mark.parametrize("module", CORE)
def test_the_core_prints_nothing(module: str) -> None:
    """The core calls neither print nor input, and opens files only where it may."""
    names = {
        node.func.id
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not names & {"print", "input"}
    assert module in MAY_READ_FILES or "open" not in names


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
    """Not even late, not even through others: what plays has no offline module and no torch."""
    everything = reached("daemon") | {"daemon"}
    assert not {name for name in everything if LAYER_OF[name] == "offline"}
    assert not {name for name in everything if "torch" in foreign(name)}


@pytest.mark.parametrize("module", ["cli", "play", "daemon", "demo", "replay", "generate", "ports_cli", "panic"])
def test_playing_does_not_load_torch(module: str) -> None:
    """In a fresh interpreter, importing what plays brings no torch, no training and no rtmidi."""
    code = f"import sys, livebach.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & {"torch", "rtmidi", "livebach.training", "livebach.model"}
