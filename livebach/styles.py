"""The styles that come with livebach: a network for each, with the music that it was trained on.

A table. Opens no file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """A network trained on one composer's music."""

    name: str
    """What `--style` takes."""
    composer: str
    about: str
    """The music that it was trained on, in a few words."""
    checkpoint: str
    """The packaged file."""
    phrase: str
    """The opening that `livebach demo` plays, by its name in the table of phrases."""
    scores: str | None = None
    """The list of its scores, with works, splits, licences and sources; None: checkpoints/README.md states them."""
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
"""By name, in the order in which they are listed and stepped through."""


def next_style(name: str, step: int = 1) -> str:
    """Return the style so many steps after one in the table, around its end; the first one after none of them."""
    names = list(STYLES)
    return names[(names.index(name) + step) % len(names)] if name in STYLES else names[0]
