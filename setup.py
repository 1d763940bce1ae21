"""Build step: config.yaml and checkpoints/ stand at the top and travel inside the wheel as livebach/_data."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

TOP = Path(__file__).resolve().parent
DATA = ("config.yaml", "checkpoints/*.safetensors", "checkpoints/*.csv", "checkpoints/README.md")


class BuildWithData(build_py):
    """Copies the data beside the modules; an editable install reads it from the top, so nothing is copied."""

    def run(self) -> None:
        """Build as ever, then add the data."""
        super().run()
        if not self.editable_mode:
            for source, target in self._data().items():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List what was built, the data too."""
        added = [] if self.editable_mode else [str(target) for target in self._data().values()]
        return super().get_outputs(include_bytecode) + added

    def _data(self) -> dict[Path, Path]:
        """Map each data file to its place in the wheel."""
        inside = Path(self.build_lib) / "livebach" / "_data"
        files = [path for pattern in DATA for path in sorted(TOP.glob(pattern))]
        return {path: inside / path.relative_to(TOP) for path in files}


setup(cmdclass={"build_py": BuildWithData})
