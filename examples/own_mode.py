"""Add a mode of one's own: livebach echoes. It plays only while the player rests, and at most for two beats.

A mode decides when the network plays and what it is told; time, notes and memory are the musician's. A mode is one
class and one row of the table `MODES`.
"""

from livebach import (
    MODES,
    Engine,
    Mode,
    ModeRow,
    Musician,
    NoteOff,
    NoteOn,
    TurnContext,
    default_checkpoint,
    load_checkpoint,
    load_config,
)

ECHO_TICKS = 8
"""Two beats of 4/4, in 16ths."""


class Echo(Mode):
    """Answer each pause with two beats of music."""

    yields = True

    def plays(self, context: TurnContext) -> bool:
        """Return whether the network plays on this tick."""
        return context.heard and context.at_rest and 0 < context.silent_ticks <= ECHO_TICKS


def main() -> None:
    """Register the mode, play one note, and print how many notes answer it."""
    MODES["echo"] = ModeRow(Echo, "livebach echoes, for two beats")
    settings = load_config(assignments=["turns.mode=echo"])
    musician = Musician(Engine(load_checkpoint(default_checkpoint())), settings, seed=3, start_s=0.0)
    print(len(answer(musician)), "notes answered")


def answer(musician: Musician) -> list[NoteOn]:
    """Play one note of half a second, and return the notes of the next six seconds."""
    musician.feed(NoteOn(60, 80), 0.0)
    events = musician.feed(NoteOff(60), 0.5)
    while (due_s := musician.deadline_s()) < 6.5:
        events += musician.advance(due_s)
    return [event for event in events if isinstance(event, NoteOn)]


if __name__ == "__main__":
    main()
