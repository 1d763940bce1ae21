"""What sounds on a wire, learnt from the bytes sent along it, and the bytes that end it.

Pure, and light enough for the guard process: knows MIDI bytes and nothing else.
"""

from __future__ import annotations

from collections import Counter

_HOLDING = (64, 66, 69)  # sustain, sostenuto, hold 2: down, they keep notes sounding
_MOST = 4  # note-offs owed to one key: a synth stacks few voices, and a flood must not make the end long
_LENGTHS = {0x80: 3, 0x90: 3, 0xA0: 3, 0xB0: 3, 0xC0: 2, 0xD0: 2, 0xE0: 3}


def is_channel_message(data: bytes) -> bool:
    """Tell whether these bytes are one whole, well-formed channel message."""
    return len(data) > 1 and _LENGTHS.get(data[0] & 0xF0) == len(data) and max(data[1:]) < 0x80


def starts_note(data: bytes) -> bool:
    """Tell whether these bytes are a note-on (velocity 0 is none)."""
    return len(data) == 3 and data[0] & 0xF0 == 0x90 and data[2] > 0


def ends_note(data: bytes) -> bool:
    """Tell whether these bytes are a note-off, in either spelling."""
    return len(data) == 3 and (data[0] & 0xF0 == 0x80 or (data[0] & 0xF0 == 0x90 and data[2] == 0))


class Sounding:
    """The keys that sound and the pedals that are down, per channel."""

    def __init__(self) -> None:
        self.keys: Counter[tuple[int, int]] = Counter()  # (channel, key) -> note-ons without their note-off
        self.pedals: set[tuple[int, int]] = set()  # (channel, controller)

    def __bool__(self) -> bool:
        return bool(self.keys or self.pedals)

    def note(self, data: bytes) -> None:
        """Take in one message as it was sent; whatever else it may be, it is no error."""
        if not is_channel_message(data):
            return
        place = (data[0] & 0x0F, data[1])
        if starts_note(data):
            self.keys[place] = min(self.keys[place] + 1, _MOST)
        elif ends_note(data):
            self._ended(place)
        elif data[0] & 0xF0 == 0xB0:
            self._controlled(place[0], data[1], data[2])

    def ends(self) -> list[bytes]:
        """Return the messages that end all of it."""
        ends = [bytes((0x80 | channel, key, 0)) for (channel, key), count in self.keys.items() for _ in range(count)]
        ends += [bytes((0xB0 | channel, controller, 0)) for channel, controller in sorted(self.pedals)]
        return ends

    def release(self) -> list[bytes]:
        """Return the messages that end all of it, and hold it for ended."""
        ends = self.ends()
        self.forget()
        return ends

    def forget(self) -> None:
        """Hold it all for ended."""
        self.keys.clear()
        self.pedals.clear()

    def _ended(self, place: tuple[int, int]) -> None:
        if self.keys[place] > 1:
            self.keys[place] -= 1
        else:
            del self.keys[place]  # a Counter forgives a missing key

    def _controlled(self, channel: int, controller: int, value: int) -> None:
        if controller in _HOLDING:
            (self.pedals.add if value else self.pedals.discard)((channel, controller))
