"""Switching networks while playing: between two ticks, without a gap, and the take replays."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from livebach.cli import main
from livebach.config import Config, override
from livebach.controls import Command, parse_command
from livebach.live import assembly, take_log
from livebach.live import signals as live_signals
from livebach.live.daemon import CALM_S, Daemon
from livebach.live.network_swap import Swapper, watching
from livebach.live.recorder import open_recorder
from livebach.live.simulated_run import rehearse
from livebach.midi.loopback import FakePort
from livebach.music.events import ControlChange, NoteOff, NoteOn, ProgramChange, to_bytes
from livebach.music.roll import KEYS, UNKNOWN
from livebach.music.texture import Texture
from livebach.musician.memory import History
from livebach.musician.vetoes import QuoteWatch
from livebach.network import checkpoint
from livebach.network.engine import Engine
from livebach.network.quotes import Quotes
from livebach.network.reference import random_checkpoint
from livebach.network.sampling import SamplingParams
from livebach.network.spec import CONDITION_FEATURES, NetworkSpec
from livebach.styles import STYLES, Style
from livebach.system.clock import ManualClock
from tests.support.small_network import SMALL

pytestmark = pytest.mark.clock

LIMIT_S = 20.0
TICK_S = 0.125


def write_checkpoint(path: Path, seed: int, spec: NetworkSpec = SMALL) -> Path:
    """A small network of random weights, with its stored pair."""
    blank = random_checkpoint(spec, seed)
    pair = {
        "pair.frames": np.zeros((1, KEYS), np.uint8),
        "pair.condition": np.zeros((1, CONDITION_FEATURES), np.float32),
        "pair.given": np.full((1, KEYS), UNKNOWN, np.uint8),
        "pair.coming": np.zeros((1, KEYS), np.uint8),
    }
    engine = Engine(blank)
    state = engine._blank()
    engine._push(state, pair["pair.frames"][0], pair["pair.condition"][0])
    pair["pair.logits"] = engine.logits(state, pair["pair.coming"][0], pair["pair.given"][0])[None]
    checkpoint.save(path, replace(blank, pair=pair))
    return path


@dataclass
class Stage:
    """A daemon on a clock of our own, recorded, with a swapper."""

    daemon: Daemon
    clock: ManualClock
    swapper: Swapper
    synth: FakePort
    said: list[str]
    recorder: object
    folder: Path

    def until(self, text: str) -> str:
        """Turn, on a clock that stands still between two ticks, until it has said something like this."""
        end_s = time.monotonic() + LIMIT_S
        while not any(text in line for line in self.said):
            assert time.monotonic() < end_s, self.said
            self.daemon.turn()
            time.sleep(0.001)
        return next(line for line in self.said if text in line)

    def play(self, ticks: float) -> None:
        """Go on for so many ticks."""
        rehearse(self.daemon, self.clock, [], self.clock.now() + ticks * TICK_S)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Makes a stage on which the network of seed 1 plays; settings may be given."""
    made: list[Stage] = []

    def make(*settings: str) -> Stage:
        config = Config()
        for setting in ("time.bpm=120", "sampling.seed=5", "turns.delay_ms=0", *settings):
            config = override(config, setting)
        network = assembly.load_network(str(write_checkpoint(tmp_path / "one.safetensors", 1)))
        clock, said = ManualClock(), []
        synth = FakePort("synth", now=clock.now)
        recorder = open_recorder(True, tmp_path / "takes", assembly.header(config, network, 0.0), said.append)
        swapper = Swapper(network, config)
        daemon = Daemon(
            assembly.musician(network, config, 0.0),
            clock,
            synth,
            recorder=recorder,
            watch=watching(lambda status, heard, sent: None, swapper),
            say=said.append,
        )
        swapper.start(daemon)
        made.append(Stage(daemon, clock, swapper, synth, said, recorder, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.swapper.close()


def playing(stage: Stage) -> Stage:
    """A phrase is played, and it goes on; the clock stands between two ticks."""
    score = [(n * TICK_S, to_bytes(NoteOn(60 + n))) for n in range(8)]
    score += [((n + 0.9) * TICK_S, to_bytes(NoteOff(60 + n))) for n in range(8)]
    rehearse(stage.daemon, stage.clock, sorted(score), 40.75 * TICK_S)
    assert stage.synth.sent
    return stage


def test_another_network_plays_on_and_the_take_replays(
    stage: Callable[..., Stage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What sounds is not cut, no tick is missed, other notes come from then on, and all of it is in the log."""
    two = write_checkpoint(tmp_path / "two.safetensors", 2)
    here, there = playing(stage()), len(list(tmp_path.glob("takes/*")))
    sent = len(here.synth.sent)
    here.swapper.ask(str(two))
    assert two.name in here.until("From here on")
    assert len(here.synth.sent) == sent
    here.play(60)
    here.daemon.finish()
    folder = here.recorder.close()  # type: ignore[attr-defined]
    log = take_log.read(folder)
    (swap,) = [call.swap for call in log.calls if call.swap is not None]
    assert (swap.checkpoint, swap.since) == (str(two), 0)
    assert not [line for line in here.said if "missed" in line]
    assert there == 1
    assert main(["replay", str(folder)]) == 0
    assert "the same in" in capsys.readouterr().out


def test_it_makes_a_difference(stage: Callable[..., Stage], tmp_path: Path) -> None:
    """Without the swap the same playing has other notes."""
    two = write_checkpoint(tmp_path / "two.safetensors", 2)
    one, other = playing(stage()), playing(stage())
    other.swapper.ask(str(two))
    other.until("From here on")
    one.play(60)
    other.play(60)
    assert one.synth.sent != other.synth.sent


def test_its_own_music_must_not_be_quoted_from_then_on(stage: Callable[..., Stage], tmp_path: Path) -> None:
    """The watch that is at work has what the new network learnt from."""
    two, quotes = tmp_path / "two.safetensors", Quotes(np.array([3, 8], np.uint32), np.array([5], np.uint32))
    write_checkpoint(two, 2)
    checkpoint.save(two, replace(checkpoint.load(two), quotes=quotes))
    here = playing(stage())
    here.swapper.ask(str(two))
    here.until("From here on")
    improviser = here.daemon._musician.performance.own.improviser
    (watch,) = [w for w in improviser.guides.watches if isinstance(w, QuoteWatch)]
    assert watch._notes._known is improviser._memory.quotes.notes
    assert watch._notes._known.tolist() == [3, 8]


def test_the_file_has_changed(stage: Callable[..., Stage], tmp_path: Path) -> None:
    """It is taken up when it has been left alone for two looks; again only when it changes again."""
    here = playing(stage())
    here.swapper.check()
    write_checkpoint(tmp_path / "one.safetensors", 3)
    here.swapper.check()
    here.swapper.check()
    here.until("From here on")
    here.swapper.check()
    here.swapper.check()
    assert here.swapper._wanted.empty()


def test_a_file_is_not_watched_where_that_is_off(stage: Callable[..., Stage], tmp_path: Path) -> None:
    """Then a command is needed: without a name it is the same file, as it is now."""
    here = playing(stage("engine.reload_on_change=off"))
    write_checkpoint(tmp_path / "one.safetensors", 3)
    here.swapper.check()
    here.swapper.check()
    assert here.swapper._wanted.empty()
    here.swapper.command(Command("swap"), here.daemon.command)
    here.until("From here on")


def test_a_controller_asks_for_it(stage: Callable[..., Stage], tmp_path: Path) -> None:
    """As it is bound, with the file's name; and it is not played."""
    two = write_checkpoint(tmp_path / "two.safetensors", 2)
    here = playing(stage(f"control.swap=cc 20 = {two}"))
    here.daemon.receive(to_bytes(ControlChange(20, 127)), here.clock.now())
    here.until("From here on")


@pytest.fixture
def small_styles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make three styles of small networks, and no other; return their names in order."""
    names = ["bach", "second", "third"]
    for seed, name in enumerate(names, 2):
        path = write_checkpoint(tmp_path / f"{name}.safetensors", seed)
        monkeypatch.setitem(STYLES, name, Style(name, name.title(), "noise", str(path), "prelude"))
    for other in [name for name in STYLES if name not in names]:
        monkeypatch.delitem(STYLES, other)
    return names


def test_styles_change_while_it_plays(stage: Callable[..., Stage], small_styles: list[str]) -> None:
    """By name, one on and one back, around the end; the take replays with each."""
    first, _, last = small_styles
    made = stage("control.style=program 5, cc 21")
    for command, plays in ((last, last), ("up", first), ("down", last), ("", first)):
        made.said.clear()
        made.play(4.5)
        made.swapper.command(parse_command("style", command), pytest.fail)
        made.until(f"From here on {plays} plays")
    for event, plays in ((ProgramChange(4), small_styles[1]), (ControlChange(21, 127), last)):
        made.said.clear()
        made.swapper.observe([event])
        made.until(f"From here on {plays} plays")
    made.play(8.5)
    made.daemon.finish()
    (take,) = (made.folder / "takes").iterdir()
    assert main(["replay", str(take)]) == 0


def test_of_several_wishes_the_last_counts(stage: Callable[..., Stage], small_styles: list[str]) -> None:
    """A knob that sweeps through all styles loads the one where it stops, and at most one on the way."""
    made = stage("control.style=cc 21")
    for value in range(0, 128, 4):
        made.swapper.observe([ControlChange(21, value)])
    made.until(f"From here on {small_styles[-1]} plays")
    assert sum("From here on" in line for line in made.said) <= 2


def test_other_commands_are_the_others() -> None:
    """A swapper takes only what is its own."""
    network = assembly.Loaded(Engine(random_checkpoint(SMALL)), "nowhere", "")
    others: list[Command] = []
    Swapper(network, Config()).command(Command("mute"), others.append)
    assert others == [Command("mute")]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no such signal here")
def test_a_signal_asks_for_it() -> None:
    """And is no harm before there is anybody to ask."""
    network = assembly.Loaded(Engine(random_checkpoint(SMALL)), "nowhere", "")
    here, swapper = live_signals.Stage(), Swapper(network, Config())
    with here.heeding_signals():
        os.kill(os.getpid(), signal.SIGUSR1)
        here.swapper = swapper
        os.kill(os.getpid(), signal.SIGUSR1)
    assert swapper._wanted.get_nowait() == ""
    assert swapper._wanted.empty()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "not a whole safetensors file"),
        (lambda path: path.write_text("no network"), "not a whole safetensors file"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: write_checkpoint(path, 1, replace(SMALL, steps_per_quarter=6)), "6 ticks in a quarter note"),
    ],
)
def test_what_does_not_fit_is_told_and_the_old_one_plays_on(
    stage: Callable[..., Stage], tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    """In one line that names the file; the notes are those without it."""
    bad = write_checkpoint(tmp_path / "bad.safetensors", 2)
    spoil(bad)
    alone, here = playing(stage()), playing(stage())
    here.swapper.ask(str(bad))
    line = here.until("the network plays on as it was")
    assert told in line
    assert bad.name in line
    assert "\n" not in line
    alone.play(30)
    here.play(30)
    assert here.synth.sent == alone.synth.sent


@pytest.mark.parametrize(
    "trouble",
    [
        OSError(5, "Input/output error"),
        PermissionError(13, "Permission denied"),
        MemoryError(),
        RuntimeError("no thread"),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
@pytest.mark.parametrize("where", ["load", "fingerprint"])
def test_whatever_goes_wrong_is_told_and_the_next_request_works(
    stage: Callable[..., Stage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception, where: str
) -> None:
    """A disk that fails while the file is read, or no memory, ends one request and not the thread that serves all."""
    two = write_checkpoint(tmp_path / "two.safetensors", 2)
    here = playing(stage())

    def fail(_path: Path) -> None:
        raise trouble

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, where, fail)
        here.swapper.ask(str(two))
        assert two.name in here.until("the network plays on as it was")
    here.swapper.ask(str(two))
    here.until("From here on")


@pytest.mark.parametrize("name", ["~nobody-of-that-name/x", "/dev/zero", ".", "x" * 300])
def test_a_name_of_no_file_is_told(stage: Callable[..., Stage], name: str) -> None:
    """An unknown user, a device, a folder and a name that no disk can hold."""
    here = playing(stage())
    here.swapper.ask(name)
    here.until("the network plays on as it was")


def test_a_file_that_is_always_being_written_to_is_told(
    stage: Callable[..., Stage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read a few times, and not for ever."""
    two = write_checkpoint(tmp_path / "two.safetensors", 2)
    here, load = playing(stage()), checkpoint.load
    times = iter(range(1, 1000))

    def load_while_it_changes(path: Path) -> checkpoint.Checkpoint:
        os.utime(path, (next(times), next(times)))
        return load(path)

    monkeypatch.setattr(checkpoint, "load", load_while_it_changes)
    here.swapper.ask(str(two))
    here.until("it was written to whenever it was read")


def test_the_same_file_is_left_alone(stage: Callable[..., Stage]) -> None:
    """There is nothing to exchange."""
    here = playing(stage())
    here.swapper.ask()
    here.until("this very network plays already")


def test_nothing_is_exchanged_just_before_a_tick(stage: Callable[..., Stage], tmp_path: Path) -> None:
    """The loop has its hands free then."""
    here = playing(stage())
    network = assembly.load_network(str(write_checkpoint(tmp_path / "two.safetensors", 2)))
    past, swap = History(network.engine), take_log.Swap(network.name, network.sha256, 0)
    due_s = here.daemon.deadline_s()
    here.clock.sleep_until(due_s - CALM_S / 2)
    assert not here.daemon.exchange(network.engine, past, swap)


# --- what the new network is told ------------------------------------------------------------------------------------


def told_so_far(past: History, count: int) -> None:
    """Tell a past so many frames, all different."""
    for n in range(past.count, past.count + count):
        frame = np.zeros(KEYS, np.uint8)
        frame[n % KEYS] = 1
        past.push((frame, (n % 16, 4, 16), ((n + 1) % 16, 4, 16), Texture(), n % 2 == 0, n % 2 == 0))


@pytest.fixture
def engine() -> Engine:
    """A small network."""
    return Engine(random_checkpoint(SMALL, 7))


def test_who_was_told_the_same_draws_the_same(engine: Engine) -> None:
    """In one go or in two."""
    old, new = History(engine), History(engine)
    told_so_far(old, 50)
    assert new.catch_up(old.told)
    told_so_far(old, 20)
    assert new.catch_up(old.told)
    given, uniforms = np.full(KEYS, UNKNOWN, np.uint8), np.random.default_rng(1).random(KEYS)
    draws = [past.draw(given, uniforms, SamplingParams()) for past in (old, new)]
    assert new.count == old.count == 70
    np.testing.assert_array_equal(*draws)


def test_bars_can_be_taken_back_as_before(engine: Engine) -> None:
    """The new network has the same way back."""
    old, new = History(engine), History(engine)
    told_so_far(old, 150)
    assert new.catch_up(old.told)
    old.back(40)
    new.back(40)
    assert new.count == old.count == 110
    np.testing.assert_array_equal(old.newest, new.newest)


def test_who_was_told_otherwise_is_refused(engine: Engine) -> None:
    """Bars were taken back meanwhile, and others played; or so much came that the beginning is no longer kept."""
    old, new = History(engine), History(engine)
    told_so_far(old, 50)
    assert new.catch_up(old.told)
    old.back(20)
    assert not new.catch_up(old.told)
    told_so_far(old, 30)
    assert not new.catch_up(old.told)
    late = History(engine)
    told_so_far(old, 600)
    assert not late.catch_up(old.told)
    assert History(engine, old.told.first).catch_up(old.told)
