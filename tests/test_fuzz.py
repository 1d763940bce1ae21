"""Bad input: bytes from a broken keyboard, and damaged files. Nothing hangs, nothing sounds on, each is told in a line.

`LIVEBACH_FUZZ_BYTES` sets how many bytes are tried.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import mido
import pytest

from livebach.cli import main
from livebach.config import Config, ConfigError, MidiSettings, TimeSettings, load
from livebach.live import inbox, take_log
from livebach.live.signals import Stage
from livebach.midi.feedback_filter import FeedbackFilter, Verdict
from livebach.midi.ports import InputPort
from livebach.music.events import NoteOn, to_bytes
from livebach.network.checkpoint import save
from livebach.sound import fluidsynth
from livebach.system.clock import Clock
from tests.support.daemon_rig import Rig, sounding
from tests.support.noise import BYTES, cut, damaged, noise, parsed
from tests.support.small_checkpoint import made
from tests.support.stand_in import no_network

EVENTS_PER_S = 50_000
SEED = 20_260_101

# --- bytes on the wire -----------------------------------------------------------------------------------------------


STREAMS = {"noise": noise, "damaged": damaged, "parsed": parsed}


@pytest.mark.parametrize("kind", STREAMS)
def test_any_bytes_leave_silence(kind: str) -> None:
    """A third of a million bytes each, over the loop filter and thru: no error, a bounded queue, silence in the end."""
    rig, stage, rng = Rig(), Stage(), random.Random(SEED)
    stage.daemon = rig.daemon
    rig.synth.before = lambda data: stage.feedback.sent(data, rig.clock.now())
    port = InputPort("keyboard", stage.receive, now=rig.clock.now)
    for number, data in enumerate(cut(STREAMS[kind](rng), BYTES // len(STREAMS))):
        port.receive(data)
        if number % 16 == 0:
            rig.clock.advance(rng.choice((0.001, 0.003, 0.02)))
            rig.daemon.turn()
            del rig.synth.sent[:-5000]
    assert rig.daemon._inbox.shed == 0
    port.close()
    rig.daemon.finish()
    assert rig.synth.sounding == frozenset()
    assert all(len(sent) <= 1024 for sent in stage.feedback._sent.values())


def test_a_flood_is_shed_by_the_rule() -> None:
    """A second of 50,000 events while the loop turns 25 times: dropped and counted, then all keys up, then as ever."""
    rig, rng = Rig(), random.Random(SEED)
    for number in range(EVENTS_PER_S):
        rig.daemon.receive(to_bytes(NoteOn(rng.randrange(21, 109), 64, rng.randrange(2))), rig.clock.now())
        assert rig.daemon._inbox._queue.qsize() <= inbox.CAPACITY
        if number % 2000 == 0:
            rig.clock.advance(0.04)
            rig.daemon.turn()
    for _ in range(inbox.CAPACITY // 64 + 2):
        rig.daemon.turn()
    assert rig.daemon._inbox.shed > EVENTS_PER_S / 2
    assert f"{rig.daemon._inbox.shed} messages dropped" in rig.said[-1]
    assert rig.musician.status().player_keys == ()
    assert not sounding(rig.synth)
    rig.daemon.receive(to_bytes(NoteOn(60)), rig.clock.now())
    rig.daemon.turn()
    assert rig.musician.status().player_keys == (60,)


@pytest.mark.clock
def test_a_flood_in_real_time() -> None:
    """Half a second of it from another thread: the loop lives, ends when it is told to, and leaves silence."""
    rig = Rig(Config(midi=MidiSettings(thru=True), time=TimeSettings(bpm=400)), clock=Clock())
    loop = threading.Thread(target=rig.daemon.run)
    loop.start()
    end_s = time.perf_counter() + 0.5
    for number in range(EVENTS_PER_S // 2):
        rig.daemon.receive(to_bytes(NoteOn(21 + number % 88)), time.perf_counter())
        if number % 500 == 0:
            time.sleep(max(0.0, end_s - 0.5 + number / EVENTS_PER_S - time.perf_counter()))
    rig.daemon.end()
    loop.join(20)
    assert not loop.is_alive()
    assert not sounding(rig.synth)


@pytest.mark.clock
def test_a_flood_of_different_messages_costs_the_loop_filter_little() -> None:
    """Each message is looked at once, not every earlier one with it."""
    taken, started = FeedbackFilter(), time.process_time()
    for number in range(20_000):
        data = bytes((0x90 | number % 16, number // 16 % 128, 1 + number // 2048))
        if taken.judge(data, number / EVENTS_PER_S) is not Verdict.ECHO:
            taken.sent(data, number / EVENTS_PER_S)
    assert time.process_time() - started < 5
    assert all(len(sent) <= 1024 for sent in taken._sent.values())


# --- files -----------------------------------------------------------------------------------------------------------


def mutations(data: bytes, count: int) -> Iterator[bytes]:
    """Copies of a file with bytes changed, cut out, doubled, or cut off."""
    rng = random.Random(SEED)
    for _ in range(count):
        copy = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            at = rng.randrange(len(copy) or 1)
            copy[at : at + rng.choice((0, 1, 1, 1, 8))] = rng.choice((b"", rng.randbytes(1), rng.randbytes(4), b"9"))
        yield bytes(copy[: rng.choice((len(copy), len(copy), rng.randrange(len(copy) + 1)))])


def told(capsys: pytest.CaptureFixture[str], path: Path, *argv: str) -> int:
    """Run a command; where it refuses, it does so in one line that names the file. The exit status."""
    status = main(list(argv))
    err = capsys.readouterr().err
    assert status in (0, 1, 2)
    assert status != 2 or (str(path) in err and err.count("\n") == 1), err
    return status


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that costs no time, and no sound."""
    no_network(monkeypatch)
    monkeypatch.setattr(fluidsynth, "find", lambda: None)


@pytest.mark.usefixtures("network")
def test_a_damaged_take_is_replayed_or_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever has happened to its log: the same, different, or one line."""
    assert main(["demo", "--fast", "--bars", "1", "--seed", "4", "--folder", str(tmp_path / "takes")]) == 0
    log = next((tmp_path / "takes").iterdir()) / take_log.LOG
    capsys.readouterr()
    whole = log.read_bytes()
    for data in mutations(whole, 25):
        log.write_bytes(data)
        told(capsys, log, "replay", str(log))
    header, _, rest = whole.partition(b"\n")
    for old, new in LOG_DAMAGE:
        assert old in whole
        log.write_bytes((header + b"\n" + rest).replace(old, new, 1))
        assert told(capsys, log, "replay", str(log)) == 2


LOG_DAMAGE = [
    (b'"seed": 4', b'"seed": null'),
    (b'"start_s": ', b'"start_s": 1e400'),
    (b'"start_s": ', b'"start_s": ' + b"9" * 400),
    (b'"silence_ticks": ', b'"silence_ticks": ' + b"9" * 400),
    (b'"checkpoint": "bach", "sha', b'"checkpoint": 5, "sha'),
    (b'"checkpoint": "bach", "sha', b'"checkpoint": "\\u0000", "sha'),
    (b'"t":', b'"t":1e308,"due":'),
    (b'"t":', b'"t":' + b"[" * 5000),
]


@pytest.mark.usefixtures("network")
def test_a_damaged_prime_is_played_or_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`generate --prime` goes on from what can be read, and names what cannot."""
    path, statuses = tmp_path / "prime.mid", set()
    phrase = track(tmp_path / "whole.mid")
    for number, data in enumerate([phrase, phrase[:60], *mutations(phrase, 40)]):
        path.write_bytes(data)
        out = str(tmp_path / f"{number}.mid")
        statuses.add(told(capsys, path, "generate", "--prime", str(path), "--bars", "1", "-o", out))
    assert statuses == {0, 2}


def track(path: Path) -> bytes:
    """A small whole MIDI file."""
    notes = [mido.Message(kind, note=60 + i, time=0 if kind == "note_on" else 240) for i in range(16) for kind in KINDS]
    head = mido.MetaMessage("time_signature", numerator=3, denominator=4)
    mido.MidiFile(tracks=[mido.MidiTrack([head, mido.MetaMessage("set_tempo", tempo=600_000), *notes])]).save(path)
    return path.read_bytes()


KINDS = ("note_on", "note_off")


def test_damaged_training_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`train` on nothing but broken files: one line, exit 2."""
    pytest.importorskip("torch", reason="training needs the extra `train`")
    for number, data in enumerate(islice(mutations(b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x00\x60MTrk", 200), 20)):
        (tmp_path / f"{number}.mid").write_bytes(data)
    assert told(capsys, tmp_path, "train", "--data", str(tmp_path), "--out", str(tmp_path / "run")) == 2
    assert not (tmp_path / "run").exists()


# --- settings and checkpoints ----------------------------------------------------------------------------------------


def bomb() -> str:
    """A page of YAML that unfolds to more than all memory."""
    lines = ["time:", "  a0: &a0 {x: 1}"]
    lines += [f"  a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 40)]
    return "\n".join(lines)


CONFIGS: dict[str, str | bytes] = {
    "binary": bytes(range(256)),
    "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "UTF-16": "time: {bpm: 90}".encode("utf-16"),
    "zeros": bytes(1000),
    "truncated": "time:\n  bpm: [90",
    "a list": "- time",
    "a word": "time",
    "a number for a section": "time: 3",
    "a list for a section": "time: [bpm]",
    "a mapping for a value": "time: {bpm: {bpm: 90}}",
    "deep": "[" * 20_000,
    "deep mappings": "{a: " * 10_000,
    "a bomb of merges": bomb(),
    "an alias": "time: &t {bpm: 90}\nturns: *t",
    "an alias of itself": "time: &t {bpm: *t}",
    "a huge whole number": f"time: {{bpm: {'9' * 400}}}",
    "a whole number too long to print": f"time: {{bpm: 0x{'f' * 9000}}}",
    "a whole number too long to read": f"time: {{bpm: {'9' * 9000}}}",
    "a huge whole number as a name": f"0x{'f' * 9000}: 1",
    "a huge number": "time: {bpm: 1.0e+400}",
    "not a number": "time: {bpm: .nan}",
    "infinity": "time: {bpm: -.inf}",
    "a date that cannot be": "time: {bpm: 0001-01-01T00:00:00+23:59}",
    "code": "time: !!python/object/apply:os.system ['true']",
    "NUL in a name": 'engine: {checkpoint: "a\\0b"}',
    "half a character": 'session: {folder: "\\ud800"}',
    "a null section name": "~: 1",
    "a list as a name": "? [a]\n: 1",
    "very long": "time: {}\n" + "# nothing\n" * 10_000,
    "many names": "time: {" + ", ".join(f"k{n}: 1" for n in range(3000)) + "}",
    "two documents": "time: {bpm: 90}\n---\ntime: {bpm: 91}\n",
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_damaged_settings_get_one_line(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind of damage: one line of at most a page's width or so, exit 2, and no time lost."""
    path, text = tmp_path / "my.yaml", CONFIGS[kind]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    started = time.process_time()
    assert main(["generate", "--config", str(path), "-o", str(tmp_path / "out.mid")]) == 2
    err = capsys.readouterr().err
    assert str(path) in err
    assert err.count("\n") == 1
    assert len(err) < 500 + len(str(path))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("value", ["9" * 400, "0x" + "f" * 9000, ".nan", "[1", "&a [*a]", "0001-01-01T00:00:00+23:59"])
def test_damaged_flags_get_one_line(tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same on the command line."""
    assert main(["generate", "--bpm", value, "-o", str(tmp_path / "out.mid")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("livebach generate: --bpm: time.bpm must be")
    assert err.count("\n") == 1


def shipped() -> bytes:
    """The shipped settings."""
    return (Path(__file__).parent.parent / "config.yaml").read_bytes()


def test_mutated_settings_are_read_or_refused(tmp_path: Path) -> None:
    """Nothing but a line comes of damage to the shipped file."""
    path, lines = tmp_path / "my.yaml", []
    for data in mutations(shipped(), 30):
        path.write_bytes(data)
        try:
            load(path)
        except ConfigError as error:
            lines.append(str(error))
    assert lines
    assert not [line for line in lines if "\n" in line]


def test_damaged_checkpoints_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed header, weight or length, or a stored pair that the network does not answer: exit 2, in one line."""
    path = tmp_path / "a.safetensors"
    save(path, made())
    whole = path.read_bytes()
    for number, data in enumerate([whole, *mutations(whole, 30)]):
        path.write_bytes(data)
        assert main(["generate", "--checkpoint", str(path), "-o", str(tmp_path / "out.mid")]) == 2, number
        err = capsys.readouterr().err
        assert err.startswith("livebach generate: engine.checkpoint: ")
        assert err.count("\n") == 1
    assert not (tmp_path / "out.mid").exists()
