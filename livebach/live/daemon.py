"""The loop: hears the player, lets the musician answer on time, and leaves silence however it ends.

The input callback passes the message on (thru) and puts the event into the inbox; the loop waits for the inbox or the
musician's next deadline, whichever comes first. Knows no port by name, and no network.
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
"""The longest wait: a signal that another thread takes, or any on Windows, is noticed only when a wait ends."""
CALM_S = 0.008
"""How long before anything is due networks may be exchanged."""
EVENTS_A_TURN = 64
"""Events taken in between two looks at the deadline, so that a flood of them holds up no tick."""


class MusicianProtocol(Protocol):
    """The musician, as the loop sees it; times are absolute seconds."""

    def feed(self, event: Event, now_s: float) -> list[Event]:
        """Hear an event; what must go out at once."""

    def command(self, request: Request, now_s: float) -> list[Event]:
        """Do what the person asks for; what must go out at once."""

    def deadline_s(self) -> float:
        """When there is something to do next."""

    def advance(self, now_s: float) -> list[Event]:
        """Do what is due."""

    def stop(self, now_s: float) -> list[Event]:
        """End all that sounds."""

    def status(self) -> Status:
        """The state of affairs."""

    def told(self) -> HistoryView:
        """What its network was told, as far as that is kept."""

    def exchange(self, network: Network, past: History) -> bool:
        """Play on with another network, if it was told the same."""


class Output(Protocol):
    """Where its notes go."""

    def send(self, event: Event, due_s: float | None = None) -> None:
        """Send an event, which was due at this time."""


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> float:
        """The time, in seconds."""

    def sleep_until(self, time_s: float) -> None:
        """Return at that time, not before."""


Thru = Callable[[bytes], None]
"""Passes a message of the player's on to the synth. Called by the input's thread and by the loop's."""
Claims = Callable[[Event], bool]
"""Whether an event is a control, and not to be played. Called by the input's thread and by the loop's."""
Watch = Callable[[Status, Sequence[Event], Sequence[Event]], None]
"""HistoryView after each turn how things stand, what was heard and what was sent. Must not wait."""


def no_thru(_data: bytes) -> None:
    """Pass nothing on."""


def all_music(_event: Event) -> bool:
    """Take no event for a control."""
    return False


def nobody(_status: Status, _heard: Sequence[Event], _sent: Sequence[Event]) -> None:
    """Watch nothing."""


class Daemon:
    """One player, one musician, one output."""

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
        self._held = ActiveNotes()  # what the player holds, as the musician has heard it
        self._load = TickLoad()
        self._missed = 0
        self._mark: Mark | None = None
        self._ending = False
        self._finished = False

    # --- from any thread ---------------------------------------------------------------------------------------------

    def hear(self, data: bytes, time_s: float) -> None:
        """Take a message as it comes in: thru at once, the rest is left to the loop."""
        if self._finished or not self._inbox.admits():
            return
        event = from_bytes(data)
        if event is None or not self._claims(event):
            self._thru(data)
        if event is not None:
            self._inbox.hear(event, time_s)
        elif self._follow_clock and (message := clock_message(data)) is not None:
            self._inbox.ask(lambda: self._command(message, time_s))

    def release_player(self) -> None:
        """Let go of every key and pedal that the player seems to hold; safe to call from any thread."""
        self._inbox.ask(self._release_player)

    def silence(self) -> None:
        """End all that sounds, its own and the player's, and play on. Only the loop may call this: see `ask`."""
        self._release_player()
        self._command(Command("panic"), self._clock.now())

    def ask(self, task: Task) -> None:
        """Have something done by the loop, between two calls of the musician."""
        self._inbox.ask(task)

    def command(self, request: Request) -> None:
        """Have the musician do something; safe to call from any thread."""
        self._inbox.ask(lambda: self._command(request, self._clock.now()))

    def end(self) -> None:
        """Make the loop end soon; safe to call from a signal's handler, and again."""
        self._ending = True
        self._inbox.ask(lambda: None)

    def tell(self, text: str) -> None:
        """Say something to the person, and keep it with the take."""
        self._say(text)
        self._recorder.remark(text, self._clock.now())

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Play until `end` is called. However it ends, what sounded has been ended."""
        try:
            while not self._ending:
                self.wait()
                self.turn()
                self._alive()
        finally:
            self.finish()

    @property
    def ending(self) -> bool:
        """Whether the end has been asked for."""
        return self._ending

    def deadline_s(self) -> float:
        """When there is something to do next."""
        return self._musician.deadline_s()

    def wait(self) -> None:
        """Wait for the inbox or the next deadline; sleep, then let the clock spin over the last half millisecond."""
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
        """Deal with what has come in, then with what is due."""
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
        """End what sounds: the musician's notes, then the player's. A second call does nothing."""
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
        """What the network was told, as far as that is kept."""
        return self._musician.told()

    def exchange(self, network: Network, past: History, swap: Swap) -> bool:
        """Play on with another network; False where something is due soon, or it was not told the same."""
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
        """What came in after the last turn was passed on too, and has to be ended."""
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
        """The beat that is over, where it was not told yet."""
        new, self._mark = status.mark != self._mark, status.mark
        return self._mark if new else None

    def _send(self, events: Sequence[Event], due_s: float) -> None:
        for event in events:
            self._output.send(event, due_s)

    def _release_player(self) -> None:
        """Let go, for the musician and on the wire, of every key and pedal that the player holds."""
        for data in self._held.release():
            self._thru(data)
            event = from_bytes(data)
            if event is not None:
                self._feed(event, self._clock.now())


class TickLoad:
    """Adds up what is spent on the open tick; a status shows that of the tick before."""

    def __init__(self) -> None:
        self._place = (0, 0, 0)
        self._spent_s = 0.0
        self._share = 0.0

    def shown(self, status: Status, spent_s: float) -> Status:
        """The status after so much more was spent, with the share that the last whole tick took."""
        self._spent_s += spent_s
        place = (status.bar, status.beat, status.tick)
        if place != self._place:
            self._share = self._spent_s / status.tick_s if status.tick_s else 0.0
            self._place, self._spent_s = place, 0.0
        return replace(status, load=self._share)
