"""The real-time loop: gives the musician the player's events, sends the answers on time, and ends in silence.

The input callback sends each message on to the synth (thru) and puts the event into the inbox. The loop waits for the
inbox or for the musician's next deadline, whichever comes first. This module knows no port by name, and no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from livebach.controls import Command
from livebach.live.inbox import Heard, Inbox, Task
from livebach.live.recorder import NoRecorder, Recorder
from livebach.live.take_log import Call, Swap
from livebach.midi.active_notes import ActiveNotes
from livebach.music.events import Event, from_bytes, to_bytes
from livebach.music.grid import Mark
from livebach.musician.clock_follower import clock_message
from livebach.musician.memory import History, HistoryView, Network
from livebach.musician.musician import Request
from livebach.musician.status import Status
from livebach.system.clock import SPIN_S

IDLE_S = 0.2
"""The longest wait. On Windows, or when another thread receives it, a signal is noticed only when a wait ends."""
CALM_S = 0.008
"""Networks are exchanged only if nothing is due for this time."""
EVENTS_A_TURN = 64
"""The most events between two checks of the deadline, so that a flood of events delays no tick."""


class MusicianProtocol(Protocol):
    """The musician, as the loop uses it. Times are absolute, in seconds; returned events are to be sent at once."""

    def feed(self, event: Event, now_s: float) -> list[Event]:
        """Take an event of the player's, and return the events that answer it."""

    def command(self, request: Request, now_s: float) -> list[Event]:
        """Carry out a request of the player's, and return the events that follow from it."""

    def deadline_s(self) -> float:
        """Return the time of the next call of `advance`."""

    def advance(self, now_s: float) -> list[Event]:
        """Do the work that is due, and return the events to send."""

    def stop(self, now_s: float) -> list[Event]:
        """Return the events that end every sounding note."""

    def status(self) -> Status:
        """Return the state that the display shows."""

    def told(self) -> HistoryView:
        """Return the frames that the network was given, as far as they are kept."""

    def exchange(self, network: Network, past: History) -> bool:
        """Play on with another network if it was given the same frames; return whether it was."""


class Output(Protocol):
    """The destination of livebach's notes."""

    def send(self, event: Event, due_s: float | None = None) -> None:
        """Send an event that is due at this time, in seconds; None for now."""


class Clock(Protocol):
    """A monotonic clock."""

    def now(self) -> float:
        """Return the time in seconds."""

    def sleep_until(self, time_s: float) -> None:
        """Return at that time, not earlier."""


Thru = Callable[[bytes], None]
"""Sends a message of the player's on to the synth. Called on the input's thread and on the loop's thread."""
Claims = Callable[[Event], bool]
"""Returns whether an event is bound to a control. Called on the input's thread and on the loop's thread."""
Watch = Callable[[Status, Sequence[Event], Sequence[Event]], None]
"""Called after each turn with the status, the events received and the events sent. Must not wait."""


def no_thru(_data: bytes) -> None:
    """Send nothing on."""


def all_music(_event: Event) -> bool:
    """Bind no event to a control."""
    return False


def nobody(_status: Status, _heard: Sequence[Event], _sent: Sequence[Event]) -> None:
    """Ignore the turn."""


class Daemon:
    """The loop for one player, one musician and one output."""

    def __init__(
        self,
        musician: MusicianProtocol,
        clock: Clock,
        output: Output,
        *,
        thru: Thru = no_thru,
        claims: Claims = all_music,
        follow_clock: bool = False,
        recorder: Recorder | None = None,
        watch: Watch = nobody,
        say: Callable[[str], None] = lambda text: None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._musician = musician
        self._clock = clock
        self._output = output
        self._thru = thru
        self._claims = claims
        self._follow_clock = follow_clock
        self._recorder = recorder or NoRecorder()
        self._watch = watch
        self._say = say
        self._alive = alive
        self._inbox = Inbox()
        self._held = ActiveNotes()  # what the player holds, as the musician has received it
        self._load = TickLoad()
        self._missed = 0
        self._mark: Mark | None = None
        self._ending = False
        self._finished = False

    # --- from any thread ---------------------------------------------------------------------------------------------

    def receive(self, data: bytes, time_s: float) -> None:
        """Take a message from the input: send it on at once, and leave the event to the loop."""
        if self._finished or not self._inbox.admits():
            return
        event = from_bytes(data)
        if event is None or not self._claims(event):
            self._thru(data)
        if event is not None:
            self._inbox.put(event, time_s)
        elif self._follow_clock and (message := clock_message(data)) is not None:
            self._inbox.put_task(lambda: self._command(message, time_s))

    def release_player(self) -> None:
        """Let go of every key and pedal that the player seems to hold; safe to call from any thread."""
        self._inbox.put_task(self._release_player)

    def silence(self) -> None:
        """End all that sounds, its own and the player's, and play on. Only the loop may call this: see `ask`."""
        self._release_player()
        self._command(Command("panic"), self._clock.now())

    def ask(self, task: Task) -> None:
        """Have the loop call a function between two calls of the musician."""
        self._inbox.put_task(task)

    def command(self, request: Request) -> None:
        """Have the musician carry out a request; safe to call from any thread."""
        self._inbox.put_task(lambda: self._command(request, self._clock.now()))

    def end(self) -> None:
        """End the loop soon; safe to call from a signal handler, and more than once."""
        self._ending = True
        self._inbox.put_task(lambda: None)

    def tell(self, text: str) -> None:
        """Show a line to the player, and keep it with the take."""
        self._say(text)
        self._recorder.remark(text, self._clock.now())

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Play until `end` is called. Every sounding note is ended, also after an exception."""
        try:
            while not self._ending:
                self.wait()
                self.turn()
                self._alive()
        finally:
            self.finish()

    @property
    def ending(self) -> bool:
        """Whether `end` was called."""
        return self._ending

    def deadline_s(self) -> float:
        """Return the time of the musician's next deadline."""
        return self._musician.deadline_s()

    def wait(self) -> None:
        """Wait for the inbox or the next deadline; the clock spins over the last half millisecond."""
        remaining_s = self._musician.deadline_s() - self._clock.now()
        if remaining_s > SPIN_S:
            item = self._inbox.take(min(remaining_s - SPIN_S, IDLE_S))
            if item is not None:
                self._deal_with(item)
                return
        deadline_s = self._musician.deadline_s()
        if deadline_s - self._clock.now() <= SPIN_S:
            self._clock.sleep_until(deadline_s)

    def turn(self) -> None:
        """Process the entries of the inbox, then the work that is due."""
        for _ in range(EVENTS_A_TURN):
            item = self._inbox.take()
            if item is None:
                break
            self._deal_with(item)
        if self._inbox.recover():
            self.tell(f"too much came in at once: {self._inbox.shed} messages dropped so far; every key is released")
            self._release_player()
        self._advance()

    def finish(self) -> None:
        """End every sounding note, the musician's and then the player's. A second call does nothing."""
        if self._finished:
            return
        self._finished = True
        try:
            now_s = self._clock.now()
            out = self._musician.stop(now_s)
            self._send(out, now_s)
            self._recorder.call(Call("stop", now_s, tuple(out)))
        finally:
            self._hold_the_rest()
            for data in self._held.release():
                self._thru(data)

    def told(self) -> HistoryView:
        """Return the frames that the network was given, as far as they are kept."""
        return self._musician.told()

    def exchange(self, network: Network, past: History, swap: Swap) -> bool:
        """Play on with another network; return False if something is due soon, or it was given other frames."""
        now_s = self._clock.now()
        if self._musician.deadline_s() - now_s < CALM_S or not self._musician.exchange(network, past):
            return False
        self._recorder.call(Call("swap", now_s, swap=swap))
        return True

    # --- its parts ---------------------------------------------------------------------------------------------------

    def _deal_with(self, item: Heard | Task) -> None:
        if isinstance(item, tuple):
            self._feed(*item)
        else:
            item()

    def _feed(self, event: Event, time_s: float) -> None:
        self._hold(event)
        out = self._musician.feed(event, time_s)
        self._send(out, time_s)
        status = self._musician.status()
        self._recorder.call(Call("feed", time_s, tuple(out), event, mark=self._new_mark(status)))
        self._watch(status, (event,), out)

    def _hold(self, event: Event) -> None:
        if not self._claims(event):
            self._held.update(to_bytes(event))

    def _hold_the_rest(self) -> None:
        """Note what came in after the last turn: it was sent on, and has to be ended."""
        while (item := self._inbox.take()) is not None:
            if isinstance(item, tuple):
                self._hold(item[0])

    def _command(self, request: Request, now_s: float) -> None:
        out = self._musician.command(request, now_s)
        self._send(out, now_s)
        status = self._musician.status()
        self._recorder.call(Call("command", now_s, tuple(out), command=request, mark=self._new_mark(status)))
        self._watch(status, (), out)

    def _advance(self) -> None:
        due_s, now_s = self._musician.deadline_s(), self._clock.now()
        if now_s < due_s:
            return
        out = self._musician.advance(now_s)
        spent_s = self._clock.now() - now_s
        self._send(out, due_s)
        status = self._musician.status()
        self._recorder.call(Call("advance", now_s, tuple(out), None, due_s, mark=self._new_mark(status)))
        if status.missed > self._missed:
            self.tell(f"deadline missed in bar {status.bar}, beat {status.beat}: {status.missed} so far")
        self._missed = status.missed
        self._watch(self._load.shown(status, spent_s), (), out)

    def _new_mark(self, status: Status) -> Mark | None:
        """Return the beat that is over, if it was not returned before."""
        new, self._mark = status.mark != self._mark, status.mark
        return self._mark if new else None

    def _send(self, events: Sequence[Event], due_s: float) -> None:
        for event in events:
            self._output.send(event, due_s)

    def _release_player(self) -> None:
        """Release every key and pedal that the player holds, for the musician and at the synth."""
        for data in self._held.release():
            self._thru(data)
            event = from_bytes(data)
            if event is not None:
                self._feed(event, self._clock.now())


class TickLoad:
    """Adds up the time that is spent on each tick; a status shows the share of the tick before."""

    def __init__(self) -> None:
        self._place = (0, 0, 0)
        self._spent_s = 0.0
        self._share = 0.0

    def shown(self, status: Status, spent_s: float) -> Status:
        """Add some seconds of work, and return the status with the share of the last whole tick."""
        self._spent_s += spent_s
        place = (status.bar, status.beat, status.tick)
        if place != self._place:
            self._share = self._spent_s / status.tick_s if status.tick_s else 0.0
            self._place, self._spent_s = place, 0.0
        return replace(status, load=self._share)
