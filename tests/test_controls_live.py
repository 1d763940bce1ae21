"""Controls in the loop: they are not passed on to the synth, and a replay repeats them."""

from __future__ import annotations

from pathlib import Path

from livebach.bindings import Controls
from livebach.commands.replay import play_again
from livebach.config import Config, override, to_dict
from livebach.controls import Command
from livebach.live import take_log, take_midi
from livebach.live.daemon import Daemon
from livebach.live.simulated_run import rehearse
from livebach.live.take_log import Call, Header
from livebach.music.events import ControlChange, NoteOff, NoteOn, to_bytes
from livebach.musician.musician import Musician
from livebach.testing import FakePort, ManualClock, ScriptedEngine
from tests.support.driven import ONE_NOTE
from tests.support.recorders import Kept

SEED = 3


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
    score = [(1.0, NoteOn(60)), (1.2, NoteOff(60)), (1.3, ControlChange(64, 127)), (1.4, ControlChange(64, 0))]
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
    text = "".join(f"{line}\n" for line in (take_log.header_line(header), *map(take_log.call_line, calls)))
    log = take_log.read_text(text)
    assert log.calls == calls
    assert [call.command for call in calls if call.do == "command"] == [
        Command("temperature", "0.5"),
        Command("finish"),
    ]
    again = list(play_again(Musician(ScriptedEngine(ONE_NOTE), log.config, SEED, 0.0), log.calls))
    assert again == calls
    assert sum(isinstance(event, NoteOn) for call in again for event in call.out) > 5
    path = take_midi.write_midi(log, tmp_path / "take.mid")
    assert bytes((0x99, 36)) not in path.read_bytes()
