"""The documents: all links work, and the README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [
        *TOP.glob("*.md"),
        *(p for d in ("docs", "tests", "bench", "checkpoints", "examples") for p in (TOP / d).glob("*.md")),
    ]
)
MOST_LINES = 150


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(TOP).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    """Each relative link names a file of the repository, and each anchor a heading in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", link):
            file, _, anchor = link.partition("#")
            target = path.parent / file if file else path
            assert target.exists(), f"{path.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{path.name}: {link}"


def test_the_readme_is_short() -> None:
    """What a newcomer needs fits on a few screens; the rest is in docs/."""
    assert len((TOP / "README.md").read_text(encoding="utf-8").splitlines()) <= MOST_LINES
