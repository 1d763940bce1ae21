"""Long quotations: their definition, their detection while playing, and their avoidance."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from livebach.evaluation.copied_runs import Source
from livebach.music.roll import KEYS, LOW_KEY, ONSET, Frame, Frames, Note, frames_from_notes
from livebach.musician.vetoes import QuoteWatch, playable
from livebach.network import checkpoint
from livebach.network.checkpoint import CheckpointError, load, save
from livebach.network.quotes import GRAM, NOTHING, Quotes, _hashes, line_steps_of, run_hash, steps_of
from livebach.network.sampling import SamplingParams
from livebach.setting_rules import SHORTEST_QUOTE
from tests.support.driven import Take
from tests.support.small_checkpoint import made
from tests.support.small_network import blank, melody, piece

SCORE = piece("score", melody(5, 80)).frames
"""Two voices, without a run that comes again."""
LIMIT = 15


def heard(frames: Frames, quotes: Quotes, longest: int | None = LIMIT) -> list[int | None]:
    """What the watch says of each frame just before it is played."""
    watch, said = QuoteWatch(quotes, longest), []
    for frame in frames:
        said.append(watch.against(frame))
        watch.observe(frame)
    return said


@given(st.lists(st.integers(1, 10**6), min_size=0, max_size=40))
def test_the_hash_of_one_run_is_that_of_many(steps: list[int]) -> None:
    """The quick one of a single run says what the one of all runs at once says."""
    many = _hashes(np.array(steps, np.int64))
    assert many.tolist() == [run_hash(steps[i : i + GRAM]) for i in range(len(steps) - GRAM + 1)]


def test_its_own_training_music_is_a_quote_in_every_key() -> None:
    """The sixteenth note is one too many, and each after it, all voices or the upper line."""
    quotes = Quotes.of([SCORE])
    for by in (0, 3, -5):
        said = heard(np.roll(SCORE, by, axis=1), quotes)
        stopped = next(t for t, key in enumerate(said) if key is not None)
        struck = int((SCORE[: stopped + 1] == ONSET).sum())
        assert LIMIT < struck <= LIMIT + 2  # two voices may strike on that tick
        assert all(said[t] is not None for t in range(stopped, len(SCORE)) if (SCORE[t] == ONSET).any())


def test_other_music_is_none() -> None:
    """Nor is what is as long as is allowed, nor anything where no limit is set or nothing is known."""
    quotes = Quotes.of([SCORE])
    assert not any(key is not None for key in heard(piece("other", melody(6, 80)).frames, quotes))
    first = int(np.flatnonzero(np.cumsum((SCORE == ONSET).sum(axis=1)) > LIMIT)[0])
    assert not any(key is not None for key in heard(SCORE[:first], quotes))
    assert not any(key is not None for key in heard(SCORE, quotes, None))
    assert not any(key is not None for key in heard(SCORE, NOTHING))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(SHORTEST_QUOTE, 40))
def test_the_watch_is_as_strict_as_the_measure(start: int, other: int, limit: int) -> None:
    """Where it would let all of a stretch pass, the longest copy in it, by `copied`, is within the limit."""
    mixed = np.concatenate([SCORE[start : start + 60], piece("x", melody(other, 30)).frames, SCORE[other:][:40]])
    quotes = Quotes.of([SCORE])
    longest = max(Source([steps(SCORE)]).longest(steps(mixed)) for steps in (steps_of, line_steps_of))
    stopped = any(key is not None for key in heard(mixed, quotes, limit))
    assert stopped == (longest > limit)


def test_a_quote_is_left() -> None:
    """A network that knows one piece by heart strikes another key, where that piece would be quoted for too long."""
    keys = [int(np.flatnonzero(row == ONSET)[-1]) for row in SCORE if (row == ONSET).any()][:40]
    line = frames_from_notes([Note(key + LOW_KEY, t, t + 1) for t, key in enumerate(keys)])
    watch, played = QuoteWatch(Quotes.of([line]), LIMIT), []
    for t in range(len(line)):

        def draw(params: SamplingParams, t: int = t) -> Frame:
            forbidden = params.forbidden if params.forbidden is not None else np.zeros(KEYS, bool)
            frame = blank()
            frame[keys[t] if not forbidden[keys[t]] else keys[t] + 1] = ONSET
            return frame

        played.append(playable(draw, SamplingParams(), [watch]))
        watch.observe(played[-1])
    longest = Source([steps_of(line)]).longest(steps_of(np.array(played)))
    assert longest == LIMIT
    assert sum(not np.array_equal(a, b) for a, b in zip(played, line, strict=True)) in (1, 2)


def test_while_playing_a_quote_is_left() -> None:
    """The musician keeps to it from its own first note on, and `sampling.max_quote_notes=off` lets it quote."""
    tune = [60 + k for k in (0, 7, 3, 8, 2, 10, 5, 1, 9, 4, 11, 6, 0, 8, 5, 2, 7, 1, 10, 3, 9, 12, 6, 11, 4)]
    frames = frames_from_notes([Note(key, t, t + 1) for t, key in enumerate(tune)])

    def played(setting: str) -> Frames:
        take = Take([{key: ONSET} for key in tune], f"sampling.max_quote_notes={setting}", "sampling.density=off")
        take.engine.quotes = Quotes.of([frames])
        take.play([48] * 4).run(40)
        return frames_from_notes([Note(key, int(at), int(at) + 1) for at, key in take.onsets])

    source = Source([line_steps_of(frames)])
    assert source.longest(line_steps_of(played("off"))) == len(tune)
    assert source.longest(line_steps_of(played("15"))) <= 15


# -- the checkpoint's file --------------------------------------------------------------------------------------------


def test_a_checkpoint_keeps_them(tmp_path: Path) -> None:
    """Written and read; a file from before there were any has none."""
    path, quotes = tmp_path / "a.safetensors", Quotes.of([SCORE])
    save(path, replace(made(), quotes=quotes))
    again = load(path).quotes
    assert np.array_equal(again.notes, quotes.notes)
    assert np.array_equal(again.line, quotes.line)
    assert len(again.notes) > len(again.line) > 20
    without = {k: v for k, v in load_file(path).items() if not k.startswith("quotes.")}
    save_file(without, tmp_path / "old.safetensors", header(path))
    assert len(load(tmp_path / "old.safetensors").quotes.notes) == 0


def header(path: Path) -> dict[str, str]:
    """The metadata of a file."""
    from safetensors import safe_open

    with safe_open(path, "np") as handle:
        return dict(handle.metadata())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros((2, 2), np.uint32), "quotes.line must be at most"),
        (np.zeros(2, np.int32), "quotes.line must be at most"),
        (np.array([3, 2], np.uint32), "quotes.line must be in rising order"),
    ],
)
def test_a_wrong_list_is_refused(wrong: np.ndarray, said: str, tmp_path: Path) -> None:
    """In one line that names the file and the tensor."""
    path = tmp_path / "a.safetensors"
    save(path, made())
    tensors = load_file(path) | {"quotes.line": wrong}
    save_file(tensors, path, header(path))
    with pytest.raises(CheckpointError, match=said):
        load(path)


def test_too_much_music_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a corpus too large to be learnt by heart there is no list."""
    monkeypatch.setattr("livebach.network.quotes.MOST_RUNS", 30)
    assert len(Quotes.of([SCORE]).notes) == 0


def test_many_pieces_are_gathered_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorted on the way they are the same, and what comes twice counts once."""
    pieces = [piece("m", melody(seed)).frames for seed in range(6)]
    whole = Quotes.of(pieces)
    assert len(whole.notes)
    monkeypatch.setattr("livebach.network.quotes.MOST_RUNS", len(whole.notes))
    again = Quotes.of(pieces * 3)
    assert np.array_equal(again.notes, whole.notes)
    both = Quotes.of(pieces[:3]).joined(Quotes.of(pieces[2:]))
    assert np.array_equal(both.line, whole.line)


def test_training_writes_them(tmp_path: Path) -> None:
    """The checkpoint of a run knows the music that the run was trained on."""
    torch = pytest.importorskip("torch", reason="training needs the extra `train`")
    from tests.support.midi_files import write_midi
    from tests.support.small_training import train

    assert torch
    for seed in range(4):
        write_midi(tmp_path / f"{seed}.mid", melody(seed))
    assert train(tmp_path, tmp_path / "run", "--updates", "1") == 0
    known = checkpoint.load(tmp_path / "run" / "checkpoint.safetensors").quotes
    inside = [np.isin(_hashes(steps_of(piece("m", melody(seed)).frames)), known.notes).all() for seed in range(4)]
    assert sum(inside) in (2, 3)  # one or two are held out


def test_a_roll_out_keeps_the_limit() -> None:
    """Over the engine itself: what it has played once, by a seed, it plays again, until it would be a quote."""
    pytest.importorskip("torch", reason="makes its network in torch")
    from livebach.music.metre import Metre
    from livebach.musician.rollout import RollOut
    from livebach.network.engine import Engine
    from livebach.training.model import to_checkpoint
    from tests.support.small_network import network

    engine = Engine(to_checkpoint(network(loud=1.2), {}))

    def played(quotes: int | None) -> Frames:
        roll = RollOut(engine, Metre(), np.random.default_rng(1), quotes=quotes)
        return np.array(list(islice(roll.play(), 60)))

    first = played(None)
    assert (first == ONSET).sum() > 60
    engine.quotes = Quotes.of([first])
    assert np.array_equal(played(None), first)
    again = played(LIMIT)
    for steps in (steps_of, line_steps_of):
        assert Source([steps(first)]).longest(steps(again)) <= LIMIT
