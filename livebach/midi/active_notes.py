"""The notes and pedals that are active on a connection, known from the bytes sent along it.

Pure, and light enough for the guard process: knows MIDI bytes and nothing else.
"""

from __future__ import annotations

from collections import Counter

_PEDALS = (64, 66, 69)  # sustain, sostenuto, hold 2: while one is down, notes go on sounding
_MAX_NOTE_OFFS = 4  # for one key: a synth stacks few voices, and a flood of note-ons must not make the end long
_LENGTHS = {0x80: 3, 0x90: 3, 0xA0: 3, 0xB0: 3, 0xC0: 2, 0xD0: 2, 0xE0: 3}


def is_channel_message(data: bytes) -> bool:
    """Tell whether these bytes are one whole, well-formed channel message."""
    return len(data) > 1 and _LENGTHS.get(data[0] & 0xF0) == len(data) and max(data[1:]) < 0x80


def is_note_on(data: bytes) -> bool:
    """Tell whether these bytes are a note-on; with velocity 0 they are not."""
    return len(data) == 3 and data[0] & 0xF0 == 0x90 and data[2] > 0


def is_note_off(data: bytes) -> bool:
    """Tell whether these bytes are a note-off, in either spelling."""
    return len(data) == 3 and (data[0] & 0xF0 == 0x80 or (data[0] & 0xF0 == 0x90 and data[2] == 0))


class ActiveNotes:
    """The keys that sound and the pedals that are down, per channel."""

    def __init__(self) -> None:
        self.keys: Counter[tuple[int, int]] = Counter()  # (channel, key) -> note-ons without their note-off
        self.pedals: set[tuple[int, int]] = set()  # (channel, controller)

    def __bool__(self) -> bool:
        return bool(self.keys or self.pedals)

    def update(self, data: bytes) -> None:
        """Take account of one message that was sent; any other bytes are ignored."""
        if not is_channel_message(data):
            return
        place = (data[0] & 0x0F, data[1])
        if is_note_on(data):
            self.keys[place] = min(self.keys[place] + 1, _MAX_NOTE_OFFS)
        elif is_note_off(data):
            self._end(place)
        elif data[0] & 0xF0 == 0xB0:
            self._control(place[0], data[1], data[2])

    def endings(self) -> list[bytes]:
        """Return the messages that end everything: note-offs, then pedals up."""
        endings = [bytes((0x80 | channel, key, 0)) for (channel, key), count in self.keys.items() for _ in range(count)]
        endings += [bytes((0xB0 | channel, controller, 0)) for channel, controller in sorted(self.pedals)]
        return endings

    def release(self) -> list[bytes]:
        """Return the messages that end everything, and forget it."""
        endings = self.endings()
        self.clear()
        return endings

    def clear(self) -> None:
        """Forget everything."""
        self.keys.clear()
        self.pedals.clear()

    def _end(self, place: tuple[int, int]) -> None:
        if self.keys[place] > 1:
            self.keys[place] -= 1
        else:
            del self.keys[place]  # a Counter accepts the deletion of a missing key

    def _control(self, channel: int, controller: int, value: int) -> None:
        if controller in _PEDALS:
            (self.pedals.add if value else self.pedals.discard)((channel, controller))
