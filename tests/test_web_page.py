"""The player's side of the page, without a server: its ports, its display, and its commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from livebach.config import Config, MidiSettings, SamplingSettings, TimeSettings, override
from livebach.controls import Command, Step, dials
from livebach.live.daemon import Daemon
from livebach.live.display import DisplayUpdate
from livebach.live.recorder import open_recorder
from livebach.live.take_log import Header
from livebach.midi.port_names import PortError
from livebach.midi.ports import InputPort, OutputPort, Thru
from livebach.music.events import ControlChange as ControlEvent
from livebach.music.events import NoteOff, NoteOn, ProgramChange, to_bytes
from livebach.music.grid import Mark
from livebach.musician.musician import Musician
from livebach.musician.status import Status
from livebach.testing import ManualClock, ScriptedEngine
from livebach.web import page as page_module
from livebach.web import take_file
from livebach.web.backend import NAME, BrowserBackend
from livebach.web.page import Page, dial_values, hello, turn
from tests.support.daemon_rig import SCRIPT, START_S

STATUS = Status(
    "playing",
    "continue",
    90.0,
    "3/4",
    2,
    3,
    8,
    (60,),
    (72, 76),
    1,
    load=0.1,
    mark=Mark(5.0, 1.5, 0.6, bar=2),
    muted=True,
)


class FakeLink:
    """A link without a server. It keeps what is sent, and `receive` stands for a page's messages."""

    def __init__(self, *_: object) -> None:
        self.sent: list[dict[str, Any]] = []
        self._receivers: dict[str, Any] = {}

    def on(self, receivers: dict[str, Any]) -> None:
        """Set receivers."""
        self._receivers.update(receivers)

    def send(self, message: Any, keep: str | None = None) -> None:
        """Keep a message as the server would read it."""
        self.sent.append(json.loads(json.dumps(message() if callable(message) else message)))

    def receive(self, **message: Any) -> None:
        """Deliver a message of the page's."""
        if message["type"] in self._receivers:
            self._receivers[message["type"]](message)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the sent messages of a type."""
        return [message for message in self.sent if message["type"] == kind]


# --- ports -----------------------------------------------------------------------------------------------------------


def test_keys_of_the_page_are_heard_and_released_when_it_goes() -> None:
    """Notes of the page arrive as from any port. When the page closes, its held keys are released once."""
    link = FakeLink()
    heard: list[bytes] = []
    port = InputPort.open(NAME, None, lambda data, _: heard.append(data), backends=[BrowserBackend(link)])  # type: ignore[arg-type]
    for data in ([0x90, 60, 64], [0x90, 64, 64], [0x80, 60, 0], [0xB0, 64, 127]):
        link.receive(type="midi", data=data)
    link.receive(type="release")
    link.receive(type="release")
    assert heard[4:] == [bytes((0x80, 64, 0)), bytes((0xB0, 64, 0))]
    port.close()
    link.receive(type="midi", data=[0x90, 60, 64])
    assert len(heard) == 6


def test_events_go_out_with_their_due_time() -> None:
    """An event with a due time is sent with it. An event without one sounds at once."""
    link = FakeLink()
    port = OutputPort.open(NAME, backends=[BrowserBackend(link)])  # type: ignore[list-item]
    port.send(NoteOn(72, 80, 1), 12.5)
    port.send_bytes(to_bytes(NoteOn(60, 80)))
    assert link.sent == [
        {"type": "midi", "data": [0x91, 72, 80], "due": 12.5},
        {"type": "midi", "data": [0x90, 60, 80], "due": None},
    ]


def test_what_the_page_has_sounded_is_not_sent_back() -> None:
    """If the page is the keyboard, thru sends it nothing, because the page has sounded the key already."""
    link = FakeLink()
    backend: Any = BrowserBackend(link)  # type: ignore[arg-type]
    output = OutputPort.open(NAME, backends=[backend])
    InputPort.open(NAME, None, lambda *_: None, backends=[backend])
    thru = Thru(output.twin())
    thru(to_bytes(NoteOn(60, 80)))
    output.send(NoteOn(72, 80, 1), 1.0)
    assert [message["data"] for message in link.sent] == [[0x91, 72, 80]]


def test_the_browser_has_no_virtual_ports() -> None:
    """A virtual port of the browser's is refused in one line."""
    backend = BrowserBackend(FakeLink())  # type: ignore[arg-type]
    for make in (lambda: backend.open_virtual_input("x", print), lambda: backend.open_virtual_output("x")):
        with pytest.raises(PortError, match="virtual"):
            make()
    assert backend.names(inputs=True) == backend.names(inputs=False) == [NAME]


# --- what it is shown ------------------------------------------------------------------------------------------------


def test_a_turn_in_words() -> None:
    """A turn holds the state, the keys, the notes that began and ended, and the last beat, but no controllers."""
    heard, sent = [NoteOn(60, 70), ControlEvent(64, 127)], [NoteOff(72, 0, 1), NoteOn(76, 80, 1), ProgramChange(1)]
    message = turn(3.5, STATUS, heard, sent)
    assert message["heard"] == [[0x90, 60, 70]]
    assert message["sent"] == [[0x81, 72, 0], [0x91, 76, 80]]
    assert message["mark"] == [1.5, 2]
    assert (message["state"], message["mode"], message["on"]) == ("playing", "continue", ["mute"])
    assert (message["at"], message["bar"], message["beat"], message["missed"]) == (3.5, 2, 3, 1)
    assert json.loads(json.dumps(message))["own"] == [72, 76]


def test_the_greeting_tells_what_the_page_is_for() -> None:
    """The page learns whether it is the keyboard and the loudspeaker, livebach's channels, and the dials."""
    config = Config(midi=MidiSettings(input=NAME, output="synth", output_channel=3))
    greeting = hello(override(config, "sound.voices=2"))
    assert (greeting["keyboard"], greeting["sounds"], greeting["channels"]) == (True, False, [2, 3])
    assert set(greeting["dials"]) == {*dials(), "metre", "style"}


def test_dials_show_what_is_set() -> None:
    """A dial's value is written as in the settings: numbers without needless zeros, and null for no value."""
    config = override(override(Config(), "sampling.temperature=0.85"), "time.bpm=72")
    values = dial_values(config)
    assert values["tempo"] == "72"
    assert values["temperature"] == "0.85"
    assert values["density"] == "follow"
    assert values.pop("metre") == "4/4"
    for name, value in values.items():
        assert override(config, f"{dials()[name].setting}={value}") == config


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> FakeLink:
    """Return the link of the next page."""
    fake = FakeLink()
    monkeypatch.setattr(page_module, "Link", lambda *_: fake)
    return fake


def test_settings_are_told_when_they_have_changed(link: FakeLink) -> None:
    """The settings are sent with the first turn, and again after each change."""
    page = Page(Config())
    settings = Config()
    for status in (STATUS, *[Status("idle", "duet", 90, "4/4", 0, 0, 0, (), (), 0, settings=settings)] * 2):
        page.watch(status, (), ())
    page.watch(
        Status("idle", "duet", 60, "4/4", 0, 0, 0, (), (), 0, settings=Config(time=TimeSettings(bpm=60))), (), ()
    )
    assert [message["values"]["tempo"] for message in link.of("settings")] == ["90", "60"]
    assert len(link.of("turn")) == 4


def test_texts_and_ports_are_shown(link: FakeLink) -> None:
    """Warnings and ports reach the page. Texts about the terminal do not, and a turn comes by `watch` alone."""
    page = Page(Config())
    page.show(DisplayUpdate(text="hello", level="warning"))
    page.show(DisplayUpdate(text="Ctrl-C ends"))
    page.show(DisplayUpdate(ports=[("in: x", False)]))
    page.show(DisplayUpdate(state="playing"))
    page.show_take("somewhere")
    assert link.sent == [
        {"type": "text", "text": "hello", "level": "warning"},
        {"type": "ports", "ports": [["in: x", False]]},
        {"type": "take", "folder": "somewhere"},
    ]


@pytest.mark.parametrize(
    ("midi", "pauses"),
    [(MidiSettings(NAME, NAME), True), (MidiSettings("x", NAME), True), (MidiSettings("x", "y"), False)],
)
def test_music_pauses_with_the_page_only_where_it_is_a_port(link: FakeLink, midi: MidiSettings, pauses: bool) -> None:
    """A page that only shows and controls a session on real ports stops nothing when it closes."""
    asked: list[Command] = []
    Page(Config(midi=midi)).obey(asked.append)
    link.receive(type="command", name="tempo", value="up")
    link.receive(type="pause")
    assert asked == [Command("tempo", Step.UP), *[Command("panic")] * pauses]


def test_the_style_that_plays_is_shown_with_the_dials(link: FakeLink) -> None:
    """The page shows it, whoever changed it: the page, another page, a key of the terminal or a program."""
    page = Page(Config())
    page.show_network("bach")
    page.watch(replace(STATUS, settings=Config(time=TimeSettings(bpm=72))), (), ())
    page.show_network("joplin")
    shown = [message["values"] for message in link.of("settings")]
    assert [(values["style"], values["tempo"]) for values in shown] == [
        ("bach", "90"),
        ("bach", "72"),
        ("joplin", "72"),
    ]


# --- with the musician -----------------------------------------------------------------------------------------------


def test_a_daemon_is_played_and_paused_by_the_page(link: FakeLink) -> None:
    """A phrase from the page is answered with due times on the grid. Both end when the page closes."""
    config = Config(midi=MidiSettings(NAME, NAME), time=TimeSettings(bpm=120), sampling=SamplingSettings(seed=1))
    page, clock = Page(config), ManualClock(START_S)
    musician = Musician(ScriptedEngine(SCRIPT), config, 1, START_S)
    output = OutputPort.open(NAME, backends=[page.backend])
    daemon = Daemon(musician, clock, output, thru=Thru(output.twin()), watch=page.watch)
    InputPort(NAME, daemon.receive, [page.backend], clock.now).check()
    page.obey(daemon.command)
    link.receive(type="midi", data=[0x90, 60, 64])
    link.receive(type="midi", data=[0x80, 60, 0])
    while not link.of("midi"):
        daemon.turn()
        clock.sleep_until(daemon.deadline_s())
    (first,) = link.of("midi")
    assert first["data"][:2] == [0x91, 72]
    assert (first["due"] - START_S) / 0.125 == pytest.approx(round((first["due"] - START_S) / 0.125))
    link.receive(type="midi", data=[0x90, 48, 64])
    link.receive(type="release")
    link.receive(type="pause")
    daemon.turn()
    status = musician.status()
    assert (status.player_keys, status.own_keys) == ((), ())
    assert [0x81, 72, 0] in [message["data"] for message in link.of("midi")]
    before = len(link.of("midi"))
    for _ in range(100):
        clock.sleep_until(min(daemon.deadline_s(), clock.now() + 0.1))
        daemon.turn()
    assert not [m for m in link.of("midi")[before:] if m["data"][0] & 0xF0 == 0x90]


# --- the take --------------------------------------------------------------------------------------------------------


def test_a_take_that_goes_on_is_a_midi_file(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """The log of an unfinished take gives a MIDI file. Anything else gives an error message."""
    config = Config(sampling=SamplingSettings(seed=1))
    header = Header(config=page_module.to_dict(config), seed=1, start_s=0.0, checkpoint="default", sha256="0" * 64)
    recorder = open_recorder(True, tmp_path, header, print)
    assert recorder.folder is not None
    with (recorder.folder / "take.jsonl").open("a") as file:
        file.write('{"do": "adv')
    assert take_file.write(recorder.folder) == 0
    assert capsysbinary.readouterr().out.startswith(b"MThd")
    recorder.close()
    assert take_file.write(tmp_path / "nowhere") == 2
    assert b"nowhere" in capsysbinary.readouterr().err
