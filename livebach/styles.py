"""A table of the styles that come with livebach: one network per composer, with its training music.

This module opens no file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """A network trained on one composer's music."""

    name: str
    """The value of `--style`."""
    composer: str
    about: str
    """A short description of the training music."""
    checkpoint: str
    """The name of the packaged checkpoint."""
    phrase: str
    """The name, in the table of phrases, of the opening that `livebach demo` plays."""
    scores: str | None = None
    """The packaged list of scores with works, splits, licences and sources; None: see checkpoints/README.md."""
    licence: str = "CC BY-SA 4.0"


DEFAULT = "bach"
STYLES = {
    style.name: style
    for style in (
        Style(DEFAULT, "Johann Sebastian Bach", "223 keyboard works", "checkpoints/default.safetensors", "prelude"),
        *(
            Style(name, composer, about, f"checkpoints/{name}.safetensors", name, f"checkpoints/{name}.csv")
            for name, composer, about in (
                ("scarlatti", "Domenico Scarlatti", "51 sonatas"),
                ("beethoven", "Ludwig van Beethoven", "34 movements and pieces of 16 works"),
                ("chopin", "Frédéric Chopin", "75 pieces of 52 works"),
                ("joplin", "Scott Joplin", "8 rags"),
            )
        ),
    )
}
"""The styles by name, in the order of the list and of the `s` key."""


def next_style(name: str, step: int = 1) -> str:
    """Return the style `step` places after `name`, wrapping around; the first style if `name` is not in the table."""
    names = list(STYLES)
    return names[(names.index(name) + step) % len(names)] if name in STYLES else names[0]
