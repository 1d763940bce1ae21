"""Embed the musician without any port: play a phrase to it, pause, and print what it answers.

The musician reads no clock. A program calls `feed` with each event and its time, and `advance` at each deadline. Both
return the events that are to be sent. Here the times are computed, so the program does not wait.
"""

from livebach import Config, Engine, Musician, NoteOff, NoteOn, default_checkpoint, load_checkpoint

PHRASE = [60, 62, 64, 65, 62, 64, 60, 67]
NOTE_S = 0.25
ANSWER_S = 8.0


def main() -> None:
    """Play the phrase and print livebach's notes of the next eight seconds."""
    engine = Engine(load_checkpoint(default_checkpoint()))
    musician = Musician(engine, Config(), seed=1, start_s=0.0)
    for number, key in enumerate(PHRASE):
        start_s = number * NOTE_S
        run_until(musician, start_s)
        musician.feed(NoteOn(key, 80), start_s)
        run_until(musician, start_s + 0.9 * NOTE_S)
        musician.feed(NoteOff(key), start_s + 0.9 * NOTE_S)
    end_s = len(PHRASE) * NOTE_S + ANSWER_S
    run_until(musician, end_s)
    musician.stop(end_s)


def run_until(musician: Musician, time_s: float) -> None:
    """Call the musician at each of its deadlines before a time, and print the notes that it sends."""
    while (due_s := musician.deadline_s()) < time_s:
        for event in musician.advance(due_s):
            if isinstance(event, NoteOn):
                print(f"{due_s:7.3f} s  key {event.key}  velocity {event.velocity}")


if __name__ == "__main__":
    main()
