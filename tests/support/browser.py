"""`livebach web` with headless Chromium: Debian's browser, driven by Playwright."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    # Tests run as root, too; and a browser that looks for updates slows them down.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 30_000
_ADDRESS = re.compile(r"The page: (http://127\.0\.0\.1:(\d+)/\?token=\S+)")


def missing() -> str | None:
    """Return what is missing for tests in a browser; None if nothing is."""
    for module in ("websockets", "playwright"):
        if find_spec(module) is None:
            return f"pip install {module}"
    return None if chromium() else "apt install chromium, or name one by LIVEBACH_CHROMIUM"


def chromium() -> str | None:
    """Return the path of the browser."""
    return os.environ.get("LIVEBACH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def need_browser() -> None:
    """Skip the test where there is no browser, unless one is required."""
    what = missing()
    if what is None:
        return
    if os.environ.get("LIVEBACH_REQUIRE_BROWSER") == "1":
        pytest.fail(f"a browser is required: {what}")
    pytest.skip(f"needs a browser: {what}")


class Session:
    """A running `livebach web`, and a browser that opens its page."""

    def __init__(self, browser: Any, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "livebach", "web", "--browser", "off", "--seed", "1", "--folder", str(folder)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "XDG_CACHE_HOME": str(_cache(folder))}
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
        )
        assert self.process.stdout is not None
        self.said: list[str] = []
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("Play, and pause"):
                break
        found = _ADDRESS.search("".join(self.said))
        assert found, self.said
        self.address, self.port = found[1], int(found[2])
        self.folder = folder
        self._browser = browser
        self._contexts: list[Any] = []
        self.faults: list[str] = []
        """Errors in the browser, and requests to other hosts."""

    def open(self, context: Any = None, script: str = "", **options: Any) -> Any:
        """Open a page in a new window, or in the window of another page."""
        if context is None:
            context = self._browser.new_context(**options)
            context.set_default_timeout(WAIT_MS)
            self._contexts.append(context)
            context.on("request", lambda request: self._check(request.url))
        page = context.new_page()
        page.on(
            "console",
            lambda message: self.faults.extend([f"{message.text} {message.location}"] * (message.type == "error")),
        )
        page.on("pageerror", lambda error: self.faults.append(f"{error} {error.stack}"))
        if script:
            page.add_init_script(script)
        page.goto(self.address)
        page.wait_for_selector("#state:not([data-state=away])")
        return page

    def begin(self, page: Any) -> None:
        """Turn a page's sound on, and wait until it has all its notes."""
        page.click("#begin")
        wait_for(page, "livebach.sound.notes?.complete(livebach.sound.synth.instrument)", 4 * WAIT_MS)

    def server_pid(self) -> int:
        """Return the number of the process that serves the page."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()  # each thread has its own children
        children = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        return next(pid for pid in children if b"livebach.web.server" in Path(f"/proc/{pid}/cmdline").read_bytes())

    def close(self) -> None:
        """End both, and collect the output."""
        for context in self._contexts:
            context.close()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.said += self.process.stdout.readlines()
        self.process.stdout.close()

    def _check(self, address: str) -> None:
        if not address.startswith((f"http://127.0.0.1:{self.port}/", f"ws://127.0.0.1:{self.port}/", "blob:", "data:")):
            self.faults.append(f"asked for {address}")


def _cache(folder: Path) -> Path:
    """Return the cache that all tests of a run share."""
    return folder.parent / "cache"


@contextmanager
def browser() -> Iterator[Any]:
    """Start the browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield started
        finally:
            started.close()


def wait_for(page: Any, expression: str, limit_ms: int = WAIT_MS) -> None:
    """Wait until an expression is true on the page. The test asks, as the page's policy forbids `eval`."""
    for _ in range(limit_ms // 50):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"after {limit_ms / 1000:g} s: not {expression}")


LISTEN = """
async (ms) => {
  const { synth } = livebach.sound;
  const meter = synth.context.createAnalyser();
  meter.fftSize = 8192;
  synth.output.connect(meter);
  const samples = new Float32Array(meter.fftSize);
  let sum = 0, count = 0, peak = 0;
  const end = performance.now() + ms;
  while (performance.now() < end) {
    await new Promise((done) => setTimeout(done, 50));
    meter.getFloatTimeDomainData(samples);
    for (const sample of samples) {
      sum += sample * sample;
      peak = Math.max(peak, Math.abs(sample));
    }
    count += samples.length;
  }
  synth.output.disconnect(meter);
  return [10 * Math.log10(sum / count + 1e-12), peak];
}
"""


def listen(page: Any, ms: int) -> tuple[float, float]:
    """Measure what the page sounds for a while: the mean level in dB of full scale, and the highest sample."""
    level, peak = page.evaluate(LISTEN, ms)
    return float(level), float(peak)


def axe_faults(page: Any) -> list[str]:
    """Return what axe-core finds wrong with a page: rule, and where. LIVEBACH_AXE may name another axe.min.js."""
    path = os.environ.get("LIVEBACH_AXE")
    if path is None:
        package = find_spec("axe_playwright_python")
        if package is None or package.origin is None:
            pytest.skip("needs axe-core: pip install axe-playwright-python")
        path = str(Path(package.origin).parent / "axe.min.js")
    page.evaluate(Path(path).read_text(encoding="utf-8") + "; 0")
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [f"{fault['id']}: {[node['html'][:120] for node in fault['nodes']]}" for fault in found["violations"]]
