"""Controls in the loop: not passed on, kept with the take, replayed."""

from __future__ import annotations

from pathlib import Path

from driven import ONE_NOTE

from livebach import session
from livebach.config import Config, override, to_dict
from livebach.controls import Command, Controls
from livebach.daemon import Daemon
from livebach.events import Control, NoteOff, NoteOn, to_bytes
from livebach.musician import Musician
from livebach.rehearsal import rehearse
from livebach.replay import play_again
from livebach.session import Call, Header
from livebach.testing import FakePort, ManualClock, ScriptedEngine

SEED = 3


class Kept:
    """A recorder that keeps the calls in memory."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def call(self, call: Call) -> None:
        """Keep it."""
        self.calls.append(call)

    def remark(self, text: str, now_s: float) -> None:
        """Forget it."""

    def close(self) -> Path | None:
        """Nothing to close."""
        return None


def settings() -> Config:
    """A pedal takes over, a key mutes."""
    bound = override(override(Config(), "control.takeover=cc 64"), "control.mute=note 36 channel 10")
    return override(bound, f"sampling.seed={SEED}")


def performed() -> tuple[list[Call], list[bytes]]:
    """A take with controls by event and by name: the calls, and what was passed on."""
    clock, passed, kept = ManualClock(0.0), list[bytes](), Kept()
    musician = Musician(ScriptedEngine(ONE_NOTE), settings(), SEED, 0.0)
    claims = Controls({"takeover": "cc 64", "mute": "note 36 channel 10"}).claims
    port = FakePort("synth", now=clock.now)
    daemon = Daemon(musician, clock, port, thru=passed.append, claims=claims, recorder=kept)
    score = [(1.0, NoteOn(60)), (1.2, NoteOff(60)), (1.3, Control(64, 127)), (1.4, Control(64, 0))]
    score += [(4.0, NoteOn(36, 64, 9)), (4.1, NoteOff(36, 0, 9)), (5.0, NoteOn(36, 64, 9))]
    rehearse(daemon, clock, [(time_s, to_bytes(event)) for time_s, event in score], 6.0)
    daemon.command(Command("temperature", "0.5"))
    daemon.turn()
    rehearse(daemon, clock, [], 7.0)
    daemon.command(Command("finish"))
    daemon.turn()
    rehearse(daemon, clock, [], 30.0)
    daemon.finish()
    return kept.calls, passed


def test_controls_are_not_passed_on() -> None:
    """The synth hears the player's music only, to the end."""
    _, passed = performed()
    assert passed == [to_bytes(NoteOn(60)), to_bytes(NoteOff(60))]


def test_a_take_with_controls_is_replayed_byte_for_byte(tmp_path: Path) -> None:
    """Through the log as it is written and read; the player's track has no controls."""
    calls, _ = performed()
    header = Header(to_dict(settings()), SEED, 0.0, "default", "0" * 64)
    text = "".join(f"{line}\n" for line in (session.header_line(header), *map(session.call_line, calls)))
    log = session.read_text(text)
    assert log.calls == calls
    assert [call.command for call in calls if call.do == "command"] == [
        Command("temperature", "0.5"),
        Command("finish"),
    ]
    again = list(play_again(Musician(ScriptedEngine(ONE_NOTE), log.config, SEED, 0.0), log.calls))
    assert again == calls
    assert sum(isinstance(event, NoteOn) for call in again for event in call.out) > 5
    path = session.write_midi(log, tmp_path / "take.mid")
    assert bytes((0x99, 36)) not in path.read_bytes()
