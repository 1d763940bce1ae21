"""Ports without a MIDI system: names, sounding notes, owed note-offs, and reconnection."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach import cli
from livebach.commands import doctor
from livebach.config import Config, override
from livebach.files import data_path
from livebach.midi.active_notes import ActiveNotes, is_channel_message
from livebach.midi.backends import BACKENDS, BackendRow, backend_names, open_backend, rows_here
from livebach.midi.loopback import FakeConnection, FakePort
from livebach.midi.port_list import listing, reports
from livebach.midi.port_names import PortError, find_port, others, unnumbered
from livebach.midi.port_watcher import PortWatcher
from livebach.midi.ports import InputPort, OutputPort, Thru, list_inputs
from livebach.midi.rtmidi2_backend import RtMidi2Backend
from livebach.music.events import ControlChange, NoteOff, NoteOn
from livebach.system.clock import ManualClock
from livebach.testing import FakeBackend

ALSA = [
    "Midi Through:Midi Through Port-0 14:0",
    "USB Keyboard:USB Keyboard MIDI 1 24:0",
    "USB Keyboard:USB Keyboard MIDI 2 24:1",
    "FLUID Synth (4321):Synth input port (4321:0) 128:0",
]
ANY_BYTES = st.binary(min_size=1, max_size=4)
MESSAGES = st.tuples(st.sampled_from([0x80, 0x90, 0xB0]), st.integers(0, 2), st.integers(58, 68), st.integers(0, 127))


def message(parts: tuple[int, int, int, int]) -> bytes:
    """One message of a few channels, keys and controllers."""
    return bytes((parts[0] | parts[1], parts[2], parts[3]))


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        (ALSA[2], 2),
        ("usb keyboard", 1),
        ("USB-Keyboard MIDI 2", 2),
        ("FluidSynth", 3),
        ("fluid synth (4321)", 3),
        ("through", 0),
        ("24:1", 2),
        ("128:0", 3),
    ],
)
def test_a_port_is_found_by_name(wanted: str, number: int) -> None:
    """Exactly, else as a part, without case, spaces and punctuation; a client with several ports is its first port."""
    assert find_port(ALSA, wanted) == ALSA[number]


def test_an_exact_name_wins() -> None:
    """A name that is also part of another one means itself."""
    assert find_port(["Piano 2:out", "Piano:out", "My Piano:out"], "piano:out") == "Piano:out"


def test_two_clients_are_two_matches() -> None:
    """Two keyboards of one name are not chosen from; both are told."""
    names = ["Piano:Piano MIDI 1 24:0", "Piano:Piano MIDI 1 28:0"]
    with pytest.raises(PortError, match="may be 'Piano:Piano MIDI 1 24:0' or 'Piano:Piano MIDI 1 28:0'; give more"):
        find_port(names, "piano")
    assert find_port(names, "28:0") == names[1]


def test_jack_ports_of_one_client_are_several() -> None:
    """On JACK all hardware is one client: its ports are told apart."""
    with pytest.raises(PortError):
        find_port(["system:midi_capture_1", "system:midi_capture_2"], "system")


@pytest.mark.parametrize("wanted", ["harp", "", "-", "()"])
def test_no_match_lists_what_there_is(wanted: str) -> None:
    """What is not there, or is no name at all, gets one line with the names."""
    with pytest.raises(PortError, match=r"^no MIDI input matches .*; there are 'Midi Through.*'$"):
        find_port(ALSA, wanted, "MIDI input")
    with pytest.raises(PortError, match="there is none at all"):
        find_port([], wanted)


def test_the_client_number_is_no_part_of_the_name() -> None:
    """After a replug the same port has another number."""
    assert unnumbered(ALSA[1]) == "USB Keyboard:USB Keyboard MIDI 1"
    assert unnumbered("system:midi_1") == "system:midi_1"


@pytest.mark.parametrize(("name", "wanted"), [("Clavie\u0301", "clavi\u00e9"), ("Clavi\u00e9", "Clavie\u0301")])
def test_names_compare_in_one_spelling_of_unicode(name: str, wanted: str) -> None:
    """An accent of its own and a letter with its accent are the same; a letter without it is another."""
    assert find_port([name, "Clavie"], wanted) == name


def test_our_own_ends_are_not_listed() -> None:
    """Ends of our connections are left out, our virtual ports are not."""
    names = ["livebach:link", "livebach-01:link", "livebach:link 129:0", "livebach:RtMidi 128:0"]
    assert others([*names, "livebach:livebach in", "livebacher:link"]) == ["livebach:livebach in", "livebacher:link"]


@given(st.lists(st.text(max_size=12), max_size=6), st.text(max_size=12))
def test_any_names_are_borne(names: list[str], wanted: str) -> None:
    """Whatever the names, one of them is found, or one line says why not."""
    with contextlib.suppress(PortError):
        assert find_port(names, wanted) in names


# --- the table of back-ends ------------------------------------------------------------------------------------------


class Paper(FakeBackend):
    """A back-end that only this test knows: it writes down what is sent to it."""

    needs_guard = False


def paper(name: str) -> Paper:
    """Make one, as its row says."""
    return Paper(name, inputs=["paper keys"], outputs=["paper"])


@pytest.fixture
def with_paper(monkeypatch: pytest.MonkeyPatch) -> BackendRow:
    """The table with one more row, and nothing else changed."""
    row = BackendRow("paper", "a sheet of paper", f"{__name__}:paper")
    monkeypatch.setattr("livebach.midi.backends.BACKENDS", [*BACKENDS, row])
    return row


def test_a_new_backend_is_one_class_and_one_row(with_paper: BackendRow, capsys: pytest.CaptureFixture[str]) -> None:
    """A row added from outside: its port plays and is heard, and the list, setting, help and errors know it."""
    with closing(OutputPort.open("paper", "paper")) as output:
        output.send(NoteOn(60))
        assert not output.needs_guard
    backend = open_backend(with_paper)
    assert isinstance(backend, Paper)
    assert backend.sent == [("paper", b"\x90\x3c\x40"), ("paper", b"\x80\x3c\x00")]
    heard: list[bytes] = []
    with closing(InputPort.open("paper keys", "paper", lambda data, _time_s: heard.append(data))):
        backend.connections["paper keys"].send(b"\x90\x3c\x40")
    assert heard == [b"\x90\x3c\x40"]
    assert override(Config(), "midi.api=paper").midi.api == "paper"
    assert listing("paper").startswith("paper: a sheet of paper\n")
    with pytest.raises(PortError, match=r"one of .*, paper, got 'oss'"):
        list_inputs("oss")
    assert cli.main(["ports", "--api", "paper"]) == 0
    assert "    paper keys\n" in capsys.readouterr().out
    assert doctor.backend_lines(reports("paper")) == ["paper (a sheet of paper): 1 input, 1 output."]


def test_the_list_names_what_is_always_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any MIDI system, the list has the reason of each, the built-in instruments and the page."""

    def refuse(_row: BackendRow) -> None:
        raise PortError("it does not run")

    monkeypatch.setattr("livebach.midi.port_list.open_backend", refuse)
    assert cli.main(["ports"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("not available: it does not run\n") == len(rows_here())
    assert "outputs (--out):\n    piano\n    harpsichord\n    organ\n" in shown
    assert "inputs (--in):\n    browser\n" in shown
    assert cli.main(["ports", "--api", rows_here()[0].name]) == 2
    assert capsys.readouterr().err == "livebach ports: it does not run\n"


def test_help_and_settings_file_name_every_backend(capsys: pytest.CaptureFixture[str]) -> None:
    """What people read of `--api` is what the table has."""
    with pytest.raises(SystemExit):
        cli.main(["play", "--help"])
    told, settings = capsys.readouterr().out, data_path("config.yaml").read_text(encoding="utf-8")
    for name in backend_names():
        assert name in told
        assert name in next(line for line in settings.splitlines() if line.strip().startswith("api:"))


def test_the_documentation_lists_every_backend() -> None:
    """The table in docs/connecting.md has the rows of the table in the program: name, title and systems."""
    systems = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}
    told = (Path(__file__).parents[1] / "docs/connecting.md").read_text(encoding="utf-8")
    for row in BACKENDS:
        where = ", ".join(systems[platform] for platform in row.platforms) or "everywhere"
        assert f"| `{row.name}` | {row.title} | {where} |" in told


def test_each_row_can_be_imported() -> None:
    """The factory of every row exists; none is imported before it is asked for."""
    for row in BACKENDS:
        module, function = row.factory.split(":")
        assert find_spec(module) is not None
        assert callable(getattr(import_module(module), function))


def test_an_api_must_be_one_that_is_there() -> None:
    """An api that is not in the table, or is of another system, is refused with those that are allowed."""
    with pytest.raises(PortError, match=r"^api must be one of alsa, jack, coremidi, winmm.*, got 'oss'$"):
        list_inputs("oss")
    other = "winmm" if sys.platform != "win32" else "alsa"
    with pytest.raises(PortError, match=rf"^api must be one of .* on this machine, got '{other}'$"):
        list_inputs(other)


@pytest.mark.parametrize(
    ("platform", "names"), [("linux", ["alsa", "jack"]), ("darwin", ["jack", "coremidi"]), ("win32", ["winmm"])]
)
def test_each_system_has_its_backends(platform: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of an operating system are those that exist there."""
    monkeypatch.setattr(sys, "platform", platform)
    assert [row.name for row in rows_here() if row.platforms] == names


def test_the_first_installed_alternative_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the rows of one name, the first one whose library is installed is used; with none, the first one's advice."""
    rows = [
        BackendRow("paper", "one", f"{__name__}:paper", requires="no_such_library", advice="pip install it"),
        BackendRow("paper", "two", f"{__name__}:paper"),
    ]
    monkeypatch.setattr("livebach.midi.backends.BACKENDS", rows)
    assert [row.title for row in rows_here("paper")] == ["two"]
    monkeypatch.setattr("livebach.midi.backends.BACKENDS", rows[:1])
    with pytest.raises(PortError, match="one needs 'pip install it'"):
        list_inputs()


@pytest.mark.parametrize("library", ["rtmidi", "rtmidi2"])
def test_a_library_that_cannot_be_loaded_is_one_line(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the installed library cannot be loaded, the cure is told."""
    rows = [replace(row, platforms=()) for row in BACKENDS if row.requires == library]
    monkeypatch.setattr("livebach.midi.backends.BACKENDS", rows)
    monkeypatch.setattr("livebach.midi.backends.find_spec", lambda _name: object())
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(PortError, match=r"real MIDI ports need 'pip install .*rtmidi"):
        list_inputs("alsa")


def test_jack_is_never_opened_through_rtmidi2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own copy of libjack ends the process: no row has it, and without python-rtmidi the message has the cure."""
    assert not [row for row in BACKENDS if row.name == "jack" and row.requires != "rtmidi"]
    monkeypatch.setattr("livebach.midi.backends.find_spec", lambda name: None if name == "rtmidi" else object())
    monkeypatch.setattr("livebach.midi.backends.BACKENDS", [replace(row, platforms=()) for row in BACKENDS])
    assert rows_here("alsa")[0].requires == "rtmidi2"
    with pytest.raises(PortError, match=r"JACK or PipeWire needs '.*rtmidi"):
        list_inputs("jack")


def test_rtmidi2_has_what_is_used_of_python_rtmidi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its classes stand behind the same calls: names, callback, virtual ports, messages, and the chosen system."""
    made: list[SimpleNamespace] = []

    def make(name: str, *arguments: int) -> SimpleNamespace:
        made.append(SimpleNamespace(name=name, arguments=arguments, ports=["Piano"], callback=None, sent=[], opened=[]))
        port = made[-1]
        port.ignore_types = lambda **kinds: port.opened.append(kinds)
        port.open_port = port.opened.append
        port.close_port = lambda: port.opened.append("closed")
        port.send_message = port.sent.append
        return port

    apis = {"API_LINUX_ALSA": 1, "API_UNIX_JACK": 2, "API_MACOSX_CORE": 3, "API_WINDOWS_MM": 4}
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setitem(sys.modules, "rtmidi2", SimpleNamespace(MidiIn=make, MidiOut=make, **apis))  # type: ignore[arg-type]
    backend, heard = RtMidi2Backend("coremidi"), []
    assert backend.input_names() == backend.output_names() == ["Piano"]
    connection = backend.open_input("Piano", lambda data, *_: heard.append(data))
    made[-1].callback([0x90, 60, 64], 0.0)
    output = backend.open_output("Piano")
    output.send(b"\x90\x3c\x40")
    assert made[-1].sent == [(0x90, 60, 64)]
    output.close()
    connection.close()
    assert heard == [b"\x90\x3c\x40"]
    assert made[2].opened == [{"midi_sysex": True, "midi_time": False, "midi_sense": True}, 0, "closed"]
    assert {port.arguments[-1] for port in made} == {3}
    with pytest.raises(PortError, match="built without jack"):
        RtMidi2Backend("jack")


def test_where_no_backend_runs_each_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any running back-end, the line has the reason of every one of them."""
    stopped = [FakeBackend("one", running=False), FakeBackend("two", running=False)]
    monkeypatch.setattr("livebach.midi.ports.open_backends", lambda _api: stopped)
    with pytest.raises(PortError, match="no one server is running; no two server is running"):
        list_inputs()


def test_a_name_that_is_not_found_tells_what_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port may be on the back-end that does not run: the line has its reason too."""
    some = [FakeBackend("one", outputs=["piano"]), FakeBackend("two", running=False)]
    monkeypatch.setattr("livebach.midi.ports.open_backends", lambda _api: some)
    with pytest.raises(PortError, match="no MIDI output matches 'synth'; there are 'piano'; no two server is running"):
        OutputPort.open("synth")


def test_a_virtual_port_is_made_where_it_can_be() -> None:
    """The first running back-end that has virtual ports is taken; without any, one line says so."""
    without = Paper("paper")
    without.virtual_ports = False
    port = InputPort("virtual", lambda _data, _time_s: None, [without, FakeBackend("two")])
    assert port.check() == "MIDI input 'livebach in' is there"
    with pytest.raises(PortError, match="paper has no virtual MIDI ports"):
        OutputPort("virtual", [without])._connect("virtual")


def test_who_sees_a_connection_sees_its_name() -> None:
    """Whenever another thread looks, a port that is connected has the name of what it is connected to."""
    seen: list[tuple[bool, str]] = []

    class Looking(OutputPort):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if "_connection" in vars(self):  # made whole
                seen.append((self.connected, self.name))

    backend = FakeBackend(outputs=["synth 20:0"])
    port = Looking("synth", [backend])
    port.check()
    backend.outputs[:] = []
    port.check()
    backend.outputs.append("synth 21:0")
    seen.clear()
    port.check()
    assert port.connected
    assert {name for connected, name in seen if connected} == {"synth 21:0"}


def test_the_time_of_a_message_is_the_backends_where_it_knows_it(backend: FakeBackend) -> None:
    """A back-end may say when a message was played; without that, it was played now."""
    heard: list[float] = []
    port = InputPort("piano", lambda _data, time_s: heard.append(time_s), [backend], ManualClock(5.0).now)
    port.check()
    port.receive(b"\x90\x3c\x40", 4.5)
    port.receive(b"\x80\x3c\x00")
    assert heard == [4.5, 5.0]


def test_a_note_goes_out_with_the_time_it_is_due() -> None:
    """A back-end that schedules is told when the note is to sound."""
    due: list[float | None] = []

    class Scheduling(FakeConnection):
        def send(self, data: bytes, due_s: float | None = None) -> None:
            """Keep the time."""
            due.append(due_s)

    port = OutputPort("synth", connection=Scheduling(lambda _data: None))
    port.send(NoteOn(60), 7.25)
    port.close()
    assert due == [7.25, None]


# --- what sounds -----------------------------------------------------------------------------------------------------


@given(st.lists(MESSAGES, max_size=80))
def test_what_sounds_is_what_has_not_ended(sent: list[tuple[int, int, int, int]]) -> None:
    """After any messages, the endings leave nothing down: no key, no pedal."""
    active = ActiveNotes()
    for parts in sent:
        active.update(message(parts))
    for data in active.endings():
        active.update(data)
    assert not active


@given(st.lists(ANY_BYTES, max_size=60))
def test_any_bytes_leave_silence(sent: list[bytes]) -> None:
    """Even bytes that are no MIDI, sent any way, are followed by silence, and by nothing that is no MIDI."""
    port = FakePort()
    for data in sent:
        port.send_bytes(data)
    before = len(port.sent)
    port.close()
    heard = ActiveNotes()
    for _, data in port.sent:
        heard.update(data)
    assert not heard
    assert all(is_channel_message(data) for _, data in port.sent[before:])


def test_a_key_struck_twice_is_ended_twice() -> None:
    """Some synths have two voices then; but a flood does not make the end long."""
    port = FakePort()
    for _ in range(2):
        port.send(NoteOn(60))
    for _ in range(1000):
        port.send(NoteOn(61))
    port.close()
    assert port.events()[1002:] == [NoteOff(60)] * 2 + [NoteOff(61)] * 4


def test_both_spellings_of_a_note_off_end_it() -> None:
    """A note-on of velocity 0 is a note-off."""
    port = FakePort()
    port.send_bytes(b"\x90\x3c\x40")
    assert port.sounding == {(0, 60)}
    port.send_bytes(b"\x90\x3c\x00")
    assert not port.sounding


def test_closing_is_idempotent() -> None:
    """The second close sends nothing, and nothing can be sent any more."""
    port = FakePort()
    port.send(NoteOn(60))
    port.close()
    port.close()
    port.send(NoteOn(61))
    assert port.events() == [NoteOn(60), NoteOff(60)]


def test_panic_silences_every_channel() -> None:
    """Its own notes end, then pedal up, all notes off and all sound off go to all sixteen channels."""
    port = FakePort()
    port.send(NoteOn(60, channel=3))
    port.panic()
    assert port.events()[1] == NoteOff(60, channel=3)
    assert port.events()[2:] == [ControlChange(c, 0, channel) for channel in range(16) for c in (64, 123, 120)]


def test_the_guard_knows_a_note_before_it_sounds_and_after_it_ended() -> None:
    """Killed at any moment, the guard ends at least what sounds."""
    order: list[str] = []
    connection = FakeConnection(lambda data: order.append(f"sent {data.hex()}"))
    port = OutputPort("synth", connection=connection)
    port.guard = lambda data: order.append(f"guard {data.hex()}")
    port.send(NoteOn(60, 64))
    port.send(NoteOff(60))
    assert order == ["guard 903c40", "sent 903c40", "sent 803c00", "guard 803c00"]


# --- thru ------------------------------------------------------------------------------------------------------------


def test_thru_sends_on_whole_channel_messages() -> None:
    """Byte for byte, on the player's own channel; clock, system exclusive and broken bytes stay here."""
    port = FakePort()
    thru = Thru(port)
    good = [b"\x95\x3c\x40", b"\xe0\x00\x40", b"\xc2\x05", b"\xd2\x7f", b"\xa1\x3c\x11"]
    for data in [*good, b"\xf8", b"\xf0\x7e\xf7", b"\x90\x3c", b"\x90\x3c\xf8", b"\x3c\x40", b"\x90\x3c\x40\x00", b""]:
        thru(data)
    assert [data for _, data in port.sent] == good


def test_thru_lets_go_when_it_is_turned_off() -> None:
    """What it sent on ends when it is turned off or closed; off, it sends nothing."""
    port = FakePort()
    thru = Thru(port)
    thru(b"\x90\x3c\x40")
    thru.switch(False)
    thru(b"\x90\x3d\x40")
    thru.switch(True)
    thru(b"\x90\x3e\x40")
    thru.close()
    assert port.events() == [NoteOn(60), NoteOff(60), NoteOn(62), NoteOff(62)]


def test_a_loop_inside_the_process_does_not_lock_up() -> None:
    """A port whose output comes back on the same thread can be sent to from there."""
    port = FakePort()
    left = [3]

    def again(data: bytes, _time_s: float) -> None:
        if left[0]:
            left[0] -= 1
            port.send_bytes(data)

    port.open_input(again)
    port.send(NoteOn(60))
    assert len(port.sent) == 4


# --- ports that come and go ------------------------------------------------------------------------------------------


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBackend]:
    """A MIDI system with a keyboard and a synth."""
    fake = FakeBackend(inputs=["Piano:Piano 24:0"], outputs=["FLUID Synth (1):in 128:0"])
    monkeypatch.setattr("livebach.midi.ports.open_backends", lambda _api: [fake])
    return fake


def test_a_keyboard_unplugged(backend: FakeBackend) -> None:
    """It says so, the keys that were down come up, and under its new number it is heard again."""
    clock, heard = ManualClock(5.0), []
    port = InputPort("piano", lambda data, time_s: heard.append((data, time_s)), [backend], clock.now)
    assert port.check() == "MIDI input 'Piano:Piano 24:0' is there"
    backend.connections["Piano:Piano 24:0"].send(b"\x90\x3c\x40")
    backend.inputs.clear()
    assert port.check() == "MIDI input 'Piano:Piano 24:0' is gone"
    assert port.check() is None
    assert heard == [(b"\x90\x3c\x40", 5.0), (b"\x80\x3c\x00", 5.0)]
    backend.inputs.append("Piano:Piano 28:0")
    assert port.check() == "MIDI input 'Piano:Piano 28:0' is there"
    backend.connections["Piano:Piano 28:0"].send(b"\x90\x3d\x40")
    assert heard[2:] == [(b"\x90\x3d\x40", 5.0)]


def test_a_synth_unplugged(backend: FakeBackend) -> None:
    """What is sent meanwhile is lost; back, what sounded when it went is ended first."""
    port = OutputPort.open("fluidsynth")
    port.send(NoteOn(60))
    port.send(ControlChange(64, 127))
    backend.outputs[:] = []
    assert port.check()
    port.send(NoteOn(61))
    assert not port.sounding
    backend.outputs[:] = ["FLUID Synth (2):in 129:0"]
    assert port.check() == "MIDI output 'FLUID Synth (2):in 129:0' is there"
    sent = [data for name, data in backend.sent if "129" in name]
    assert sent == [b"\x80\x3c\x00", b"\xb0\x40\x00"]


def test_the_very_port_is_preferred(backend: FakeBackend) -> None:
    """When another one that fits has come, the one that was there before is taken."""
    port = OutputPort.open("synth")
    backend.outputs[:] = []
    port.check()
    backend.outputs[:] = ["Another Synth:in 20:0", "FLUID Synth (1):in 131:0"]
    port.check()
    assert port.name == "FLUID Synth (1):in 131:0"


def test_two_that_fit_are_waited_out(backend: FakeBackend) -> None:
    """Where it cannot be told which is meant, nothing is connected."""
    backend.outputs[:] = ["A Synth:in 20:0", "B Synth:in 21:0"]
    port = OutputPort.open("synth", wait=True)
    assert port.check() is None
    assert not port.connected
    backend.outputs.pop()
    assert port.check() == "MIDI output 'A Synth:in 20:0' is there"


def test_a_server_that_died_and_came_back_at_once(backend: FakeBackend) -> None:
    """The name is there all the time, but the line is dead: it is opened anew."""
    port = OutputPort.open("synth")
    backend.connections[port.name].alive = False
    assert "is gone" in (port.check() or "")
    assert "is there" in (port.check() or "")


def test_virtual_ports_live_as_long_as_their_server(backend: FakeBackend) -> None:
    """A virtual port waits for a server, is there while it runs, and again after it died."""
    backend.running = False
    port = OutputPort.open("virtual", wait=True)
    assert port.check() is None
    backend.running = True
    assert port.check() == "MIDI output 'livebach out' is there"
    assert port.check() is None
    assert port.twin() is port
    backend.connections["livebach out"].alive = False
    assert port.check() == "MIDI output 'livebach out' is gone"


def test_a_closed_port_stays_closed(backend: FakeBackend) -> None:
    """The watcher does not open again what was closed, and closing twice closes once."""
    port = OutputPort.open("synth")
    line = backend.connections[port.name]
    port.close()
    port.close()
    assert port.check() is None
    assert line.closed == 1


def test_the_twin_is_another_line_to_the_same_port(backend: FakeBackend) -> None:
    """Thru has its own connection, with the same guard, and ends its own notes only."""
    output = OutputPort.open("synth")
    told: list[bytes] = []
    output.guard = told.append
    twin = output.twin()
    assert twin is not output
    output.send(NoteOn(60))
    twin.send(NoteOn(61))
    twin.close()
    assert output.sounding == {(0, 60)}
    assert told == [b"\x90\x3c\x40", b"\x90\x3d\x40", b"\x80\x3d\x00"]


def test_a_port_inside_the_process_is_its_own_twin() -> None:
    """What cannot be opened twice is shared."""
    port = FakePort()
    assert port.twin() is port


def test_the_watcher_says_what_changed(backend: FakeBackend) -> None:
    """Two connections of one port say the same once; nothing changed, nothing said."""
    said: list[str] = []
    output = OutputPort.open("synth")
    watcher = PortWatcher([output, output.twin(), output], said.append)
    watcher.check()
    assert not said
    backend.outputs.clear()
    watcher.check()
    watcher.check()
    assert said == ["MIDI output 'FLUID Synth (1):in 128:0' is gone"]


def test_the_watcher_runs_until_it_is_closed(backend: FakeBackend) -> None:
    """It looks by itself, and closing it twice is no matter."""
    looked: list[int] = []

    class Port:
        def check(self) -> str | None:
            """Count."""
            looked.append(1)
            return None

    watcher = PortWatcher([Port()], lambda _text: None, period_s=0.001)
    watcher.start()
    while not looked:
        pass
    watcher.close()
    watcher.close()
    seen = len(looked)
    assert seen == len(looked)
